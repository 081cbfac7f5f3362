/* Disks: pages that are absent, right, or something else.
 *
 * The right bytes of a page are those of the torrent, so a disk needs a byte a page and no copy of
 * the content. What else was written is read back as the right bytes with every bit turned.
 *
 * Time      one job at a time on the spindle (rate), then a latency with a jitter, so that jobs
 *           come back in another order. REMOVE, WANTED, CLOSE and SYNC wait for all before them and
 *           hold up all behind them.
 * Safe      is what was written before a SYNC that is back. A crash keeps each other page or loses
 *           it, as the coin falls.
 */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/data_buf.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum { CRASH_TURNS_MAX = 1000 };

struct sim_job {
    struct list node;
    struct sim_event event;
    struct sim_node *n;
    struct disk_job *job;
};

/* ---- pages ------------------------------------------------------------------------------------- */

static uint64_t page_len(const struct sim_torrent *t, uint32_t page)
{
    uint64_t at = (uint64_t)page * SIM_PAGE_LEN;
    return t->len - at < SIM_PAGE_LEN ? t->len - at : SIM_PAGE_LEN;
}

void sim_disk_init(struct sim_member *m)
{
    const struct layout *l = m->t->layout;
    m->pages = mem_zeroed(m->t->n_pages);
    m->safe = mem_zeroed(m->t->n_pages);
    m->wanted = mem_zeroed(l->n_files);
    m->file_len = mem_zeroed(l->n_files * sizeof *m->file_len);
    for (uint32_t i = 0; i < l->n_files; i++) {
        m->wanted[i] = i >= m->add.priorities.n || m->add.priorities.p[i] > 0;
        m->file_len[i] = m->add.seed ? l->files[i].len : 0;
    }
    if (m->add.seed) {
        memset(m->pages, PAGE_RIGHT, m->t->n_pages);
        memset(m->safe, PAGE_RIGHT, m->t->n_pages);
    }
}

void sim_disk_release(struct sim_member *m)
{
    free(m->pages);
    free(m->safe);
    free(m->wanted);
    free(m->file_len);
}

bool sim_disk_is_right(const struct sim_member *m)
{
    for (uint32_t i = 0; i < m->t->n_pages; i++) {
        if (m->pages[i] != PAGE_RIGHT) {
            return false;
        }
    }
    return true;
}

static int is_there(const struct sim_member *m, const struct disk_job *j)
{
    struct layout_walk at = layout_walk(m->t->layout, j->offset, j->len);
    struct layout_range range;
    while (layout_walk_next(&at, &range)) {
        if (range.at + range.len > m->file_len[range.file] && m->wanted[range.file] != 0) {
            return ERR_NOT_FOUND;
        }
    }
    return 0;
}

/* A file gets its whole length when it is made. */
static void make_files(struct sim_member *m, uint64_t offset, uint64_t len)
{
    struct layout_walk at = layout_walk(m->t->layout, offset, len);
    struct layout_range range;
    while (layout_walk_next(&at, &range)) {
        m->file_len[range.file] = m->t->layout->files[range.file].len;
    }
}

/* ---- what jobs do --------------------------------------------------------------------------------- */

static int do_read(struct sim_node *n, struct sim_member *m, struct disk_job *j)
{
    uint8_t *out = j->bufs[0]->p;
    bool lie = n->spec.lies || sim_fault_hits(n->s, SIM_FAULT_LIE);
    if (is_there(m, j) < 0) {
        return ERR_NOT_FOUND;
    }
    ASSERT(j->len <= j->bufs[0]->cap);
    memcpy(out, m->t->content + j->offset, j->len);
    for (uint32_t i = 0; i < j->len; i++) {
        uint64_t at = j->offset + i;
        uint8_t state = m->pages[at / SIM_PAGE_LEN];
        if (state == PAGE_RIGHT) {
            i += SIM_PAGE_LEN - (uint32_t)(at % SIM_PAGE_LEN) - 1; /* the whole page is */
        } else {
            out[i] = state == PAGE_ABSENT ? 0 : (uint8_t)~out[i];
        }
    }
    for (uint32_t i = 0; i < j->len && lie; i += SIM_PAGE_LEN) {
        out[i] = (uint8_t)~out[i];
        n->lied = true;
    }
    j->bufs[0]->len = j->len;
    return 0;
}

