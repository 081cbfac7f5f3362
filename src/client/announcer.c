/* Commandments.
 *
 * 1. There are two lines of announces that know nothing of each other: the server's own tracker,
 *    and one of the URLs. Each has a time when it is due (due_ms).
 * 2. The URL in use is chosen anew at every turn, from the front of the order (BEP 12): the first
 *    that is not waiting after a failure. So a failure moves on at once, a backup is in use no
 *    longer than one interval of its own, and when all wait, the one that waits least is next.
 * 3. Of one line only one announce is under way. stopped is different: everybody who took started
 *    gets it, all at the same time, tried once; then the tracker finds out by itself.
 * 4. started and completed are news: they do not wait for an interval. Anything else never comes
 *    sooner than the tracker's min interval, unless somebody asked for it (force).
 * 5. Whoever has not answered a started does not know us: no completed, no stopped, and the next
 *    thing it hears is started. A tracker that says "unregistered" has forgotten us.
 * 6. Times are only ever lengthened by chance, so that torrents drift apart and no tracker is asked
 *    sooner than it said.
 *
 * A tracker's start, seen from here (known: it took started and not yet stopped):
 *
 *              started answered                     announcer_stop
 *   not known ------------------> known ----------------------------------> stop owed
 *       ^                           |  "unregistered"                           | stopped sent:
 *       +---------------------------+                                           | answered or not
 *       +-----------------------------------------------------------------------+
 *
 * A start before the stopped has gone takes the debt back; one after it begins from "not known". A
 * debt of before this start begins from there as well: whoever took that started knows another peer.
 */
#include "client/announcer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "client/announcer_text.h"
#include "proto/http_tracker.h"
#include "proto/udp_tracker.h"

#include "base/banned.h"

enum {
    RETRY_MS = 5000,
    RETRY_STEP_MS = 12500, /* times the failures in a row, squared */
    RETRY_MAX_MS = 3600000,
    RETRY_FAILURES_MAX = 32,      /* beyond, it is RETRY_MAX_MS anyway */
    MIN_INTERVAL_DEFAULT_S = 300, /* of a tracker that says none, unless its interval is less */
    JITTER_PART = 10,             /* at most a tenth is added */
    ROWS_MAX = TRACKERS_MAX + 1,  /* with the own one */
};

static const uint64_t NEVER = UINT64_MAX;

struct row {
    char *url; /* NULL: the own one */
    uint32_t tier;
    enum tracker_state state;
    bool announcing;
    enum announce_event event; /* of the announce under way */
    bool known;                /* it took started */
    bool owes_completed;
    bool owes_stop;
    bool asked; /* since announcer_start */
    bool has_scrape;
    bool tells_counts; /* the last answer to an announce had them */
    uint32_t n_failures;
    char *text; /* NULL: "" */
    struct scrape_counts counts;
    uint64_t counts_ms;     /* when they came; 0: never */
    uint64_t not_before_ms; /* working: the min interval; else the end of the wait */
    uint64_t last_ms;
    uint64_t n_announces;
};

enum line { LINE_OWN, LINE_URLS, N_LINES };

struct announcer {
    struct row *rows;
    uint8_t *order; /* of the URLs' rows: by tier, the front of a tier first */
    uint16_t n_rows;
    uint16_t n_order;
    bool own;
    bool running;
    uint64_t due_ms[N_LINES];
    uint64_t start_ms; /* not before, unless forced */
    uint64_t stop_ms;
    struct rng rng;
};

_Static_assert(ROWS_MAX <= UINT8_MAX, "order has a byte a row");

struct announcer *announcer_new(bool own, uint64_t seed)
{
    struct announcer *a = mem_new(struct announcer);
    a->rng.state = seed;
    a->due_ms[LINE_OWN] = a->due_ms[LINE_URLS] = NEVER;
    if (own) {
        a->own = true;
        a->rows = mem_new(struct row);
        a->n_rows = 1;
    }
    return a;
}

void announcer_free(struct announcer *a)
{
    if (a == NULL) {
        return;
    }
    for (uint16_t i = 0; i < a->n_rows; i++) {
        free(a->rows[i].url);
        free(a->rows[i].text);
    }
    free(a->rows);
    free(a->order);
    free(a);
}

static bool has_url(const struct announcer *a, struct span url)
{
    for (uint16_t i = 0; i < a->n_order; i++) {
        if (span_eq(span_str(a->rows[a->order[i]].url), url)) {
            return true;
        }
    }
    return false;
}

