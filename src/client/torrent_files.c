/* What of a torrent is wanted, and how much of that is there.
 *
 * 1. A piece is as wanted as the most wanted file that has bytes in it; pad files count for nothing.
 * 2. First and last: the pieces at both ends of a wanted file come before all others.
 * 3. A change of mind makes the picker anew, or drops it when nothing wanted is missing.
 * 4. What arrived of pieces under way counts while all files are wanted; else whole pieces alone, as
 *    an edge may belong to somebody who is not wanted.
 * 5. What was asked for before the files are known waits for them, as it was given.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

uint8_t torrent_file_priority(const struct torrent *t, uint32_t file)
{
    return t->priorities == NULL ? PICKER_NORMAL : t->priorities[file];
}

static bool file_counts(const struct layout_file *f)
{
    return f->len > 0 && (f->attr & METAINFO_PAD) == 0;
}

uint8_t *torrent_piece_priorities(const struct torrent *t)
{
    uint8_t *out = mem_zeroed(torrent_n_pieces(t));
    for (uint32_t file = 0; file < t->layout->n_files; file++) {
        uint8_t priority = torrent_file_priority(t, file);
        if (!file_counts(&t->layout->files[file]) || priority == PICKER_SKIP) {
            continue;
        }
        uint32_t first, end;
        layout_file_pieces(t->layout, file, &first, &end);
        for (uint32_t piece = first; piece < end; piece++) {
            bool edge = (t->flags & TORRENT_FIRST_LAST) && (piece == first || piece == end - 1);
            uint8_t wish = edge ? PICKER_FIRST : priority;
            if (wish > out[piece]) {
                out[piece] = wish;
            }
        }
    }
    return out;
}

static bool is_plain(const struct torrent *t)
{
    return t->priorities == NULL && t->layout->pad_len == 0;
}

bool torrent_is_finished(const struct torrent *t)
{
    if (pieces_is_complete(t->pieces) || is_plain(t)) {
        return pieces_is_complete(t->pieces);
    }
    uint8_t *priorities = torrent_piece_priorities(t);
    uint32_t i = 0;
    while (i < torrent_n_pieces(t) && (priorities[i] == PICKER_SKIP || pieces_has(t->pieces, i))) {
        i++;
    }
    free(priorities);
    return i == torrent_n_pieces(t);
}

static void fill_picker(struct torrent *t)
{
    uint8_t *priorities = torrent_piece_priorities(t);
    picker_set_sequential(t->picker, (t->flags & TORRENT_SEQUENTIAL) != 0);
    for (uint32_t i = 0; i < torrent_n_pieces(t); i++) {
        if (priorities[i] != picker_priority(t->picker, i)) {
            picker_set_priority(t->picker, i, priorities[i]);
        }
        if (pieces_has(t->pieces, i)) {
            picker_on_have(t->picker, i);
        }
    }
    free(priorities);
}

void torrent_make_picker(struct torrent *t)
{
    if (t->picker != NULL || torrent_is_finished(t)) {
        return;
    }
    t->picker = picker_new(torrent_n_pieces(t), rng_next(&t->e->rng));
    picker_count_in(t->picker, &t->e->totals.picker);
    fill_picker(t);
    LIST_FOREACH_SAFE (node, &t->conns) {
        conn_count(conn_of(node));
    }
}

void torrent_wishes_changed(struct torrent *t)
{
    bool known = t->layout != NULL && t->kept.checked && t->state >= TORRENT_DOWNLOADING;
    if (!known) {
        return;
    }
    if (t->picker == NULL) {
        if (torrent_is_running(t)) {
            torrent_make_picker(t);
        }
        enum torrent_state before = t->state;
        torrent_choose_state(t);
        if (t->picker != NULL && before != TORRENT_DOWNLOADING) {
            bool upload_only = (t->flags & TORRENT_UPLOAD_ONLY) != 0;
            LIST_FOREACH_SAFE (node, &t->conns) {
                struct conn *c = conn_of(node);
                if (c->greeted) {
                    peer_send_upload_only(&c->peer, upload_only, torrent_now(t));
                    conn_wake(c);
                }
            }
            announcer_want_peers(t->announcer, torrent_now(t), false);
            torrent_go_online(t);
        }
    } else {
        fill_picker(t);
        if (picker_n_wanted(t->picker) == 0) {
            torrent_on_finished(t);
        }
    }
    torrent_update_interests(t);
    if (torrent_is_running(t) && t->online) {
        engine_want_peers(t, true);
    }
}

static bool are_all(struct span priorities, uint8_t value)
{
    size_t i = 0;
    while (i < priorities.n && priorities.p[i] == value) {
        i++;
    }
    return i == priorities.n;
}

static void measure_wanted(struct torrent *t)
{
    t->wanted_len = 0;
    for (uint32_t file = 0; file < t->layout->n_files; file++) {
        const struct layout_file *f = &t->layout->files[file];
        if (file_counts(f) && torrent_file_priority(t, file) != PICKER_SKIP) {
            t->wanted_len += f->len;
        }
    }
}

/* They are copied; one for each file, or none. */
static void replace_priorities(struct torrent *t, struct span priorities)
{
    uint8_t *copy = NULL;
    if (!are_all(priorities, PICKER_NORMAL)) {
        copy = mem_array(priorities.n, 1);
        memcpy(copy, priorities.p, priorities.n);
    }
    free(t->priorities);
    t->priorities = copy;
    t->n_priorities = copy == NULL ? 0 : priorities.n;
}

