#include "base/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"

#include "base/banned.h"

enum { RULE_LEN = 160 };

static void *place_of(struct config *c, const struct config_key *key)
{
    return (char *)c + key->offset;
}

/* What a value (of a list: an entry) has to be. */
static void describe(const struct config_key *key, char rule[static RULE_LEN])
{
    static const char *const fixed[] = {
        [CONFIG_BOOL] = "true or false",
        [CONFIG_ADDRESS] = "an IP address such as 192.0.2.1 or 2001:db8::1",
        [CONFIG_ENDPOINTS] = "ADDRESS:PORT such as 127.0.0.1:6969 or \"[::1]:6969\"",
        [CONFIG_CIDRS] = "an address block such as 10.0.0.0/8, with no bits behind the prefix",
        [CONFIG_HOST_PORTS] = "HOST:PORT such as router.example.org:6881",
        [CONFIG_TOKENS] = "a section with lines of label: token",
    };
    size_t n = 0;
    switch (key->type) {
    case CONFIG_NUMBER:
        (void)snprintf(rule, RULE_LEN, "a whole number from %llu to %llu",
                       (unsigned long long)key->min, (unsigned long long)key->max);
        break;
    case CONFIG_CHOICE:
        for (size_t i = 0; key->choices[i] != NULL && n < RULE_LEN; i++) {
            n += (size_t)snprintf(rule + n, RULE_LEN - n, "%s%s", i == 0 ? "one of " : ", ",
                                  key->choices[i]);
        }
        break;
    case CONFIG_TEXT:
    case CONFIG_TEXTS:
        (void)snprintf(rule, RULE_LEN, "text of %llu to %llu printable characters",
                       (unsigned long long)key->min, (unsigned long long)key->max);
        break;
    case CONFIG_BOOL:
    case CONFIG_ADDRESS:
    case CONFIG_ENDPOINTS:
    case CONFIG_CIDRS:
    case CONFIG_HOST_PORTS:
    case CONFIG_TOKENS:
        (void)snprintf(rule, RULE_LEN, "%s", fixed[key->type]);
        break;
    }
}

static void mark_refused(struct config_loader *l, const struct config_key *key)
{
    l->refused[key - config_schema_at(0)] = true;
}

static void refuse_scalar(struct config_loader *l, const struct config_key *key,
                          const struct config_scalar *s)
{
    char rule[RULE_LEN];
    char shown[CONFIG_SHOWN_LEN];
    describe(key, rule);
    mark_refused(l, key);
    const char *each = config_key_is_list(key) ? "each entry must be" : "must be";
    bool wants_text = key->type == CONFIG_TEXT || key->type == CONFIG_TEXTS;
    if (s->kind == SCALAR_NULL) {
        config_complain_at(l, s->at, key->name, "%s %s; leave the key out to get the default", each,
                           rule);
    } else if (wants_text && (s->kind == SCALAR_BOOL || s->kind == SCALAR_NUMBER)) {
        config_complain_at(l, s->at, key->name, "%s %s; put the value in quotes", each, rule);
    } else if (key->secret) {
        config_complain_at(l, s->at, key->name, "%s %s", each, rule);
    } else {
        const char *quote = s->kind == SCALAR_TEXT || s->kind == SCALAR_ANY ? "\"" : "";
        config_complain_at(l, s->at, key->name, "%s %s, not %s%s%s", each, rule, quote,
                           config_shown(shown, s->text), quote);
    }
}

void config_value_refuse(struct config_loader *l, const struct config_key *key,
                         struct config_where at, const char *what)
{
    char rule[RULE_LEN];
    describe(key, rule);
    mark_refused(l, key);
    if (config_key_is_list(key)) {
        config_complain_at(l, at, key->name, "must be a list [a, b], each entry %s; not %s", rule,
                           what);
    } else {
        config_complain_at(l, at, key->name, "must be %s, not %s", rule, what);
    }
}

/* ---- one scalar -------------------------------------------------------------------------- */

static bool is_kind(const struct config_scalar *s, enum config_scalar_kind kind)
{
    return s->kind == kind || s->kind == SCALAR_ANY;
}

