/* Happy path   the form, or a body that is JSON, is read -> its args -> torrent_ops_add -> 201 after the
 *              commit, with a Location made of what the request was sent to.
 * Failures     each add_fault has its status; a torrent that is here already is none, unless
 *              duplicate_is_error says so.
 * At the end   the pending add was freed by the one who answered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/form.h"
#include "api/hash_param.h"
#include "api/location.h"
#include "api/spritzle_args.h"
#include "api/spritzle_impl.h"
#include "api/torrent_ops.h"
#include "base/base64.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    ANSWER_MAX = 512,
    LOCATION_MAX = 1024,
    TEXT_MAX = 65536, /* bytes of a url or info_hash: a magnet link may be long */
    MAGNET_MAX = 64,
};

#define ONE_OF "One of and only one 'file', 'url' or 'info_hash' allowed."

/* What is to be added, and how. */
struct given {
    struct buf url, info_hash, args;
    struct buf file; /* that came encoded */
    struct span metainfo;
    bool has_url, has_hash, has_args;
    unsigned n_files;
    struct spritzle_args options;
};

static void given_init(struct given *g, size_t max_body)
{
    *g = (struct given){.n_files = 0};
    buf_init(&g->url, TEXT_MAX);
    buf_init(&g->info_hash, TEXT_MAX);
    buf_init(&g->args, max_body);
    buf_init(&g->file, max_body);
    spritzle_args_init(&g->options);
}

static void given_release(struct given *g)
{
    buf_release(&g->url);
    buf_release(&g->info_hash);
    buf_release(&g->args);
    buf_release(&g->file);
    spritzle_args_release(&g->options);
}

/* ---- reading: false when the call was answered ----------------------------------------------- */

static bool take_file(struct call *c, struct given *g, const struct form_field *field)
{
    g->n_files++;
    g->metainfo = field->value;
    if (!field->encoded) {
        return true;
    }
    bool taken = call_take_text(c, &g->file, field);
    g->metainfo = buf_span(&g->file);
    return taken;
}

static bool take_field(struct call *c, struct given *g, const struct form_field *field)
{
    if (span_eq(field->name, SPAN("file"))) {
        return take_file(c, g, field);
    }
    if (span_eq(field->name, SPAN("url"))) {
        g->has_url = true;
        return call_take_text(c, &g->url, field);
    }
    if (span_eq(field->name, SPAN("info_hash"))) {
        g->has_hash = true;
        return call_take_text(c, &g->info_hash, field);
    }
    if (span_eq(field->name, SPAN("args"))) {
        g->has_args = true;
        return call_take_text(c, &g->args, field);
    }
    return true;
}

static bool read_form(struct call *c, struct given *g, struct span type)
{
    struct form walk;
    struct form_field field;
    const char *reason = "";
    char why[SPRITZLE_WHY_MAX];
    int status = form_begin(&walk, type, c->req->body, &reason);
    while (status == 0 && (status = form_next(&walk, &field, &reason)) == 1) {
        if (!take_field(c, g, &field)) {
            return false;
        }
        status = 0;
    }
    if (status < 0) {
        call_fail(c, 400, "%s", reason);
        return false;
    }
    if (g->has_args && spritzle_args_parse(&g->options, buf_span(&g->args), false, why) < 0) {
        call_fail(c, 400, "%s", why);
        return false;
    }
    return true;
}

static bool read_json(struct call *c, struct given *g)
{
    struct spritzle_args *a = &g->options;
    char why[SPRITZLE_WHY_MAX];
    if (spritzle_args_parse(a, c->req->body, true, why) < 0) {
        call_fail(c, 400, "%s", why);
        return false;
    }
    g->has_url = a->url.p != NULL;
    g->has_hash = a->info_hash.p != NULL;
    buf_add(&g->url, a->url);
    buf_add(&g->info_hash, a->info_hash);
    if (g->url.bad || g->info_hash.bad) {
        call_fail(c, 400, "url or info_hash is too long");
        return false;
    }
    if (a->file.p != NULL) {
        g->n_files = 1;
        if (!base64_add_decoded(&g->file, a->file)) {
            call_fail(c, 400, "file is not base64");
            return false;
        }
        g->metainfo = buf_span(&g->file);
    }
    return true;
}

static bool is_json(struct span type)
{
    static const char json[] = "application/json";
    type = span_trim(span_cut(type, ';', NULL));
    return type.n == sizeof json - 1 && strncasecmp((const char *)type.p, json, type.n) == 0;
}

