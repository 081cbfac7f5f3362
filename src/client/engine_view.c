/* What the engine shows. Nothing here changes anything, but for the times of a torrent, which are
 * brought up to now before they are read.
 *
 * Cost  a status is O(its peers + its trackers): for people, not for the paths that bytes take.
 */
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 1.0 : (double)part / (double)whole;
}

/* ---- status ---- */

static double progress_of(const struct torrent *t)
{
    if (t->layout == NULL) {
        uint32_t n_have = 0;
        uint32_t n = 0;
        if (t->metadata != NULL) {
            metadata_progress(t->metadata, &n_have, &n);
        }
        return n == 0 ? 0.0 : ratio(n_have, n);
    }
    if (t->state == TORRENT_CHECKING) {
        return ratio(t->check_at, t->layout->geometry.n_pieces);
    }
    return ratio(torrent_wanted_done_len(t), torrent_wanted_len(t));
}

static void show_content(const struct torrent *t, struct torrent_status *out)
{
    out->progress = progress_of(t);
    out->copies = t->picker == NULL ? -1.0 : picker_copies(t->picker);
    if (t->layout == NULL) {
        return;
    }
    const struct layout *l = t->layout;
    out->has_metadata = true;
    out->private = t->meta.private;
    out->total_len = l->total_len;
    out->done_len = pieces_done_len(t->pieces);
    out->wanted_len = torrent_wanted_len(t);
    out->wanted_done_len = torrent_wanted_done_len(t);
    out->n_pieces = l->geometry.n_pieces;
    out->piece_len = l->geometry.piece_len;
    out->n_pieces_have = pieces_count(t->pieces);
    out->n_files = l->n_files;
}

static void show_peers(const struct torrent *t, struct torrent_status *out)
{
    out->n_peers = t->n_connected;
    out->n_seeds = t->n_seeds;
    out->n_half_open = t->n_half_open;
    out->n_unchoked = t->n_unchoked;
    out->n_uploads = t->n_unchoked;
    out->n_candidates = (uint32_t)candidates_count(t->candidates);
    out->n_candidate_seeds = (uint32_t)candidates_count_seeds(t->candidates);
    out->n_known = out->n_candidates + t->n_connected;
    out->n_known_seeds = out->n_candidate_seeds + t->n_seeds;
    LIST_FOREACH_SAFE (node, &t->conns) {
        const struct conn *c = container_of(node, struct conn, in_torrent);
        out->n_interested += c->ready && c->peer.peer_interested ? 1 : 0;
    }
}

static void most(int64_t *at, uint32_t n)
{
    *at = (int64_t)n > *at ? (int64_t)n : *at;
}

static int64_t since_s(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms == 0 ? -1 : now_ms <= at_ms ? 0 : (int64_t)((now_ms - at_ms) / 1000);
}

static void show_trackers(const struct torrent *t, struct torrent_status *out)
{
    const uint64_t now_ms = t->e->now_ms;
    uint64_t next_ms = UINT64_MAX;
    uint64_t worked_ms = 0;
    uint64_t counts_ms = 0;
    const char *failure = "";
    out->n_complete = out->n_incomplete = out->n_downloaded = -1;
    out->tracker = "";
    for (uint32_t i = 0; i < announcer_count(t->announcer); i++) {
        struct tracker_view v;
        announcer_view(t->announcer, i, &v);
        next_ms = v.next_ms < next_ms ? v.next_ms : next_ms;
        if (v.has_counts) {
            counts_ms = v.counts_ms > counts_ms ? v.counts_ms : counts_ms;
            most(&out->n_complete, v.counts.complete);
            most(&out->n_incomplete, v.counts.incomplete);
            most(&out->n_downloaded, v.counts.downloaded);
        }
        if (v.state == TRACKER_WORKING && v.url != NULL && v.last_ms >= worked_ms) {
            worked_ms = v.last_ms;
            out->tracker = v.url;
        }
        if (v.state == TRACKER_FAILED || v.state == TRACKER_UNREGISTERED) {
            failure = failure[0] == '\0' ? v.text : failure;
        }
    }
    out->since_counts_s = since_s(counts_ms, now_ms);
    out->next_announce_s = -1;
    if (next_ms != UINT64_MAX) {
        out->next_announce_s = next_ms <= now_ms ? 0 : (int64_t)((next_ms - now_ms) / 1000);
    }
    out->error = announcer_has_failed(t->announcer) ? failure : "";
}