/* The place of tier in the order: [*first, *end). */
static void tier_range(const struct announcer *a, uint32_t tier, uint16_t *first, uint16_t *end)
{
    *first = 0;
    while (*first < a->n_order && a->rows[a->order[*first]].tier < tier) {
        ++*first;
    }
    *end = *first;
    while (*end < a->n_order && a->rows[a->order[*end]].tier == tier) {
        ++*end;
    }
}

static bool has_scrape(struct span url)
{
    uint8_t room[TRACKER_URL_MAX];
    struct wr w = wr_over(room, sizeof room);
    size_t host = span_find(url, ':') + 3; /* "://" */
    if (host != sizeof "udp://" - 1) {
        return http_scrape_url(&w, url);
    }
    struct span rest = span_sub(url, host, url.n);
    struct span path = span_sub(rest, span_find(rest, '/'), rest.n);
    return span_find(rest, '?') == rest.n && udp_url_key(path).n == 0;
}

bool announcer_add(struct announcer *a, struct span url, uint32_t tier)
{
    uint16_t first;
    uint16_t end;
    if (a->n_order == TRACKERS_MAX || !announcer_url_is_usable(url) || has_url(a, url)) {
        return false;
    }
    tier_range(a, tier, &first, &end);
    uint16_t at = (uint16_t)(first + rng_below(&a->rng, (uint32_t)(end - first) + 1));
    a->rows = mem_resize(a->rows, (size_t)a->n_rows + 1, sizeof *a->rows);
    a->order = mem_resize(a->order, (size_t)a->n_order + 1, sizeof *a->order);
    memmove(a->order + at + 1, a->order + at, (size_t)(a->n_order - at));
    a->order[at] = (uint8_t)a->n_rows;
    a->rows[a->n_rows] = (struct row){
        .url = mem_strndup((const char *)url.p, url.n),
        .tier = tier,
        .has_scrape = has_scrape(url),
    };
    a->n_rows++;
    a->n_order++;
    if (a->running && a->n_order == 1) {
        a->due_ms[LINE_URLS] = a->start_ms;
    }
    return true;
}

static bool is_waiting(const struct row *r, uint64_t at_ms)
{
    return (r->state == TRACKER_FAILED || r->state == TRACKER_UNREGISTERED) &&
           r->not_before_ms > at_ms;
}

static enum line line_of(const struct announcer *a, const struct row *r)
{
    return a->own && r == a->rows ? LINE_OWN : LINE_URLS;
}

/* Commandment 2: who is in use at that time; NULL when the line has nobody. */
static struct row *in_use(const struct announcer *a, enum line line, uint64_t at_ms)
{
    struct row *least = NULL;
    if (line == LINE_OWN) {
        return a->own ? a->rows : NULL;
    }
    for (uint16_t i = 0; i < a->n_order; i++) {
        struct row *r = &a->rows[a->order[i]];
        if (!is_waiting(r, at_ms)) {
            return r;
        }
        if (least == NULL || r->not_before_ms < least->not_before_ms) {
            least = r;
        }
    }
    return least;
}

/* Is something under way that has to come back first? Another row's stopped has not. */
static bool is_busy(const struct announcer *a, enum line line)
{
    for (uint16_t i = 0; i < a->n_rows; i++) {
        const struct row *r = &a->rows[i];
        if (r->announcing && r->event != EVENT_STOPPED && line_of(a, r) == line) {
            return true;
        }
    }
    return false;
}

static enum announce_event next_event(const struct row *r)
{
    return !r->known ? EVENT_STARTED : r->owes_completed ? EVENT_COMPLETED : EVENT_NONE;
}

/* Commandment 4. */
static uint64_t floor_ms(const struct row *r, uint64_t at_ms)
{
    return next_event(r) == EVENT_NONE || is_waiting(r, at_ms) ? r->not_before_ms : 0;
}

/* When the line has something to say, and who says it. */
static uint64_t line_deadline_ms(const struct announcer *a, enum line line, struct row **out)
{
    uint64_t due_ms = a->due_ms[line];
    *out = in_use(a, line, due_ms);
    if (!a->running || due_ms == NEVER || *out == NULL || is_busy(a, line) || (*out)->announcing) {
        return NEVER;
    }
    uint64_t at_ms = floor_ms(*out, due_ms);
    if (at_ms <= due_ms) {
        return due_ms;
    }
    /* Those in front of it wait, but may have waited enough before its turn comes. */
    for (uint16_t i = 0; line == LINE_URLS && i < a->n_order; i++) {
        struct row *r = &a->rows[a->order[i]];
        if (is_waiting(r, due_ms) && r->not_before_ms < at_ms) {
            at_ms = r->not_before_ms;
        }
        if (r == *out) {
            break;
        }
    }
    return at_ms;
}

