/* config.c: defaults, file, environment, and then the rules that hold between keys. */
#include "base/config.h"

#include <stdio.h>
#include <string.h>

#include "base/config_env.h"
#include "base/config_loader.h"
#include "base/config_schema.h"
#include "base/config_value.h"
#include "base/config_yaml.h"
#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

/* The token of config/rookery.yaml, which everybody can read. */
#define EXAMPLE_TOKEN "MyAccessToken"

static size_t index_of(const char *key)
{
    size_t i = 0;
    bool found = config_schema_find(span_str(key), &i);
    ASSERT(found);
    return i;
}

static struct config_where where_set(const struct config_loader *l, const char *key)
{
    return l->key_at[index_of(key)];
}

static bool is_refused(const struct config_loader *l, const char *key)
{
    return l->refused[index_of(key)];
}

static void load_defaults(struct config_loader *l)
{
    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_at(i);
        config_env_set(l, key, span_str(key->initial), (struct config_where){0});
    }
    ASSERT(l->n_complaints == 0); /* a default that its own rule refuses */
}

/* ---- rules between keys ------------------------------------------------------------------ */

static void check_intervals(struct config_loader *l)
{
    static const char key[] = "tracker.min_announce_interval";
    uint32_t interval_s = l->cfg->tracker.announce_interval_s;
    uint32_t *min_s = &l->cfg->tracker.min_announce_interval_s;
    if (*min_s <= interval_s || is_refused(l, key)) {
        return;
    }
    if (config_is_set(where_set(l, key))) {
        config_complain_at(l, where_set(l, key), key,
                           "must not be above tracker.announce_interval, which is %u; not %u",
                           interval_s, *min_s);
    }
    *min_s = interval_s;
}

static void check_tls_pair(struct config_loader *l, const char *certificate_key,
                           const char *certificate, const char *key_key, const char *key)
{
    bool has_certificate = certificate[0] != '\0';
    if (has_certificate == (key[0] != '\0') || is_refused(l, certificate_key) ||
        is_refused(l, key_key)) {
        return;
    }
    const char *given = has_certificate ? certificate_key : key_key;
    config_complain_at(l, where_set(l, given), given, "needs %s too, or leave both empty",
                       has_certificate ? key_key : certificate_key);
}

static const struct endpoint *first_open_address(const struct endpoint_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!addr_is_loopback(&list->at[i].addr)) {
            return &list->at[i];
        }
    }
    return NULL;
}

/* A weak token is for one's own machine only. */
static void check_tokens(struct config_loader *l)
{
    const struct endpoint *open = first_open_address(&l->cfg->api.listen);
    char address[ENDPOINT_TEXT_LEN];
    for (size_t i = 0; open != NULL && i < l->cfg->api.tokens.n; i++) {
        const struct api_token *t = &l->cfg->api.tokens.at[i];
        char key[CONFIG_SHOWN_LEN + 16];
        bool is_example = strcmp(t->token, EXAMPLE_TOKEN) == 0;
        if (!is_example && strlen(t->token) >= CONFIG_OPEN_TOKEN_MIN) {
            continue;
        }
        (void)snprintf(key, sizeof key, "api.tokens.%s", t->label);
        config_complain_at(l, l->token_at[i], key,
                           "%s, and api.listen has %s, which is not loopback; take a token of at "
                           "least %d characters (openssl rand -hex 16), or listen on 127.0.0.1",
                           is_example ? "the example's token is known to everybody"
                                      : "the token is too short to keep guessers out",
                           endpoint_format(address, open), CONFIG_OPEN_TOKEN_MIN);
    }
}

/* ---- public ------------------------------------------------------------------------------ */

int config_load(struct config *out, const char *file, struct span yaml,
                const char *const *environment, config_complain complain, void *ctx)
{
    struct config_loader l = {.cfg = out, .file = file, .complain = complain, .complain_ctx = ctx};
    *out = (struct config){0};
    load_defaults(&l);
    config_yaml_load(&l, yaml);
    config_env_load(&l, environment);

    out->tracker.has_external_ip = !addr_is_unspecified(&out->tracker.external_ip);
    check_intervals(&l);
    check_tls_pair(&l, "tracker.tls.certificate", out->tracker.tls_certificate, "tracker.tls.key",
                   out->tracker.tls_key);
    check_tls_pair(&l, "api.tls.certificate", out->api.tls_certificate, "api.tls.key",
                   out->api.tls_key);
    check_tokens(&l);
    return l.n_complaints == 0 ? 0 : ERR_INVALID;
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < config_schema_count(); i++) {
        config_value_release(c, config_schema_at(i));
    }
}

uint32_t config_peer_timeout_s(const struct config *c)
{
    uint64_t interval_s = c->tracker.announce_interval_s;
    if (c->tracker.peer_timeout_s > 0) {
        return c->tracker.peer_timeout_s;
    }
    return (uint32_t)((interval_s * 22 + 9) / 10);
}

char *config_download_dir(const struct config *c)
{
    static const char below[] = "/downloads";
    const char *dir = c->client.download_dir;
    if (dir[0] != '\0') {
        return mem_strndup(dir, strlen(dir));
    }
    size_t n = strlen(c->data_dir);
    char *out = mem_array(n + sizeof below, 1);
    memcpy(out, c->data_dir, n);
    memcpy(out + n, below, sizeof below);
    return out;
}
