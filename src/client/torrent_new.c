/* A torrent from what somebody added, or from what was stored of it.
 *
 * 1. All of it is looked at before anything is begun: info dictionary, priorities and resume data
 *    fit each other, or there is no torrent.
 * 2. The info dictionary is copied; what it says is borrowed from that copy ever after.
 * 3. A stored bitfield is taken only when it was stored as one to be believed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

int torrent_take_info(struct torrent *t, uint8_t *info, size_t len, const char **why)
{
    struct infohash hash;
    t->info = info;
    t->info_len = len;
    digest_sha1(hash.b, span_of(info, len));
    ssize_t n = ERR_MALFORMED;
    if (!infohash_eq(&hash, &t->info_hash)) {
        *why = "the info dictionary does not have the info-hash";
    } else {
        n = metainfo_info_decode(&t->meta, span_of(info, len), &metainfo_limits_default, why);
    }
    if (n < 0) {
        free(t->info);
        t->info = NULL;
        t->info_len = 0;
        return ERR_MALFORMED;
    }
    t->layout = layout_new(&t->meta, &t->info_hash);
    t->pieces = pieces_new(&t->layout->geometry, t->meta.pieces);
    free(t->name);
    t->name = mem_strndup(t->layout->name, strlen(t->layout->name));
    torrent_fit_priorities(t);
    return 0;
}

static int take_priorities(struct torrent *t, struct span priorities, const char **why)
{
    if (priorities.n == 0) {
        return 0;
    }
    for (size_t i = 0; i < priorities.n; i++) {
        if (priorities.p[i] > PICKER_FIRST) {
            *why = "priorities must be 0 to 7";
            return ERR_MALFORMED;
        }
    }
    t->priorities = mem_array(priorities.n, 1);
    t->n_priorities = priorities.n;
    memcpy(t->priorities, priorities.p, priorities.n);
    return 0;
}

static int take_resume(struct torrent *t, const struct torrent_resume *r, const char **why)
{
    if (r == NULL) {
        return 0;
    }
    t->kept = *r;
    t->wasted_before = r->wasted;
    t->kept.bitfield = span_of(NULL, 0);
    t->kept.partials = NULL;
    t->kept.n_partials = 0;
    if (t->layout == NULL || !r->checked) {
        t->kept.checked = false;
        return 0;
    }
    if (r->bitfield.n > 0) {
        if (!peer_wire_bitfield_ok(r->bitfield, torrent_n_pieces(t))) {
            *why = "the saved bitfield does not fit the torrent";
            return ERR_MALFORMED;
        }
        pieces_set_bitfield(t->pieces, r->bitfield);
    }
    for (size_t i = 0; i < r->n_partials; i++) {
        const struct torrent_partial *p = &r->partials[i];
        bool has = p->piece < torrent_n_pieces(t) && pieces_has(t->pieces, p->piece);
        if (!has && (p->piece >= torrent_n_pieces(t) ||
                     !pieces_restore_partial(t->pieces, p->piece, p->written))) {
            *why = "a saved partial piece does not fit the torrent";
            return ERR_MALFORMED;
        }
    }
    return 0;
}

static void take_name(struct torrent *t, struct span name)
{
    size_t n = span_find(name, 0);
    if (n > 0) {
        t->name = mem_strndup((const char *)name.p, n);
        return;
    }
    t->name = mem_zeroed(HEX20_LEN + 1);
    hex_encode(t->name, span_of(t->info_hash.b, sizeof t->info_hash.b));
}

static void take_trackers_and_peers(struct torrent *t, const struct torrent_add *add)
{
    struct engine *e = t->e;
    bool own = e->cfg.announce_to_own_tracker && (add->flags & TORRENT_NO_OWN_TRACKER) == 0;
    t->announcer = announcer_new(own, rng_next(&e->rng));
    for (size_t i = 0; i < add->n_trackers; i++) {
        (void)announcer_add(t->announcer, add->trackers[i].url, add->trackers[i].tier);
    }
    t->candidates = candidates_new(CANDIDATES_MAX);
    for (size_t i = 0; i < add->n_peers; i++) {
        (void)torrent_add_candidate(t, &add->peers[i], CANDIDATE_TRACKER, false);
    }
}

static int take_content(struct torrent *t, const struct torrent_add *add, const char **why)
{
    if (take_priorities(t, add->priorities, why) < 0) {
        return ERR_MALFORMED;
    }
    if (add->info.n > 0) {
        uint8_t *copy = mem_array(add->info.n, 1);
        memcpy(copy, add->info.p, add->info.n);
        if (torrent_take_info(t, copy, add->info.n, why) < 0) {
            return ERR_MALFORMED;
        }
    }
    return take_resume(t, add->resume, why);
}

struct torrent *torrent_new(struct engine *e, const struct torrent_add *add, const char **why)
{
    struct torrent *t = mem_new(struct torrent);
    t->e = e;
    t->session = engine_session(e, add->session);
    t->info_hash = add->info_hash;
    t->flags = add->flags;
    t->added_unix_s = add->added_unix_s;
    t->start_delay_ms = add->start_delay_ms;
    t->max_peers = add->max_peers;
    t->max_uploads = add->max_uploads;
    t->slots = choker_slots(NULL, 0, 0, t->max_uploads);
    list_init(&t->conns);
    limiter_group_init(&t->down, &e->down);
    limiter_group_init(&t->up, &e->up);
    bucket_set_rate(&t->down.bucket, add->max_down_bps, e->now_ms);
    bucket_set_rate(&t->up.bucket, add->max_up_bps, e->now_ms);
    take_name(t, add->name);
    take_trackers_and_peers(t, add);
    if (take_content(t, add, why) < 0) {
        torrent_free(t);
        return NULL;
    }
    return t;
}

void torrent_free(struct torrent *t)
{
    ASSERT(list_is_empty(&t->conns));
    torrent_check_forget(t);
    limiter_group_release(&t->down);
    limiter_group_release(&t->up);
    if (t->picker != NULL) {
        picker_free(t->picker);
    }
    metadata_free(t->metadata);
    pex_log_free(t->pex_log);
    candidates_free(t->candidates);
    announcer_free(t->announcer);
    if (t->pieces != NULL) {
        pieces_free(t->pieces);
    }
    layout_free(t->layout);
    free(t->verified);
    free(t->priorities);
    free(t->info);
    free(t->name);
    free(t->fault_text);
    free(t->remove_err);
    free(t);
}
