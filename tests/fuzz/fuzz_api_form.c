/* What a form gives lies inside its body, ends, and is the same fields when it is written again as a
 * urlencoded form. The first line is the content type. */
#include <stdlib.h>

#include "api/form.h"
#include "base/parse.h"

#include "base/banned.h"

enum { OUT_MAX = 1 << 22 };

static void add_encoded(struct buf *out, struct span text)
{
    size_t room = 3 * text.n + 1;
    uint8_t *to = buf_reserve(out, room);
    ASSERT(to != NULL);
    struct wr w = wr_over(to, room);
    percent_encode(&w, text, PERCENT_UNRESERVED);
    out->len += wr_len(&w);
}

static void check_inside(struct span value, struct span body)
{
    ASSERT(value.n == 0 || (value.p >= body.p && value.n <= body.n &&
                            (size_t)(value.p - body.p) <= body.n - value.n));
}

/* The fields of a form as a urlencoded one; how many. Those that cannot be read are left out. */
static size_t rewrite(struct buf *out, struct span type, struct span body)
{
    struct form form;
    struct form_field field;
    struct buf value;
    const char *why = NULL;
    size_t n = 0;
    buf_init(&value, OUT_MAX);
    int status = form_begin(&form, type, body, &why);
    while (status == 0 && form_next(&form, &field, &why) == 1) {
        check_inside(field.value, body);
        ASSERT(field.name.n <= FORM_NAME_MAX && n < FORM_FIELDS_MAX);
        buf_clear(&value);
        if (form_add_value(&value, &field)) {
            buf_add_str(out, n > 0 ? "&" : "");
            add_encoded(out, field.name);
            buf_add_byte(out, '=');
            add_encoded(out, buf_span(&value));
            n++;
        }
    }
    buf_release(&value);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span body;
    struct span type = span_cut(span_of(data, size), '\n', &body);
    struct buf once;
    struct buf twice;
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    size_t n = rewrite(&once, type, body);
    ASSERT(rewrite(&twice, SPAN("application/x-www-form-urlencoded"), buf_span(&once)) == n);
    ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