static int write_page(struct sim_node *n, struct sim_member *m, uint32_t page, struct span bytes)
{
    uint64_t at = (uint64_t)page * SIM_PAGE_LEN;
    if (bytes.n != page_len(m->t, page)) {
        sim_fail(n->s, n, "a write of a part of block %u", page);
    }
    if (m->pages[page] == PAGE_ABSENT) {
        if (n->spec.disk_pages != 0 && n->disk_used_pages >= n->spec.disk_pages) {
            n->n_no_space++;
            return ERR_NO_SPACE;
        }
        n->disk_used_pages++;
    }
    bool right = memcmp(bytes.p, m->t->content + at, bytes.n) == 0;
    m->pages[page] = right ? PAGE_RIGHT : PAGE_OTHER;
    make_files(m, at, bytes.n);
    return 0;
}

static int do_write(struct sim_node *n, struct sim_member *m, const struct disk_job *j)
{
    uint64_t at = j->offset;
    for (uint32_t i = 0; i < j->n_bufs; i++) {
        if (at % SIM_PAGE_LEN != 0) {
            sim_fail(n->s, n, "a write at %llu", (unsigned long long)at);
        }
        int rc = write_page(n, m, (uint32_t)(at / SIM_PAGE_LEN),
                            span_of(j->bufs[i]->p, j->bufs[i]->len));
        if (rc < 0) {
            return rc;
        }
        at += j->bufs[i]->len;
    }
    if (at != j->offset + j->len) {
        sim_fail(n->s, n, "a write of %u bytes with %llu in its buffers", j->len,
                 (unsigned long long)(at - j->offset));
    }
    return 0;
}

static int do_hash(struct sim_member *m, struct disk_job *j)
{
    uint32_t piece = (uint32_t)(j->offset / m->t->meta.piece_len);
    if (is_there(m, j) < 0) {
        return ERR_NOT_FOUND;
    }
    memcpy(j->digest, m->t->meta.pieces.p + (size_t)piece * METAINFO_HASH_LEN, sizeof j->digest);
    if (!sim_has_piece(m, piece)) {
        j->digest[0] = (uint8_t)~j->digest[0];
    }
    return 0;
}

static int do_check(const struct sim_member *m, struct disk_job *j)
{
    const struct layout *l = m->t->layout;
    j->any_data = false;
    j->n_missing = 0;
    for (uint32_t i = 0; i < l->n_files; i++) {
        j->any_data = j->any_data || m->file_len[i] > 0;
        j->n_missing += m->wanted[i] != 0 && m->file_len[i] != l->files[i].len;
    }
    return j->n_missing > 0 ? ERR_NOT_FOUND : 0;
}

static void do_remove(struct sim_node *n, struct sim_member *m, const struct disk_job *j)
{
    m->emptied = m->emptied || j->with_data;
    if (j->with_data) {
        for (uint32_t i = 0; i < m->t->n_pages; i++) {
            n->disk_used_pages -= m->pages[i] != PAGE_ABSENT && !m->add.seed;
        }
        memset(m->pages, PAGE_ABSENT, m->t->n_pages);
        memset(m->safe, PAGE_ABSENT, m->t->n_pages);
        memset(m->file_len, 0, m->t->layout->n_files * sizeof *m->file_len);
    }
}

static int do_job(struct sim_node *n, struct sim_member *m, struct disk_job *j)
{
    const struct sim_fault *f = &n->s->faults[SIM_FAULT_DISK];
    if ((f->ops >> j->op & 1) != 0 && sim_fault_hits(n->s, SIM_FAULT_DISK)) {
        return f->status;
    }
    switch (j->op) {
    case DISK_READ:
        return do_read(n, m, j);
    case DISK_WRITE:
        return do_write(n, m, j);
    case DISK_HASH:
        return do_hash(m, j);
    case DISK_CHECK:
        return do_check(m, j);
    case DISK_SYNC:
        memcpy(m->safe, m->pages, m->t->n_pages);
        return 0;
    case DISK_REMOVE:
        do_remove(n, m, j);
        return 0;
    case DISK_WANTED:
        memcpy(m->wanted, j->wanted, m->t->layout->n_files);
        return 0;
    case DISK_CLOSE:
        return 0;
    }
    return ERR_INVALID;
}

/* ---- the queue --------------------------------------------------------------------------------------- */

