#include "proto/magnet.h"

#include <string.h>

#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

static const char xt_rule[] = "xt must be urn:btih: and 40 hex or 32 base32 digits";

struct reader {
    struct magnet *out;
    struct wr *room;
    bool has_hash;
    bool has_btmh;
};

static int fail(const char **why, int code, const char *text)
{
    *why = text;
    return code;
}

/* text has no capital letters. */
static bool starts_with_any_case(struct span s, struct span text)
{
    if (s.n < text.n) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = s.p[i];
        if ((c >= 'A' && c <= 'Z' ? (c | 0x20) : c) != text.p[i]) {
            return false;
        }
    }
    return true;
}

static bool is_name(struct span s, struct span name)
{
    return s.n == name.n && starts_with_any_case(s, name);
}

/* "NAME", or "NAME.1", which some write when there are several. */
static bool is_numbered_name(struct span s, struct span name)
{
    struct span number;
    uint64_t n;
    struct span word = span_cut(s, '.', &number);
    return is_name(word, name) && (word.n == s.n || parse_u64(&n, number, UINT64_MAX));
}

/* value into room as it was before it was percent-encoded. Malformed: *why is the caller's. */
static int unescape(struct span *out, struct span value, struct wr *room, const char **why)
{
    if (wr_room(room) < value.n) {
        return fail(why, ERR_LIMIT, "magnet link is too long");
    }
    long n = percent_decode(room->p, value.n, value);
    if (n < 0) {
        return ERR_MALFORMED;
    }
    *out = span_of(room->p, (size_t)n);
    (void)wr_reserve(room, (size_t)n); /* not more than value.n, which there is */
    return 0;
}

static int take_hash(struct reader *r, struct span value, const char **why)
{
    struct wr scratch = *r->room; /* the text is not kept */
    struct infohash *hash = &r->out->info_hash;
    struct span text;
    int rc = unescape(&text, value, &scratch, why);
    if (rc < 0) {
        return rc == ERR_MALFORMED ? fail(why, rc, xt_rule) : rc;
    }
    r->has_btmh |= starts_with_any_case(text, SPAN("urn:btmh:"));
    if (r->has_hash || !starts_with_any_case(text, SPAN("urn:btih:"))) {
        return 0;
    }
    struct span digits = span_sub(text, strlen("urn:btih:"), text.n);
    r->has_hash = hex_decode(hash->b, sizeof hash->b, digits) ||
                  base32_decode(hash->b, sizeof hash->b, digits);
    return r->has_hash ? 0 : fail(why, ERR_MALFORMED, xt_rule);
}

/* Piece by piece between the '+', each of which is a space; or else as it stands. */
static int take_display_name(struct reader *r, struct span value, const char **why)
{
    struct wr text = *r->room;
    struct span rest = value;
    int rc = 0;
    if (r->out->name.n > 0) {
        return 0;
    }
    while (rc == 0 && rest.n > 0) {
        struct span part = span_cut(rest, '+', NULL);
        bool spaced = part.n < rest.n;
        struct span decoded;
        rest = span_sub(rest, part.n + 1, rest.n);
        rc = unescape(&decoded, part, &text, why);
        if (spaced) {
            wr_u8(&text, ' ');
        }
    }
    if (rc == ERR_MALFORMED) {
        text = *r->room;
        wr_bytes(&text, value);
    }
    if (rc == ERR_LIMIT || text.bad) {
        return fail(why, ERR_LIMIT, "magnet link is too long");
    }
    r->out->name = span_of(r->room->p, (size_t)(text.p - r->room->p));
    *r->room = text;
    return 0;
}

/* Where a repeated parameter goes, and what is said when it cannot. */
struct texts {
    struct span *items;
    size_t *n;
    size_t max;
    const char *malformed;
    const char *too_many;
};

static int take_text(struct reader *r, const struct texts *to, struct span value, const char **why)
{
    if (*to->n == to->max) {
        return fail(why, ERR_LIMIT, to->too_many);
    }
    int rc = unescape(&to->items[*to->n], value, r->room, why);
    if (rc < 0) {
        return rc == ERR_MALFORMED ? fail(why, rc, to->malformed) : rc;
    }
    ++*to->n;
    return 0;
}

static int take_tracker(struct reader *r, struct span value, const char **why)
{
    struct magnet *m = r->out;
    const struct texts to = {m->trackers, &m->n_trackers, MAGNET_TRACKERS_MAX,
                             "tr must be a percent-encoded URL", "tr is there too often"};
    return take_text(r, &to, value, why);
}

static int take_web_seed(struct reader *r, struct span value, const char **why)
{
    struct magnet *m = r->out;
    const struct texts to = {m->web_seeds, &m->n_web_seeds, MAGNET_WEB_SEEDS_MAX,
                             "ws must be a percent-encoded URL", "ws is there too often"};
    return take_text(r, &to, value, why);
}

static int take_peer(struct reader *r, struct span value, const char **why)
{
    struct magnet *m = r->out;
    const struct texts to = {m->peers, &m->n_peers, MAGNET_PEERS_MAX,
                             "x.pe must be a percent-encoded host:port", "x.pe is there too often"};
    return take_text(r, &to, value, why);
}

