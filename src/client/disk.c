/* disk.c: jobs come in, go to the pool, and come back. The loop's thread, but for do_work.
 *
 * Happy path  disk_start -> a read whose bytes are in memory is answered here (read_cached) and given
 *             back by disk_drain. Any other job becomes a task -> launch: pins the files that are
 *             open, reserves room for those to be opened -> do_work in the pool -> finish: what was
 *             opened goes into the table, what was pinned is free again, the next ones are launched,
 *             on_done.
 * Fences      each storage has its queue. A fence (REMOVE, WANTED, CLOSE) is launched when nothing
 *             of its storage runs and holds all behind it until it is back; storages do not wait for
 *             each other.
 *
 *                start                     n_running == 0, if it is a fence
 *                  | something waits, or it is a fence and something runs
 *                  v
 *               waiting ---- launch ----> running ---- finish ----> on_done
 *
 * Failure     is the job's: status and err. A task always comes back.
 * At the end  every task is back; disk_free closes what is open.
 */
#include "client/disk.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/data_buf.h"
#include "client/disk_impl.h"

#include "base/banned.h"

enum {
    CACHED_RANGES_MAX = 16, /* a read over more files is not tried on the loop */
    WRITES_MAX = 2,         /* of a storage, in the pool */
};

struct disk *disk_new(uv_loop_t *loop, void (*on_done)(void *ctx, struct disk_job *job), void *ctx)
{
    struct disk *d = mem_new(struct disk);
    struct siphash_key seed;
    digest_random(&seed, sizeof seed);
    d->loop = loop;
    d->on_done = on_done;
    d->ctx = ctx;
    map_init(&d->storages, &seed);
    map_init(&d->files, &seed);
    list_init(&d->by_age);
    return d;
}

/* ---- storages ------------------------------------------------------------------------------- */

static struct disk_storage *storage_of(struct disk *d, torrent_id id)
{
    struct map_node *node = map_find(&d->storages, span_of(&id, sizeof id));
    ASSERT(node != NULL);
    return container_of(node, struct disk_storage, node);
}

static void copy_wanted(struct disk_storage *s, const uint8_t *wanted)
{
    size_t n = s->place.layout->n_files;
    free(s->wanted);
    s->wanted = NULL;
    if (wanted != NULL && memchr(wanted, 0, n) != NULL) {
        s->wanted = mem_array(n, 1);
        memcpy(s->wanted, wanted, n);
    }
    s->place.wanted = s->wanted;
}

void disk_add_storage(struct disk *d, torrent_id id, const struct disk_storage_opts *opts)
{
    struct disk_storage *s = mem_new(struct disk_storage);
    char hex[HEX20_LEN + 1];
    ASSERT(opts->save_path[0] == '/');
    hex_encode(hex, span_of(opts->info_hash->b, sizeof opts->info_hash->b));
    (void)snprintf(s->part_name, sizeof s->part_name, ".%s.parts", hex);
    (void)snprintf(s->moving_name, sizeof s->moving_name, ".%s.moving", hex);
    s->id = id;
    s->save_path = mem_strndup(opts->save_path, strlen(opts->save_path));
    s->place = (struct disk_place){
        .save_path = s->save_path,
        .part_name = s->part_name,
        .moving_name = s->moving_name,
        .layout = opts->layout,
        .allocate = opts->allocate,
    };
    copy_wanted(s, opts->wanted);
    list_init(&s->files);
    list_init(&s->waiting);
    map_insert(&d->storages, &s->node, span_of(&s->id, sizeof s->id));
}

static void free_storage(struct disk *d, struct disk_storage *s)
{
    ASSERT(s->n_running == 0 && list_is_empty(&s->waiting));
    disk_files_forget(d, s);
    map_remove(&d->storages, &s->node);
    free(s->save_path);
    free(s->wanted);
    free(s->dirty);
    free(s);
}

void disk_remove_storage(struct disk *d, torrent_id id)
{
    free_storage(d, storage_of(d, id));
    disk_files_close(d); /* nothing, when its last job has closed its files */
}

