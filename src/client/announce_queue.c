/* Commandments.
 *
 * 1. A host begins one announce in every 1000 / ANNOUNCE_HOST_PER_S ms and has at most
 *    ANNOUNCE_HOST_MAX under way, however many torrents wait for it.
 * 2. Hosts take turns: one slow host fills its own places, not those of the others.
 * 3. Whoever is urgent goes before all that are not, of any host that may begin; within a host and
 *    a class it is first come, first served.
 * 4. Hosts that have nothing to do are remembered for their counts, the one that was idle longest
 *    is forgotten first, when ANNOUNCE_HOST_KEEP_MS are over or its place is needed. What it
 *    counted goes to "other", so that sums stay true.
 * 5. When every place has a busy host, further hosts share "other" and its pace: slower, never more.
 *
 * A host is in exactly one list: waiting (somebody waits, in the order of their turns), running
 * (nobody waits, something is under way) or idle (longest first). "other" is one host like them,
 * but is never forgotten.
 */
#include "client/announce_queue.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/rng.h"

#include "base/banned.h"

enum {
    GAP_MS = 1000 / ANNOUNCE_HOST_PER_S,
    HOST_TEXT_MAX = 300, /* a name has 253 bytes at most; what is longer is cut */
};

struct announce_host {
    struct map_node by_key; /* "other" is in no map */
    struct list node;
    struct list urgent; /* entries that wait */
    struct list others;
    uint32_t n_waiting;
    uint32_t n_running;
    uint64_t n_ok;
    uint64_t n_failed;
    uint64_t next_ms; /* not before */
    uint64_t idle_since_ms;
    char *key;        /* "tracker.example:443"; NULL: of "other" */
    const char *name; /* key or "other" */
};

struct announce_queue {
    struct map hosts;
    struct list waiting;
    struct list running;
    struct list idle;
    struct announce_host other;
    uint32_t n_running;
    uint64_t now_ms; /* of the last input that had a time */
};

static void host_init(struct announce_host *h, char *key)
{
    list_init(&h->urgent);
    list_init(&h->others);
    h->key = key;
    h->name = key == NULL ? "other" : key;
}

struct announce_queue *announce_queue_new(uint64_t seed)
{
    struct announce_queue *q = mem_new(struct announce_queue);
    struct rng rng = {seed};
    struct siphash_key key;
    for (size_t i = 0; i < sizeof key.b; i++) {
        key.b[i] = (uint8_t)rng_next(&rng);
    }
    map_init(&q->hosts, &key);
    list_init(&q->waiting);
    list_init(&q->running);
    list_init(&q->idle);
    host_init(&q->other, NULL);
    list_add_tail(&q->running, &q->other.node);
    return q;
}

static void host_free(struct announce_queue *q, struct announce_host *h)
{
    map_remove(&q->hosts, &h->by_key);
    if (list_is_linked(&h->node)) {
        list_remove(&h->node);
    }
    free(h->key);
    free(h);
}

static void unlink_all(struct list *entries)
{
    LIST_FOREACH_SAFE (node, entries) {
        container_of(node, struct announce_entry, node)->host = NULL;
        list_remove(node);
    }
}

void announce_queue_free(struct announce_queue *q)
{
    if (q == NULL) {
        return;
    }
    unlink_all(&q->other.urgent);
    unlink_all(&q->other.others);
    struct map_node *next;
    for (struct map_node *node = map_first(&q->hosts); node != NULL; node = next) {
        struct announce_host *h = container_of(node, struct announce_host, by_key);
        next = map_next(&q->hosts, node);
        unlink_all(&h->urgent);
        unlink_all(&h->others);
        host_free(q, h);
    }
    map_release(&q->hosts);
    free(q);
}

