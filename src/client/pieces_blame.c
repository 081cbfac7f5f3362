/* Who sent what was bad.
 *
 * A piece that was bad leaves an attempt: each block's sender and digest. When the piece comes right
 * later, a block whose digest differs from the right one was a lie, and its sender is known. The
 * digests of blocks that are in memory are made when they are needed; only one that leaves memory
 * before its piece's hash is known has it made beforehand, and that only when several have sent
 * parts of the piece (or the disk has) or it was bad before: a sole sender needs no proof.
 *
 * The digest is NH, the universal hash inside UMAC (RFC 4418): sums of products of 32-bit words and
 * a secret random key as long as a block. Blocks that differ collide with a chance of 2^-32, whoever
 * chose them, and it costs a fraction of the SHA-1 that the same bytes go through.
 *
 * Bounded: the oldest attempts make room. A liar that is forgotten so has to lie again.
 */
#include "client/pieces_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

enum {
    ATTEMPTS_MAX = 64,
    ATTEMPT_BLOCKS_MAX = 1 << 17,
    LIARS_MAX = 256,
    KEY_WORDS = WIRE_BLOCK_LEN / 4,
};

/* ---- senders --------------------------------------------------------------------------------- */

uint16_t pieces_sender(struct partial *part, conn_id from, const struct addr *addr)
{
    /* The newest first: a peer sends many in a row. */
    for (uint32_t i = part->n_senders; i > 0; i--) {
        if (part->senders[i - 1].conn == from) {
            part->senders[i - 1].n_blocks++;
            return (uint16_t)(i - 1);
        }
    }
    if (part->n_senders == part->senders_cap) {
        part->senders_cap = part->senders_cap == 0 ? 2 : part->senders_cap * 2;
        part->senders = mem_resize(part->senders, part->senders_cap, sizeof *part->senders);
    }
    ASSERT(part->n_senders < SENDER_NONE);
    part->senders[part->n_senders] = (struct piece_sender){from, *addr, 1};
    return (uint16_t)part->n_senders++;
}

/* ---- digests --------------------------------------------------------------------------------- */

static uint64_t nh(const uint8_t *p, const uint32_t *key)
{
    uint32_t word[2];
    memcpy(word, p, sizeof word);
    return (uint64_t)(word[0] + key[0]) * (uint32_t)(word[1] + key[1]);
}

