/* The tracker: the real one's core with one worker. An announce is answered a while later; UDP or
 * HTTP would say no more than what crosses here. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"
#include "tracker/tracker.h"

#include "base/banned.h"

enum {
    ANSWER_MS = 60,
    INTERVAL_S = 120,
    NUMWANT_MAX = 100,
    UNIX_MS_AT_ZERO_S = 1700000000,
};

struct sim_announce {
    struct list node;
    struct sim_event event;
    struct sim_node *n;
    uint64_t id;
    struct announce_req req;
};

struct sim_scrape {
    struct list node;
    struct sim_event event;
    struct sim_node *n;
    uint64_t id;
    size_t n_hashes;
    struct infohash hashes[SCRAPE_MAX];
};

static struct tracker_time time_of(const struct sim *s)
{
    return (struct tracker_time){s->now_ms, (int64_t)s->now_ms + UNIX_MS_AT_ZERO_S * 1000LL};
}

void sim_tracker_start(struct sim *s)
{
    const struct sim_options *o = &s->options;
    struct tracker_cfg cfg = {
        .mode = MODE_PUBLIC,
        .announce_interval_s = o->announce_interval_s == 0 ? INTERVAL_S : o->announce_interval_s,
        .min_announce_interval_s = 30,
        .peer_timeout_s = 3600,
        .max_numwant = o->numwant_max == 0 ? NUMWANT_MAX : o->numwant_max,
        .max_scrape = 10,
        .max_torrents = 100000,
        .max_peers = 100000,
        .seed = rng_next(&s->rng),
    };
    s->tracker = tracker_new(&cfg, 1, time_of(s));
}

static size_t take_peers(struct endpoint *out, struct span peers)
{
    size_t n = peers.n / COMPACT4_LEN;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = peers.p + i * COMPACT4_LEN;
        out[i] = (struct endpoint){addr_from_v4(p), (uint16_t)(p[4] << 8 | p[5])};
    }
    return n;
}

static void ask(struct sim_node *n, uint64_t id, const struct announce_req *req)
{
    struct tracker_worker *w = tracker_worker(n->s->tracker, 0);
    uint8_t peers4[NUMWANT_MAX * COMPACT4_LEN];
    uint8_t peers6[COMPACT6_LEN];
    struct endpoint peers[NUMWANT_MAX];
    struct peer_room room = {.peers4 = peers4, .peers6 = peers6, .cap4 = NUMWANT_MAX};
    struct announce_reply reply = {0};
    struct announce_failure failure = {0};
    struct announce_result result = {0};
    tracker_begin(w, time_of(n->s));
    if (tracker_announce(w, req, &room, &reply, &failure) < 0) {
        result.outcome.why = failure.reason;
        result.outcome.refused = true;
    } else {
        result.outcome = (struct announce_outcome){
            .answered = true,
            .interval_s = reply.interval_s,
            .min_interval_s = reply.min_interval_s,
            .counts = reply.counts,
            .has_counts = !n->s->options.no_counts,
            .warning = reply.warning,
        };
        result.peers = peers;
        result.n_peers = take_peers(peers, reply.peers4);
    }
    tracker_end(w);
    engine_on_announced(n->e, id, &result, n->s->now_ms);
}

static void on_answer(struct sim_event *ev)
{
    struct sim_announce *a = container_of(ev, struct sim_announce, event);
    struct sim_node *n = a->n;
    bool fails = sim_fault_hits(n->s, SIM_FAULT_ANNOUNCE) || n->s->tracker_down;
    list_remove(&a->node);
    if (fails) {
        struct announce_result result = {.outcome = {.why = SPAN("timed out")}};
        engine_on_announced(n->e, a->id, &result, n->s->now_ms);
    } else {
        ask(n, a->id, &a->req);
    }
    free(a);
    sim_node_drain(n);
}

static void count(struct sim *s)
{
    s->n_announces++;
    if (s->announce_second != s->now_ms / 1000) {
        s->announce_second = s->now_ms / 1000;
        s->announces_in_second = 0;
    }
    s->announces_in_second++;
    if (s->announces_in_second > s->announces_in_second_max) {
        s->announces_in_second_max = s->announces_in_second;
    }
}

void sim_tracker_announce(struct sim_node *n, const struct engine_announce *out)
{
    struct sim_announce *a = mem_new(struct sim_announce);
    a->n = n;
    a->id = out->id;
    a->req = out->req;
    a->req.from = n->self.addr;
    a->event.fire = on_answer;
    if (out->req.port != SIM_PORT) {
        sim_fail(n->s, n, "an announce with port %u", out->req.port);
    }
    sim_trace(n->s, n, "announces event %d left %llu numwant %d", (int)a->req.event,
              (unsigned long long)a->req.left, (int)a->req.numwant);
    count(n->s);
    list_add_tail(&n->announces, &a->node);
    sim_at(n->s, &a->event, n->s->now_ms + ANSWER_MS + rng_below(&n->s->rng, ANSWER_MS));
}

static void count_out(struct sim_node *n, uint64_t id, const struct infohash *hashes,
                      size_t n_hashes)
{
    struct tracker_worker *w = tracker_worker(n->s->tracker, 0);
    struct scrape_counts counts[SCRAPE_MAX];
    struct scrape_answer answers[SCRAPE_MAX];
    struct announce_failure failure;
    tracker_begin(w, time_of(n->s));
    (void)tracker_scrape(w, span_of(NULL, 0), hashes, n_hashes, counts, &failure);
    tracker_end(w);
    for (size_t i = 0; i < n_hashes; i++) {
        answers[i] = (struct scrape_answer){true, counts[i]};
    }
    const struct scrape_result result = {.answered = true, .answers = answers, .n = n_hashes};
    engine_on_scraped(n->e, id, &result, n->s->now_ms);
}

static void on_scrape_answer(struct sim_event *ev)
{
    struct sim_scrape *a = container_of(ev, struct sim_scrape, event);
    struct sim_node *n = a->n;
    list_remove(&a->node);
    if (n->s->tracker_down) {
        engine_on_scraped(n->e, a->id, &(struct scrape_result){.answered = false}, n->s->now_ms);
    } else {
        count_out(n, a->id, a->hashes, a->n_hashes);
    }
    free(a);
    sim_node_drain(n);
}

void sim_tracker_scrape(struct sim_node *n, const struct scrape_request *out)
{
    struct sim_scrape *a = mem_new(struct sim_scrape);
    a->n = n;
    a->id = out->id;
    a->n_hashes = out->n;
    memcpy(a->hashes, out->hashes, out->n * sizeof *a->hashes);
    a->event.fire = on_scrape_answer;
    n->s->n_scrapes++;
    n->s->n_scraped += out->n;
    sim_trace(n->s, n, "scrapes %zu", out->n);
    list_add_tail(&n->scrapes, &a->node);
    sim_at(n->s, &a->event, n->s->now_ms + ANSWER_MS + rng_below(&n->s->rng, ANSWER_MS));
}

void sim_tracker_crash(struct sim_node *n)
{
    LIST_FOREACH_SAFE (node, &n->scrapes) {
        struct sim_scrape *a = container_of(node, struct sim_scrape, node);
        sim_cancel(n->s, &a->event);
        list_remove(node);
        free(a);
    }
    LIST_FOREACH_SAFE (node, &n->announces) {
        struct sim_announce *a = container_of(node, struct sim_announce, node);
        sim_cancel(n->s, &a->event);
        list_remove(node);
        free(a);
    }
}
