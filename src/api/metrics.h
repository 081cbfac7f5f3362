/* metrics.h: everything that is counted, for Prometheus or as JSON (metrics_out.h).
 *
 * Names   start with rookery_, those of the process with process_. Labels: protocol (udp, http),
 *         family (ipv4, ipv6), and reason, request or transport where that tells more; those of the
 *         client are in metrics_client.h.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/auth.h"
#include "api/call.h"
#include "api/http.h"
#include "api/metrics_client.h"
#include "api/socketio_http.h"
#include "base/buf.h"
#include "tracker/stats.h"
#include "tracker/tracker.h"

enum { METRICS_MAX = 1024 * 1024, METRICS_WORKERS_MAX = 256 };

/* All that is shown, gathered at one moment. */
struct metrics {
    struct tracker_totals totals;
    struct stats_totals stats;
    uint64_t loop_gaps_us[METRICS_WORKERS_MAX]; /* of the tracker's workers */
    size_t n_workers;
    struct http_stats http;
    struct auth_stats auth;
    struct sio_http_stats socketio;
    const struct client_metrics *client; /* NULL: it is switched off */
    bool database_up;
    const char *version;
    int64_t started_unix_s;
    uint64_t resident_bytes;
    uint64_t cpu_ms;
};

/* Pure. */
void metrics_render(struct buf *out, bool json, const struct metrics *m);

/* Gathers and answers. */
void metrics_answer(struct call *c, bool json);

#endif
