/* scraper.h: whose counts are asked for, of which tracker, and when (BEP 48). Client core, pure.
 *
 * Model     torrents that announces tell nothing are entries of a tracker: one URL (NULL: the
 *           server's own tracker) as one session asks it. A request is for the entries of a tracker
 *           that are due, as many as fit.
 * Pace      an entry is asked for once in SCRAPE_INTERVAL_MS, or the tracker's min_request_interval
 *           when that is longer, lengthened by up to 10 %. A tracker has one request under way and
 *           one in SCRAPE_GAP_MS; all together SCRAPES_MAX and SCRAPES_PER_S.
 * Refusals  of many hashes: a quarter of them the next time, at last one. When one is refused too,
 *           or nothing answers, the tracker is left alone for SCRAPE_RETRY_MS, twice as long after
 *           each failure in a row, SCRAPE_RETRY_MAX_MS at most.
 */
#ifndef CLIENT_SCRAPER_H
#define CLIENT_SCRAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/ids.h"
#include "proto/announce.h"

enum {
    SCRAPE_INTERVAL_MS = 1800000,
    SCRAPE_OWN_INTERVAL_MS = 60000, /* of the server's own tracker */
    SCRAPE_INTERVAL_MAX_MS = 86400000,
    SCRAPE_GATHER_MS = 5000, /* an entry that is due waits that long for others */
    SCRAPE_GAP_MS = 1000,
    SCRAPE_RETRY_MS = 300000,
    SCRAPE_RETRY_MAX_MS = 86400000,
    SCRAPE_HTTP_MAX = 50, /* hashes in one URL: 3600 bytes, which every server takes */
    SCRAPES_MAX = 8,
    SCRAPES_PER_S = 10,
};

struct scraper;
struct scrape_tracker;

/* Embedded in whatever wants counts: zeroed at first. */
struct scrape_entry {
    /* private */
    struct heap_node due;
    struct scrape_tracker *tracker;
    const struct infohash *hash;
};

/* A request that begins. Pointers are borrowed until its scraper_on_done. */
struct scrape_request {
    uint64_t id;
    uint32_t session;
    const char *url; /* of the announce; NULL: the server's own tracker */
    const struct infohash *hashes;
    size_t n; /* 1..SCRAPE_MAX */
};

struct scrape_answer {
    bool known; /* the tracker has counts of it */
    struct scrape_counts counts;
};

/* What came of it. */
struct scrape_result {
    bool answered;
    const struct scrape_answer *answers; /* in the order of the hashes */
    size_t n;                /* fewer than were asked for: the tracker cut the rest off */
    uint32_t min_interval_s; /* 0: not said */

    bool refused; /* else: there was an answer, but not with counts */
};

struct scraper *scraper_new(uint64_t seed);
/* Entries may be in it, and are not touched. */
void scraper_free(struct scraper *s);

/* What is wanted, and from whom. */
struct scrape_wish {
    const struct infohash *hash; /* borrowed while it is wanted */
    uint32_t session;
    const char *url;   /* of the announce; NULL: the server's own tracker */
    uint64_t known_ms; /* when the counts came last; 0: never */
};
/* Nothing changes when it is wanted from there already; of another tracker it is wanted no more. */
void scraper_add(struct scraper *s, struct scrape_entry *entry, const struct scrape_wish *wish,
                 uint64_t now_ms);
/* Whatever its state: out. */
void scraper_remove(struct scraper *s, struct scrape_entry *entry);
/* Nothing begins before that. */
void scraper_hold(struct scraper *s, uint64_t until_ms);

/* False: none may begin now. */
bool scraper_next(struct scraper *s, uint64_t now_ms, struct scrape_request *out);
/* When scraper_next may have one that it does not have now; UINT64_MAX: not by time. */
uint64_t scraper_deadline_ms(const struct scraper *s);
/* out gets those that were asked for, in their order; NULL: it is wanted no more. All of them want
 * it again, later. returns their number; 0: there is no such request. */
size_t scraper_on_done(struct scraper *s, uint64_t id, const struct scrape_result *result,
                       uint64_t now_ms, struct scrape_entry *out[static SCRAPE_MAX]);

#endif
