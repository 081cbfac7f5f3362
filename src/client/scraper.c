/* Commandments.
 *
 * 1. A tracker is asked seldom and for many at once: what is due waits a little for others, and
 *    what was asked for together is due together the next time.
 * 2. How many go into one request is found by trying: the most that the protocol has, a quarter
 *    after a refusal, what was answered when the rest was cut off. A reply with one of many may be
 *    of a tracker that sees only one info_hash: then one at a time, until one that is not known
 *    alone either shows that it was not so.
 * 3. Who fails is left alone, longer each time. A tracker that nobody wants counts of is forgotten.
 *
 * A tracker is in turns while it has entries and nothing under way; in running while it has.
 */
#include "client/scraper.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

#include "base/banned.h"

enum {
    REFUSED_PART = 4,   /* of so many hashes a part is tried next */
    JITTER_PART = 10,   /* at most a tenth is added */
    RETRY_DOUBLES = 16, /* beyond, it is SCRAPE_RETRY_MAX_MS anyway */
};

/* One request under way. */
struct run {
    uint64_t id;
    size_t n;
    struct scrape_entry *entries[SCRAPE_MAX]; /* NULL: it left */
    struct infohash hashes[SCRAPE_MAX];
};

struct scrape_tracker {
    struct map_node by_key;
    struct heap_node turn; /* in scraper.turns */
    struct list node;      /* in scraper.running */
    struct heap entries;   /* by when they are due; not those that are asked for now */
    struct run *run;
    char *key; /* the session's number, then the URL */
    uint32_t session;
    const char *url; /* in key; NULL: the own one */
    size_t batch_max, batch;
    bool doubted; /* batch is 1 because a reply had one of many */
    bool trusted; /* a reply had several */
    uint32_t n_failures;
    uint64_t interval_ms;
    uint64_t next_ms; /* not before */
};

struct scraper {
    struct map trackers;
    struct heap turns;
    struct list running;
    uint32_t n_running;
    uint64_t next_ms;
    uint64_t last_id;
    struct rng rng;
};

struct scraper *scraper_new(uint64_t seed)
{
    struct scraper *s = mem_new(struct scraper);
    struct siphash_key key;
    s->rng.state = seed;
    for (size_t i = 0; i < sizeof key.b; i++) {
        key.b[i] = (uint8_t)rng_next(&s->rng);
    }
    map_init(&s->trackers, &key);
    list_init(&s->running);
    return s;
}

/* ---- trackers ---- */

static char *key_of(uint32_t session, const char *url, size_t *len)
{
    size_t url_len = url == NULL ? 0 : strlen(url) + 1;
    char *key = mem_array(sizeof session + url_len, 1);
    memcpy(key, &session, sizeof session);
    if (url_len > 0) {
        memcpy(key + sizeof session, url, url_len);
    }
    *len = sizeof session + url_len;
    return key;
}

static struct scrape_tracker *tracker_for(struct scraper *s, uint32_t session, const char *url)
{
    size_t len;
    char *key = key_of(session, url, &len);
    struct map_node *node = map_find(&s->trackers, span_of(key, len));
    if (node != NULL) {
        free(key);
        return container_of(node, struct scrape_tracker, by_key);
    }
    struct scrape_tracker *t = mem_new(struct scrape_tracker);
    bool http = url != NULL && span_find(span_str(url), ':') != sizeof "udp" - 1;
    t->key = key;
    t->session = session;
    t->url = url == NULL ? NULL : key + sizeof session;
    t->batch = t->batch_max = http ? SCRAPE_HTTP_MAX : SCRAPE_MAX;
    t->interval_ms = url == NULL ? SCRAPE_OWN_INTERVAL_MS : SCRAPE_INTERVAL_MS;
    map_insert(&s->trackers, &t->by_key, span_of(key, len));
    return t;
}

static void tracker_free(struct scraper *s, struct scrape_tracker *t)
{
    map_remove(&s->trackers, &t->by_key);
    heap_remove(&s->turns, &t->turn);
    heap_release(&t->entries);
    free(t->run);
    free(t->key);
    free(t);
}

