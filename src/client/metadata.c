/* Commandments of fetching an info dictionary.
 *
 *   SEARCHING --a size--> GATHERING --all pieces, hash right--> DONE
 *                            ^  '--hash wrong-.
 *                            '--- ALONE <-----'   (all from one peer at a time)
 *
 * 1. Nothing that a peer says is true before the hash is. A size costs an array of its pieces, not
 *    their bytes; bytes are kept as they come, so a liar pays for every byte that we hold.
 * 2. A size is believed until another one has more peers behind it, or until nobody who claims it
 *    can be asked any more. So the first to speak cannot hold us up by silence.
 * 3. A peer that was silent or has rejected rests. One that did not keep to what was agreed is not
 *    asked again until it makes a new claim.
 * 4. A wrong dictionary of one peer's pieces shows the liar, who is never asked again. One of several
 *    peers shows nobody: from then on we take all pieces from one peer at a time, so that the next
 *    wrong one shows its liar. Peers take turns, those that came last are last, so liars that come
 *    back under new names do not keep an honest peer from its turn.
 * 5. Peers that say no size are asked as well: some have the dictionary and do not tell. When no size
 *    is known, they are asked for the first piece, whose message tells it.
 */
#include "client/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/mem.h"

#include "base/banned.h"

struct source {
    conn_id id;
    uint32_t size; /* its claim; 0: none */
    uint32_t n_asked;
    uint64_t rests_until_ms; /* 0: it does not rest */
    bool broke_word;         /* not asked until its next claim */
};

struct request {
    conn_id peer;
    uint32_t piece;
    uint64_t deadline_ms;
};

struct piece {
    uint8_t *data; /* NULL: not here */
    conn_id from;
};

struct metadata {
    struct infohash info_hash;
    struct source *sources;
    size_t n_sources, sources_cap;
    struct request *requests;
    size_t n_requests, requests_cap;
    uint32_t size; /* believed; 0: none */
    uint32_t n_pieces, n_have;
    struct piece *pieces;
    bool alone;         /* all pieces from one peer */
    conn_id alone_peer; /* 0: to be chosen */
    size_t turn;        /* in sources: whom to choose next */
    conn_id liar;       /* 0: none to be told */
    bool done;
    uint8_t *bytes; /* until they are taken */
};

struct metadata *metadata_new(const struct infohash *info_hash)
{
    struct metadata *m = mem_new(struct metadata);
    m->info_hash = *info_hash;
    return m;
}

/* No size, no pieces, nothing asked. */
static void begin_again(struct metadata *m)
{
    for (uint32_t i = 0; i < m->n_pieces; i++) {
        free(m->pieces[i].data);
    }
    free(m->pieces);
    free(m->requests);
    m->pieces = NULL;
    m->requests = NULL;
    m->n_requests = m->requests_cap = 0;
    m->size = m->n_pieces = m->n_have = 0;
    for (size_t i = 0; i < m->n_sources; i++) {
        m->sources[i].n_asked = 0;
    }
}

void metadata_free(struct metadata *m)
{
    if (m == NULL) {
        return;
    }
    begin_again(m);
    free(m->sources);
    free(m->bytes);
    free(m);
}

static void believe(struct metadata *m, uint32_t size)
{
    begin_again(m);
    m->size = size;
    m->n_pieces = ext_metadata_n_pieces(size);
    m->pieces = mem_zeroed(m->n_pieces * sizeof *m->pieces);
}

/* ---- sources --------------------------------------------------------------------------------- */

static struct source *find_source(struct metadata *m, conn_id peer)
{
    for (size_t i = 0; i < m->n_sources; i++) {
        if (m->sources[i].id == peer) {
            return &m->sources[i];
        }
    }
    return NULL;
}

static struct source *add_source(struct metadata *m, conn_id peer)
{
    if (m->n_sources == m->sources_cap) {
        m->sources_cap = m->sources_cap == 0 ? 8 : m->sources_cap * 2;
        m->sources = mem_resize(m->sources, m->sources_cap, sizeof *m->sources);
    }
    struct source *s = &m->sources[m->n_sources++];
    *s = (struct source){.id = peer};
    return s;
}

static bool is_able(const struct source *s, uint64_t now_ms)
{
    return !s->broke_word && s->rests_until_ms <= now_ms;
}