/* ---- hosts ---- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* "UDP://User@Tracker.Example/x" to "tracker.example:80", NUL-terminated. */
static struct span host_key(char out[static HOST_TEXT_MAX], const char *url)
{
    struct wr w = wr_over(out, HOST_TEXT_MAX - sizeof ":65535");
    struct span rest = span_str(url);
    struct span scheme = span_cut(rest, ':', &rest);
    while (rest.n > 0 && rest.p[0] == '/') {
        rest = span_sub(rest, 1, rest.n);
    }
    size_t end = 0;
    size_t host = 0;
    for (; end < rest.n && memchr("/?#", rest.p[end], 3) == NULL; end++) {
        host = rest.p[end] == '@' ? end + 1 : host;
    }
    rest = span_sub(rest, host, end - host);
    size_t colon = rest.n;
    while (colon > 0 && rest.p[colon - 1] >= '0' && rest.p[colon - 1] <= '9') {
        colon--;
    }
    uint64_t port = scheme.n == 5 ? 443 : 80; /* https is the only one with five letters */
    if (colon > 0 && rest.p[colon - 1] == ':' &&
        parse_u64(&port, span_sub(rest, colon, rest.n), UINT16_MAX)) {
        rest = span_sub(rest, 0, colon - 1);
    }
    wr_bytes(&w, span_sub(rest, 0, wr_room(&w)));
    for (uint8_t *p = w.start; p < w.p; p++) {
        *p = lower(*p);
    }
    w.end += sizeof ":65535";
    wr_u8(&w, ':');
    wr_dec(&w, port);
    struct span key = wr_span(&w);
    wr_u8(&w, '\0');
    return key;
}

static void forget(struct announce_queue *q, struct announce_host *h)
{
    q->other.n_ok += h->n_ok;
    q->other.n_failed += h->n_failed;
    host_free(q, h);
}

/* Those that were idle long enough. */
static void forget_old(struct announce_queue *q)
{
    struct list *node;
    while ((node = list_first(&q->idle)) != NULL) {
        struct announce_host *h = container_of(node, struct announce_host, node);
        if (q->now_ms - h->idle_since_ms < ANNOUNCE_HOST_KEEP_MS) {
            break;
        }
        forget(q, h);
    }
}

static struct announce_host *host_for(struct announce_queue *q, const char *url)
{
    char text[HOST_TEXT_MAX];
    struct span key = host_key(text, url);
    struct map_node *node = map_find(&q->hosts, key);
    if (node != NULL) {
        return container_of(node, struct announce_host, by_key);
    }
    if (map_count(&q->hosts) == ANNOUNCE_HOSTS_MAX - 1) { /* "other" has a place, too */
        struct list *idlest = list_first(&q->idle);
        if (idlest == NULL) {
            return &q->other;
        }
        forget(q, container_of(idlest, struct announce_host, node));
    }
    struct announce_host *h = mem_new(struct announce_host);
    host_init(h, mem_strndup((const char *)key.p, key.n));
    map_insert(&q->hosts, &h->by_key, span_str(h->key));
    return h;
}

/* Into the list that it belongs to; a host that begins or goes on waiting gets the last turn. */
static void place(struct announce_queue *q, struct announce_host *h)
{
    if (list_is_linked(&h->node)) {
        list_remove(&h->node);
    }
    if (h->n_waiting > 0) {
        list_add_tail(&q->waiting, &h->node);
    } else if (h->n_running > 0 || h == &q->other) {
        list_add_tail(&q->running, &h->node);
    } else {
        h->idle_since_ms = q->now_ms;
        list_add_tail(&q->idle, &h->node);
    }
}

/* ---- entries ---- */

static void enter(struct announce_host *h, struct announce_entry *entry, bool urgent)
{
    entry->urgent = urgent;
    list_add_tail(urgent ? &h->urgent : &h->others, &entry->node);
}

void announce_queue_add(struct announce_queue *q, struct announce_entry *entry, const char *url,
                        bool urgent)
{
    ASSERT(url != NULL);
    if (entry->running) {
        return;
    }
    if (entry->host != NULL) {
        if (urgent && !entry->urgent) {
            list_remove(&entry->node);
            enter(entry->host, entry, true);
        }
        return;
    }
    struct announce_host *h = host_for(q, url);
    entry->host = h;
    enter(h, entry, urgent);
    h->n_waiting++;
    if (h->n_waiting == 1) {
        place(q, h);
    }
}

