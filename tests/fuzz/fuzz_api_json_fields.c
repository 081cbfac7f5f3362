/* The members of an object lie inside its text, and are the same members when they are written again;
 * what a string stands for is the same when it is encoded and decoded again. */
#include <stdlib.h>

#include "api/json_fields.h"
#include "base/json.h"

#include "base/banned.h"

enum { OUT_MAX = 1 << 22 };

static void check_inside(struct span part, struct span text)
{
    ASSERT(part.n == 0 ||
           (part.p >= text.p && part.n <= text.n && (size_t)(part.p - text.p) <= text.n - part.n));
}

static bool is_utf8(struct span text)
{
    size_t n = 1;
    while (text.n > 0 && n > 0) {
        n = utf8_sequence_len(text);
        text = span_sub(text, n, text.n);
    }
    return text.n == 0;
}

static void check_string(struct span raw)
{
    struct buf once;
    struct buf json;
    struct buf twice;
    buf_init(&once, OUT_MAX);
    buf_init(&json, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    ASSERT(json_string_decode(&once, raw) && once.len <= raw.n);
    if (is_utf8(buf_span(&once))) {
        json_add_string(&json, buf_span(&once));
        ASSERT(json_string_decode(&twice, span_sub(buf_span(&json), 1, json.len - 2)));
        ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_release(&once);
    buf_release(&json);
    buf_release(&twice);
}

static void add_member(struct buf *out, const struct json_field *field)
{
    const char *quote = field->kind == JSON_STRING ? "\"" : "";
    buf_add_str(out, out->len > 1 ? ",\"" : "\"");
    buf_add(out, field->name);
    buf_addf(out, "\":%s", quote);
    buf_add(out, field->value);
    buf_add_str(out, quote);
}

/* The members of text as an object without spaces; how many. Negative: it is none, or not to its end. */
static long rewrite(struct buf *out, struct span text)
{
    struct json_fields fields;
    struct json_field field;
    const char *why = NULL;
    long n = 0;
    int status = json_fields_begin(&fields, text, &why);
    ASSERT(status == 0 || why != NULL);
    buf_add_byte(out, '{');
    while (status == 0 && (status = json_fields_next(&fields, &field, &why)) == 1) {
        check_inside(field.name, text);
        check_inside(field.value, text);
        check_string(field.name);
        if (field.kind == JSON_STRING) {
            check_string(field.value);
        }
        add_member(out, &field);
        n++;
        status = 0;
    }
    buf_add_byte(out, '}');
    ASSERT(n <= JSON_FIELDS_MAX && (status >= 0 || why != NULL));
    return status < 0 ? status : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once;
    struct buf twice;
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    long n = rewrite(&once, span_of(data, size));
    if (n >= 0) {
        ASSERT(rewrite(&twice, buf_span(&once)) == n);
        ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
