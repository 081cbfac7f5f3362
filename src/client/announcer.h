/* announcer.h: when a torrent announces itself, to which tracker, and what it says. Client core.
 *
 * Tiers      BEP 12: within a tier in random order, the one that works moves to its front; the next
 *            tier only when a whole tier fails. One tracker is in use, and the server's own one
 *            beside it (tracker 0 when there is one; it has no URL).
 * Events     started first; completed once a download, to each tracker in use that took started;
 *            stopped only to those that took started, or may have before this start.
 * Times      the tracker's interval, lengthened by up to 10 %; never sooner than its min interval.
 *            After a failure 5 s + 5 s * 2.5 * n^2, at most 60 min, or what "retry in" says. A
 *            torrent that wants peers and has few may ask again at the min interval.
 * Unregistered  a refusal that says the torrent is not known there (announce_is_unregistered): a
 *            state of its own, tried again after UNREGISTERED_RETRY_MS.
 * Pace       which host may be asked now is not decided here: announce_queue.h.
 */
#ifndef CLIENT_ANNOUNCER_H
#define CLIENT_ANNOUNCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/span.h"
#include "proto/announce.h"

enum {
    ANNOUNCE_INTERVAL_DEFAULT_S = 1800,
    ANNOUNCE_INTERVAL_MIN_S = 5, /* whatever a tracker says, but for the own one */
    ANNOUNCE_INTERVAL_MAX_S = 86400,
    ANNOUNCE_NUMWANT = 100,
    ANNOUNCE_TEXT_MAX = 128,
    UNREGISTERED_RETRY_MS = 3600000,
    TRACKERS_MAX = 200, /* of one torrent; more are left out */
    TRACKER_URL_MAX = 2048,
};

enum tracker_state {
    TRACKER_IDLE,         /* not contacted yet */
    TRACKER_WORKING,      /* the last announce was answered */
    TRACKER_FAILED,       /* ... was not, or refused; text says why */
    TRACKER_UNREGISTERED, /* it does not know the torrent */
};

/* One tracker as the API shows it. Texts are NUL-terminated and borrowed. */
struct tracker_view {
    const char *url; /* NULL: the server's own */
    uint32_t tier;
    enum tracker_state state;
    bool announcing;
    uint32_t n_failures; /* in a row */
    const char *text;    /* of the failure or warning; "" */
    struct scrape_counts counts;
    bool has_counts;
    uint64_t counts_ms; /* when they came; 0: never */
    uint64_t last_ms;   /* of the last answer; 0: never */
    uint64_t next_ms;   /* UINT64_MAX: not planned */
    uint64_t n_announces;
};

struct announcer;

/* own: the torrent is announced to the server's own tracker as well. */
struct announcer *announcer_new(bool own, uint64_t seed);
void announcer_free(struct announcer *a);
/* Tiers of any numbers, ascending; http, https and udp URLs up to TRACKER_URL_MAX. False: refused
 * (another scheme, too long, there already, TRACKERS_MAX). */
bool announcer_add(struct announcer *a, struct span url, uint32_t tier);

/* Begin (or go on after a stop), jitter_ms later at the soonest; stop: stopped to whom it is due. */
void announcer_start(struct announcer *a, uint64_t now_ms, uint64_t jitter_ms);
void announcer_stop(struct announcer *a, uint64_t now_ms);
/* Stopped is owed since before this start, and nobody knows to whom: to all of them, from at_ms on.
 * Only before the first announcer_start, which takes it back. */
void announcer_owe_stop(struct announcer *a, uint64_t at_ms);
/* The download is complete: event completed. */
void announcer_on_completed(struct announcer *a, uint64_t now_ms);
/* Ask now, as far as the min interval allows; force: even before that (somebody asked for it). */
void announcer_want_peers(struct announcer *a, uint64_t now_ms, bool force);

/* An announce that is due. */
struct announce_due {
    uint32_t tracker; /* index for the calls below */
    const char *url;  /* NULL: the server's own */
    enum announce_event event;
    int32_t numwant; /* 0 when stopping */
};
/* The next one that is due and not announcing. It stays due until announcer_on_begun, so that a
 * queue can hold it back: skip trackers by starting at *at (0 first, moved on). */
bool announcer_next(struct announcer *a, uint64_t now_ms, uint32_t *at, struct announce_due *out);
uint64_t announcer_deadline_ms(const struct announcer *a);
void announcer_on_begun(struct announcer *a, const struct announce_due *due, uint64_t now_ms);

/* What came of it. */
struct announce_outcome {
    bool answered;       /* the rest of the first block counts */
    uint32_t interval_s; /* 0: not said */
    uint32_t min_interval_s;
    struct scrape_counts counts;
    bool has_counts;
    struct span warning;

    struct span why;      /* else: the tracker's reason, or why there was no answer */
    bool refused;         /* it is the tracker's reason */
    int32_t retry_in_min; /* BEP 31: 0 not said, -1 never */
};
void announcer_on_outcome(struct announcer *a, uint32_t tracker, const struct announce_outcome *o,
                          uint64_t now_ms);

/* Whose counts a scrape would tell and announces do not: while it is stopped and has said so, or
 * when the tracker in use answers without counts. Not of a tracker without a scrape, and of a UDP
 * one only when its URL has no key, which a scrape cannot carry. */
struct scrape_want {
    uint32_t tracker;
    const char *url;   /* NULL: the server's own */
    uint64_t known_ms; /* when its counts came last; 0: never */
};
/* own: of the server's own tracker, else of those with a URL. False: of none. */
bool announcer_wants_scrape(const struct announcer *a, bool own, struct scrape_want *out);
void announcer_on_scraped(struct announcer *a, uint32_t tracker, const struct scrape_counts *counts,
                          uint64_t now_ms);

/* Nothing more to say: stopped, and every stopped event was sent or given up. */
bool announcer_is_done(const struct announcer *a);
/* Have all the trackers in use been asked, and none of them answered? (for the error text) */
bool announcer_has_failed(const struct announcer *a);

uint32_t announcer_count(const struct announcer *a);
void announcer_view(const struct announcer *a, uint32_t i, struct tracker_view *out);

/* "unregistered", "not registered", "not on whitelist", "unknown torrent" and the like. */
bool announce_is_unregistered(struct span reason);

#endif
