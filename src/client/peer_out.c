/* What we say, but for extended messages. Flags follow: who asks the peer struct what we said last
 * gets what the other side will know once the queue has gone.
 */
#include "client/peer_impl.h"

#include <string.h>

#include "base/banned.h"

enum {
    SMALL_MAX = 17, /* a request: the longest message here that has no payload */
    REQUESTS_AT_ONCE = 32,
    ONES_LEN = 512,
};

void peer_count_out(struct peer *p, enum wire_type type)
{
    if (p->messages != NULL && type < WIRE_EXTENDED_MSG) {
        p->messages->out[type]++;
    }
}

void peer_queue(struct peer *p, const struct peer_wire_msg *msg, uint64_t now_ms)
{
    uint8_t bytes[SMALL_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    peer_count_out(p, msg->type);
    peer_wire_encode(&w, msg);
    ASSERT(!w.bad);
    sendq_add(&p->sendq, wr_span(&w));
    p->sent_ms = now_ms;
}

static void say(struct peer *p, enum wire_type type, uint64_t now_ms)
{
    peer_queue(p, &(struct peer_wire_msg){.type = type}, now_ms);
}

/* The head of a bitfield; its bits go right behind it. */
static void add_bitfield_head(struct peer *p, size_t len)
{
    uint8_t bytes[5];
    struct wr w = wr_over(bytes, sizeof bytes);
    wr_u32(&w, (uint32_t)len + 1);
    wr_u8(&w, WIRE_BITFIELD);
    peer_count_out(p, WIRE_BITFIELD);
    sendq_add(&p->sendq, wr_span(&w));
}

static void add_full_bitfield(struct peer *p)
{
    uint8_t ones[ONES_LEN];
    uint32_t n = p->geometry.n_pieces;
    uint8_t last = (uint8_t)(0xff00u >> n % 8);
    memset(ones, 0xff, sizeof ones);
    add_bitfield_head(p, peer_wire_bitfield_len(n));
    for (size_t left = n / 8; left > 0;) {
        size_t now = left < sizeof ones ? left : sizeof ones;
        sendq_add(&p->sendq, span_of(ones, now));
        left -= now;
    }
    sendq_add(&p->sendq, span_of(&last, n % 8 != 0));
}

static void send_pieces(struct peer *p, struct span have, uint32_t n_have, uint64_t now_ms)
{
    uint32_t n = p->geometry.n_pieces;
    bool fast = (p->features & WIRE_FAST) != 0;
    if (n_have == 0) {
        if (fast) {
            say(p, WIRE_HAVE_NONE, now_ms);
        }
        return;
    }
    ASSERT(n_have <= n);
    if (n_have == n && fast) {
        say(p, WIRE_HAVE_ALL, now_ms);
    } else if (n_have == n) {
        add_full_bitfield(p);
    } else {
        ASSERT(have.n == peer_wire_bitfield_len(n));
        add_bitfield_head(p, have.n);
        sendq_add(&p->sendq, have);
    }
    p->sent_ms = now_ms;
}

void peer_greet(struct peer *p, const struct peer_self *self, struct span have, uint32_t n_have,
                uint64_t now_ms)
{
    ASSERT(p->state == PEER_READY);
    peer_send_extensions(p, self, now_ms);
    send_pieces(p, have, n_have, now_ms);
}

void peer_set_choking(struct peer *p, bool choking, uint64_t now_ms)
{
    if (p->choking == choking) {
        return;
    }
    p->choking = choking;
    say(p, choking ? WIRE_CHOKE : WIRE_UNCHOKE, now_ms);
    if (choking) {
        peer_drop_uploads(p, now_ms);
    }
}

void peer_set_interested(struct peer *p, bool interested, uint64_t now_ms)
{
    if (p->interested != interested) {
        p->interested = interested;
        say(p, interested ? WIRE_INTERESTED : WIRE_NOT_INTERESTED, now_ms);
    }
}

void peer_send_have(struct peer *p, uint32_t piece, uint64_t now_ms)
{
    peer_queue(p, &(struct peer_wire_msg){.type = WIRE_HAVE, .block = {.piece = piece}}, now_ms);
}

void peer_send_requests(struct peer *p, const struct wire_block *blocks, size_t n, uint64_t now_ms)
{
    uint8_t bytes[REQUESTS_AT_ONCE * SMALL_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = blocks[i]});
        peer_count_out(p, WIRE_REQUEST);
        if (wr_room(&w) < SMALL_MAX || i == n - 1) {
            ASSERT(!w.bad);
            sendq_add(&p->sendq, wr_span(&w));
            w = wr_over(bytes, sizeof bytes);
            p->sent_ms = now_ms;
        }
    }
}

void peer_send_cancel(struct peer *p, const struct wire_block *b, uint64_t now_ms)
{
    peer_queue(p, &(struct peer_wire_msg){.type = WIRE_CANCEL, .block = *b}, now_ms);
}

void peer_send_keep_alive(struct peer *p, uint64_t now_ms)
{
    say(p, WIRE_KEEP_ALIVE, now_ms);
}
