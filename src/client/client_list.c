/* The own tracker's whitelist: the client's torrents are put on it, by an add or after the load.
 * When the database does not take one, the torrent runs all the same and is tried again until it is
 * listed. What the tracker has refused meanwhile is announced at once then.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"

#include "base/banned.h"

enum { LIST_RETRY_MS = 5000 };

struct list_call {
    struct client *c;
    size_t n;
    struct infohash hashes[];
};

static void on_timer(uv_timer_t *timer)
{
    client_list(container_of(timer, struct client, list_timer));
}

void client_list_later(struct record *r)
{
    struct client *c = r->c;
    r->unlisted = true;
    if (!uv_is_active((uv_handle_t *)&c->list_timer)) {
        (void)uv_timer_start(&c->list_timer, on_timer, LIST_RETRY_MS, 0);
    }
}

static bool was_refused(const struct record *r)
{
    struct tracker_view v;
    for (uint32_t i = 0; engine_tracker(r->c->engine, r->id, i, &v); i++) {
        if (v.url == NULL) {
            return v.state == TRACKER_UNREGISTERED;
        }
    }
    return false;
}

static void note(struct record *r, int status)
{
    struct client *c = r->c;
    if (status < 0) {
        client_list_later(r);
        return;
    }
    r->unlisted = false;
    if (r->state == RECORD_LIVE && was_refused(r)) {
        engine_announce(c->engine, r->id, client_now_ms(c));
    }
}

static void on_listed(void *ctx, int status)
{
    struct list_call *call = ctx;
    struct client *c = call->c;
    if (status < 0) {
        log_warn(LOG_CLIENT, "torrents are not on this tracker's whitelist, will try again",
                 KV_INT("torrents", call->n), KV_STR("why", err_text(status)));
    }
    for (size_t i = 0; i < call->n; i++) {
        struct record *r = record_of_hash(c, &call->hashes[i]);
        if (r != NULL) {
            note(r, status);
        }
    }
    free(call);
    c->n_calls--;
    client_drain(c);
}

void client_list(struct client *c)
{
    size_t n = map_count(&c->records);
    if (c->opts.own_list == NULL || n == 0 || c->closed != NULL) {
        return;
    }
    struct list_call *call = mem_zeroed(sizeof *call + n * sizeof call->hashes[0]);
    call->c = c;
    for (struct map_node *node = map_first(&c->records); node != NULL;
         node = map_next(&c->records, node)) {
        const struct record *r = container_of(node, struct record, by_hash);
        if (r->unlisted) {
            call->hashes[call->n++] = r->info_hash;
        }
    }
    c->n_calls++;
    c->opts.own_list(c->opts.own_ctx, call->hashes, call->n, on_listed, call);
}
