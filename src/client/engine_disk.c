/* Jobs for the disk, and what follows from how many are out.
 *
 * The disk is full of work (disk_full) from the moment when max_disk_queue_len bytes wait to be
 * written until a quarter of them is done. Meanwhile peers of torrents that download are not read
 * and not asked for more, so that a slow disk slows the peers and not the memory. The gap between
 * the two marks makes that a rare change, which is why it may look at every connection.
 *
 * A job that comes back is used again. Whoever has one when the engine goes away has it for good:
 * the shell gives back all of them before engine_free.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

struct disk_job *engine_job_new(struct engine *e, struct torrent *t, enum disk_op op)
{
    struct disk_job *job = e->free_jobs;
    if (job == NULL) {
        job = mem_new(struct disk_job);
    } else {
        e->free_jobs = job->next;
        *job = (struct disk_job){.op = op};
    }
    job->op = op;
    job->torrent = t->id;
    return job;
}

void engine_job_recycle(struct engine *e, struct disk_job *job)
{
    for (uint32_t i = 0; i < job->n_bufs; i++) {
        data_unref(job->bufs[i]);
    }
    free(job->blocks);
    job->blocks = NULL;
    job->n_bufs = 0;
    job->next = e->free_jobs;
    e->free_jobs = job;
}

bool engine_disk_is_full(const struct engine *e)
{
    return e->disk_full;
}

static bool has_bytes(const struct disk_job *job)
{
    return job->op == DISK_READ || job->op == DISK_WRITE;
}

void engine_job_submit(struct engine *e, struct disk_job *job)
{
    struct torrent *t = engine_torrent(e, job->torrent);
    ASSERT(t != NULL);
    job->begun_ms = e->now_ms;
    t->n_jobs++;
    e->n_jobs++;
    e->totals.disk_queue_jobs++;
    if (has_bytes(job)) {
        e->totals.disk_queue_len += job->len;
    }
    e->totals.disk_queue_reads += job->op == DISK_READ ? 1 : 0;
    e->totals.disk_queue_writes += job->op == DISK_WRITE ? 1 : 0;
    if (job->op == DISK_WRITE) {
        e->disk_queue_len += job->len;
        e->disk_full = e->disk_full || e->disk_queue_len >= e->cfg.max_disk_queue_len;
    }
    engine_put(e, &(struct engine_out){.kind = ENGINE_OUT_DISK, .torrent = t->id, .job = job});
}

void engine_wake_readers(struct engine *e)
{
    LIST_FOREACH_SAFE (node, &e->stalled) {
        conn_wake_reader(container_of(node, struct conn, read_node));
    }
}

/* Peers that were not asked while the disk was full have nothing on the way: nothing but this would
 * set them going again. */
static void refill_all(struct engine *e)
{
    LIST_FOREACH_SAFE (node, &e->all_conns) {
        struct conn *c = container_of(node, struct conn, all_node);
        if (c->ready && !c->gone && c->t->picker != NULL) {
            torrent_refill(c, PICK_INCOMING);
            if (!c->gone) {
                conn_rearm(c);
            }
        }
    }
}

static void count_back(struct engine *e, const struct disk_job *job)
{
    struct engine_totals *n = &e->totals;
    e->n_jobs--;
    n->disk_jobs++;
    n->disk_queue_jobs--;
    if (has_bytes(job)) {
        n->disk_queue_len -= job->len;
    }
    n->disk_queue_reads -= job->op == DISK_READ ? 1 : 0;
    n->disk_queue_writes -= job->op == DISK_WRITE ? 1 : 0;
    if (job->op == DISK_WRITE) {
        e->disk_queue_len -= job->len;
    }
    if (job->status < 0) {
        /* A file that is not there yet is what a look at the disk is to find out. */
        bool look = job->op == DISK_HASH || job->op == DISK_CHECK;
        n->disk_errors += look && job->status == ERR_NOT_FOUND ? 0 : 1;
    } else if (job->op == DISK_READ) {
        n->disk_reads++;
        n->disk_read_len += job->len;
        n->blocks_read += engine_n_blocks(job->len);
    } else if (job->op == DISK_WRITE) {
        n->disk_writes++;
        n->disk_write_len += job->len;
        n->blocks_written += engine_n_blocks(job->len);
    } else if (job->op == DISK_HASH) {
        n->disk_hashes++;
        n->blocks_read += engine_n_blocks(job->len);
        n->blocks_hashed += engine_n_blocks(job->len);
    }
}

void engine_on_disk(struct engine *e, struct disk_job *job, uint64_t now_ms)
{
    struct torrent *t = engine_torrent(e, job->torrent);
    engine_begin(e, now_ms);
    if (t != NULL) {
        ASSERT(t->n_jobs > 0);
        t->n_jobs--;
        count_back(e, job);
        if (job->op == DISK_SYNC) {
            resume_on_synced(t, job);
        } else {
            torrent_on_disk(t, job);
        }
        if (t->n_jobs == 0) {
            resume_on_deadline(t);
        }
        engine_check_end(t);
    }
    engine_job_recycle(e, job);
    if (e->disk_full &&
        e->disk_queue_len <= e->cfg.max_disk_queue_len - e->cfg.max_disk_queue_len / 4) {
        e->disk_full = false;
        e->totals.disk_relieved++;
        engine_wake_readers(e);
        refill_all(e);
    }
    engine_end(e);
}
