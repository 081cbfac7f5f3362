/* torrent_fixture.h: engines wired in memory, each with an instant disk of its own, for the tests of
 * what torrents do. Time goes from deadline to deadline; bytes arrive as soon as they are sent.
 *
 * One torrent a node is enough: a node's disk is the content of it, with a mark a file whether it is
 * there.
 */
#ifndef TESTS_CLIENT_TORRENT_FIXTURE_H
#define TESTS_CLIENT_TORRENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include "client/data_buf.h"
#include "client/engine.h"
#include "proto/peer_wire.h"

enum {
    NODES_MAX = 8,
    LINKS_MAX = 512,
    FILES_MAX = 16,
    EVENTS_MAX = 64,
    RAW_MAX = 4,
    WORLD_STEPS_MAX = 200000,
};

/* ---- a torrent to play with */

struct sample {
    uint8_t *content;
    uint64_t len;
    uint8_t *info;
    size_t info_len;
    struct infohash hash;
    uint32_t n_pieces;
};

struct sample_file {
    const char *path;
    uint64_t len;
};

static inline void sample_init(struct sample *s, const struct sample_file *files, size_t n,
                               uint32_t piece_len, bool private_torrent)
{
    struct metainfo_source_file list[FILES_MAX];
    struct rng rng = {n + piece_len};
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct metainfo_source_file){span_str(files[i].path), files[i].len};
        s->len += files[i].len;
    }
    s->content = mem_array(s->len, 1);
    for (uint64_t i = 0; i < s->len; i++) {
        s->content[i] = (uint8_t)rng_next(&rng);
    }
    s->n_pieces = (uint32_t)((s->len - 1) / piece_len + 1);
    uint8_t *hashes = mem_array(s->n_pieces, 20);
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        uint64_t at = (uint64_t)i * piece_len;
        uint64_t left = s->len - at;
        digest_sha1(hashes + i * 20, span_of(s->content + at, left < piece_len ? left : piece_len));
    }
    struct metainfo_source src = {
        .name = SPAN("sample"),
        .files = list,
        .n_files = n,
        .piece_len = piece_len,
        .pieces = span_of(hashes, (size_t)s->n_pieces * 20),
    };
    src.private = private_torrent;
    struct metainfo_encoded size = metainfo_measure(&src);
    uint8_t *file = mem_array(size.len, 1);
    struct wr w = wr_over(file, size.len);
    struct metainfo_encoded at = metainfo_encode(&w, &src);
    assert_false(w.bad);
    s->info = mem_array(at.info_len, 1);
    s->info_len = at.info_len;
    memcpy(s->info, file + at.info_at, at.info_len);
    digest_sha1(s->hash.b, span_of(s->info, s->info_len));
    free(file);
    free(hashes);
}

static inline void sample_release(struct sample *s)
{
    free(s->content);
    free(s->info);
}

/* ---- the world */

struct memory_disk {
    uint8_t *content;
    bool exists[FILES_MAX];
    bool unmounted;
    uint64_t space; /* bytes that may still be written */
    uint32_t n_hashes, n_writes, n_reads, n_no_space;
    bool removed, removed_data;
    bool held;           /* jobs wait until it is false */
    bool broken;         /* everything fails */
    uint32_t stop_after; /* jobs; then it is held; 0: goes on */
};

/* A peer that a test plays itself: what the node sends to it is kept. */
struct raw {
    struct node *n;
    conn_id conn; /* 0: there is none */
    uint8_t *bytes;
    size_t len, cap, at;
    bool closed;
};

struct node {
    struct world *w;
    struct raw raw[RAW_MAX];
    struct engine *e;
    struct endpoint at;
    struct sample *s;
    torrent_id t;
    struct memory_disk disk;
    struct disk_job *jobs[4096];
    size_t n_jobs;
    struct torrent_saved saved;
    bool has_saved;
    int removed_status; /* 1: not removed */
    unsigned n_metadata;
    enum announce_event events[EVENTS_MAX];
    size_t n_events;
    char last_close[128];
};

struct pipe_end {
    struct node *node; /* who reads it */
    conn_id conn;
    uint8_t *bytes;
    size_t len, cap;
};

struct link {
    struct pipe_end end[2];
    bool open;
    bool frozen; /* nothing arrives */
};

struct world {
    struct node nodes[NODES_MAX];
    size_t n_nodes;
    struct link links[LINKS_MAX];
    size_t n_links;
    uint64_t now_ms;
};

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->now_ms = 1000;
}

