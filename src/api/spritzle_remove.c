/* Removing one torrent, or all of them.
 *
 * All          the torrents that are here are noted at once; then at most AT_ONCE of them are being
 *              removed at any time, in the order they were added, so that neither the database nor
 *              the disk gets a storm.
 * Failures     the first one ends it: no further torrent is begun, and it is what is answered. One
 *              that somebody else has removed meanwhile is none.
 * At the end   when the last one that was begun has ended, files and all, the answer goes out.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/query.h"
#include "api/spritzle_impl.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"

#include "base/banned.h"

enum { AT_ONCE = 32 };

/* There, whatever its value; but a plain no is one. */
static bool wants_files_gone(struct span query)
{
    static const char *const no[] = {"0", "false", "no"};
    struct span raw;
    uint8_t text[QUERY_VALUE_MAX];
    if (!query_raw(query, "delete_files", &raw)) {
        return false;
    }
    long len = query_decode(text, raw);
    for (size_t i = 0; len > 0 && i < sizeof no / sizeof no[0]; i++) {
        if ((size_t)len == strlen(no[i]) && strncasecmp((char *)text, no[i], (size_t)len) == 0) {
            return false;
        }
    }
    return true;
}

void spritzle_delete_one(struct call *c)
{
    struct infohash hash;
    if (spritzle_take_hash(c, &hash)) {
        spritzle_started(c,
                         client_remove(c->env->parts.client, &hash, wants_files_gone(c->req->query),
                                       spritzle_answer_done, c->x));
    }
}

/* ---- all of them --------------------------------------------------------------------------- */

struct removal {
    struct http_exchange *x;
    struct client *client;
    bool with_data;
    struct infohash *hashes;
    size_t n, cap;
    size_t next;
    size_t n_under_way;
    int status; /* of the first that failed */
};

static void note_all(struct removal *r)
{
    const struct engine *e = client_engine(r->client);
    torrent_id id = 0;
    while ((id = engine_next_torrent(e, id)) != 0) {
        struct infohash hash;
        struct client_facts facts;
        if (!engine_info_hash(e, id, &hash) || client_facts(r->client, &hash, &facts) < 0) {
            continue; /* it is being removed */
        }
        if (r->n == r->cap) {
            r->cap = r->cap == 0 ? AT_ONCE : r->cap * 2;
            r->hashes = mem_resize(r->hashes, r->cap, sizeof *r->hashes);
        }
        r->hashes[r->n++] = hash;
    }
}

static void on_one_removed(void *ctx, int status);

static void removal_note(struct removal *r, int status)
{
    if (status < 0 && status != ERR_NOT_FOUND && r->status == 0) {
        r->status = status;
    }
}

static void removal_go(struct removal *r)
{
    while (r->next < r->n && r->n_under_way < AT_ONCE && r->status == 0) {
        const struct infohash *hash = &r->hashes[r->next++];
        int status = client_remove(r->client, hash, r->with_data, on_one_removed, r);
        removal_note(r, status);
        r->n_under_way += status < 0 ? 0 : 1;
    }
    if (r->n_under_way > 0) {
        return;
    }
    if (r->status < 0) {
        spritzle_answer_failure(r->x, r->status);
    } else {
        http_reply(r->x, 200, NULL, span_of(NULL, 0));
    }
    free(r->hashes);
    free(r);
}

static void on_one_removed(void *ctx, int status)
{
    struct removal *r = ctx;
    r->n_under_way--;
    removal_note(r, status);
    removal_go(r);
}

void spritzle_delete_all(struct call *c)
{
    if (!spritzle_has_client(c)) {
        return;
    }
    if (client_is_loading(c->env->parts.client)) {
        spritzle_answer_failure(c->x, ERR_UNAVAILABLE);
        return;
    }
    struct removal *r = mem_new(struct removal);
    r->x = c->x;
    r->client = c->env->parts.client;
    r->with_data = wants_files_gone(c->req->query);
    note_all(r);
    log_warn(LOG_API, "all torrents are removed", KV_INT("torrents", r->n),
             KV_STR("files", r->with_data ? "deleted" : "kept"));
    removal_go(r);
}