static bool is_printable(struct span s)
{
    for (size_t i = 0, len; i < s.n; i += len) {
        len = utf8_sequence_len(span_sub(s, i, s.n));
        if (len == 0 || s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_text(const struct config_key *key, const struct config_scalar *s)
{
    return is_kind(s, SCALAR_TEXT) && s->text.n >= key->min && s->text.n <= key->max &&
           is_printable(s->text);
}

static bool is_host_port(const struct config_scalar *s)
{
    uint64_t port;
    struct span rest;
    struct endpoint e;
    if (!is_kind(s, SCALAR_TEXT) || !is_printable(s->text)) {
        return false;
    }
    if (endpoint_parse(&e, s->text)) {
        return e.port > 0;
    }
    struct span host = span_cut(s->text, ':', &rest);
    return host.n > 0 && host.n <= 253 && parse_u64(&port, rest, UINT16_MAX) && port > 0;
}

static bool parse_bool(const struct config_scalar *s, uint64_t *out)
{
    *out = span_eq(s->text, SPAN("true"));
    return is_kind(s, SCALAR_BOOL) && (*out == 1 || span_eq(s->text, SPAN("false")));
}

static bool parse_choice(const struct config_key *key, const struct config_scalar *s, uint64_t *out)
{
    for (size_t i = 0; key->choices[i] != NULL; i++) {
        if (is_kind(s, SCALAR_TEXT) && span_eq(s->text, span_str(key->choices[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool parse_number(const struct config_key *key, const struct config_scalar *s, uint64_t *out)
{
    return is_kind(s, SCALAR_NUMBER) && parse_u64(out, s->text, key->max) && *out >= key->min;
}

/* The unspecified address stands for "none", so nobody may name it. */
static bool parse_address(const struct config_scalar *s, struct addr *out)
{
    *out = (struct addr){.v6 = false};
    return is_kind(s, SCALAR_TEXT) &&
           (s->text.n == 0 || (addr_parse(out, s->text) && !addr_is_unspecified(out)));
}

static void put_number(struct config_loader *l, const struct config_key *key, uint64_t v)
{
    void *place = place_of(l->cfg, key);
    switch (key->size) {
    case 0: /* reserved */
        break;
    case sizeof(bool):
        *(bool *)place = v != 0;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)place = (uint32_t)v;
        break;
    default:
        ASSERT(key->size == sizeof(uint64_t));
        *(uint64_t *)place = v;
        break;
    }
}

static bool set_text(struct config_loader *l, const struct config_key *key,
                     const struct config_scalar *s)
{
    if (!is_text(key, s)) {
        return false;
    }
    if (key->size > 0) {
        config_value_release(l->cfg, key);
        *(char **)place_of(l->cfg, key) = mem_strndup((const char *)s->text.p, s->text.n);
    }
    return true;
}

static bool set_address(struct config_loader *l, const struct config_key *key,
                        const struct config_scalar *s)
{
    struct addr a;
    if (!parse_address(s, &a)) {
        return false;
    }
    if (key->size > 0) {
        *(struct addr *)place_of(l->cfg, key) = a;
    }
    return true;
}

static bool set_number(struct config_loader *l, const struct config_key *key,
                       const struct config_scalar *s)
{
    uint64_t v;
    bool good = key->type == CONFIG_BOOL     ? parse_bool(s, &v)
                : key->type == CONFIG_CHOICE ? parse_choice(key, s, &v)
                                             : parse_number(key, s, &v);
    if (good) {
        put_number(l, key, v);
    }
    return good;
}

/* False when the value is not what the key has to be. */
static bool set_scalar(struct config_loader *l, const struct config_key *key,
                       const struct config_scalar *s)
{
    return key->type == CONFIG_TEXT      ? set_text(l, key, s)
           : key->type == CONFIG_ADDRESS ? set_address(l, key, s)
                                         : set_number(l, key, s);
}

/* ---- lists ------------------------------------------------------------------------------- */

/* One entry into the right one of the three lists. */
struct entries {
    struct endpoint_list endpoints;
    struct cidr_list cidrs;
    struct string_list texts;
};

static bool add_entry(struct entries *e, const struct config_key *key,
                      const struct config_scalar *s)
{
    bool text = is_kind(s, SCALAR_TEXT);
    switch (key->type) {
    case CONFIG_ENDPOINTS:
        return text && endpoint_parse(&e->endpoints.at[e->endpoints.n++], s->text);
    case CONFIG_CIDRS:
        return text && cidr_parse(&e->cidrs.at[e->cidrs.n++], s->text);
    default:
        if (key->type == CONFIG_TEXTS ? !is_text(key, s) : !is_host_port(s)) {
            return false;
        }
        e->texts.at[e->texts.n++] = mem_strndup((const char *)s->text.p, s->text.n);
        return true;
    }
}

static void free_texts(struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->at[i]);
    }
    free(list->at);
    *list = (struct string_list){0};
}

static void set_list(struct config_loader *l, const struct config_key *key,
                     const struct config_scalar *values, size_t n)
{
    struct entries e = {
        .endpoints.at = mem_array(n, sizeof(struct endpoint)),
        .cidrs.at = mem_array(n, sizeof(struct cidr)),
        .texts.at = mem_array(n, sizeof(char *)),
    };
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        if (!add_entry(&e, key, &values[i])) {
            refuse_scalar(l, key, &values[i]);
            good = false;
        }
    }
    if (good && key->size > 0) {
        void *place = place_of(l->cfg, key);
        config_value_release(l->cfg, key);
        if (key->type == CONFIG_ENDPOINTS) {
            *(struct endpoint_list *)place = e.endpoints;
            e.endpoints.at = NULL;
        } else if (key->type == CONFIG_CIDRS) {
            *(struct cidr_list *)place = e.cidrs;
            e.cidrs.at = NULL;
        } else {
            *(struct string_list *)place = e.texts;
            e.texts = (struct string_list){0};
        }
    }
    free(e.endpoints.at);
    free(e.cidrs.at);
    free_texts(&e.texts);
}

void config_value_set(struct config_loader *l, const struct config_key *key,
                      const struct config_scalar *values, size_t n)
{
    ASSERT(key->type != CONFIG_TOKENS && n <= CONFIG_LIST_MAX);
    if (config_key_is_list(key)) {
        set_list(l, key, values, n);
    } else {
        ASSERT(n == 1);
        if (!set_scalar(l, key, values)) {
            refuse_scalar(l, key, values);
        }
    }
}

/* ---- tokens ------------------------------------------------------------------------------ */

/* Not a space, so that a token fits in an Authorization header as it is. */
static bool is_word(struct span s, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f) {
            return false;
        }
    }
    return s.n > 0 && s.n <= max;
}

static size_t find_label(const struct token_list *tokens, struct span label)
{
    for (size_t i = 0; i < tokens->n; i++) {
        const char *have = tokens->at[i].label;
        if (strlen(have) == label.n && strncasecmp(have, (const char *)label.p, label.n) == 0) {
            return i;
        }
    }
    return tokens->n;
}

/* Complains and returns false when the pair may not be in api.tokens. */
static bool check_token(struct config_loader *l, struct span label, const struct config_scalar *s)
{
    char shown[CONFIG_SHOWN_LEN];
    char key[CONFIG_SHOWN_LEN + 16];
    (void)snprintf(key, sizeof key, "api.tokens.%s", config_shown(shown, label));
    if (!is_word(label, CONFIG_LABEL_MAX)) {
        config_complain_at(l, s->at, key, "a label must have 1 to %d letters, digits or signs",
                           CONFIG_LABEL_MAX);
    } else if (is_kind(s, SCALAR_TEXT) && s->text.n == 0) {
        config_complain_at(l, s->at, key,
                           "the token is empty; give it a value or remove the label");
    } else if (!is_kind(s, SCALAR_TEXT)) {
        config_complain_at(l, s->at, key, "a token must be text; put it in quotes");
    } else if (!is_word(s->text, CONFIG_TOKEN_MAX)) {
        config_complain_at(l, s->at, key,
                           "a token must have 1 to %d ASCII letters, digits or signs, no spaces",
                           CONFIG_TOKEN_MAX);
    } else {
        return true;
    }
    return false;
}

void config_token_set(struct config_loader *l, struct span label, const struct config_scalar *token,
                      bool replace)
{
    struct token_list *tokens = &l->cfg->api.tokens;
    if (!check_token(l, label, token)) {
        return;
    }
    size_t i = find_label(tokens, label);
    if (i < tokens->n && !replace) {
        config_complain_at(l, token->at, "api.tokens", "the label '%s' is given twice",
                           tokens->at[i].label);
        return;
    }
    if (i == CONFIG_LIST_MAX) {
        config_complain_at(l, token->at, "api.tokens", "at most %d tokens are allowed",
                           CONFIG_LIST_MAX);
        return;
    }
    if (i == tokens->n) {
        tokens->at = mem_resize(tokens->at, tokens->n + 1, sizeof *tokens->at);
        tokens->at[i] = (struct api_token){.label = mem_strndup((const char *)label.p, label.n)};
        tokens->n++;
    }
    free(tokens->at[i].token);
    tokens->at[i].token = mem_strndup((const char *)token->text.p, token->text.n);
    l->token_at[i] = token->at;
}

static void free_tokens(struct token_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->at[i].label);
        free(list->at[i].token);
    }
    free(list->at);
}

/* ---- release ----------------------------------------------------------------------------- */

void config_value_release(struct config *c, const struct config_key *key)
{
    void *place = place_of(c, key);
    if (key->size == 0) {
        return;
    }
    switch (key->type) {
    case CONFIG_TEXT:
        free(*(char **)place);
        break;
    case CONFIG_ENDPOINTS:
        free(((struct endpoint_list *)place)->at);
        break;
    case CONFIG_CIDRS:
        free(((struct cidr_list *)place)->at);
        break;
    case CONFIG_TEXTS:
    case CONFIG_HOST_PORTS:
        free_texts(place);
        break;
    case CONFIG_TOKENS:
        free_tokens(place);
        break;
    case CONFIG_BOOL:
    case CONFIG_NUMBER:
    case CONFIG_CHOICE:
    case CONFIG_ADDRESS:
        break;
    }
    memset(place, 0, key->size);
}