static void show_rates(const struct torrent *t, struct torrent_status *out, uint64_t now_ms)
{
    out->down_bps = rate_meter_bps(&t->down_rate, now_ms);
    out->up_bps = rate_meter_bps(&t->up_rate, now_ms);
    out->down_all_bps = rate_meter_bps(&t->down_all_rate, now_ms);
    out->up_all_bps = rate_meter_bps(&t->up_all_rate, now_ms);
    out->session_down = t->session_totals.down_payload;
    out->session_up = t->session_totals.up_payload;
    out->session_down_all = t->session_totals.down;
    out->session_up_all = t->session_totals.up;
    out->total_down = t->kept.total_down;
    out->total_up = t->kept.total_up;
    out->wasted = t->kept.wasted;
    out->session_wasted = t->kept.wasted - t->wasted_before;
    out->failed_len = t->failed_len;
    out->redundant_len = t->redundant_len;
    out->max_down_bps = t->down.bucket.rate_bps;
    out->max_up_bps = t->up.bucket.rate_bps;
}

static void show_times(const struct torrent *t, struct torrent_status *out, uint64_t now_ms)
{
    out->added_unix_s = t->added_unix_s;
    out->completed_unix_s = t->kept.completed_unix_s;
    out->last_seen_complete_unix_s = t->kept.last_seen_complete_unix_s;
    out->since_up_s = since_s(t->last_up_ms, now_ms);
    out->since_down_s = since_s(t->last_down_ms, now_ms);
    out->active_s = t->kept.active_s;
    out->finished_s = t->kept.finished_s;
    out->seeding_s = t->kept.seeding_s;
}

int engine_status(const struct engine *e, torrent_id id, struct torrent_status *out,
                  uint64_t now_ms)
{
    struct torrent *t = engine_torrent(e, id);
    if (t == NULL) {
        return ERR_NOT_FOUND;
    }
    engine_begin(t->e, now_ms);
    torrent_count_time(t);
    *out = (struct torrent_status){
        .id = t->id,
        .info_hash = t->info_hash,
        .session = t->session->id,
        .state = t->state,
        .fault = t->fault,
        .flags = t->flags,
        .name = t->name == NULL ? "" : t->name,
        .has_incoming = t->has_incoming,
        .max_peers = t->max_peers,
        .max_uploads = t->max_uploads,
        .unsaved = !resume_is_clean(t),
    };
    show_content(t, out);
    show_peers(t, out);
    show_trackers(t, out);
    show_rates(t, out, now_ms);
    show_times(t, out, now_ms);
    if (t->fault_text != NULL) {
        out->error = t->fault_text;
    }
    return 0;
}

bool engine_info_hash(const struct engine *e, torrent_id id, struct infohash *out)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t != NULL) {
        *out = t->info_hash;
    }
    return t != NULL;
}

static bool is_finished(const struct torrent *t)
{
    return t->state == TORRENT_FINISHED || t->state == TORRENT_SEEDING;
}

int64_t engine_queue_position(const struct engine *e, torrent_id id)
{
    const struct torrent *t = engine_torrent(e, id);
    int64_t n = 0;
    if (t == NULL || is_finished(t)) {
        return -1;
    }
    for (struct list *node = e->torrents.next; node != &t->all_node; node = node->next) {
        n += is_finished(container_of(node, struct torrent, all_node)) ? 0 : 1;
    }
    return n;
}

/* ---- content ---- */

const struct layout *engine_layout(const struct engine *e, torrent_id id)
{
    const struct torrent *t = engine_torrent(e, id);
    return t == NULL ? NULL : t->layout;
}

struct span engine_info(const struct engine *e, torrent_id id)
{
    const struct torrent *t = engine_torrent(e, id);
    return t == NULL || t->layout == NULL ? span_of(NULL, 0) : span_of(t->info, t->info_len);
}

