/* metrics_client.h: what the client counts, as metrics. Names begin with rookery_client_.
 *
 * Labels   state, direction (down, up), and host: the tracker as "name:port", of the last hour.
 */
#ifndef API_METRICS_CLIENT_H
#define API_METRICS_CLIENT_H

#include <stddef.h>

#include "api/metrics_out.h"
#include "client/announce_queue.h"
#include "client/client.h"

struct client_metrics {
    struct engine_totals totals;
    struct disk_stats disk;
    size_t n_left_out;
    struct announce_host_view hosts[ANNOUNCE_HOSTS_MAX + 1]; /* "other" too; names are borrowed */
    size_t n_hosts;
};

/* Good for this turn of the loop. */
void metrics_client_gather(struct client_metrics *out, const struct client *c);

/* Pure. */
void metrics_client_render(struct metrics_out *o, const struct client_metrics *m);

#endif
