#include "api/bulk.h"

#include "api/hash_param.h"
#include "base/err.h"

#include "base/banned.h"

static int add_hash(struct buf *hashes, struct span value, struct bulk_error *bad)
{
    struct infohash h;
    bad->value = value;
    if (value.n == sizeof h.b || !hash_param_parse(&h, value)) {
        return ERR_INVALID;
    }
    buf_add(hashes, span_of(h.b, sizeof h.b));
    return hashes->bad ? ERR_LIMIT : 0;
}

int bulk_parse_text(struct buf *hashes, struct span body, struct bulk_error *bad)
{
    bad->line = 0;
    while (body.n > 0) {
        bad->line++;
        struct span line = span_trim(span_cut(body, '\n', &body));
        int status = line.n == 0 ? 0 : add_hash(hashes, line, bad);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static int malformed(struct bulk_error *bad, struct span at)
{
    bad->value = span_sub(at, 0, 20);
    return ERR_MALFORMED;
}

int bulk_parse_json(struct buf *hashes, struct span body, struct bulk_error *bad)
{
    struct span rest = span_trim(body);
    bad->line = 0;
    if (rest.n < 2 || rest.p[0] != '[' || rest.p[rest.n - 1] != ']') {
        return malformed(bad, rest);
    }
    rest = span_trim(span_sub(rest, 1, rest.n - 2));
    while (rest.n > 0) {
        bad->line++;
        if (rest.p[0] != '"' || span_find(span_sub(rest, 1, rest.n), '"') == rest.n - 1) {
            return malformed(bad, rest);
        }
        /* An escape has no place in a hash; with one, the value is refused as it stands. */
        struct span value = span_cut(span_sub(rest, 1, rest.n), '"', &rest);
        int status = add_hash(hashes, value, bad);
        if (status < 0) {
            return status;
        }
        rest = span_trim(rest);
        if (rest.n == 0) {
            break;
        }
        struct span behind = span_trim(span_sub(rest, 1, rest.n));
        if (rest.p[0] != ',' || behind.n == 0) {
            return malformed(bad, rest);
        }
        rest = behind;
    }
    return 0;
}