static inline void node_start(struct node *n, const struct engine_cfg *cfg)
{
    struct engine_cfg c = cfg == NULL ? engine_cfg_default : *cfg;
    c.version = "Test 1";
    c.seed = (uint64_t)n->at.port * 7919 + n->w->now_ms;
    n->e = engine_new(&c, n->w->now_ms);
    struct session_add add = {.listen = &n->at, .n_listen = 1};
    memset(add.peer_id.b, 'a' + n->at.addr.b[3], sizeof add.peer_id.b);
    engine_add_session(n->e, &add);
}

static inline struct node *world_add_node(struct world *w, struct sample *s,
                                          const struct engine_cfg *cfg)
{
    struct node *n = &w->nodes[w->n_nodes++];
    n->w = w;
    n->s = s;
    n->at = (struct endpoint){.port = (uint16_t)(6880 + w->n_nodes)};
    n->at.addr.b[0] = 10;
    n->at.addr.b[3] = (uint8_t)w->n_nodes;
    n->removed_status = 1;
    n->disk.content = mem_zeroed(s->len);
    n->disk.space = UINT64_MAX;
    node_start(n, cfg);
    return n;
}

static inline void node_fill_disk(struct node *n)
{
    memcpy(n->disk.content, n->s->content, n->s->len);
    memset(n->disk.exists, true, sizeof n->disk.exists);
}

static inline struct torrent_add node_torrent(const struct node *n)
{
    return (struct torrent_add){
        .info_hash = n->s->hash,
        .info = span_of(n->s->info, n->s->info_len),
    };
}

static inline void node_add(struct node *n, const struct torrent_add *add)
{
    const char *why = NULL;
    assert_int_equal(engine_add_torrent(n->e, add, &n->t, n->w->now_ms, &why), 0);
}

/* Add it as one whose files are there. */
static inline void node_add_seed(struct node *n)
{
    node_fill_disk(n);
    struct torrent_add add = node_torrent(n);
    uint8_t *all = mem_array(n->s->n_pieces / 8 + 1, 1);
    memset(all, 0xff, n->s->n_pieces / 8 + 1);
    if (n->s->n_pieces % 8 != 0) {
        all[n->s->n_pieces / 8] = (uint8_t)(0xff00 >> n->s->n_pieces % 8);
    }
    struct torrent_resume resume = {
        .checked = true,
        .bitfield = span_of(all, peer_wire_bitfield_len(n->s->n_pieces)),
        .completed_unix_s = 1,
    };
    add.resume = &resume;
    node_add(n, &add);
    free(all);
}

static inline struct torrent_status node_status(const struct node *n)
{
    struct torrent_status st;
    assert_int_equal(engine_status(n->e, n->t, &st, n->w->now_ms), 0);
    return st;
}

/* ---- disk */

static inline int disk_fail(struct disk_job *job, int code, const char *text)
{
    return err_set(&job->err, code, "%s", text);
}

static inline int disk_touch(struct node *n, const struct layout *l, struct disk_job *job,
                             bool make)
{
    struct layout_range r;
    struct layout_walk at = layout_walk(l, job->offset, job->len);
    while (layout_walk_next(&at, &r)) {
        if (n->disk.unmounted || (!make && !n->disk.exists[r.file])) {
            return disk_fail(job, ERR_NOT_FOUND, "sample/a: No such file or directory");
        }
        n->disk.exists[r.file] = true;
    }
    return 0;
}

static inline int disk_write(struct node *n, const struct layout *l, struct disk_job *job)
{
    if (n->disk.space < job->len) {
        n->disk.n_no_space++;
        return disk_fail(job, ERR_NO_SPACE, "sample/a: No space left on device");
    }
    n->disk.space -= job->len;
    n->disk.n_writes++;
    uint64_t at = job->offset;
    for (uint32_t i = 0; i < job->n_bufs; i++) {
        memcpy(n->disk.content + at, job->bufs[i]->p, job->bufs[i]->len);
        at += job->bufs[i]->len;
    }
    assert_true(at == job->offset + job->len);
    return disk_touch(n, l, job, true);
}

static inline int disk_check(struct node *n, const struct layout *l, struct disk_job *job)
{
    if (n->disk.unmounted) {
        return disk_fail(job, ERR_UNAVAILABLE, "downloads: No such file or directory");
    }
    for (uint32_t i = 0; i < l->n_files; i++) {
        bool there = n->disk.exists[i] || l->files[i].len == 0;
        job->any_data = job->any_data || (n->disk.exists[i] && l->files[i].len > 0);
        job->n_missing += !there;
    }
    return job->n_missing > 0 ? disk_fail(job, ERR_NOT_FOUND, "sample/a: it is missing") : 0;
}