static void give_back(struct sim_job *sj, int status)
{
    struct sim_node *n = sj->n;
    struct disk_job *j = sj->job;
    list_remove(&sj->node);
    free(sj);
    n->n_jobs--;
    n->jobs_len -= j->op == DISK_WRITE ? j->len : 0;
    j->status = status;
    if (status < 0) {
        (void)err_set(&j->err, status, "downloads/x: %s", err_text(status));
    }
    engine_on_disk(n->e, j, n->s->now_ms);
}

static void on_done(struct sim_event *ev)
{
    struct sim_job *sj = container_of(ev, struct sim_job, event);
    struct sim_node *n = sj->n;
    struct sim_member *m = sim_member_of(n, sj->job->torrent);
    if (m == NULL) {
        sim_fail(n->s, n, "a job of a torrent that is gone");
    }
    give_back(sj, do_job(n, m, sj->job));
    sim_node_drain(n);
}

static bool is_barrier(enum disk_op op)
{
    return op != DISK_READ && op != DISK_WRITE && op != DISK_HASH && op != DISK_CHECK;
}

void sim_disk_start(struct sim_node *n, struct disk_job *job)
{
    struct sim_job *sj = mem_new(struct sim_job);
    uint64_t now_us = n->s->now_ms * 1000;
    uint64_t len = is_barrier(job->op) || job->op == DISK_CHECK ? 0 : job->len;
    n->disk_free_us = n->disk_free_us < now_us ? now_us : n->disk_free_us;
    n->disk_free_us += n->spec.disk_bps == 0 ? 0 : len * 1000000 / n->spec.disk_bps;
    uint64_t at_ms = n->disk_free_us / 1000 + n->spec.disk_latency_ms;
    at_ms += rng_below(&n->s->rng, n->spec.disk_latency_ms + 2);
    at_ms = at_ms < n->disk_barrier_ms ? n->disk_barrier_ms : at_ms;
    if (is_barrier(job->op)) {
        at_ms = (at_ms < n->disk_last_ms ? n->disk_last_ms : at_ms) + 1;
        n->disk_barrier_ms = at_ms + 1;
    }
    n->disk_last_ms = at_ms > n->disk_last_ms ? at_ms : n->disk_last_ms;
    n->n_jobs++;
    n->jobs_len += job->op == DISK_WRITE ? job->len : 0;
    n->jobs_len_max = n->jobs_len > n->jobs_len_max ? n->jobs_len : n->jobs_len_max;
    sj->n = n;
    sj->job = job;
    sj->event.fire = on_done;
    list_add_tail(&n->jobs, &sj->node);
    sim_at(n->s, &sj->event, at_ms);
}

static void lose_pages(struct sim_member *m)
{
    const struct layout *l = m->t->layout;
    memset(m->file_len, 0, l->n_files * sizeof *m->file_len);
    for (uint32_t i = 0; i < m->t->n_pages; i++) {
        if (m->pages[i] != m->safe[i] && rng_below(&m->n->s->rng, 2) == 0) {
            m->n->disk_used_pages -= m->safe[i] == PAGE_ABSENT;
            m->pages[i] = m->safe[i];
        }
        m->safe[i] = m->pages[i];
        if (m->pages[i] != PAGE_ABSENT) {
            make_files(m, (uint64_t)i * SIM_PAGE_LEN, page_len(m->t, i));
        }
    }
}

void sim_disk_crash(struct sim_node *n)
{
    struct engine_out out;
    for (int turn = 0; !list_is_empty(&n->jobs); turn++) {
        struct sim_job *sj = container_of(list_first(&n->jobs), struct sim_job, node);
        struct sim_member *m = sim_member_of(n, sj->job->torrent);
        if (turn == CRASH_TURNS_MAX) {
            sim_fail(n->s, n, "jobs that fail are followed by others without end");
        }
        if (sj->job->op == DISK_WRITE && m != NULL && rng_below(&n->s->rng, 2) == 0) {
            (void)do_write(n, m, sj->job);
        }
        sim_cancel(n->s, &sj->event);
        give_back(sj, ERR_CANCELED);
        while (engine_next_out(n->e, &out)) {
            if (out.kind == ENGINE_OUT_DISK) {
                sim_disk_start(n, out.job);
            }
        }
    }
    n->disk_barrier_ms = n->disk_last_ms = 0;
    SIM_FOREACH_MEMBER(m, n)
    {
        lose_pages(m);
    }
}
