/* Queries and replies: decoding, encoding and decoding again changes nothing. */
#include <string.h>

#include "base/assert.h"
#include "proto/http_tracker.h"

#include "base/banned.h"

static void query(struct span in, const char **why)
{
    uint8_t a[512], b[512];
    struct wr wa = wr_over(a, sizeof a), wb = wr_over(b, sizeof b);
    struct announce_req first, second;
    if (http_announce_decode(&first, in, why) == 0) {
        http_announce_encode(&wa, &first);
        ASSERT(http_announce_decode(&second, wr_span(&wa), why) == 0);
        http_announce_encode(&wb, &second);
        ASSERT(!wa.bad && span_eq(wr_span(&wa), wr_span(&wb)));
    }
}

/* What is found is found again in the same reply, written anew. */
static void scrape(struct span in, const char **why)
{
    uint8_t room[256];
    struct wr w = wr_over(room, sizeof room);
    struct http_scrape_reply reply;
    struct scrape_counts counts, again;
    struct infohash hash;
    size_t key = in.n < 35 ? 0 : 12; /* behind "d5:filesd20:" */
    if (http_scrape_reply_decode(&reply, in, why) <= 0 || reply.failed || key == 0) {
        return;
    }
    memcpy(hash.b, in.p + key, sizeof hash.b);
    if (http_scrape_reply_find(&reply, &hash, &counts)) {
        http_scrape_reply_encode(&w, &hash, &counts, 1, reply.min_request_interval_s);
        ASSERT(!w.bad && http_scrape_reply_decode(&reply, wr_span(&w), why) > 0);
        ASSERT(http_scrape_reply_find(&reply, &hash, &again));
        ASSERT(memcmp(&counts, &again, sizeof counts) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[8192], room[1024], room2[1024];
    struct wr w = wr_over(body, sizeof body), r = wr_over(room, sizeof room);
    struct wr r2 = wr_over(room2, sizeof room2);
    const struct http_reply_limits lim = {.peers_max = 50};
    struct http_reply first, second;
    const char *why = NULL;
    query(span_of(data, size), &why);
    scrape(span_of(data, size), &why);
    if (size < sizeof body && http_scrape_url(&w, span_of(data, size))) {
        ASSERT(!w.bad && wr_len(&w) <= size - 2);
        w = wr_over(body, sizeof body);
    }
    if (http_announce_reply_decode(&first, span_of(data, size), &r, &lim, &why) > 0 &&
        !first.failed && first.reply.warning.n < sizeof body / 2) {
        http_announce_reply_encode(&w, &first.reply, size % 2 == 0);
        ASSERT(http_announce_reply_decode(&second, wr_span(&w), &r2, &lim, &why) > 0);
        ASSERT(!w.bad && first.reply.interval_s == second.reply.interval_s);
        ASSERT(size % 2 != 0 || span_eq(first.reply.peers4, second.reply.peers4));
    }
    return 0;
}
