/* What the engine wants done, done. Everything here is told to the engine through its inputs, never
 * from inside one of them: client_drain runs until there is nothing left to do, then arms the timer.
 *
 * Nesting    an output may be answered at once (a connection that fails, a read that is in the page
 *            cache): that is an input inside the drain, and its outputs are the drain's next ones.
 *            client_drain called from inside does nothing.
 */
#include <string.h>

#include "base/mem.h"
#include "client/client_impl.h"

#include "base/banned.h"

static void announce(struct client *c, const struct engine_out *out)
{
    const struct session_net *s = session_find(c, out->announce.session);
    trackers_announce(c->trackers, &out->announce, &s->source4, &s->source6);
}

static void scrape(struct client *c, const struct engine_out *out)
{
    const struct session_net *s = session_find(c, out->scrape.session);
    trackers_scrape(c->trackers, &out->scrape, &s->source4, &s->source6);
}

static void act(struct client *c, const struct engine_out *out)
{
    if (c->stopped && out->kind != ENGINE_OUT_DISK && out->kind != ENGINE_OUT_REMOVED) {
        return; /* the sockets are closed, and nobody waits for the rest */
    }
    switch (out->kind) {
    case ENGINE_OUT_CONNECT:
        link_connect(c, out);
        break;
    case ENGINE_OUT_SEND:
        link_send(c, out->conn);
        break;
    case ENGINE_OUT_READ:
        link_read(c, out->conn);
        break;
    case ENGINE_OUT_CLOSE:
        link_close(c, out);
        break;
    case ENGINE_OUT_DISK:
        c->n_jobs++;
        disk_start(c->disk, out->job);
        break;
    case ENGINE_OUT_ANNOUNCE:
        announce(c, out);
        break;
    case ENGINE_OUT_SCRAPE:
        scrape(c, out);
        break;
    case ENGINE_OUT_SAVE:
        client_want_save(c, out->torrent, out->version);
        break;
    case ENGINE_OUT_METADATA:
        record_on_metadata(record_of_id(c, out->torrent));
        break;
    case ENGINE_OUT_REMOVED:
        record_on_removed(record_of_id(c, out->torrent), out);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct client *c = container_of(timer, struct client, timer);
    c->armed_ms = UINT64_MAX;
    engine_on_deadline(c->engine, client_now_ms(c));
    client_drain(c);
}

static void arm(struct client *c)
{
    uint64_t at_ms = engine_deadline_ms(c->engine);
    uint64_t now_ms = client_now_ms(c);
    if (at_ms == c->armed_ms || c->stopped) {
        return;
    }
    c->armed_ms = at_ms;
    if (at_ms == UINT64_MAX) {
        (void)uv_timer_stop(&c->timer);
    } else {
        (void)uv_timer_start(&c->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
    }
}

void client_drain(struct client *c)
{
    struct engine_out out;
    if (c->draining) {
        return;
    }
    c->draining = true;
    do {
        while (engine_next_out(c->engine, &out)) {
            act(c, &out);
        }
    } while (disk_drain(c->disk));
    c->draining = false;
    client_save_next(c);
    arm(c);
    client_check_closed(c);
}

void client_on_disk_done(void *ctx, struct disk_job *job)
{
    struct client *c = ctx;
    c->n_jobs--;
    engine_on_disk(c->engine, job, client_now_ms(c));
    client_drain(c);
}

void client_on_announced(void *ctx, uint64_t announce_id, const struct announce_result *result)
{
    struct client *c = ctx;
    engine_on_announced(c->engine, announce_id, result, client_now_ms(c));
    client_drain(c);
}

void client_on_scraped(void *ctx, uint64_t scrape_id, const struct scrape_result *result)
{
    struct client *c = ctx;
    engine_on_scraped(c->engine, scrape_id, result, client_now_ms(c));
    client_drain(c);
}