/* entry runs no more. */
static void end_run(struct announce_queue *q, struct announce_entry *entry)
{
    struct announce_host *h = entry->host;
    ASSERT(h->n_running > 0 && q->n_running > 0);
    h->n_running--;
    q->n_running--;
    *entry = (struct announce_entry){.running = false};
    if (h->n_running == 0 && h->n_waiting == 0) {
        place(q, h);
    }
}

void announce_queue_remove(struct announce_queue *q, struct announce_entry *entry)
{
    struct announce_host *h = entry->host;
    if (h == NULL) {
        return;
    }
    if (entry->running) {
        end_run(q, entry);
        return;
    }
    list_remove(&entry->node);
    *entry = (struct announce_entry){.running = false};
    h->n_waiting--;
    if (h->n_waiting == 0) {
        place(q, h);
    }
}

/* The host whose turn it is. */
static struct announce_host *choose(const struct announce_queue *q, uint64_t now_ms)
{
    struct announce_host *first = NULL;
    for (struct list *node = q->waiting.next; node != &q->waiting; node = node->next) {
        struct announce_host *h = container_of(node, struct announce_host, node);
        if (h->n_running == ANNOUNCE_HOST_MAX || h->next_ms > now_ms) {
            continue;
        }
        if (!list_is_empty(&h->urgent)) {
            return h;
        }
        first = first == NULL ? h : first;
    }
    return first;
}

struct announce_entry *announce_queue_next(struct announce_queue *q, uint64_t now_ms)
{
    ASSERT(now_ms >= q->now_ms);
    q->now_ms = now_ms;
    forget_old(q);
    struct announce_host *h = q->n_running == ANNOUNCE_TOTAL_MAX ? NULL : choose(q, now_ms);
    if (h == NULL) {
        return NULL;
    }
    struct list *node = list_first(&h->urgent);
    node = node != NULL ? node : list_first(&h->others);
    struct announce_entry *entry = container_of(node, struct announce_entry, node);
    list_remove(node);
    entry->running = true;
    h->n_waiting--;
    h->n_running++;
    q->n_running++;
    h->next_ms = now_ms + GAP_MS;
    place(q, h);
    return entry;
}

uint64_t announce_queue_deadline_ms(const struct announce_queue *q)
{
    uint64_t first_ms = UINT64_MAX;
    if (q->n_running == ANNOUNCE_TOTAL_MAX) {
        return first_ms;
    }
    for (struct list *node = q->waiting.next; node != &q->waiting; node = node->next) {
        const struct announce_host *h = container_of(node, struct announce_host, node);
        if (h->n_running < ANNOUNCE_HOST_MAX && h->next_ms < first_ms) {
            first_ms = h->next_ms;
        }
    }
    return first_ms;
}

void announce_queue_on_done(struct announce_queue *q, struct announce_entry *entry, bool ok,
                            uint64_t now_ms)
{
    ASSERT(entry->running);
    ASSERT(now_ms >= q->now_ms);
    q->now_ms = now_ms;
    entry->host->n_ok += ok ? 1 : 0;
    entry->host->n_failed += ok ? 0 : 1;
    end_run(q, entry);
}

/* ---- views ---- */

static void view(const struct announce_host *h, struct announce_host_view *out)
{
    *out = (struct announce_host_view){
        .host = h->name,
        .n_waiting = h->n_waiting,
        .n_running = h->n_running,
        .n_ok = h->n_ok,
        .n_failed = h->n_failed,
    };
}

size_t announce_queue_hosts(const struct announce_queue *q, struct announce_host_view *out,
                            size_t cap)
{
    size_t n = 0;
    const struct announce_host *other = &q->other;
    bool used = other->n_waiting > 0 || other->n_running > 0 || other->n_ok + other->n_failed > 0;
    if (used && n < cap) {
        view(other, &out[n++]);
    }
    for (struct map_node *node = map_first(&q->hosts); node != NULL && n < cap;
         node = map_next(&q->hosts, node)) {
        view(container_of(node, struct announce_host, by_key), &out[n++]);
    }
    return n;
}
