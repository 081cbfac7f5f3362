/* The shapes of Python's json.dumps, by hand: the few that the API needs. */
#include "api/spritzle_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#include "base/banned.h"

enum { FLOAT_TEXT_MAX = 340 };

void spritzle_json_key(struct buf *out, const char *key)
{
    bool first = out->len > 0 && out->p[out->len - 1] == '{';
    buf_addf(out, "%s\"%s\": ", first ? "" : ", ", key);
}

void spritzle_json_text(struct buf *out, const char *key, struct span text)
{
    spritzle_json_key(out, key);
    json_add_string(out, text);
}

void spritzle_json_int(struct buf *out, const char *key, int64_t v)
{
    spritzle_json_key(out, key);
    buf_addf(out, "%" PRId64, v);
}

void spritzle_json_count(struct buf *out, const char *key, uint64_t v)
{
    spritzle_json_key(out, key);
    buf_add_u64(out, v);
}

void spritzle_json_bool(struct buf *out, const char *key, bool v)
{
    spritzle_json_key(out, key);
    buf_add_str(out, v ? "true" : "false");
}

void spritzle_json_float(struct buf *out, const char *key, double v)
{
    char text[FLOAT_TEXT_MAX];
    int n = snprintf(text, sizeof text, "%.6f", isfinite(v) ? v : 0.0);
    while (n > 2 && text[n - 1] == '0' && text[n - 2] != '.') {
        n--;
    }
    spritzle_json_key(out, key);
    buf_add(out, span_of(text, (size_t)n));
}

bool spritzle_json_bits(struct buf *out, const uint8_t *bits, uint32_t n_bits, uint32_t *at,
                        uint32_t n)
{
    for (; *at < n_bits && n > 0; ++*at, n--) {
        bool is_set = (bits[*at / 8] & (0x80u >> *at % 8)) != 0;
        buf_add_str(out, *at == 0 ? "" : ", ");
        buf_add_str(out, is_set ? "true" : "false");
    }
    return *at < n_bits;
}