/* Its turn is planned anew; it is forgotten when nobody wants anything of it. */
static void settle(struct scraper *s, struct scrape_tracker *t)
{
    uint64_t at_ms = heap_first_ms(&t->entries);
    if (t->run != NULL) {
        return;
    }
    if (at_ms == UINT64_MAX) {
        tracker_free(s, t);
        return;
    }
    at_ms += SCRAPE_GATHER_MS;
    heap_set(&s->turns, &t->turn, at_ms < t->next_ms ? t->next_ms : at_ms);
}

void scraper_free(struct scraper *s)
{
    if (s == NULL) {
        return;
    }
    struct map_node *next;
    for (struct map_node *node = map_first(&s->trackers); node != NULL; node = next) {
        struct scrape_tracker *t = container_of(node, struct scrape_tracker, by_key);
        next = map_next(&s->trackers, node);
        struct heap_node *entry;
        while ((entry = heap_first(&t->entries)) != NULL) {
            heap_remove(&t->entries, entry);
        }
        tracker_free(s, t);
    }
    map_release(&s->trackers);
    heap_release(&s->turns);
    free(s);
}

/* ---- entries ---- */

static bool is_of(const struct scrape_tracker *t, const struct scrape_wish *wish)
{
    bool own = t->url == NULL || wish->url == NULL;
    bool same_url = own ? t->url == wish->url : strcmp(t->url, wish->url) == 0;
    return t->session == wish->session && same_url;
}

void scraper_add(struct scraper *s, struct scrape_entry *entry, const struct scrape_wish *wish,
                 uint64_t now_ms)
{
    if (entry->tracker != NULL && is_of(entry->tracker, wish)) {
        return;
    }
    scraper_remove(s, entry);
    struct scrape_tracker *t = tracker_for(s, wish->session, wish->url);
    uint64_t due_ms = wish->known_ms == 0 ? now_ms : wish->known_ms + t->interval_ms;
    entry->tracker = t;
    entry->hash = wish->hash;
    heap_set(&t->entries, &entry->due, due_ms < now_ms ? now_ms : due_ms);
    settle(s, t);
}

void scraper_remove(struct scraper *s, struct scrape_entry *entry)
{
    struct scrape_tracker *t = entry->tracker;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; t->run != NULL && i < t->run->n; i++) {
        if (t->run->entries[i] == entry) {
            t->run->entries[i] = NULL;
        }
    }
    heap_remove(&t->entries, &entry->due);
    entry->tracker = NULL;
    settle(s, t);
}

void scraper_hold(struct scraper *s, uint64_t until_ms)
{
    s->next_ms = s->next_ms < until_ms ? until_ms : s->next_ms;
}

/* ---- requests ---- */

uint64_t scraper_deadline_ms(const struct scraper *s)
{
    uint64_t at_ms = heap_first_ms(&s->turns);
    if (s->n_running == SCRAPES_MAX || at_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    return at_ms < s->next_ms ? s->next_ms : at_ms;
}

bool scraper_next(struct scraper *s, uint64_t now_ms, struct scrape_request *out)
{
    if (scraper_deadline_ms(s) > now_ms) {
        return false;
    }
    struct scrape_tracker *t = container_of(heap_first(&s->turns), struct scrape_tracker, turn);
    struct run *run = mem_new(struct run);
    run->id = ++s->last_id;
    while (run->n < t->batch && heap_first_ms(&t->entries) <= now_ms) {
        struct scrape_entry *e = container_of(heap_first(&t->entries), struct scrape_entry, due);
        heap_remove(&t->entries, &e->due);
        run->hashes[run->n] = *e->hash;
        run->entries[run->n++] = e;
    }
    t->run = run;
    t->next_ms = now_ms + SCRAPE_GAP_MS;
    heap_remove(&s->turns, &t->turn);
    list_add_tail(&s->running, &t->node);
    s->n_running++;
    s->next_ms = now_ms + 1000 / SCRAPES_PER_S;
    *out = (struct scrape_request){
        .id = run->id,
        .session = t->session,
        .url = t->url,
        .hashes = run->hashes,
        .n = run->n,
    };
    return true;
}

static struct scrape_tracker *find_running(const struct scraper *s, uint64_t id)
{
    for (struct list *node = s->running.next; node != &s->running; node = node->next) {
        struct scrape_tracker *t = container_of(node, struct scrape_tracker, node);
        if (t->run->id == id) {
            return t;
        }
    }
    return NULL;
}

static uint64_t lengthened(struct scraper *s, uint64_t ms)
{
    return ms + rng_below(&s->rng, (uint32_t)(ms / JITTER_PART) + 1);
}

static size_t count_known(const struct scrape_result *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        n += r->answers[i].known ? 1 : 0;
    }
    return n;
}

