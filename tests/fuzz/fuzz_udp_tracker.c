/* A request that was decoded, encoded and decoded again is the same; replies stay inside. */
#include "base/assert.h"
#include "proto/udp_tracker.h"

#include "base/banned.h"

static void encode(struct wr *w, const struct udp_request *r)
{
    udp_announce_encode(w, r->connection_id, r->transaction_id, r->key, &r->announce,
                        span_of(r->url_data, r->url_data_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct udp_request first, second;
    uint8_t a[UDP_ANNOUNCE_LEN + 3 * 2 + UDP_URL_DATA_MAX], b[sizeof a];
    struct wr wa = wr_over(a, sizeof a), wb = wr_over(b, sizeof b);
    const char *why = NULL;
    ssize_t n = udp_request_decode(&first, span_of(data, size), &why);
    ASSERT(n != 0 && n <= (ssize_t)size && (n > 0) == (why == NULL));
    if (n > 0 && first.action == UDP_ANNOUNCE) {
        encode(&wa, &first);
        ASSERT(udp_request_decode(&second, wr_span(&wa), &why) == (ssize_t)wr_len(&wa));
        encode(&wb, &second);
        ASSERT(!wa.bad && span_eq(wr_span(&wa), wr_span(&wb)));
        ASSERT(span_eq(first.announce.key, second.announce.key));
        ASSERT(first.announce.key.n <= first.url_data_len);
    } else if (n > 0 && first.action == UDP_SCRAPE) {
        ASSERT(first.hashes.n % 20 == 0 && first.hashes.n <= UDP_SCRAPE_WIRE_MAX * 20);
    }
    struct udp_reply reply;
    n = udp_reply_decode(&reply, span_of(data, size), size % 2 == 0, &why);
    ASSERT(n != 0 && n <= (ssize_t)size);
    ASSERT(reply.scrape.n + reply.error.n + reply.announce.peers6.n <= size);
    return 0;
}
