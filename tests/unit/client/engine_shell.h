/* engine_shell.h: an engine driven by hand: its outputs are recorded, its disk is memory, time is a
 * number. For the tests of the engine; the far ends of its connections are wires. */
#ifndef TESTS_UNIT_CLIENT_ENGINE_SHELL_H
#define TESTS_UNIT_CLIENT_ENGINE_SHELL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/engine.h"
#include "proto/peer_wire.h"

enum {
    SHELL_KINDS = ENGINE_OUT_REMOVED + 1,
    SHELL_LOG = 4096,
    SHELL_HELD = 64,
    PIECE_LEN = 1 << 16,
};

/* ---- content ---- */

struct content {
    uint8_t *bytes;
    size_t len;
    uint32_t n_pieces;
    uint8_t *info;
    size_t info_len;
    struct infohash hash;
};

/* seed makes contents different. */
static inline void content_init(struct content *c, uint32_t n_pieces, uint64_t seed)
{
    size_t len = (size_t)n_pieces * PIECE_LEN;
    size_t cap = 200 + (size_t)n_pieces * 20;
    struct rng rng = {seed};
    *c = (struct content){.bytes = mem_array(len, 1), .len = len, .n_pieces = n_pieces};
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rng_next(&rng);
        memcpy(c->bytes + i, &v, 8);
    }
    c->info = mem_array(cap, 1);
    int head = snprintf((char *)c->info, cap,
                        "d6:lengthi%zue4:name4:test12:piece lengthi%de6:pieces%u:", len, PIECE_LEN,
                        n_pieces * 20);
    uint8_t *at = c->info + head;
    for (uint32_t i = 0; i < n_pieces; i++, at += 20) {
        digest_sha1(at, span_of(c->bytes + (size_t)i * PIECE_LEN, PIECE_LEN));
    }
    *at++ = 'e';
    c->info_len = (size_t)(at - c->info);
    digest_sha1(c->hash.b, span_of(c->info, c->info_len));
}

static inline void content_release(struct content *c)
{
    free(c->bytes);
    free(c->info);
}

/* ---- shell ---- */

struct shell {
    struct engine *e;
    uint64_t now_ms;
    uint8_t *disk; /* of one torrent */
    size_t disk_len;
    int disk_status; /* of writes */
    int sync_status;
    bool hold_disk;
    struct disk_job *held[SHELL_HELD];
    size_t n_held;
    int save_status;
    bool hold_saves;
    size_t n_outs[SHELL_KINDS];
    struct engine_out *log; /* all but SEND and READ */
    size_t n_log;
    conn_id sends[SHELL_LOG]; /* since shell_forget */
    size_t n_sends;
    conn_id reads[SHELL_LOG];
    size_t n_reads;
};

static inline void shell_init(struct shell *s, const struct engine_cfg *cfg)
{
    *s = (struct shell){.now_ms = 1000};
    s->log = mem_array(SHELL_LOG, sizeof *s->log);
    s->e = engine_new(cfg, s->now_ms);
}

static inline void shell_do_job(struct shell *s, struct disk_job *job)
{
    job->status = 0;
    switch (job->op) {
    case DISK_READ:
        memcpy(job->bufs[0]->p, s->disk + job->offset, job->len);
        job->bufs[0]->len = job->len;
        break;
    case DISK_WRITE:
        job->status = s->disk_status;
        for (uint64_t i = 0, at = job->offset; i < job->n_bufs; at += job->bufs[i]->len, i++) {
            memcpy(s->disk + at, job->bufs[i]->p, job->bufs[i]->len);
        }
        break;
    case DISK_HASH:
        digest_sha1(job->digest, span_of(s->disk + job->offset, job->len));
        break;
    case DISK_SYNC:
        job->status = s->sync_status;
        break;
    case DISK_CHECK:
    case DISK_REMOVE:
    case DISK_WANTED:
    case DISK_CLOSE:
        break;
    }
    engine_on_disk(s->e, job, s->now_ms);
}