static uint64_t digest_of(struct pieces_work *w, const struct data_buf *d)
{
    if (w->digest_key == NULL) {
        w->digest_key = mem_array(KEY_WORDS, sizeof *w->digest_key);
        digest_random(w->digest_key, KEY_WORDS * sizeof *w->digest_key);
    }
    const uint32_t *key = w->digest_key;
    uint64_t sums[4] = {0}; /* so that no addition waits for the one before */
    uint32_t at = 0;
    for (; d->len - at >= 32; at += 32, key += 8) {
        sums[0] += nh(d->p + at, key);
        sums[1] += nh(d->p + at + 8, key + 2);
        sums[2] += nh(d->p + at + 16, key + 4);
        sums[3] += nh(d->p + at + 24, key + 6);
    }
    uint8_t rest[32] = {0};
    if (at < d->len) {
        memcpy(rest, d->p + at, d->len - at);
        for (uint32_t i = 0; i < 4; i++) {
            sums[i] += nh(rest + (size_t)i * 8, key + (size_t)i * 2);
        }
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

void pieces_keep_digest(struct pieces *p, struct partial *part, uint32_t block)
{
    struct block *b = &part->blocks[block];
    if (b->marks & MARK_DIGEST) {
        return;
    }
    if (part->digests == NULL) {
        part->digests = mem_array(part->view.n_blocks, sizeof *part->digests);
    }
    part->digests[block] = digest_of(p->work, b->d);
    b->marks |= MARK_DIGEST;
}

/* Every block of this life has its digest. */
static void keep_digests(struct pieces *p, struct partial *part)
{
    for (uint32_t i = 0; i < part->view.n_blocks; i++) {
        if (part->blocks[i].d != NULL) {
            pieces_keep_digest(p, part, i);
        }
    }
}

/* ---- a bad piece ----------------------------------------------------------------------------- */

static void free_attempt(struct pieces_work *w, struct attempt *a)
{
    list_remove(&a->link);
    w->n_attempts--;
    w->attempt_blocks -= a->n_blocks;
    free(a->senders);
    free(a->digests);
    free(a->from);
    free(a);
}

void pieces_free_attempts(struct pieces_work *w)
{
    LIST_FOREACH_SAFE (node, &w->attempts) {
        free_attempt(w, container_of(node, struct attempt, link));
    }
}

static struct piece_sender *copy_senders(const struct partial *part)
{
    struct piece_sender *copy = mem_array(part->n_senders, sizeof *copy);
    memcpy(copy, part->senders, part->n_senders * sizeof *copy);
    return copy;
}

/* Takes part's digests. */
static void keep_attempt(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    uint32_t n = part->view.n_blocks;
    while (w->n_attempts > 0 &&
           (w->n_attempts == ATTEMPTS_MAX || w->attempt_blocks > ATTEMPT_BLOCKS_MAX - n)) {
        free_attempt(w, container_of(list_first(&w->attempts), struct attempt, link));
    }
    keep_digests(p, part);
    struct attempt *a = mem_new(struct attempt);
    a->piece = part->view.piece;
    a->n_blocks = n;
    a->n_senders = part->n_senders;
    a->senders = copy_senders(part);
    a->digests = part->digests;
    part->digests = NULL;
    a->from = mem_array(n, sizeof *a->from);
    for (uint32_t i = 0; i < n; i++) {
        const struct block *b = &part->blocks[i];
        a->from[i] = b->marks & MARK_DIGEST ? b->sender : SENDER_NONE;
    }
    list_add_tail(&w->attempts, &a->link);
    w->n_attempts++;
    w->attempt_blocks += n;
}

void pieces_blame_bad(struct pieces *p, struct partial *part)
{
    free(p->blame);
    p->blame = NULL;
    p->n_blame = 0;
    if (part->n_senders == 0) {
        return; /* all of it is from the disk */
    }
    bool sole = part->n_senders == 1 && !part->from_disk;
    if (!sole) {
        keep_attempt(p, part);
    }
    if (!part->from_disk) {
        p->blame = copy_senders(part);
        p->n_blame = part->n_senders;
    }
    part->n_senders = 0;
}

size_t pieces_blame(const struct pieces *p, struct piece_sender *out, size_t cap)
{
    size_t n = p->n_blame < cap ? p->n_blame : cap;
    if (n > 0) {
        memcpy(out, p->blame, n * sizeof *out);
    }
    return n;
}

bool pieces_was_bad(const struct pieces_work *w, uint32_t piece)
{
    LIST_FOREACH_SAFE (node, &w->attempts) {
        if (container_of(node, struct attempt, link)->piece == piece) {
            return true;
        }
    }
    return false;
}

/* ---- the piece came right -------------------------------------------------------------------- */

static void add_liar(struct pieces *p, const struct piece_sender *sender)
{
    for (size_t i = 0; i < p->n_liars; i++) {
        if (p->liars[i].conn == sender->conn) {
            p->liars[i].n_blocks++;
            return;
        }
    }
    if (p->n_liars < LIARS_MAX) {
        p->liars = mem_resize(p->liars, p->n_liars + 1, sizeof *p->liars);
        p->liars[p->n_liars] = *sender;
        p->liars[p->n_liars++].n_blocks = 1;
    }
}

static void compare(struct pieces *p, const struct partial *part, const struct attempt *a)
{
    for (uint32_t i = 0; i < a->n_blocks; i++) {
        if (a->from[i] != SENDER_NONE && part->blocks[i].marks & MARK_DIGEST &&
            a->digests[i] != part->digests[i]) {
            add_liar(p, &a->senders[a->from[i]]);
        }
    }
}

void pieces_find_liars(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    LIST_FOREACH_SAFE (node, &w->attempts) {
        struct attempt *a = container_of(node, struct attempt, link);
        if (a->piece == part->view.piece) {
            keep_digests(p, part);
            compare(p, part, a);
            free_attempt(w, a);
        }
    }
}

bool pieces_next_liar(struct pieces *p, struct piece_sender *out)
{
    if (p->n_liars == 0) {
        return false;
    }
    *out = p->liars[--p->n_liars];
    if (p->n_liars == 0) {
        free(p->liars);
        p->liars = NULL;
    }
    return true;
}