void disk_free(struct disk *d)
{
    struct map_node *node;
    ASSERT(d->n_done == 0 && d->n_reserved == 0);
    while ((node = map_first(&d->storages)) != NULL) {
        free_storage(d, container_of(node, struct disk_storage, node));
    }
    disk_files_close(d);
    map_release(&d->storages);
    map_release(&d->files);
    free(d->closing);
    free(d->done);
    free(d);
}

/* ---- reads that need no thread --------------------------------------------------------------- */

static void give_back(struct disk *d, struct disk_job *j)
{
    if (d->n_done == d->done_cap) {
        d->done_cap = d->done_cap == 0 ? 16 : d->done_cap * 2;
        d->done = mem_resize(d->done, d->done_cap, sizeof *d->done);
    }
    d->done[d->n_done++] = j;
}

/* A file system that has nothing but memory under it, and does not know RWF_NOWAIT. */
static bool is_in_memory(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* A range into p, if its file is open and its bytes are in the page cache. */
static bool read_range_cached(struct disk *d, struct disk_storage *s, const struct layout_range *r,
                              uint8_t *p)
{
    if (!layout_is_stored(&s->place.layout->files[r->file])) {
        memset(p, 0, r->len);
        return true;
    }
    struct disk_file *f = disk_files_find(d, s->id, r->file, false);
    if (f == NULL) {
        return false;
    }
    struct iovec iov = {p, r->len};
    disk_files_touch(d, f);
    d->stats.open_hits++;
    if (f->in_memory) {
        return pread(f->fd, p, (size_t)r->len, (off_t)r->at) == (ssize_t)r->len;
    }
    ssize_t n = preadv2(f->fd, &iov, 1, (off_t)r->at, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) {
        f->in_memory = is_in_memory(f->fd); /* from the next read on */
    }
    return n == (ssize_t)r->len;
}

static bool read_cached(struct disk *d, struct disk_storage *s, struct disk_job *j)
{
    struct layout_walk at = layout_walk(s->place.layout, j->offset, j->len);
    struct layout_range r;
    uint8_t *p = j->bufs[0]->p;
    if (s->n_fences > 0) {
        return false;
    }
    for (int i = 0; layout_walk_next(&at, &r); i++) {
        if (i == CACHED_RANGES_MAX || !read_range_cached(d, s, &r, p)) {
            return false;
        }
        p += r.len;
    }
    return true;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static bool is_fence(enum disk_op op)
{
    return op == DISK_REMOVE || op == DISK_WANTED || op == DISK_CLOSE;
}

static bool has_ranges(enum disk_op op)
{
    return op == DISK_READ || op == DISK_WRITE || op == DISK_HASH;
}

static struct disk_task *task_new(struct disk *d, struct disk_storage *s, struct disk_job *j)
{
    bool ranges = has_ranges(j->op);
    struct layout_walk at =
        layout_walk(s->place.layout, ranges ? j->offset : 0, ranges ? j->len : 0);
    struct layout_range r;
    size_t n = 0;
    for (struct layout_walk count = at; layout_walk_next(&count, &r);) {
        n++;
    }
    struct disk_task *t = mem_zeroed(sizeof *t + n * sizeof t->ranges[0]);
    t->d = d;
    t->s = s;
    t->j = j;
    t->root.fd = t->part.fd = t->folder.fd = -1;
    while (layout_walk_next(&at, &r)) {
        t->ranges[t->n_ranges++] = (struct disk_range){.at = r, .file = {.fd = -1}};
    }
    return t;
}

/* Runs in the pool, as what follows. */
static int do_write(struct disk_task *t)
{
    (void)atomic_fetch_add_explicit(&t->d->n_writing, 1, memory_order_relaxed);
    int rc = disk_do_write(t);
    (void)atomic_fetch_sub_explicit(&t->d->n_writing, 1, memory_order_relaxed);
    return rc;
}

static int do_op(struct disk_task *t)
{
    switch (t->j->op) {
    case DISK_READ:
        return disk_do_read(t);
    case DISK_WRITE:
        return do_write(t);
    case DISK_HASH:
        return disk_do_hash(t);
    case DISK_CHECK:
        return disk_do_check(t);
    case DISK_SYNC:
        return disk_do_sync(t);
    case DISK_REMOVE:
        return disk_do_remove(t);
    case DISK_WANTED:
        return disk_do_wanted(t);
    case DISK_CLOSE:
        break; /* its files are closed already */
    }
    return 0;
}

static void do_work(struct job *job)
{
    struct disk_task *t = container_of(job, struct disk_task, job);
    const uint64_t begun_ns = uv_hrtime();
    for (size_t i = 0; i < t->n_closing; i++) {
        (void)close(t->closing[i]);
    }
    t->j->status = do_op(t);
    if (t->j->status == 0) {
        t->j->err = (struct err){.code = 0}; /* of what turned out to be no error */
    }
    disk_open_end(t);
    const uint64_t ended_ns = uv_hrtime();
    t->work_ns = ended_ns - begun_ns;
    t->wait_ns = ended_ns - t->start_ns;
}

/* Gives the task the open file, if there is one. */
static bool pin(struct disk_task *t, struct disk_fd *to, uint32_t file, bool writable)
{
    to->pinned = disk_files_pin(t->d, t->s->id, file, writable);
    if (to->pinned == NULL) {
        return false;
    }
    to->fd = to->pinned->fd;
    to->writable = to->pinned->writable;
    return true;
}

/* The files of the ranges; returns how many have to be opened. */
static uint32_t pin_ranges(struct disk_task *t)
{
    const struct layout *l = t->s->place.layout;
    bool writable = t->j->op == DISK_WRITE;
    bool may_be_in_part = false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_ranges; i++) {
        struct disk_range *r = &t->ranges[i];
        if (layout_is_stored(&l->files[r->at.file]) && !pin(t, &r->file, r->at.file, writable)) {
            n++;
            may_be_in_part |= !disk_is_wanted(&t->s->place, r->at.file);
        }
    }
    if (may_be_in_part && !pin(t, &t->part, DISK_PART, writable)) {
        n++;
    }
    return n;
}

/* Everything that the task needs to know, as it is now. */
static void prepare(struct disk_task *t)
{
    struct disk *d = t->d;
    struct disk_storage *s = t->s;
    uint32_t n = 0;
    t->place = s->place;
    if (is_fence(t->j->op) || t->j->op == DISK_CHECK) {
        disk_files_forget(d, s);
    }
    if (t->j->op == DISK_CHECK) {
        t->place.known = false; /* this finds out */
    } else if (t->j->op == DISK_SYNC) {
        t->dirty = s->dirty;
        t->sync_names = s->made;
        s->dirty = NULL;
        s->made = false;
    } else if (has_ranges(t->j->op)) {
        n = pin_ranges(t);
    }
    if (!is_fence(t->j->op) && !pin(t, &t->root, DISK_ROOT, false)) {
        n++;
    }
    t->keep = is_fence(t->j->op) ? 0 : disk_files_reserve(d, n < DISK_KEEP_MAX ? n : DISK_KEEP_MAX);
    t->closing = d->closing;
    t->n_closing = d->n_closing;
    d->closing = NULL;
    d->n_closing = 0;
    d->closing_cap = 0;
}

static void on_back(struct job *job, int status);

static void launch(struct disk_task *t)
{
    prepare(t);
    t->s->n_running++;
    t->s->fenced = is_fence(t->j->op);
    t->s->n_writing += t->j->op == DISK_WRITE;
    t->d->stats.jobs++;
    ASSERT(job_start(&t->job, t->d->loop, do_work, on_back) == 0); /* libuv refuses no work */
}

/* What waits and need not any more. Few writes of a storage at a time: the kernel takes them one by
 * one for a file, and threads that wait for each other there only burn time. */
static void launch_waiting(struct disk_storage *s)
{
    LIST_FOREACH_SAFE (node, &s->waiting) {
        struct disk_task *t = container_of(node, struct disk_task, waiting);
        bool first = list_first(&s->waiting) == node;
        if (s->fenced || (is_fence(t->j->op) && (s->n_running > 0 || !first))) {
            return;
        }
        if (t->j->op == DISK_WRITE && s->n_writing == WRITES_MAX) {
            continue;
        }
        list_remove(node);
        launch(t);
    }
}

/* ---- back from the pool ---------------------------------------------------------------------- */

static void take_back(struct disk_task *t, struct disk_fd *f, uint32_t file)
{
    if (f->pinned != NULL) {
        t->d->stats.open_hits++;
        disk_files_unpin(t->d, f->pinned);
    } else if (f->opened) {
        disk_files_put(t->d, t->s, file, f->fd, f->writable);
    }
}

static void mark_dirty(struct disk_storage *s, uint32_t i)
{
    if (s->dirty == NULL) {
        s->dirty = mem_zeroed(s->place.layout->n_files / 8 + 1);
    }
    s->dirty[i / 8] |= (uint8_t)(1 << i % 8);
}

static void note_written(struct disk_task *t)
{
    struct disk_storage *s = t->s;
    uint32_t n_files = s->place.layout->n_files;
    for (uint32_t i = 0; i < t->n_ranges; i++) {
        if (t->ranges[i].written) {
            mark_dirty(s, t->ranges[i].in_part ? n_files : t->ranges[i].at.file);
        }
    }
    s->made |= t->made;
}

/* What a sync could not make safe still has to be. */
static void note_not_synced(struct disk_task *t)
{
    uint32_t n_files = t->s->place.layout->n_files;
    for (uint32_t i = 0; t->dirty != NULL && i <= n_files; i++) {
        if ((t->dirty[i / 8] >> i % 8 & 1) != 0) {
            mark_dirty(t->s, i);
        }
    }
    t->s->made |= t->sync_names;
}

static void note_result(struct disk_task *t)
{
    struct disk_storage *s = t->s;
    struct disk_job *j = t->j;
    uint32_t n_files = s->place.layout->n_files;
    if (t->found || j->op == DISK_CHECK) {
        s->place.known = t->found;
        s->place.device = t->place.device;
    }
    note_written(t);
    if (j->op == DISK_SYNC && j->status < 0) {
        note_not_synced(t);
    } else if (j->op == DISK_WANTED && j->status == 0) {
        copy_wanted(s, j->wanted);
    } else if (j->op == DISK_REMOVE && j->with_data) {
        free(s->dirty);
        s->dirty = NULL;
        s->made = false;
    } else if (j->op == DISK_READ && j->status == 0) {
        j->bufs[0]->len = j->len;
    }
    if (t->part_gone && s->dirty != NULL) {
        s->dirty[n_files / 8] &= (uint8_t) ~(1U << n_files % 8);
    }
}

/* Those before count for less and less: each for a twentieth less than the one after it. */
static void count_read_wait(struct disk_stats *n, uint64_t ns)
{
    n->read_wait_ns = n->read_wait_ns == 0 ? ns : (n->read_wait_ns * 19 + ns) / 20;
}

static void count_work(struct disk_stats *n, const struct disk_task *t)
{
    n->work_ns += t->work_ns;
    n->hash_ns += t->hash_ns;
    switch (t->j->op) {
    case DISK_READ:
        count_read_wait(n, t->wait_ns);
        n->read_ns += t->work_ns;
        break;
    case DISK_HASH: /* the rest of it is reading */
        n->read_ns += t->work_ns - t->hash_ns;
        break;
    case DISK_WRITE:
        n->write_ns += t->work_ns;
        break;
    case DISK_CHECK:
    case DISK_SYNC:
    case DISK_REMOVE:
    case DISK_WANTED:
    case DISK_CLOSE:
        break;
    }
}

static void on_back(struct job *job, int status)
{
    struct disk_task *t = container_of(job, struct disk_task, job);
    struct disk *d = t->d;
    struct disk_storage *s = t->s;
    struct disk_job *j = t->j;
    ASSERT(status == 0); /* nobody cancels it */
    d->n_reserved -= t->keep;
    d->stats.opens += t->n_opens;
    d->stats.jobs--;
    count_work(&d->stats, t);
    for (uint32_t i = 0; i < t->n_ranges; i++) {
        take_back(t, &t->ranges[i].file, t->ranges[i].at.file);
    }
    take_back(t, &t->part, DISK_PART);
    take_back(t, &t->root, DISK_ROOT);
    note_result(t);
    free(t->dirty);
    free(t->closing);
    free(t);
    s->n_running--;
    s->n_fences -= is_fence(j->op);
    s->fenced = false; /* a fence runs alone: this was it, or there is none */
    s->n_writing -= j->op == DISK_WRITE;
    launch_waiting(s);
    d->on_done(d->ctx, j);
}

/* ---- in and out ------------------------------------------------------------------------------ */

static void check_job(const struct disk_job *j)
{
    uint64_t len = 0;
    if (j->op == DISK_READ) {
        ASSERT(j->n_bufs == 1 && j->len > 0 && j->len <= j->bufs[0]->cap);
    } else if (j->op == DISK_WRITE) {
        ASSERT(j->n_bufs > 0 && j->n_bufs <= PIECE_RUN_BLOCKS);
        for (uint32_t i = 0; i < j->n_bufs; i++) {
            len += j->bufs[i]->len;
        }
        ASSERT(j->len > 0 && len == j->len);
    }
}

static void count_cached(struct disk_stats *n, const struct disk_job *j, uint64_t ns)
{
    n->reads_cached++;
    n->blocks_cached += (j->len + WIRE_BLOCK_LEN - 1) / WIRE_BLOCK_LEN;
    n->work_ns += ns;
    n->read_ns += ns;
    count_read_wait(n, ns);
}

void disk_start(struct disk *d, struct disk_job *job)
{
    struct disk_storage *s = storage_of(d, job->torrent);
    check_job(job);
    job->status = 0;
    job->err = (struct err){.code = 0};
    const uint64_t start_ns = job->op == DISK_READ ? uv_hrtime() : 0;
    if (job->op == DISK_READ && read_cached(d, s, job)) {
        job->bufs[0]->len = job->len;
        count_cached(&d->stats, job, uv_hrtime() - start_ns);
        give_back(d, job);
        return;
    }
    struct disk_task *t = task_new(d, s, job);
    t->start_ns = start_ns;
    d->stats.reads_pool += job->op == DISK_READ;
    s->n_fences += is_fence(job->op);
    list_add_tail(&s->waiting, &t->waiting);
    launch_waiting(s);
}

bool disk_drain(struct disk *d)
{
    struct disk_job **done = d->done;
    size_t n = d->n_done;
    d->done = NULL; /* on_done may start more */
    d->n_done = 0;
    d->done_cap = 0;
    for (size_t i = 0; i < n; i++) {
        d->on_done(d->ctx, done[i]);
    }
    free(done);
    return n > 0;
}

/* Behind the first fence, or one that runs: a write before it waits for other writes alone. */
static void count_held(const struct disk_storage *s, struct disk_stats *out)
{
    bool held = s->fenced;
    if (s->n_fences == 0) {
        return;
    }
    LIST_FOREACH_SAFE (node, &s->waiting) {
        const struct disk_job *j = container_of(node, struct disk_task, waiting)->j;
        held = held || is_fence(j->op);
        out->held[j->op] += held ? 1 : 0;
        out->n_deletes_held += held && j->op == DISK_REMOVE && j->with_data ? 1 : 0;
    }
}

void disk_stats(const struct disk *d, struct disk_stats *out)
{
    *out = d->stats;
    out->writing = atomic_load_explicit(&d->n_writing, memory_order_relaxed);
    for (struct map_node *node = map_first(&d->storages); node != NULL;
         node = map_next(&d->storages, node)) {
        count_held(container_of(node, struct disk_storage, node), out);
    }
}
