#include "base/config_loader.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"

#include "base/banned.h"

enum { COMPLAINT_MAX = 8192 };

char *config_shown(char out[static CONFIG_SHOWN_LEN], struct span s)
{
    enum { SHOWN_BYTES = 32, ESCAPED_LEN = 6, SEQUENCE_LEN = 4 };
    size_t n = 0;
    while (n < s.n && n < SHOWN_BYTES) {
        size_t len = utf8_sequence_len(span_sub(s, n, s.n));
        n += len == 0 ? 1 : len;
    }
    char json[ESCAPED_LEN * (SHOWN_BYTES + SEQUENCE_LEN) + sizeof "\"\""];
    _Static_assert(sizeof json + sizeof "..." <= CONFIG_SHOWN_LEN, "a shown value fits");
    struct wr w = wr_over(json, sizeof json);
    json_write_string(&w, span_sub(s, 0, n));
    ASSERT(!w.bad);
    (void)snprintf(out, CONFIG_SHOWN_LEN, "%.*s%s", (int)wr_len(&w) - 2, json + 1,
                   n < s.n ? "..." : "");
    return out;
}

/* A name as it is, however long; one that is no name in 7-bit text, escaped and cut. */
static void add_variable(struct buf *line, struct span name)
{
    char shown[CONFIG_SHOWN_LEN];
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f) {
            name = span_str(config_shown(shown, name));
            break;
        }
    }
    buf_add(line, name);
}

void config_complain_at(struct config_loader *l, struct config_where at, const char *key,
                        const char *fmt, ...)
{
    struct buf line;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&line, COMPLAINT_MAX);
    if (at.variable != NULL) {
        add_variable(&line, span_cut(span_str(at.variable), '=', NULL));
    } else if (at.line > 0) {
        buf_addf(&line, "%s:%u", l->file, at.line);
    } else {
        buf_add_str(&line, l->file);
    }
    if (key[0] != '\0') {
        buf_addf(&line, ": %s", key);
    }
    buf_addf(&line, ": %s", text);
    buf_add_byte(&line, '\0');
    l->n_complaints++;
    /* Only the name of the file or the variable can be that long. */
    l->complain(l->complain_ctx, line.bad ? text : (const char *)line.p);
    buf_release(&line);
}