/* Commandment 2. returns true when those that are not known are to be asked for again now. */
static bool fit_batch(struct scrape_tracker *t, size_t n, const struct scrape_result *r)
{
    size_t n_known = count_known(r);
    if (r->n < n) {
        t->batch = r->n;
        return true;
    }
    t->trusted = t->trusted || n_known > 1;
    if (n > 1 && n_known == 1 && !t->trusted) {
        t->batch = 1;
        t->doubted = true;
        return true;
    }
    if (t->doubted && n_known == 0) {
        t->batch = t->batch_max;
        t->doubted = false;
        t->trusted = true;
    }
    return false;
}

static void on_failure(struct scraper *s, struct scrape_tracker *t, size_t n, bool refused,
                       uint64_t now_ms)
{
    if (refused && n > 1) {
        t->batch = n < REFUSED_PART ? 1 : n / REFUSED_PART;
        return;
    }
    uint64_t wait_ms = (uint64_t)SCRAPE_RETRY_MS
                       << (t->n_failures < RETRY_DOUBLES ? t->n_failures : RETRY_DOUBLES);
    t->n_failures++;
    wait_ms = lengthened(s, wait_ms < SCRAPE_RETRY_MAX_MS ? wait_ms : SCRAPE_RETRY_MAX_MS);
    t->next_ms = now_ms + (wait_ms < SCRAPE_RETRY_MAX_MS ? wait_ms : SCRAPE_RETRY_MAX_MS);
}

/* When those that were answered are due again. */
static uint64_t next_due_ms(struct scraper *s, struct scrape_tracker *t, uint32_t min_interval_s,
                            uint64_t now_ms)
{
    uint64_t min_ms = UINT64_C(1000) * min_interval_s;
    uint64_t interval_ms = t->url == NULL ? SCRAPE_OWN_INTERVAL_MS : SCRAPE_INTERVAL_MS;
    interval_ms = min_ms > interval_ms ? min_ms : interval_ms;
    t->interval_ms = interval_ms < SCRAPE_INTERVAL_MAX_MS ? interval_ms : SCRAPE_INTERVAL_MAX_MS;
    return now_ms + lengthened(s, t->interval_ms);
}

size_t scraper_on_done(struct scraper *s, uint64_t id, const struct scrape_result *r,
                       uint64_t now_ms, struct scrape_entry *out[static SCRAPE_MAX])
{
    struct scrape_tracker *t = find_running(s, id);
    if (t == NULL) {
        return 0;
    }
    struct run *run = t->run;
    const size_t n = run->n;
    ASSERT(r->n <= n);
    uint64_t due_ms = now_ms;
    bool again = true;
    if (r->answered && r->n > 0) {
        t->n_failures = 0;
        again = fit_batch(t, n, r);
        due_ms = next_due_ms(s, t, r->min_interval_s, now_ms);
    } else {
        on_failure(s, t, n, r->answered || r->refused, now_ms);
    }
    for (size_t i = 0; i < n; i++) {
        bool told = i < r->n && r->answers[i].known;
        out[i] = run->entries[i];
        if (out[i] != NULL) {
            heap_set(&t->entries, &out[i]->due, again && !told ? now_ms : due_ms);
        }
    }
    t->run = NULL;
    list_remove(&t->node);
    s->n_running--;
    free(run);
    settle(s, t);
    return n;
}
