/* Counts that announces do not tell, by scrapes: from a torrent's announcer to the outputs, by way of
 * the scraper, and back.
 *
 *   announcer wants it --scraper--> SCRAPE --> engine_on_scraped --> announcer
 *
 * A torrent has one wish of the trackers with a URL and one of the server's own. While an announce
 * waits for its turn no scrape begins; scrapes have no place in that queue, and take none of it.
 */
#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum { HOLD_MS = 1000 };

static void check(struct torrent *t, struct torrent_scrape *scrape, bool own)
{
    struct engine *e = t->e;
    struct scrape_want want;
    bool ends = t->removing || t->stopping || e->stopping;
    if (ends || !announcer_wants_scrape(t->announcer, own, &want)) {
        scraper_remove(e->scraper, &scrape->entry);
        return;
    }
    const struct scrape_wish wish = {
        .hash = &t->info_hash,
        .session = t->session->id,
        .url = want.url,
        .known_ms = want.known_ms,
    };
    scrape->t = t;
    scrape->tracker = want.tracker;
    scraper_add(e->scraper, &scrape->entry, &wish, e->now_ms);
}

void scrape_check(struct torrent *t)
{
    check(t, &t->scrape, false);
    check(t, &t->scrape_own, true);
}

void scrape_forget(struct torrent *t)
{
    scraper_remove(t->e->scraper, &t->scrape.entry);
    scraper_remove(t->e->scraper, &t->scrape_own.entry);
}

void scrape_run(struct engine *e)
{
    struct engine_out out = {.kind = ENGINE_OUT_SCRAPE};
    if (announce_queue_deadline_ms(e->announces) != UINT64_MAX) {
        scraper_hold(e->scraper, e->now_ms + HOLD_MS);
    }
    while (scraper_next(e->scraper, e->now_ms, &out.scrape)) {
        out.session = out.scrape.session;
        engine_put(e, &out);
    }
}

static void take(struct torrent_scrape *scrape, const struct scrape_counts *counts)
{
    struct torrent *t = scrape->t;
    announcer_on_scraped(t->announcer, scrape->tracker, counts, t->e->now_ms);
    if (counts->complete > 0) {
        t->kept.last_seen_complete_unix_s = engine_unix_s(t->e);
    }
}

void engine_on_scraped(struct engine *e, uint64_t scrape, const struct scrape_result *result,
                       uint64_t now_ms)
{
    struct scrape_entry *asked[SCRAPE_MAX];
    engine_begin(e, now_ms);
    size_t n = scraper_on_done(e->scraper, scrape, result, e->now_ms, asked);
    if (n > 0) {
        e->totals.scrapes_ok += result->answered ? 1 : 0;
        e->totals.scrapes_failed += result->answered ? 0 : 1;
    }
    for (size_t i = 0; i < n && i < result->n; i++) {
        if (asked[i] != NULL && result->answers[i].known) {
            take(container_of(asked[i], struct torrent_scrape, entry), &result->answers[i].counts);
        }
    }
    engine_end(e);
}
