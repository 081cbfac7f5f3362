#include "api/auth.h"

#include <stdlib.h>
#include <strings.h>

#include <sodium.h>

#include "api/query.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/parse.h"

#include "base/banned.h"

struct token_digest {
    uint8_t b[32];
};

/* The wrong tokens of one address: when the last AUTH_FAILURES came, a ring. */
struct offender {
    struct addr who;
    size_t n; /* ever; 0: this entry is free */
    uint64_t at_ms[AUTH_FAILURES];
};

struct auth {
    struct token_digest *tokens;
    size_t n_tokens;
    struct auth_stats stats;
    struct offender offenders[AUTH_ADDRESSES];
};

struct auth *auth_new(void)
{
    return mem_new(struct auth);
}

void auth_free(struct auth *a)
{
    if (a != NULL) {
        free(a->tokens);
        free(a);
    }
}

void auth_add_token(struct auth *a, struct span token)
{
    a->tokens = mem_resize(a->tokens, a->n_tokens + 1, sizeof *a->tokens);
    digest_sha256(a->tokens[a->n_tokens].b, token);
    a->n_tokens++;
}

static bool is_right(const struct auth *a, struct span token)
{
    struct token_digest d;
    bool right = false;
    if (token.n == 0) {
        return false;
    }
    digest_sha256(d.b, token);
    for (size_t i = 0; i < a->n_tokens; i++) {
        right |= digest_equal(span_of(d.b, sizeof d.b), span_of(a->tokens[i].b, sizeof d.b));
    }
    return right;
}

static enum auth_result check_query(const struct auth *a, struct span query)
{
    struct span raw;
    uint8_t text[QUERY_VALUE_MAX];
    if (!query_raw(query, "token", &raw)) {
        return AUTH_MISSING;
    }
    long n = query_decode(text, raw);
    if (n >= 0 && is_right(a, span_of(text, (size_t)n))) {
        return AUTH_OK;
    }
    /* A token with a '+' in it, from a client that did not write it as %2B. */
    n = percent_decode(text, sizeof text, raw);
    return n >= 0 && is_right(a, span_of(text, (size_t)n)) ? AUTH_OK : AUTH_WRONG;
}

/* The part behind "Scheme ", without spaces around it; false when value is of another scheme. */
static bool behind_scheme(struct span value, const char *scheme, struct span *rest)
{
    size_t n = strlen(scheme);
    if (value.n < n || strncasecmp((const char *)value.p, scheme, n) != 0 ||
        (value.n > n && value.p[n] != ' ')) {
        return false;
    }
    *rest = span_sub(value, n, value.n);
    while (rest->n > 0 && rest->p[0] == ' ') {
        *rest = span_sub(*rest, 1, rest->n);
    }
    return true;
}

static bool is_right_basic(const struct auth *a, struct span base64)
{
    uint8_t text[QUERY_VALUE_MAX];
    struct span password;
    size_t n = 0;
    if (sodium_base642bin(text, sizeof text, (const char *)base64.p, base64.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        return false;
    }
    struct span pair = span_of(text, n);
    (void)span_cut(pair, ':', &password);
    return span_find(pair, ':') < pair.n && is_right(a, password);
}

static enum auth_result check_header(const struct auth *a, struct span value)
{
    struct span rest;
    if (behind_scheme(value, "bearer", &rest)) {
        return is_right(a, rest) ? AUTH_OK : AUTH_WRONG;
    }
    if (behind_scheme(value, "basic", &rest)) {
        return is_right_basic(a, rest) ? AUTH_OK : AUTH_WRONG;
    }
    if (is_right(a, value)) {
        return AUTH_OK;
    }
    return span_find(value, ' ') < value.n ? AUTH_UNKNOWN_SCHEME : AUTH_WRONG;
}

/* ---- the limiter ------------------------------------------------------------------------- */

static uint64_t last_ms(const struct offender *o)
{
    return o->n == 0 ? 0 : o->at_ms[(o->n - 1) % AUTH_FAILURES];
}

static struct offender *offender_of(struct auth *a, const struct addr *peer)
{
    struct addr who = *peer;
    if (who.v6) {
        memset(who.b + 8, 0, 8);
    }
    struct offender *victim = &a->offenders[0];
    for (size_t i = 0; i < AUTH_ADDRESSES; i++) {
        struct offender *o = &a->offenders[i];
        if (o->n > 0 && addr_eq(&o->who, &who)) {
            return o;
        }
        if (last_ms(o) < last_ms(victim)) {
            victim = o;
        }
    }
    *victim = (struct offender){.who = who};
    return victim;
}

/* Notes a failure. returns 0, or for how many seconds the address has to wait. */
static uint32_t note_failure(struct auth *a, const struct addr *peer, uint64_t now_ms)
{
    struct offender *o = offender_of(a, peer);
    uint64_t tenth_last_ms = o->at_ms[o->n % AUTH_FAILURES];
    bool limited = o->n >= AUTH_FAILURES && now_ms - tenth_last_ms < AUTH_WINDOW_MS;
    o->at_ms[o->n % AUTH_FAILURES] = now_ms;
    o->n++;
    if (!limited) {
        return 0;
    }
    uint64_t oldest_ms = o->at_ms[o->n % AUTH_FAILURES];
    return (uint32_t)((oldest_ms + AUTH_WINDOW_MS - now_ms + 999) / 1000);
}

enum auth_result auth_check(struct auth *a, struct span authorization, struct span query,
                            const struct addr *peer, uint64_t now_ms, uint32_t *retry_after_s)
{
    enum auth_result result =
        authorization.p != NULL ? check_header(a, authorization) : check_query(a, query);
    if (result != AUTH_WRONG && result != AUTH_UNKNOWN_SCHEME) {
        return result;
    }
    a->stats.failures++;
    *retry_after_s = note_failure(a, peer, now_ms);
    if (*retry_after_s > 0) {
        a->stats.limited++;
        return AUTH_LIMITED;
    }
    return result;
}

void auth_stats(const struct auth *a, struct auth_stats *out)
{
    *out = a->stats;
}
