#include "api/query.h"

#include "base/parse.h"

#include "base/banned.h"

bool query_next(struct span *rest, struct span *name, struct span *value)
{
    while (rest->n > 0) {
        struct span pair = span_cut(*rest, '&', rest);
        if (pair.n > 0) {
            *name = span_cut(pair, '=', value);
            return true;
        }
    }
    return false;
}

bool query_raw(struct span query, const char *name, struct span *value)
{
    struct span n;
    struct span v;
    bool found = false;
    while (query_next(&query, &n, &v)) {
        if (span_eq(n, span_str(name))) {
            *value = v;
            found = true;
        }
    }
    return found;
}

long query_decode(uint8_t out[static QUERY_VALUE_MAX], struct span value)
{
    uint8_t spaced[3 * QUERY_VALUE_MAX];
    if (value.n > sizeof spaced) {
        return -1;
    }
    for (size_t i = 0; i < value.n; i++) {
        spaced[i] = value.p[i] == '+' ? ' ' : value.p[i];
    }
    return percent_decode(out, QUERY_VALUE_MAX, span_of(spaced, value.n));
}

bool query_u64(struct span query, const char *name, uint64_t max, uint64_t *out, bool *bad)
{
    struct span raw;
    uint8_t text[QUERY_VALUE_MAX];
    if (!query_raw(query, name, &raw) || raw.n == 0) {
        return false;
    }
    long n = query_decode(text, raw);
    if (n < 0 || !parse_u64(out, span_of(text, (size_t)n), max)) {
        *bad = true;
        return false;
    }
    return true;
}