void torrent_fit_priorities(struct torrent *t)
{
    const size_t n_files = t->layout->n_files;
    const size_t n = t->n_priorities < n_files ? t->n_priorities : n_files;
    const struct span given = span_of(t->priorities, n);
    const bool rest_skipped = (t->flags & TORRENT_REST_SKIPPED) != 0;
    if (t->n_priorities > 0 && rest_skipped && are_all(given, PICKER_SKIP)) {
        replace_priorities(t, span_of(NULL, 0));
    } else if (t->n_priorities > 0) {
        uint8_t *all = mem_array(n_files, 1);
        memset(all, rest_skipped ? PICKER_SKIP : PICKER_NORMAL, n_files);
        memcpy(all, given.p, n);
        replace_priorities(t, span_of(all, n_files));
        free(all);
    }
    measure_wanted(t);
}

int torrent_set_priorities(struct torrent *t, struct span priorities)
{
    if (priorities.n != (t->layout == NULL ? 0 : t->layout->n_files)) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < priorities.n; i++) {
        if (priorities.p[i] > PICKER_FIRST) {
            return ERR_INVALID;
        }
    }
    replace_priorities(t, priorities);
    t->flags &= ~(unsigned)TORRENT_REST_SKIPPED;
    if (t->layout == NULL) {
        return 0;
    }
    uint8_t *wanted = mem_array(priorities.n, 1);
    for (size_t i = 0; i < priorities.n; i++) {
        wanted[i] = priorities.p[i] != PICKER_SKIP;
    }
    struct disk_job *job = engine_job_new(t->e, t, DISK_WANTED);
    job->wanted = wanted;
    engine_job_submit(t->e, job);
    measure_wanted(t);
    torrent_wishes_changed(t);
    resume_touch(t, false, false);
    return 0;
}

/* ---- lengths */

/* Bytes of [from, from + len) of the content that lie in the file. */
static uint64_t overlap(const struct layout_file *f, uint64_t from, uint64_t len)
{
    uint64_t begin = from > f->offset ? from : f->offset;
    uint64_t end = from + len < f->offset + f->len ? from + len : f->offset + f->len;
    return end > begin ? end - begin : 0;
}

uint64_t torrent_file_done(const struct torrent *t, uint32_t file)
{
    if (t->layout == NULL || file >= t->layout->n_files) {
        return 0;
    }
    const struct layout_file *f = &t->layout->files[file];
    if (pieces_is_complete(t->pieces)) {
        return f->len;
    }
    if (pieces_count(t->pieces) == 0) {
        return 0;
    }
    uint32_t first, end;
    uint64_t done = 0;
    layout_file_pieces(t->layout, file, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (pieces_has(t->pieces, i)) {
            uint32_t len = peer_wire_piece_len(&t->layout->geometry, i);
            done += overlap(f, torrent_piece_offset(t, i), len);
        }
    }
    return done;
}

uint64_t torrent_wanted_len(const struct torrent *t)
{
    return t->wanted_len;
}

uint64_t torrent_wanted_done_len(const struct torrent *t)
{
    if (t->layout == NULL) {
        return 0;
    }
    if (pieces_is_complete(t->pieces)) {
        return t->wanted_len;
    }
    if (is_plain(t)) {
        return pieces_done_len(t->pieces);
    }
    uint64_t done = 0;
    for (uint32_t file = 0; file < t->layout->n_files; file++) {
        bool wanted = torrent_file_priority(t, file) != PICKER_SKIP;
        if (wanted && file_counts(&t->layout->files[file])) {
            done += torrent_file_done(t, file);
        }
    }
    return done;
}

uint64_t torrent_left_len(const struct torrent *t)
{
    if (t->layout == NULL) {
        return WIRE_BLOCK_LEN; /* not known, but not nothing */
    }
    return t->layout->total_len - pieces_have_len(t->pieces);
}
