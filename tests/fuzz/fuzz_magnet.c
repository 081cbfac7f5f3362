/* A link decodes within room of its own length; encoding what it says decodes to the same. */
#include "base/assert.h"
#include "proto/magnet.h"

#include "base/banned.h"

enum { LINK_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[LINK_MAX], room2[8 * LINK_MAX], out[8 * LINK_MAX], out2[8 * LINK_MAX];
    static struct magnet first, second;
    struct wr r = wr_over(room, size), r2 = wr_over(room2, sizeof room2);
    struct wr w = wr_over(out, sizeof out), w2 = wr_over(out2, sizeof out2);
    const char *why = NULL;
    if (size > LINK_MAX) {
        return 0;
    }
    int rc = magnet_decode(&first, span_of(data, size), &r, &why);
    ASSERT((rc < 0) == (why != NULL));
    if (rc == 0) {
        magnet_encode(&w, &first);
        ASSERT(!w.bad && magnet_decode(&second, wr_span(&w), &r2, &why) == 0);
        magnet_encode(&w2, &second);
        ASSERT(infohash_eq(&first.info_hash, &second.info_hash));
        ASSERT(span_eq(first.name, second.name) && first.n_ranges == second.n_ranges);
        ASSERT(!w2.bad && span_eq(wr_span(&w), wr_span(&w2)));
    }
    return 0;
}