/* "7" or "7-9". */
static bool parse_range(struct magnet_range *out, struct span text)
{
    struct span tail;
    uint64_t first;
    uint64_t last;
    struct span head = span_cut(text, '-', &tail);
    if (!parse_u64(&first, head, UINT32_MAX)) {
        return false;
    }
    last = first;
    if (head.n < text.n && !parse_u64(&last, tail, UINT32_MAX)) {
        return false;
    }
    *out = (struct magnet_range){(uint32_t)first, (uint32_t)last};
    return first <= last;
}

static int take_ranges(struct reader *r, struct span value, const char **why)
{
    static const char rule[] = "so must be file numbers and ranges of them: 0,2,4-6";
    struct wr scratch = *r->room; /* the text is not kept */
    struct magnet *m = r->out;
    struct span text;
    int rc = unescape(&text, value, &scratch, why);
    if (rc < 0) {
        return rc == ERR_MALFORMED ? fail(why, rc, rule) : rc;
    }
    for (bool more = true; more;) {
        struct span item = span_cut(text, ',', NULL);
        more = item.n < text.n;
        text = span_sub(text, item.n + 1, text.n);
        if (m->n_ranges == MAGNET_RANGES_MAX) {
            return fail(why, ERR_LIMIT, "so has too many ranges");
        }
        if (!parse_range(&m->ranges[m->n_ranges++], item)) {
            return fail(why, ERR_MALFORMED, rule);
        }
    }
    return 0;
}

static int take_param(struct reader *r, struct span name, struct span value, const char **why)
{
    if (value.n == 0) {
        return 0;
    }
    if (is_numbered_name(name, SPAN("xt"))) {
        return take_hash(r, value, why);
    }
    if (is_name(name, SPAN("dn"))) {
        return take_display_name(r, value, why);
    }
    if (is_numbered_name(name, SPAN("tr"))) {
        return take_tracker(r, value, why);
    }
    if (is_numbered_name(name, SPAN("ws"))) {
        return take_web_seed(r, value, why);
    }
    if (is_name(name, SPAN("x.pe"))) {
        return take_peer(r, value, why);
    }
    return is_name(name, SPAN("so")) ? take_ranges(r, value, why) : 0;
}

bool magnet_is_magnet(struct span uri)
{
    return starts_with_any_case(uri, SPAN("magnet:?"));
}

int magnet_decode(struct magnet *out, struct span uri, struct wr *room, const char **why)
{
    struct reader r = {.out = out, .room = room};
    memset(out, 0, sizeof *out);
    if (!magnet_is_magnet(uri)) {
        return fail(why, ERR_MALFORMED, "a magnet link must begin with magnet:?");
    }
    struct span rest = span_cut(span_sub(uri, strlen("magnet:?"), uri.n), '#', NULL);
    while (rest.n > 0) {
        struct span value;
        struct span name = span_cut(span_cut(rest, '&', &rest), '=', &value);
        int rc = take_param(&r, name, value, why);
        if (rc < 0) {
            return rc;
        }
    }
    if (!r.has_hash) {
        return fail(why, ERR_MALFORMED,
                    r.has_btmh ? "xt must have urn:btih: too: urn:btmh: alone is version 2"
                               : xt_rule);
    }
    return 0;
}

static void put_param(struct wr *w, struct span name, struct span text, struct span signs)
{
    wr_bytes(w, name);
    percent_encode(w, text, signs);
}

static void put_texts(struct wr *w, struct span name, const struct span *texts, size_t n,
                      struct span signs)
{
    for (size_t i = 0; i < n; i++) {
        put_param(w, name, texts[i], signs);
    }
}

void magnet_encode(struct wr *w, const struct magnet *m)
{
    const struct span unreserved = PERCENT_UNRESERVED;
    char hex[HEX20_LEN + 1];
    hex_encode(hex, span_of(m->info_hash.b, sizeof m->info_hash.b));
    wr_bytes(w, SPAN("magnet:?xt=urn:btih:"));
    wr_bytes(w, span_of(hex, HEX20_LEN));
    put_texts(w, SPAN("&dn="), &m->name, m->name.n > 0 ? 1 : 0, unreserved);
    put_texts(w, SPAN("&tr="), m->trackers, m->n_trackers, unreserved);
    put_texts(w, SPAN("&ws="), m->web_seeds, m->n_web_seeds, unreserved);
    /* The signs of an address stay, as some readers do not decode x.pe. */
    put_texts(w, SPAN("&x.pe="), m->peers, m->n_peers, SPAN("-._~:[]"));
    for (size_t i = 0; i < m->n_ranges; i++) {
        wr_bytes(w, i == 0 ? SPAN("&so=") : SPAN(","));
        wr_dec(w, m->ranges[i].first);
        if (m->ranges[i].last > m->ranges[i].first) {
            wr_u8(w, '-');
            wr_dec(w, m->ranges[i].last);
        }
    }
}