static inline void shell_act(struct shell *s, const struct engine_out *out)
{
    s->n_outs[out->kind]++;
    if (out->kind == ENGINE_OUT_SEND && s->n_sends < SHELL_LOG) {
        s->sends[s->n_sends++] = out->conn;
    } else if (out->kind == ENGINE_OUT_READ && s->n_reads < SHELL_LOG) {
        s->reads[s->n_reads++] = out->conn;
    } else if (s->n_log < SHELL_LOG) {
        s->log[s->n_log++] = *out;
    }
    if (out->kind == ENGINE_OUT_DISK && s->hold_disk && s->n_held < SHELL_HELD) {
        s->held[s->n_held++] = out->job;
    } else if (out->kind == ENGINE_OUT_DISK) {
        shell_do_job(s, out->job);
    } else if (out->kind == ENGINE_OUT_SAVE && !s->hold_saves) {
        engine_on_saved(s->e, out->torrent, out->version, s->save_status, s->now_ms);
    }
}

static inline void shell_drain(struct shell *s)
{
    struct engine_out out;
    while (engine_next_out(s->e, &out)) {
        shell_act(s, &out);
    }
}

/* Held jobs are done, those that come of them as well. */
static inline void shell_let_go(struct shell *s)
{
    s->hold_disk = false;
    for (size_t i = 0; i < s->n_held; i++) {
        shell_do_job(s, s->held[i]);
    }
    s->n_held = 0;
    shell_drain(s);
}

/* Time passes, deadline by deadline. */
static inline void shell_run_to(struct shell *s, uint64_t at_ms)
{
    shell_drain(s);
    while (engine_deadline_ms(s->e) <= at_ms) {
        uint64_t due_ms = engine_deadline_ms(s->e);
        s->now_ms = due_ms > s->now_ms ? due_ms : s->now_ms;
        engine_on_deadline(s->e, s->now_ms);
        shell_drain(s);
    }
    s->now_ms = at_ms;
}

static inline void shell_run(struct shell *s, uint64_t ms)
{
    shell_run_to(s, s->now_ms + ms);
}

/* What was recorded so far. */
static inline void shell_forget(struct shell *s)
{
    memset(s->n_outs, 0, sizeof s->n_outs);
    s->n_log = s->n_sends = s->n_reads = 0;
}

/* The i-th output of a kind since shell_forget; NULL: there are not as many. */
static inline const struct engine_out *shell_out(const struct shell *s, enum engine_out_kind kind,
                                                 size_t i)
{
    for (size_t k = 0; k < s->n_log; k++) {
        if (s->log[k].kind == kind && i-- == 0) {
            return &s->log[k];
        }
    }
    return NULL;
}

static inline struct engine_totals shell_totals(const struct shell *s)
{
    struct engine_totals t;
    engine_totals(s->e, &t);
    return t;
}

static inline void shell_release(struct shell *s)
{
    shell_let_go(s);
    engine_free(s->e);
    free(s->log);
    free(s->disk);
}

static inline struct endpoint at(const char *text)
{
    struct endpoint e = {.port = 0};
    if (!endpoint_parse(&e, span_str(text))) {
        abort();
    }
    return e;
}

static inline struct peer_id peer_id_of(uint8_t c)
{
    struct peer_id id;
    memset(id.b, c, sizeof id.b);
    return id;
}

/* Session 0 with the peer id MMMM..., listening on 192.0.2.1:6881. */
static inline void shell_add_session(struct shell *s)
{
    struct endpoint listen = at("192.0.2.1:6881");
    engine_add_session(s->e, &(struct session_add){
                                 .listen = &listen,
                                 .n_listen = 1,
                                 .peer_id = peer_id_of('M'),
                             });
}

