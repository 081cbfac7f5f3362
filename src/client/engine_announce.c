/* From a torrent's announcer to the outputs, by way of the queue, and back.
 *
 *   announcer due --announce_queue--> ANNOUNCE --> engine_on_announced --> announcer, torrent
 *            \----- own tracker: at once ----^
 *
 * One      a torrent has one announce to a tracker with a URL in the queue or under way, and one to
 *          the server's own tracker beside it, which is a function call and waits for nobody.
 * Ids      an announce's id has its torrent's above ANNOUNCE_SEQ_BITS and a number below: an answer
 *          is found without a table, and a late one fits nothing.
 * Stop     a torrent that ends begins no announce after end_by_ms, and waits for none.
 */
#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum {
    ANNOUNCE_SEQ_BITS = 20,
    ANNOUNCE_TIMEOUT_MS = 30000,
    STOPPED_TIMEOUT_MS = END_MS,
    PORT_NONE = 1, /* nobody listens there: peers that try it give up soon */
};

uint16_t session_port(const struct session *s)
{
    return s->n_listen == 0 ? PORT_NONE : s->listen[0].port;
}

static bool is_over(const struct torrent *t)
{
    return t->end_by_ms != 0 && t->e->now_ms >= t->end_by_ms;
}

static bool is_queued(const struct torrent *t)
{
    return t->announce_entry.host != NULL && !t->announce_entry.running;
}

static struct announce_req request(const struct torrent *t, const struct announce_due *due)
{
    return (struct announce_req){
        .info_hash = t->info_hash,
        .peer_id = t->session->peer_id,
        .uploaded = t->session_totals.up_payload,
        .downloaded = t->session_totals.down_payload,
        .left = torrent_left_len(t),
        .event = due->event,
        .numwant = due->numwant,
        .port = session_port(t->session),
        .compact = true,
        .no_peer_id = true,
    };
}

static void begin(struct torrent *t, struct announce_run *run, const struct announce_due *due)
{
    struct engine *e = t->e;
    uint64_t seq = ++e->last_id & ((UINT64_C(1) << ANNOUNCE_SEQ_BITS) - 1);
    run->id = t->id << ANNOUNCE_SEQ_BITS | seq;
    run->due = *due;
    announcer_on_begun(t->announcer, due, e->now_ms);
    struct engine_out out = {
        .kind = ENGINE_OUT_ANNOUNCE,
        .torrent = t->id,
        .session = t->session->id,
        .announce =
            {
                .id = run->id,
                .session = t->session->id,
                .url = due->url,
                .req = request(t, due),
                .key = t->session->key,
                .timeout_ms =
                    due->event == EVENT_STOPPED ? STOPPED_TIMEOUT_MS : ANNOUNCE_TIMEOUT_MS,
            },
    };
    engine_put(e, &out);
}

static bool is_urgent(const struct torrent *t, const struct announce_due *due)
{
    return due->event == EVENT_STOPPED || due->event == EVENT_COMPLETED ||
           (due->event == EVENT_STARTED && !t->one_of_many);
}

static void check(struct torrent *t, bool forced)
{
    struct engine *e = t->e;
    struct announce_due due;
    uint32_t at = 0;
    if (is_over(t)) {
        return;
    }
    while (announcer_next(t->announcer, e->now_ms, &at, &due)) {
        if (due.url == NULL) {
            if (t->announcing_own.id == 0) {
                e->n_announces++;
                begin(t, &t->announcing_own, &due);
            }
        } else if (t->announcing.id == 0) {
            e->n_announces += t->announce_entry.host == NULL ? 1 : 0;
            announce_queue_add(e->announces, &t->announce_entry, due.url,
                               forced || is_urgent(t, &due));
            e->announces_changed = true;
            break;
        }
    }
    scrape_check(t);
    torrent_rearm(t);
}

void engine_announce_check(struct torrent *t)
{
    check(t, false);
}

void engine_announce(struct engine *e, torrent_id id, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL) {
        announcer_want_peers(t->announcer, e->now_ms, true);
        check(t, true);
    }
    engine_end(e);
}

uint64_t announce_deadline_ms(const struct torrent *t)
{
    uint64_t at_ms = announcer_deadline_ms(t->announcer);
    bool waits = is_queued(t) || t->announcing.id != 0;
    return (at_ms <= t->e->now_ms && waits) || is_over(t) ? UINT64_MAX : at_ms;
}

static bool next_with_url(struct torrent *t, struct announce_due *due)
{
    uint32_t at = 0;
    while (announcer_next(t->announcer, t->e->now_ms, &at, due)) {
        if (due->url != NULL) {
            return true;
        }
    }
    return false;
}