static inline int disk_do(struct node *n, struct disk_job *job)
{
    const struct layout *l = engine_layout(n->e, job->torrent);
    assert_non_null(l);
    if (n->disk.broken) {
        return disk_fail(job, ERR_SYSTEM, "sample/a: Input/output error");
    }
    switch (job->op) {
    case DISK_READ:
        n->disk.n_reads++;
        memcpy(job->bufs[0]->p, n->disk.content + job->offset, job->len);
        job->bufs[0]->len = job->len;
        return disk_touch(n, l, job, false);
    case DISK_WRITE:
        return disk_write(n, l, job);
    case DISK_HASH:
        n->disk.n_hashes++;
        digest_sha1(job->digest, span_of(n->disk.content + job->offset, job->len));
        return disk_touch(n, l, job, false);
    case DISK_CHECK:
        return disk_check(n, l, job);
    case DISK_REMOVE:
        n->disk.removed = true;
        n->disk.removed_data = job->with_data;
        return 0;
    case DISK_SYNC:
    case DISK_WANTED:
    case DISK_CLOSE:
        return 0;
    }
    return 0;
}

static inline bool disk_run(struct node *n)
{
    bool any = false;
    while (n->n_jobs > 0 && !n->disk.held && n->disk.stop_after != 1) {
        n->disk.stop_after -= n->disk.stop_after > 0;
        struct disk_job *job = n->jobs[0];
        memmove(&n->jobs[0], &n->jobs[1], --n->n_jobs * sizeof n->jobs[0]);
        job->status = disk_do(n, job);
        engine_on_disk(n->e, job, n->w->now_ms);
        any = true;
    }
    return any;
}

/* ---- network */

static inline struct link *link_of(struct node *n, conn_id conn, int *mine)
{
    for (size_t i = 0; i < n->w->n_links; i++) {
        struct link *l = &n->w->links[i];
        for (int k = 0; k < 2 && l->open; k++) {
            if (l->end[k].node == n && l->end[k].conn == conn) {
                *mine = k;
                return l;
            }
        }
    }
    return NULL;
}

static inline void net_connect(struct node *n, const struct engine_out *out)
{
    struct world *w = n->w;
    for (size_t i = 0; i < w->n_nodes; i++) {
        struct node *to = &w->nodes[i];
        if (to->e == NULL || !endpoint_eq(&to->at, &out->remote)) {
            continue;
        }
        struct endpoint from = n->at;
        from.port = (uint16_t)(40000 + w->n_links);
        conn_id id = engine_on_accept(to->e, 0, &from, w->now_ms);
        if (id == 0) {
            break;
        }
        assert_true(w->n_links < LINKS_MAX);
        struct link *l = &w->links[w->n_links++];
        *l = (struct link){.end = {{.node = n, .conn = out->conn}, {.node = to, .conn = id}},
                           .open = true};
        engine_on_connected(n->e, out->conn, 0, w->now_ms);
        return;
    }
    engine_on_connected(n->e, out->conn, ERR_UNAVAILABLE, w->now_ms);
}

static inline struct raw *raw_of(struct node *n, conn_id conn)
{
    for (size_t i = 0; i < RAW_MAX; i++) {
        if (n->raw[i].conn == conn) {
            return &n->raw[i];
        }
    }
    return NULL;
}

static inline void append(uint8_t **bytes, size_t *len, size_t *cap, const struct iovec *part)
{
    if (*cap < *len + part->iov_len) {
        *cap = 2 * (*len + part->iov_len);
        *bytes = mem_resize(*bytes, *cap, 1);
    }
    memcpy(*bytes + *len, part->iov_base, part->iov_len);
    *len += part->iov_len;
}

static inline void net_send(struct node *n, conn_id conn)
{
    struct iovec iov[32];
    size_t parts;
    int mine = 0;
    struct link *l = link_of(n, conn, &mine);
    struct raw *raw = l == NULL ? raw_of(n, conn) : NULL;
    if (l == NULL && raw == NULL) {
        return;
    }
    while ((parts = engine_send_iov(n->e, conn, iov, 32, n->w->now_ms)) > 0) {
        size_t sent = 0;
        for (size_t i = 0; i < parts; i++) {
            if (raw != NULL) {
                append(&raw->bytes, &raw->len, &raw->cap, &iov[i]);
            } else {
                struct pipe_end *to = &l->end[!mine];
                append(&to->bytes, &to->len, &to->cap, &iov[i]);
            }
            sent += iov[i].iov_len;
        }
        engine_on_sent(n->e, conn, sent, n->w->now_ms);
    }
}