bool engine_bitfield(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t == NULL || t->layout == NULL ||
        out_len != ((size_t)t->layout->geometry.n_pieces + 7) / 8) {
        return false;
    }
    pieces_bitfield(t->pieces, out);
    return true;
}

bool engine_verified(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t == NULL || t->layout == NULL || (t->flags & TORRENT_SEED_MODE) == 0 ||
        out_len != ((size_t)t->layout->geometry.n_pieces + 7) / 8) {
        return false;
    }
    if (t->verified == NULL) {
        memset(out, 0, out_len);
    } else {
        memcpy(out, t->verified, out_len);
    }
    return true;
}

uint64_t engine_file_done(const struct engine *e, torrent_id id, uint32_t file)
{
    const struct torrent *t = engine_torrent(e, id);
    bool known = t != NULL && t->layout != NULL && file < t->layout->n_files;
    return known ? torrent_file_done(t, file) : 0;
}

uint8_t engine_file_priority(const struct engine *e, torrent_id id, uint32_t file)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t == NULL || t->layout == NULL || file >= t->layout->n_files) {
        return PICKER_SKIP;
    }
    return t->priorities == NULL ? PICKER_NORMAL : t->priorities[file];
}

struct span engine_priorities(const struct engine *e, torrent_id id)
{
    const struct torrent *t = engine_torrent(e, id);
    return t == NULL ? span_of(NULL, 0) : span_of(t->priorities, t->n_priorities);
}

/* ---- trackers and peers ---- */

uint32_t engine_n_trackers(const struct engine *e, torrent_id id)
{
    const struct torrent *t = engine_torrent(e, id);
    return t == NULL ? 0 : announcer_count(t->announcer);
}

bool engine_tracker(const struct engine *e, torrent_id id, uint32_t i, struct tracker_view *out)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t == NULL || i >= announcer_count(t->announcer)) {
        return false;
    }
    announcer_view(t->announcer, i, out);
    return true;
}

static double progress_of_peer(const struct conn *c)
{
    const struct layout *l = c->t->layout;
    if (c->peer.seed) {
        return 1.0;
    }
    return l == NULL || l->geometry.n_pieces == 0 ? 0.0
                                                  : ratio(c->peer.n_have, l->geometry.n_pieces);
}

static void show_peer(const struct conn *c, struct peer_view *out, uint64_t now_ms)
{
    const struct peer *p = &c->peer;
    const struct layout *l = c->t->layout;
    *out = (struct peer_view){
        .conn = c->id,
        .remote = p->remote,
        .peer_id = p->peer_id,
        .client = p->version,
        .incoming = p->incoming,
        .seed = p->seed,
        .choking = p->choking,
        .interested = p->interested,
        .peer_choking = p->peer_choking,
        .peer_interested = p->peer_interested,
        .snubbing = c->requests.snubbing,
        .optimistic = c->optimistic,
        .upload_only = p->peer_upload_only,
        .progress = progress_of_peer(c),
        .down_bps = rate_meter_bps(&c->down_rate, now_ms),
        .up_bps = rate_meter_bps(&c->up_rate, now_ms),
        .totals = p->totals,
        .n_requests = (uint32_t)c->requests.n,
        .n_uploads = (uint32_t)peer_n_uploads(p),
        .source = c->source,
        .connected_s = now_ms <= p->started_ms ? 0 : (now_ms - p->started_ms) / 1000,
    };
    if (l != NULL && !p->seed && p->bitfield != NULL) {
        out->bitfield = span_of(p->bitfield, ((size_t)l->geometry.n_pieces + 7) / 8);
    }
}

bool engine_peer(const struct engine *e, torrent_id id, size_t i, struct peer_view *out,
                 uint64_t now_ms)
{
    const struct torrent *t = engine_torrent(e, id);
    if (t == NULL) {
        return false;
    }
    LIST_FOREACH_SAFE (node, &t->conns) {
        const struct conn *c = container_of(node, struct conn, in_torrent);
        if (c->ready && i-- == 0) {
            show_peer(c, out, now_ms);
            return true;
        }
    }
    return false;
}