void announce_run(struct engine *e)
{
    struct announce_entry *entry;
    e->announces_changed = false;
    while ((entry = announce_queue_next(e->announces, e->now_ms)) != NULL) {
        struct torrent *t = container_of(entry, struct torrent, announce_entry);
        struct announce_due due;
        if (next_with_url(t, &due)) {
            begin(t, &t->announcing, &due);
        } else {
            /* It has changed its mind while it waited. */
            announce_queue_remove(e->announces, entry);
            e->n_announces--;
        }
        torrent_rearm(t);
    }
}

void announce_forget(struct torrent *t)
{
    struct engine *e = t->e;
    if (t->announce_entry.host != NULL) {
        announce_queue_remove(e->announces, &t->announce_entry);
        e->n_announces--;
        e->announces_changed = true;
    }
    if (t->announcing_own.id != 0) {
        e->n_announces--;
    }
    t->announcing.id = 0;
    t->announcing_own.id = 0;
}

/* ---- answers ---- */

static void learn_external(struct session *s, const struct addr *addr)
{
    if (addr_is_unspecified(addr)) {
        return;
    }
    if (addr->v6) {
        s->external6 = *addr;
        s->has_external6 = true;
    } else {
        s->external4 = *addr;
        s->has_external4 = true;
    }
}

static void take_answer(struct torrent *t, const struct announce_due *due,
                        const struct announce_result *result)
{
    struct engine *e = t->e;
    announcer_on_outcome(t->announcer, due->tracker, &result->outcome, e->now_ms);
    if (due->event == EVENT_STOPPED) {
        torrent_on_stop_told(t);
    }
    if (!result->outcome.answered) {
        e->totals.announces_failed++;
    } else {
        e->totals.announces_ok++;
        if (result->has_external_ip) {
            learn_external(t->session, &result->external_ip);
        }
        if (!t->announced && result->n_peers > 0) {
            t->announced = true;
            e->connect_boost = CONNECT_BOOST;
        }
    }
    torrent_on_announced(t, result);
}

static void on_answer(struct torrent *t, struct announce_run *run,
                      const struct announce_result *result)
{
    struct engine *e = t->e;
    const struct announce_due due = run->due;
    run->id = 0;
    e->n_announces--;
    if (run == &t->announcing) {
        announce_queue_on_done(e->announces, &t->announce_entry, result->outcome.answered,
                               e->now_ms);
        e->announces_changed = true;
    }
    take_answer(t, &due, result);
    check(t, false);
    engine_check_end(t);
}

void engine_on_announced(struct engine *e, uint64_t announce, const struct announce_result *result,
                         uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, announce >> ANNOUNCE_SEQ_BITS);
    if (t != NULL && announce == t->announcing.id) {
        on_answer(t, &t->announcing, result);
    } else if (t != NULL && announce == t->announcing_own.id) {
        on_answer(t, &t->announcing_own, result);
    }
    engine_end(e);
}

const struct announce_queue *engine_announce_queue(const struct engine *e)
{
    return e->announces;
}

/* ---- who we are ---- */

bool torrent_own_endpoint(const struct torrent *t, bool v6, struct endpoint *out)
{
    const struct session *s = t->session;
    for (size_t i = 0; i < s->n_listen; i++) {
        const struct endpoint *at = &s->listen[i];
        if (at->addr.v6 != v6) {
            continue;
        }
        *out = *at;
        if (v6 ? s->has_external6 : s->has_external4) {
            out->addr = v6 ? s->external6 : s->external4;
            return true;
        }
        if (!addr_is_unspecified(&at->addr)) {
            return true;
        }
    }
    return false;
}

void torrent_self(const struct torrent *t, struct peer_self *out)
{
    const struct engine *e = t->e;
    const struct session *s = t->session;
    bool private = t->info != NULL && t->meta.private;
    *out = (struct peer_self){
        .info_hash = t->info_hash,
        .peer_id = s->peer_id,
        .listen_port = s->n_listen == 0 ? 0 : s->listen[0].port,
        .version = e->cfg.version,
        .metadata_size = t->info == NULL ? 0 : (uint32_t)t->info_len,
        .private = private,
        .pex = e->cfg.pex && !private && (t->flags & TORRENT_NO_PEX) == 0,
        .upload_only = t->state == TORRENT_SEEDING || t->state == TORRENT_FINISHED ||
                       (t->flags & TORRENT_UPLOAD_ONLY) != 0,
    };
}