/* A torrent with this content: complete, or with nothing of it. */
static inline torrent_id shell_add(struct shell *s, const struct content *c, bool complete,
                                   const struct torrent_add *more)
{
    size_t bits_len = (c->n_pieces + 7) / 8;
    uint8_t *bits = mem_zeroed(bits_len);
    struct torrent_resume resume = {.checked = true};
    struct torrent_add add = more != NULL ? *more : (struct torrent_add){.flags = 0};
    torrent_id id;
    const char *why = NULL;
    for (uint32_t i = 0; complete && i < c->n_pieces; i++) {
        bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
    resume.bitfield = complete ? span_of(bits, bits_len) : span_of(NULL, 0);
    add.info_hash = c->hash;
    add.info = span_of(c->info, c->info_len);
    add.resume = &resume;
    free(s->disk);
    s->disk = mem_zeroed(c->len);
    s->disk_len = c->len;
    if (complete) {
        memcpy(s->disk, c->bytes, c->len);
    }
    if (engine_add_torrent(s->e, &add, &id, s->now_ms, &why) != 0) {
        abort();
    }
    free(bits);
    shell_drain(s);
    return id;
}

/* ---- wires ---- */

/* The far end of a connection: a peer of few words. It has every piece, or none. */
struct wire {
    struct shell *s;
    const struct content *c;
    conn_id conn;
    uint8_t *to; /* bytes for the engine */
    size_t n_to, cap_to;
    uint8_t *from; /* bytes of the engine that are not a whole message yet */
    size_t n_from;
    bool shook; /* its handshake has come */
    bool seed;
    bool asks;           /* for blocks, one after the other, for ever */
    bool unchoked;       /* by the engine */
    uint32_t n_asked;    /* requests of ours under way */
    uint32_t next_block; /* to ask for */
    uint64_t n_payload;  /* bytes of blocks that came */
    uint64_t n_given;    /* bytes of blocks that went, as far as the engine read them */
    uint64_t n_msgs;
};

enum { WIRE_FROM_CAP = 1 << 20, WIRE_ASKS = 20 };

static inline void wire_init(struct wire *w, struct shell *s, const struct content *c, conn_id conn,
                             bool seed)
{
    *w = (struct wire){.s = s, .c = c, .conn = conn, .seed = seed};
    w->from = mem_array(WIRE_FROM_CAP, 1);
}

static inline void wire_release(struct wire *w)
{
    free(w->to);
    free(w->from);
}

static inline void wire_say(struct wire *w, const void *p, size_t n)
{
    if (w->cap_to - w->n_to < n) {
        w->cap_to = 2 * (w->n_to + n);
        w->to = mem_resize(w->to, w->cap_to, 1);
    }
    memcpy(w->to + w->n_to, p, n);
    w->n_to += n;
}

static inline void wire_say_msg(struct wire *w, const struct peer_wire_msg *m)
{
    uint8_t room[64];
    struct wr out = wr_over(room, sizeof room);
    peer_wire_encode(&out, m);
    wire_say(w, room, wr_len(&out));
}

static inline void wire_shake(struct wire *w, const struct infohash *hash, uint8_t id)
{
    uint8_t room[WIRE_HANDSHAKE_LEN];
    struct wr out = wr_over(room, sizeof room);
    peer_wire_handshake_encode(&out, &(struct peer_wire_handshake){
                                         .features = WIRE_FAST,
                                         .info_hash = *hash,
                                         .peer_id = peer_id_of(id),
                                     });
    wire_say(w, room, sizeof room);
}

/* What it has, and that it wants or gives. */
static inline void wire_greet(struct wire *w)
{
    wire_say_msg(w, &(struct peer_wire_msg){.type = w->seed ? WIRE_HAVE_ALL : WIRE_HAVE_NONE});
    wire_say_msg(w, &(struct peer_wire_msg){.type = w->seed ? WIRE_UNCHOKE : WIRE_INTERESTED});
}

/* The engine reads what it has room for. */
static inline size_t wire_push(struct wire *w)
{
    size_t room = engine_read_room(w->s->e, w->conn, w->s->now_ms);
    size_t n = w->n_to < room ? w->n_to : room;
    if (n > 0) {
        engine_on_bytes(w->s->e, w->conn, span_of(w->to, n), w->s->now_ms);
        memmove(w->to, w->to + n, w->n_to - n);
        w->n_to -= n;
    }
    shell_drain(w->s);
    return n;
}

static inline void wire_ask(struct wire *w)
{
    uint32_t n_blocks = (uint32_t)(w->c->len / WIRE_BLOCK_LEN);
    for (; w->asks && w->unchoked && w->n_asked < WIRE_ASKS; w->n_asked++) {
        uint32_t block = w->next_block++ % n_blocks;
        struct wire_block b = {
            .piece = block / (PIECE_LEN / WIRE_BLOCK_LEN),
            .begin = block % (PIECE_LEN / WIRE_BLOCK_LEN) * WIRE_BLOCK_LEN,
            .len = WIRE_BLOCK_LEN,
        };
        wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = b});
    }
}