static inline bool net_deliver(struct link *l, int k)
{
    struct pipe_end *end = &l->end[k];
    if (!l->open || l->frozen || end->len == 0) {
        return false;
    }
    size_t room = engine_read_room(end->node->e, end->conn, end->node->w->now_ms);
    size_t n = room < end->len ? room : end->len;
    if (n == 0) {
        return false;
    }
    engine_on_bytes(end->node->e, end->conn, span_of(end->bytes, n), end->node->w->now_ms);
    end->len -= n;
    memmove(end->bytes, end->bytes + n, end->len);
    return true;
}

static inline void net_close(struct node *n, const struct engine_out *out)
{
    int mine = 0;
    struct link *l = link_of(n, out->conn, &mine);
    struct raw *raw = raw_of(n, out->conn);
    if (raw != NULL) {
        raw->closed = true;
    }
    if (l != NULL) {
        struct pipe_end *to = &l->end[!mine];
        l->open = false;
        engine_on_closed(to->node->e, to->conn, ERR_CLOSED, n->w->now_ms);
    }
}

static inline void on_announce(struct node *n, const struct engine_announce *a)
{
    if (a->url != NULL && n->n_events < EVENTS_MAX) {
        n->events[n->n_events++] = a->req.event;
    }
    struct announce_result r = {.outcome = {.answered = true, .interval_s = 1800}};
    engine_on_announced(n->e, a->id, &r, n->w->now_ms);
}

static inline void on_save(struct node *n, const struct engine_out *out)
{
    if (n->has_saved) {
        torrent_saved_free(&n->saved);
    }
    n->has_saved = engine_resume_of(n->e, out->torrent, &n->saved, n->w->now_ms) == 0;
    assert_true(n->has_saved);
    engine_on_saved(n->e, out->torrent, out->version, 0, n->w->now_ms);
}

static inline bool node_drain(struct node *n)
{
    struct engine_out out;
    bool any = false;
    while (n->e != NULL && engine_next_out(n->e, &out)) {
        any = true;
        switch (out.kind) {
        case ENGINE_OUT_CONNECT:
            net_connect(n, &out);
            break;
        case ENGINE_OUT_SEND:
            net_send(n, out.conn);
            break;
        case ENGINE_OUT_READ:
            break;
        case ENGINE_OUT_CLOSE:
            (void)snprintf(n->last_close, sizeof n->last_close, "%s", out.why);
            net_close(n, &out);
            break;
        case ENGINE_OUT_DISK:
            assert_true(n->n_jobs < sizeof n->jobs / sizeof n->jobs[0]);
            n->jobs[n->n_jobs++] = out.job;
            break;
        case ENGINE_OUT_ANNOUNCE:
            on_announce(n, &out.announce);
            break;
        case ENGINE_OUT_SCRAPE:
            break;
        case ENGINE_OUT_SAVE:
            on_save(n, &out);
            break;
        case ENGINE_OUT_METADATA:
            n->n_metadata++;
            break;
        case ENGINE_OUT_REMOVED:
            n->removed_status = out.status;
            break;
        }
    }
    return any;
}

/* Everything that happens without time. */
static inline void world_settle(struct world *w)
{
    bool any = true;
    for (int turns = 0; any; turns++) {
        assert_true(turns < WORLD_STEPS_MAX);
        any = false;
        for (size_t i = 0; i < w->n_nodes; i++) {
            any |= node_drain(&w->nodes[i]);
            any |= w->nodes[i].e != NULL && disk_run(&w->nodes[i]);
        }
        for (size_t i = 0; i < w->n_links; i++) {
            any |= net_deliver(&w->links[i], 0);
            any |= net_deliver(&w->links[i], 1);
        }
    }
}

static inline uint64_t world_deadline_ms(const struct world *w)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < w->n_nodes; i++) {
        uint64_t d = w->nodes[i].e == NULL ? UINT64_MAX : engine_deadline_ms(w->nodes[i].e);
        at = d < at ? d : at;
    }
    return at;
}

/* Let ms pass. */
static inline void world_run(struct world *w, uint64_t ms)
{
    uint64_t end_ms = w->now_ms + ms;
    world_settle(w);
    for (int steps = 0;; steps++) {
        uint64_t at = world_deadline_ms(w);
        assert_true(steps < WORLD_STEPS_MAX);
        if (at > end_ms) {
            break;
        }
        w->now_ms = at > w->now_ms ? at : w->now_ms;
        for (size_t i = 0; i < w->n_nodes; i++) {
            if (w->nodes[i].e != NULL) {
                engine_on_deadline(w->nodes[i].e, w->now_ms);
            }
        }
        world_settle(w);
    }
    w->now_ms = end_ms;
}

