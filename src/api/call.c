#include "api/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "api/form.h"
#include "base/buf.h"
#include "base/json.h"

#include "base/banned.h"

enum { REASON_MAX = 512 };

int64_t call_unix_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A reason repeats what the client sent: what is not printable UTF-8 becomes '?'. */
static size_t make_printable(char *text, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_sequence_len(span_of(text + i, n - i));
        if (len == 0 || (uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
            len = 1;
        }
    }
    return n;
}

void call_fail(struct call *c, int status, const char *fmt, ...)
{
    char text[REASON_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n >= sizeof text ? sizeof text - 1 : (size_t)n;
    c->dialect->fail(c->x, status, span_of(text, make_printable(text, len)));
}

bool call_take_text(struct call *c, struct buf *out, const struct form_field *field)
{
    buf_clear(out);
    if (form_add_value(out, field)) {
        return true;
    }
    call_fail(c, 400, "%.*s is too long or has a broken %%-escape", (int)field->name.n,
              (const char *)field->name.p);
    return false;
}

int call_status_of(int err_code)
{
    switch (err_code) {
    case ERR_UNAVAILABLE:
    case ERR_LIMIT:
    case ERR_TIMEOUT:
    case ERR_CANCELED:
    case ERR_CLOSED:
    case ERR_IN_USE:
    case ERR_NO_SPACE:
        return 503;
    default:
        return 500;
    }
}