static bool read_body(struct call *c, struct given *g)
{
    struct span type = {NULL, 0};
    (void)http_header(c->req, "content-type", &type);
    if (!(is_json(type) ? read_json(c, g) : read_form(c, g, type))) {
        return false;
    }
    unsigned n = (g->n_files > 0 ? 1u : 0u) + (g->has_url ? 1u : 0u) + (g->has_hash ? 1u : 0u);
    if (n != 1) {
        call_fail(c, 400, ONE_OF);
        return false;
    }
    if (g->n_files > 1) {
        call_fail(c, 400, "more than one file");
        return false;
    }
    return true;
}

/* ---- answering ----------------------------------------------------------------------------- */

struct add {
    struct http_exchange *x;
    struct buf location; /* without the info-hash */
    bool duplicate_is_error;
};

static void add_free(struct add *a)
{
    buf_release(&a->location);
    free(a);
}

static int status_of(enum add_fault fault)
{
    switch (fault) {
    case ADD_OK:
        return 201;
    case ADD_BAD_TORRENT:
    case ADD_BAD_URL:
    case ADD_NOT_THERE:
    case ADD_BAD_PATH:
        return 400;
    case ADD_URL_DENIED:
    case ADD_PATH_DENIED:
        return 403;
    case ADD_UNREACHABLE:
        return 502;
    case ADD_AWAY:
        return 503;
    case ADD_NO_SESSION: /* the one that is always there */
    case ADD_BROKEN:
        break;
    }
    return 500;
}

static void answer_fault(struct http_exchange *x, const struct torrent_result *r)
{
    static const char prefix[] = "not a torrent: ";
    char text[ANSWER_MAX];
    bool is_torrent = strncmp(r->why, prefix, sizeof prefix - 1) == 0;
    (void)snprintf(text, sizeof text, "%s%s", is_torrent ? "Not a valid torrent file: " : "",
                   r->why + (is_torrent ? sizeof prefix - 1 : 0));
    spritzle_fail(x, status_of(r->fault), span_str(text));
}

static void answer(struct add *a, const struct torrent_result *r)
{
    struct buf out;
    char hash[HEX20_LEN + 1];
    if (r->fault != ADD_OK) {
        answer_fault(a->x, r);
        return;
    }
    if (r->existed && a->duplicate_is_error) {
        spritzle_fail(a->x, 409, SPAN("the torrent is here already"));
        return;
    }
    hex_encode(hash, span_of(r->hash.b, sizeof r->hash.b));
    buf_add_str(&a->location, hash);
    http_add_header(a->x, "location", buf_span(&a->location));
    buf_init(&out, ANSWER_MAX);
    buf_addf(&out, "{\"info_hash\": \"%s\"}", hash);
    http_reply(a->x, 201, SPRITZLE_JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

static void on_added(void *ctx, const struct torrent_result *result)
{
    struct add *a = ctx;
    answer(a, result);
    add_free(a);
}

static struct add *add_new(const struct call *c, const struct given *g)
{
    const struct config *cfg = c->env->parts.cfg;
    struct add *a = mem_new(struct add);
    bool tls = cfg->api.tls_certificate != NULL && cfg->api.tls_certificate[0] != '\0';
    a->x = c->x;
    a->duplicate_is_error = g->options.duplicate_is_error;
    buf_init(&a->location, LOCATION_MAX);
    location_add_base(&a->location, tls, c->req->host, &cfg->api.hosts,
                      http_addresses(c->env->http));
    buf_add_str(&a->location, "/torrent/");
    return a;
}

static void begin(struct call *c, const struct given *g, struct span url)
{
    const struct torrent_request request = {
        .url = url,
        .metainfo = g->metainfo,
        .options = g->options.add,
    };
    struct torrent_result refused;
    struct add *a = add_new(c, g);
    if (torrent_ops_add(&c->env->parts, &request, on_added, a, &refused) < 0) {
        answer(a, &refused);
        add_free(a);
    }
}

static void begin_by_hash(struct call *c, const struct given *g)
{
    struct infohash hash;
    char hex[HEX20_LEN + 1];
    char magnet[MAGNET_MAX];
    if (!hash_param_parse(&hash, buf_span(&g->info_hash))) {
        call_fail(c, 400, "info_hash is not an info-hash");
        return;
    }
    hex_encode(hex, span_of(hash.b, sizeof hash.b));
    (void)snprintf(magnet, sizeof magnet, "magnet:?xt=urn:btih:%s", hex);
    begin(c, g, span_str(magnet));
}

void spritzle_post_torrent(struct call *c)
{
    struct given g;
    if (!spritzle_has_client(c)) {
        return;
    }
    given_init(&g, (size_t)c->env->parts.cfg->api.max_body);
    if (read_body(c, &g)) {
        if (g.has_hash) {
            begin_by_hash(c, &g);
        } else if (g.has_url && g.url.len == 0) {
            call_fail(c, 400, "url is empty");
        } else {
            begin(c, &g, buf_span(&g.url));
        }
    }
    given_release(&g);
}