/* Who is to be asked by the line at now_ms; NULL: nobody. */
static struct row *line_due(const struct announcer *a, enum line line, uint64_t now_ms)
{
    struct row *r;
    if (line_deadline_ms(a, line, &r) > now_ms) {
        return NULL;
    }
    r = in_use(a, line, now_ms);
    return r->announcing || floor_ms(r, now_ms) > now_ms ? NULL : r;
}

void announcer_start(struct announcer *a, uint64_t now_ms, uint64_t jitter_ms)
{
    if (a->running) {
        return;
    }
    a->running = true;
    a->start_ms = now_ms + jitter_ms;
    a->due_ms[LINE_OWN] = a->due_ms[LINE_URLS] = a->start_ms;
    for (uint16_t i = 0; i < a->n_rows; i++) {
        struct row *r = &a->rows[i];
        r->owes_stop = false;
        r->asked = false;
        if (r->state != TRACKER_WORKING) {
            r->not_before_ms = 0;
            r->n_failures = 0;
        }
    }
}

void announcer_stop(struct announcer *a, uint64_t now_ms)
{
    if (!a->running) {
        return;
    }
    a->running = false;
    a->stop_ms = now_ms;
    for (uint16_t i = 0; i < a->n_rows; i++) {
        struct row *r = &a->rows[i];
        r->owes_completed = false;
        r->owes_stop = r->known && !(r->announcing && r->event == EVENT_STOPPED);
    }
}

void announcer_owe_stop(struct announcer *a, uint64_t at_ms)
{
    ASSERT(!a->running);
    a->stop_ms = at_ms;
    for (uint16_t i = 0; i < a->n_rows; i++) {
        a->rows[i].owes_stop = true;
    }
}

void announcer_on_completed(struct announcer *a, uint64_t now_ms)
{
    if (!a->running) {
        return;
    }
    for (uint16_t i = 0; i < a->n_rows; i++) {
        struct row *r = &a->rows[i];
        /* A started under way told it of a download that was not complete. */
        bool telling = r->announcing && r->event == EVENT_STARTED;
        r->owes_completed = telling || (r->known && !(r->announcing && r->event == EVENT_STOPPED));
    }
    for (enum line line = 0; line < N_LINES; line++) {
        struct row *r = in_use(a, line, now_ms);
        if (r != NULL && r->owes_completed && now_ms < a->due_ms[line]) {
            a->due_ms[line] = now_ms;
        }
    }
}

void announcer_want_peers(struct announcer *a, uint64_t now_ms, bool force)
{
    if (!a->running) {
        return;
    }
    uint64_t at_ms = force || now_ms > a->start_ms ? now_ms : a->start_ms;
    for (uint16_t i = 0; force && i < a->n_rows; i++) {
        a->rows[i].not_before_ms = 0;
    }
    for (enum line line = 0; line < N_LINES; line++) {
        if (at_ms < a->due_ms[line]) {
            a->due_ms[line] = at_ms;
        }
    }
}

static void fill_due(const struct announcer *a, const struct row *r, struct announce_due *out)
{
    *out = (struct announce_due){
        .tracker = (uint32_t)(r - a->rows),
        .url = r->url,
        .event = r->owes_stop ? EVENT_STOPPED : next_event(r),
        .numwant = r->owes_stop ? 0 : ANNOUNCE_NUMWANT,
    };
}

bool announcer_next(struct announcer *a, uint64_t now_ms, uint32_t *at, struct announce_due *out)
{
    const struct row *due[N_LINES] = {
        line_due(a, LINE_OWN, now_ms),
        line_due(a, LINE_URLS, now_ms),
    };
    for (; *at < a->n_rows; ++*at) {
        const struct row *r = &a->rows[*at];
        bool stop = r->owes_stop && !r->announcing && now_ms >= a->stop_ms;
        if (stop || r == due[LINE_OWN] || r == due[LINE_URLS]) {
            fill_due(a, r, out);
            ++*at;
            return true;
        }
    }
    return false;
}

uint64_t announcer_deadline_ms(const struct announcer *a)
{
    struct row *r;
    for (uint16_t i = 0; !a->running && i < a->n_rows; i++) {
        if (a->rows[i].owes_stop && !a->rows[i].announcing) {
            return a->stop_ms;
        }
    }
    uint64_t own_ms = line_deadline_ms(a, LINE_OWN, &r);
    uint64_t urls_ms = line_deadline_ms(a, LINE_URLS, &r);
    return own_ms < urls_ms ? own_ms : urls_ms;
}