static inline void node_meet(struct node *from, struct node *to)
{
    engine_add_peer(from->e, from->t, &to->at, from->w->now_ms);
}

/* The node's process ends now, as with kill -9. */
static inline void node_kill(struct node *n)
{
    for (size_t i = 0; i < n->w->n_links; i++) {
        struct link *l = &n->w->links[i];
        for (int k = 0; k < 2 && l->open; k++) {
            if (l->end[k].node == n) {
                struct pipe_end *other = &l->end[!k];
                l->open = false;
                if (other->node->e != NULL) {
                    engine_on_closed(other->node->e, other->conn, ERR_CLOSED, n->w->now_ms);
                }
            }
        }
    }
    n->disk.held = false;
    n->disk.stop_after = 0;
    while (n->n_jobs > 0) {
        (void)disk_run(n);
        struct engine_out out;
        while (engine_next_out(n->e, &out)) {
            if (out.kind == ENGINE_OUT_DISK) {
                n->jobs[n->n_jobs++] = out.job;
            }
        }
    }
    engine_free(n->e);
    n->e = NULL;
}

static inline void world_release(struct world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];
        if (n->e != NULL) {
            node_kill(n);
        }
        if (n->has_saved) {
            torrent_saved_free(&n->saved);
        }
        free(n->disk.content);
        for (size_t k = 0; k < RAW_MAX; k++) {
            free(n->raw[k].bytes);
        }
    }
    for (size_t i = 0; i < w->n_links; i++) {
        free(w->links[i].end[0].bytes);
        free(w->links[i].end[1].bytes);
    }
}

/* It ends like that and comes back with what was stored last. */
static inline void node_restart(struct node *n)
{
    node_kill(n);
    node_start(n, NULL);
    struct torrent_add add = node_torrent(n);
    add.resume = n->has_saved ? &n->saved.resume : NULL;
    add.flags = n->has_saved ? n->saved.flags : 0;
    node_add(n, &add);
}

/* What is stored as had is right, whatever happened. */
static inline void assert_saved_is_true(const struct node *n, uint32_t piece_len)
{
    const struct span *bits = &n->saved.resume.bitfield;
    for (uint32_t i = 0; n->has_saved && n->saved.resume.checked && i < bits->n * 8; i++) {
        uint64_t at = (uint64_t)i * piece_len;
        if (bits->p[i / 8] & (0x80 >> i % 8)) {
            uint64_t left = n->s->len - at;
            assert_memory_equal(n->disk.content + at, n->s->content + at,
                                left < piece_len ? left : piece_len);
        }
    }
}

static inline void assert_has_all(struct node *n)
{
    struct torrent_status st = node_status(n);
    assert_int_equal(st.n_pieces_have, n->s->n_pieces);
    assert_int_equal(st.state, TORRENT_SEEDING);
    assert_memory_equal(n->disk.content, n->s->content, n->s->len);
}

/* ---- a scene: several nodes with the same torrent */

enum { PIECE_LEN = 1 << 16 };

static const struct sample_file files3[] = {
    {"a.bin", 700001},
    {"empty", 0},
    {"sub/b.bin", 1500000},
    {"sub/c.bin", 90000},
};

struct scene {
    struct sample s;
    struct world w;
};

static inline struct scene *scene_new(bool private_torrent)
{
    struct scene *x = mem_new(struct scene);
    sample_init(&x->s, files3, sizeof files3 / sizeof files3[0], PIECE_LEN, private_torrent);
    world_init(&x->w);
    return x;
}

static inline void scene_free(struct scene *x)
{
    world_release(&x->w);
    sample_release(&x->s);
    free(x);
}

static inline struct node *add_node(struct scene *x)
{
    return world_add_node(&x->w, &x->s, NULL);
}

static inline struct node *add_seed(struct scene *x)
{
    struct node *n = add_node(x);
    node_add_seed(n);
    return n;
}

static inline struct node *add_leech(struct scene *x)
{
    struct node *n = add_node(x);
    struct torrent_add add = node_torrent(n);
    node_add(n, &add);
    return n;
}

static inline size_t count_events(const struct node *n, enum announce_event event)
{
    size_t found = 0;
    for (size_t i = 0; i < n->n_events; i++) {
        found += n->events[i] == event;
    }
    return found;
}

#endif