void metadata_on_peer(struct metadata *m, conn_id peer, uint32_t size)
{
    struct source *s = find_source(m, peer);
    if (m->done || size > METADATA_LEN_MAX) {
        return;
    }
    if (s == NULL) {
        s = add_source(m, peer);
    } else if (s->size == size) {
        return; /* a claim that is no news frees nobody */
    }
    s->size = size;
    s->broke_word = false;
    s->rests_until_ms = 0;
    if (m->size == 0 && size > 0 && !m->alone) {
        believe(m, size);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static void remove_request(struct metadata *m, size_t i)
{
    struct source *s = find_source(m, m->requests[i].peer);
    if (s != NULL) {
        s->n_asked--;
    }
    m->requests[i] = m->requests[--m->n_requests];
    if (m->n_requests == 0) {
        free(m->requests);
        m->requests = NULL;
        m->requests_cap = 0;
    }
}

/* False: it was not asked for this piece. */
static bool take_request(struct metadata *m, conn_id peer, uint32_t piece)
{
    for (size_t i = 0; i < m->n_requests; i++) {
        if (m->requests[i].peer == peer && m->requests[i].piece == piece) {
            remove_request(m, i);
            return true;
        }
    }
    return false;
}

static void drop_requests(struct metadata *m, conn_id peer)
{
    for (size_t i = m->n_requests; i-- > 0;) {
        if (m->requests[i].peer == peer) {
            remove_request(m, i);
        }
    }
}

static bool is_asked(const struct metadata *m, uint32_t piece)
{
    for (size_t i = 0; i < m->n_requests; i++) {
        if (m->requests[i].piece == piece) {
            return true;
        }
    }
    return false;
}

static bool ask(struct metadata *m, struct source *s, uint32_t piece, uint64_t now_ms)
{
    if (m->n_requests == m->requests_cap) {
        m->requests_cap = m->requests_cap == 0 ? 8 : m->requests_cap * 2;
        m->requests = mem_resize(m->requests, m->requests_cap, sizeof *m->requests);
    }
    m->requests[m->n_requests++] = (struct request){
        .peer = s->id,
        .piece = piece,
        .deadline_ms = now_ms + METADATA_TIMEOUT_MS,
    };
    s->n_asked++;
    return true;
}

/* Peers that claim a size; only_able: and may be asked now. */
static size_t count_claims(const struct metadata *m, uint32_t size, bool only_able, uint64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_sources; i++) {
        const struct source *s = &m->sources[i];
        n += s->size == size && (!only_able || is_able(s, now_ms));
    }
    return n;
}

/* Should we rather believe what s says? */
static bool is_better(const struct metadata *m, const struct source *s, uint64_t now_ms)
{
    return s->size > 0 && s->size != m->size &&
           (m->size == 0 || count_claims(m, m->size, true, now_ms) == 0 ||
            count_claims(m, s->size, false, now_ms) > count_claims(m, m->size, false, now_ms));
}

/* The one to take all from: the next that is able. Those without a claim when there are no others. */
static struct source *choose_alone(struct metadata *m, uint64_t now_ms)
{
    struct source *unsure = NULL;
    for (size_t i = 0; i < m->n_sources; i++) {
        size_t at = (m->turn + i) % m->n_sources;
        struct source *s = &m->sources[at];
        if (is_able(s, now_ms) && s->size > 0) {
            m->turn = at + 1;
            return s;
        }
        if (is_able(s, now_ms) && unsure == NULL) {
            unsure = s;
        }
    }
    return unsure;
}

/* May this peer be asked at all as things stand? Settles what is believed. */
static bool may_ask(struct metadata *m, struct source *s, uint64_t now_ms)
{
    if (m->alone) {
        const struct source *alone = find_source(m, m->alone_peer);
        if (alone == NULL || !is_able(alone, now_ms)) {
            alone = choose_alone(m, now_ms);
            m->alone_peer = alone->id; /* s is able, so there is one */
            begin_again(m);
        }
        if (alone != s) {
            return false;
        }
        if (s->size > 0 && s->size != m->size) {
            believe(m, s->size);
        }
        return true;
    }
    if (is_better(m, s, now_ms)) {
        believe(m, s->size);
    }
    return s->size == 0 || s->size == m->size;
}

bool metadata_next_request(struct metadata *m, conn_id peer, uint64_t now_ms, uint32_t *piece)
{
    struct source *s = find_source(m, peer);
    if (m->done || s == NULL || !is_able(s, now_ms) || !may_ask(m, s, now_ms) ||
        s->n_asked >= METADATA_ASKED_MAX) {
        return false;
    }
    *piece = 0;
    if (m->size == 0) {
        return !is_asked(m, 0) && ask(m, s, 0, now_ms);
    }
    for (uint32_t i = 0; i < m->n_pieces; i++) {
        if (m->pieces[i].data == NULL && !is_asked(m, i)) {
            *piece = i;
            return ask(m, s, i, now_ms);
        }
    }
    return false;
}

/* A peer cannot be asked for now: what it was asked for is free for others. In its own round all
 * that it has sent goes with it, or nobody could be blamed. */
static void set_aside(struct metadata *m, conn_id peer)
{
    drop_requests(m, peer);
    if (m->alone && m->alone_peer == peer) {
        m->alone_peer = 0;
        begin_again(m);
    }
}

void metadata_on_gone(struct metadata *m, conn_id peer)
{
    struct source *s = find_source(m, peer);
    if (s == NULL) {
        return;
    }
    set_aside(m, peer);
    size_t at = (size_t)(s - m->sources);
    m->turn -= at < m->turn;
    m->n_sources--;
    memmove(s, s + 1, (m->n_sources - at) * sizeof *s); /* the order is that of their turns */
}

void metadata_on_reject(struct metadata *m, conn_id peer, uint32_t piece, uint64_t now_ms)
{
    struct source *s = find_source(m, peer);
    if (m->done || s == NULL || !take_request(m, peer, piece)) {
        return;
    }
    s->rests_until_ms = now_ms + METADATA_PAUSE_MS;
    set_aside(m, peer);
}

uint64_t metadata_deadline_ms(const struct metadata *m)
{
    uint64_t deadline_ms = UINT64_MAX;
    for (size_t i = 0; i < m->n_requests; i++) {
        uint64_t at_ms = m->requests[i].deadline_ms;
        deadline_ms = at_ms < deadline_ms ? at_ms : deadline_ms;
    }
    for (size_t i = 0; i < m->n_sources; i++) {
        uint64_t at_ms = m->sources[i].rests_until_ms;
        deadline_ms = at_ms > 0 && at_ms < deadline_ms ? at_ms : deadline_ms;
    }
    return m->done ? UINT64_MAX : deadline_ms;
}

void metadata_on_deadline(struct metadata *m, uint64_t now_ms)
{
    for (size_t i = 0; i < m->n_sources; i++) {
        struct source *s = &m->sources[i];
        s->rests_until_ms = s->rests_until_ms <= now_ms ? 0 : s->rests_until_ms;
    }
    /* From the start after each, for setting one aside removes others. */
    for (size_t i = 0; i < m->n_requests;) {
        conn_id peer = m->requests[i].peer;
        if (m->requests[i].deadline_ms > now_ms) {
            i++;
            continue;
        }
        find_source(m, peer)->rests_until_ms = now_ms + METADATA_PAUSE_MS;
        set_aside(m, peer);
        i = 0;
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

/* All pieces are here: in one block of memory, the caller's. */
static uint8_t *join(struct metadata *m)
{
    uint8_t *bytes = mem_array(m->size, 1);
    for (uint32_t i = 0; i < m->n_pieces; i++) {
        memcpy(bytes + (size_t)i * EXT_METADATA_PIECE_LEN, m->pieces[i].data,
               ext_metadata_piece_len(m->size, i));
        free(m->pieces[i].data);
        m->pieces[i].data = NULL;
    }
    return bytes;
}

static void on_wrong(struct metadata *m)
{
    conn_id liar = m->pieces[0].from;
    for (uint32_t i = 0; i < m->n_pieces; i++) {
        liar = m->pieces[i].from == liar ? liar : 0;
    }
    begin_again(m);
    if (liar == 0) {
        m->alone = true;
    } else {
        m->liar = find_source(m, liar) != NULL ? liar : 0;
        metadata_on_gone(m, liar);
    }
    m->alone_peer = 0;
}

static enum metadata_result on_complete(struct metadata *m)
{
    struct infohash hash;
    uint8_t *bytes = join(m);
    uint32_t size = m->size;
    digest_sha1(hash.b, span_of(bytes, size));
    if (!infohash_eq(&hash, &m->info_hash)) {
        free(bytes);
        on_wrong(m);
        return METADATA_BAD;
    }
    begin_again(m);
    m->done = true;
    m->bytes = bytes;
    m->size = size;
    return METADATA_DONE;
}

/* It sent something else than it was asked for. Who had made no claim makes one with this, others
 * contradict themselves. */
static void on_broken_word(struct metadata *m, struct source *s, uint32_t total_size)
{
    bool is_claim = s->size == 0 && total_size > 0 && total_size <= METADATA_LEN_MAX;
    s->size = is_claim ? total_size : s->size;
    s->broke_word = !is_claim;
    set_aside(m, s->id);
}

enum metadata_result metadata_on_data(struct metadata *m, conn_id peer, uint32_t piece,
                                      uint32_t total_size, struct span data)
{
    struct source *s = find_source(m, peer);
    if (m->done || s == NULL || !take_request(m, peer, piece)) {
        return METADATA_UNEXPECTED;
    }
    if (m->size == 0 && total_size > 0 && total_size <= METADATA_LEN_MAX) {
        believe(m, total_size);
    }
    if (total_size != m->size || data.n != ext_metadata_piece_len(total_size, piece)) {
        on_broken_word(m, s, total_size);
        return METADATA_UNEXPECTED;
    }
    /* A piece is asked for from one peer at a time, and only while it is not here. */
    ASSERT(m->pieces[piece].data == NULL);
    s->size = m->size;
    m->pieces[piece] = (struct piece){.data = mem_array(data.n, 1), .from = peer};
    memcpy(m->pieces[piece].data, data.p, data.n);
    m->n_have++;
    return m->n_have == m->n_pieces ? on_complete(m) : METADATA_MORE;
}

bool metadata_next_liar(struct metadata *m, conn_id *peer)
{
    *peer = m->liar;
    m->liar = 0;
    return *peer != 0;
}

uint8_t *metadata_take(struct metadata *m, size_t *len)
{
    ASSERT(m->done && m->bytes != NULL);
    uint8_t *bytes = m->bytes;
    *len = m->size;
    m->bytes = NULL;
    return bytes;
}

void metadata_progress(const struct metadata *m, uint32_t *n_have, uint32_t *n_pieces)
{
    *n_pieces = ext_metadata_n_pieces(m->size);
    *n_have = m->done ? *n_pieces : m->n_have;
}