void announcer_on_begun(struct announcer *a, const struct announce_due *due, uint64_t now_ms)
{
    (void)now_ms;
    ASSERT(due->tracker < a->n_rows);
    struct row *r = &a->rows[due->tracker];
    ASSERT(!r->announcing);
    r->announcing = true;
    r->event = due->event;
    r->asked = true;
    r->n_announces++;
    if (due->event == EVENT_STOPPED) {
        r->owes_stop = false;
    } else {
        a->due_ms[line_of(a, r)] = NEVER; /* until its outcome */
    }
}

/* ---- outcomes ---- */

static uint64_t lengthened(struct announcer *a, uint64_t ms)
{
    return ms + rng_below(&a->rng, (uint32_t)(ms / JITTER_PART) + 1);
}

static uint32_t clamp(uint32_t v, uint32_t low, uint32_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* It works: to the front of its tier. */
static void promote(struct announcer *a, const struct row *r)
{
    uint16_t first;
    uint16_t end;
    uint8_t index = (uint8_t)(r - a->rows);
    if (line_of(a, r) == LINE_OWN) {
        return;
    }
    tier_range(a, r->tier, &first, &end);
    uint16_t at = first;
    while (a->order[at] != index) {
        at++;
        ASSERT(at < end);
    }
    memmove(a->order + first + 1, a->order + first, (size_t)(at - first));
    a->order[first] = index;
}

static void set_counts(struct row *r, const struct scrape_counts *counts, uint64_t now_ms)
{
    r->counts = *counts;
    r->counts_ms = now_ms;
}

/* returns when it is to be asked again. */
static uint64_t on_answer(struct announcer *a, struct row *r, const struct announce_outcome *o,
                          uint64_t now_ms)
{
    bool own = line_of(a, r) == LINE_OWN;
    uint32_t interval_s = clamp(o->interval_s == 0 ? ANNOUNCE_INTERVAL_DEFAULT_S : o->interval_s,
                                own ? 1 : ANNOUNCE_INTERVAL_MIN_S, ANNOUNCE_INTERVAL_MAX_S);
    uint32_t min_s = clamp(o->min_interval_s, 0, ANNOUNCE_INTERVAL_MAX_S);
    if (min_s == 0) {
        min_s = clamp(MIN_INTERVAL_DEFAULT_S, 0, interval_s);
    }
    min_s = clamp(min_s, own ? 1 : ANNOUNCE_INTERVAL_MIN_S, ANNOUNCE_INTERVAL_MAX_S);
    interval_s = interval_s < min_s ? min_s : interval_s;
    r->tells_counts = o->has_counts;
    if (o->has_counts) {
        set_counts(r, &o->counts, now_ms);
    }
    r->state = TRACKER_WORKING;
    r->n_failures = 0;
    r->last_ms = now_ms;
    r->not_before_ms = now_ms + UINT64_C(1000) * min_s;
    r->text = announcer_text_copy(o->warning);
    if (r->event == EVENT_STARTED) {
        r->known = true;
    } else if (r->event == EVENT_COMPLETED) {
        r->owes_completed = false;
    }
    promote(a, r);
    return r->owes_completed ? now_ms : now_ms + lengthened(a, UINT64_C(1000) * interval_s);
}

static uint64_t retry_ms(struct announcer *a, const struct row *r, const struct announce_outcome *o)
{
    if (o->refused && o->retry_in_min > 0) {
        uint32_t min = clamp((uint32_t)o->retry_in_min, 1, ANNOUNCE_INTERVAL_MAX_S / 60);
        return lengthened(a, UINT64_C(60000) * min);
    }
    if (r->state == TRACKER_UNREGISTERED) {
        return lengthened(a, UNREGISTERED_RETRY_MS);
    }
    uint64_t n = clamp(r->n_failures, 1, RETRY_FAILURES_MAX);
    uint64_t ms = lengthened(a, RETRY_MS + RETRY_STEP_MS * n * n);
    return ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
}

static void on_failure(struct announcer *a, struct row *r, const struct announce_outcome *o,
                       uint64_t now_ms)
{
    bool unregistered = o->refused && announce_is_unregistered(o->why);
    r->state = unregistered ? TRACKER_UNREGISTERED : TRACKER_FAILED;
    r->n_failures += r->n_failures < UINT32_MAX ? 1 : 0;
    r->known = r->known && !unregistered;
    r->owes_completed = r->owes_completed && r->known;
    r->text = announcer_text_copy(o->why);
    r->last_ms = o->refused ? now_ms : r->last_ms;
    r->not_before_ms = o->refused && o->retry_in_min < 0 ? NEVER : now_ms + retry_ms(a, r, o);
}

void announcer_on_outcome(struct announcer *a, uint32_t tracker, const struct announce_outcome *o,
                          uint64_t now_ms)
{
    ASSERT(tracker < a->n_rows);
    struct row *r = &a->rows[tracker];
    ASSERT(r->announcing);
    uint64_t again_ms = now_ms; /* the next in line, or itself when it has waited */
    free(r->text);
    if (o->answered) {
        again_ms = on_answer(a, r, o, now_ms);
    } else {
        on_failure(a, r, o, now_ms);
    }
    r->announcing = false;
    if (r->event == EVENT_STOPPED) {
        r->known = false;
        return;
    }
    a->due_ms[line_of(a, r)] = again_ms;
    if (!a->running) {
        r->owes_completed = false;
        r->owes_stop = r->known;
    }
}

/* ---- scrapes ---- */

/* The one that works, else one that was not asked yet, else one that did not answer. */
static const struct row *worth_a_scrape(const struct announcer *a)
{
    const struct row *best = NULL;
    for (uint16_t i = 0; i < a->n_order; i++) {
        const struct row *r = &a->rows[a->order[i]];
        if (!r->has_scrape || r->state == TRACKER_UNREGISTERED) {
            continue;
        }
        if (r->state == TRACKER_WORKING) {
            return r;
        }
        if (best == NULL || (best->state == TRACKER_FAILED && r->state == TRACKER_IDLE)) {
            best = r;
        }
    }
    return best;
}

bool announcer_wants_scrape(const struct announcer *a, bool own, struct scrape_want *out)
{
    const struct row *r = !own ? worth_a_scrape(a) : a->own ? a->rows : NULL;
    if (r == NULL) {
        return false;
    }
    bool silent = !own && r->state == TRACKER_WORKING && !r->tells_counts;
    if (a->running ? !silent : !announcer_is_done(a)) {
        return false;
    }
    *out = (struct scrape_want){
        .tracker = (uint32_t)(r - a->rows),
        .url = r->url,
        .known_ms = r->counts_ms,
    };
    return true;
}

void announcer_on_scraped(struct announcer *a, uint32_t tracker, const struct scrape_counts *counts,
                          uint64_t now_ms)
{
    ASSERT(tracker < a->n_rows);
    set_counts(&a->rows[tracker], counts, now_ms);
}

/* ---- views ---- */

bool announcer_is_done(const struct announcer *a)
{
    for (uint16_t i = 0; i < a->n_rows; i++) {
        if (a->rows[i].announcing || a->rows[i].owes_stop) {
            return false;
        }
    }
    return !a->running;
}

bool announcer_has_failed(const struct announcer *a)
{
    for (uint16_t i = 0; i < a->n_rows; i++) {
        const struct row *r = &a->rows[i];
        if (!r->asked || r->state == TRACKER_IDLE || r->state == TRACKER_WORKING) {
            return false;
        }
    }
    return a->n_rows > 0;
}

uint32_t announcer_count(const struct announcer *a)
{
    return a->n_rows;
}

static uint64_t planned_ms(const struct announcer *a, const struct row *r)
{
    struct row *next;
    uint64_t at_ms = line_deadline_ms(a, line_of(a, r), &next);
    if (at_ms != NEVER && in_use(a, line_of(a, r), at_ms) == r) {
        return at_ms;
    }
    return a->running && is_waiting(r, 0) && !r->announcing ? r->not_before_ms : NEVER;
}

void announcer_view(const struct announcer *a, uint32_t i, struct tracker_view *out)
{
    ASSERT(i < a->n_rows);
    const struct row *r = &a->rows[i];
    *out = (struct tracker_view){
        .url = r->url,
        .tier = r->tier,
        .state = r->state,
        .announcing = r->announcing,
        .n_failures = r->n_failures,
        .text = r->text == NULL ? "" : r->text,
        .counts = r->counts,
        .has_counts = r->counts_ms != 0,
        .counts_ms = r->counts_ms,
        .last_ms = r->last_ms,
        .next_ms = planned_ms(a, r),
        .n_announces = r->n_announces,
    };
}