static inline void wire_give(struct wire *w, const struct wire_block *b)
{
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_PIECE, .block = *b});
    wire_say(w, w->c->bytes + (size_t)b->piece * PIECE_LEN + b->begin, b->len);
    w->n_given += b->len;
}

/* One message off from; its length, or 0. */
static inline size_t wire_take_msg(struct wire *w, size_t begin)
{
    const struct peer_wire_limits lim = {
        .n_pieces = w->c->n_pieces,
        .block_max = WIRE_BLOCK_LEN,
        .extended_max = 1 << 17,
        .unknown_max = 1 << 16,
    };
    struct peer_wire_msg m;
    const char *why = "";
    ssize_t n = peer_wire_decode(&m, span_of(w->from + begin, w->n_from - begin), &lim, &why);
    if (n < 0) {
        abort();
    }
    if (n == 0 || (m.type == WIRE_PIECE && w->n_from - begin - (size_t)n < m.block.len)) {
        return 0;
    }
    w->n_msgs++;
    if (m.type == WIRE_PIECE) {
        w->n_payload += m.block.len;
        w->n_asked -= w->n_asked > 0 ? 1 : 0;
        return (size_t)n + m.block.len;
    }
    if (m.type == WIRE_REQUEST) {
        wire_give(w, &m.block);
    } else if (m.type == WIRE_UNCHOKE || m.type == WIRE_CHOKE) {
        w->unchoked = m.type == WIRE_UNCHOKE;
        w->n_asked = 0;
    }
    return (size_t)n;
}

static inline void wire_parse(struct wire *w)
{
    size_t begin = 0;
    if (!w->shook) {
        if (w->n_from < WIRE_HANDSHAKE_LEN) {
            return;
        }
        w->shook = true;
        begin = WIRE_HANDSHAKE_LEN;
    }
    for (size_t n; (n = wire_take_msg(w, begin)) > 0; begin += n) {
    }
    memmove(w->from, w->from + begin, w->n_from - begin);
    w->n_from -= begin;
}

/* It takes what the engine has to send. Returns the bytes. */
static inline size_t wire_pull(struct wire *w)
{
    struct iovec parts[8];
    size_t all = 0;
    size_t n;
    while ((n = engine_send_iov(w->s->e, w->conn, parts, 8, w->s->now_ms)) > 0) {
        size_t sent = 0;
        for (size_t i = 0; i < n; i++) {
            memcpy(w->from + w->n_from, parts[i].iov_base, parts[i].iov_len);
            w->n_from += parts[i].iov_len;
            sent += parts[i].iov_len;
        }
        engine_on_sent(w->s->e, w->conn, sent, w->s->now_ms);
        shell_drain(w->s);
        wire_parse(w);
        all += sent;
    }
    wire_ask(w);
    return all;
}

/* Both directions, until neither has anything more now. */
static inline void wire_talk(struct wire *w)
{
    size_t n_sends;
    size_t n;
    do {
        n_sends = w->s->n_outs[ENGINE_OUT_SEND];
        n = wire_pull(w) + wire_push(w);
    } while (n > 0 || w->s->n_outs[ENGINE_OUT_SEND] != n_sends);
}

#endif
