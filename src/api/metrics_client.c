#include "api/metrics_client.h"

#include <string.h>

#include "base/banned.h"

enum { HOST_TEXT_LEN = 272 }; /* a host name has 253 characters at most */

static const struct metric_labels none = {{{NULL, NULL}}};

static void add_value(struct metrics_out *o, const char *name, const char *kind, const char *help,
                      uint64_t value)
{
    metric_head(o, name, kind, help);
    metric_u64(o, &none, value);
}

/* Two samples of one metric. */
static void add_pair(struct metrics_out *o, const char *name, const char *help, const char *label,
                     const char *const values[static 2], const uint64_t numbers[static 2])
{
    metric_head(o, name, "counter", help);
    for (size_t i = 0; i < 2; i++) {
        const struct metric_labels labels = {{{label, values[i]}}};
        metric_u64(o, &labels, numbers[i]);
    }
}

static const char *const directions[2] = {"down", "up"};
static const char *const disk_directions[2] = {"read", "write"};
static const char *const results[2] = {"ok", "failed"};

static void add_torrents(struct metrics_out *o, const struct client_metrics *m)
{
    const struct engine_totals *t = &m->totals;
    static const char *const states[TORRENT_N_STATES] = {
        [TORRENT_QUEUED_CHECK] = "queued_for_checking",
        [TORRENT_CHECKING] = "checking",
        [TORRENT_METADATA] = "downloading_metadata",
        [TORRENT_DOWNLOADING] = "downloading",
        [TORRENT_FINISHED] = "finished",
        [TORRENT_SEEDING] = "seeding",
    };
    metric_head(o, "rookery_client_torrents", "gauge", "Torrents of the client.");
    for (size_t i = 0; i < TORRENT_N_STATES; i++) {
        const struct metric_labels labels = {{{"state", states[i]}}};
        metric_u64(o, &labels, t->n_torrents[i]);
    }
    add_value(o, "rookery_client_torrents_paused", "gauge", "Of them, paused.", t->n_paused);
    add_value(o, "rookery_client_torrents_faulty", "gauge",
              "Of them, stopped by a full or broken disk or missing files.", t->n_faulty);
    add_value(o, "rookery_client_torrents_left_out", "gauge",
              "Stored torrents that could not be loaded; the log says why.", m->n_left_out);
    add_value(o, "rookery_client_pieces_passed_total", "counter", "Pieces with the right hash.",
              t->pieces_passed);
    add_value(o, "rookery_client_hash_failures_total", "counter", "Pieces with a wrong hash.",
              t->hash_failures);
    add_value(o, "rookery_client_wasted_bytes_total", "counter",
              "Payload that was not asked for, came twice or belonged to a bad piece.", t->wasted);
}

static void add_peers(struct metrics_out *o, const struct engine_totals *t)
{
    const uint64_t all[2] = {t->wire.down, t->wire.up};
    const uint64_t payload[2] = {t->wire.down_payload, t->wire.up_payload};
    add_pair(o, "rookery_client_bytes_total", "Bytes from and to peers, protocol and all.",
             "direction", directions, all);
    add_pair(o, "rookery_client_payload_bytes_total", "Of them, content of torrents.", "direction",
             directions, payload);
    add_value(o, "rookery_client_peers", "gauge", "Connections to peers.", t->n_peers);
    add_value(o, "rookery_client_peers_half_open", "gauge",
              "Connections that are being made and not there yet.", t->n_half_open);
    add_value(o, "rookery_client_peers_unchoked", "gauge", "Peers that may download from us.",
              t->n_unchoked);
    add_value(o, "rookery_client_connects_total", "counter", "Connections tried.", t->connects);
    add_value(o, "rookery_client_connects_failed_total", "counter", "Of them, failed.",
              t->connects_failed);
    add_value(o, "rookery_client_accepts_total", "counter", "Connections of peers accepted.",
              t->accepts);
    add_value(o, "rookery_client_accepts_refused_total", "counter",
              "Connections of peers refused by a limit or a ban.", t->accepts_refused);
    add_value(o, "rookery_client_closed_by_rule_total", "counter",
              "Connections closed by us: a rule was broken, or they were of no use.",
              t->closed_by_rule);
    add_value(o, "rookery_client_closed_by_time_total", "counter",
              "Connections closed because the peer was silent or slow.", t->closed_by_time);
    add_value(o, "rookery_client_banned_total", "counter", "Peers banned for bad pieces.",
              t->banned);
    add_value(o, "rookery_client_requests_refused_total", "counter",
              "Requests of peers that were invalid, choked or too many.", t->requests_refused);
}

static void add_disk(struct metrics_out *o, const struct client_metrics *m)
{
    const struct engine_totals *t = &m->totals;
    const uint64_t jobs[2] = {t->disk_reads, t->disk_writes};
    const uint64_t bytes[2] = {t->disk_read_len, t->disk_write_len};
    add_pair(o, "rookery_client_disk_operations_total", "Reads and writes.", "direction",
             disk_directions, jobs);
    add_pair(o, "rookery_client_disk_bytes_total", "Bytes read and written.", "direction",
             disk_directions, bytes);
    add_value(o, "rookery_client_disk_errors_total", "counter", "Reads and writes that failed.",
              t->disk_errors);
    add_value(o, "rookery_client_disk_queue_bytes", "gauge", "Bytes waiting for the disk.",
              t->disk_queue_len);
    add_value(o, "rookery_client_disk_queue_jobs", "gauge", "Jobs waiting for the disk.",
              t->disk_queue_jobs);
    add_value(o, "rookery_client_disk_pool_jobs", "gauge", "Of them, with the thread pool now.",
              m->disk.jobs);
    add_value(o, "rookery_client_disk_reads_cached_total", "counter",
              "Reads answered from the page cache at once.", m->disk.reads_cached);
    add_value(o, "rookery_client_disk_reads_pool_total", "counter",
              "Reads that went to the thread pool.", m->disk.reads_pool);
    add_value(o, "rookery_client_files_opened_total", "counter", "Files opened.", m->disk.opens);
    add_value(o, "rookery_client_files_reused_total", "counter",
              "Times that a file was open already.", m->disk.open_hits);
}

/* The host is a part of a URL that a torrent named: a label may not hold all of that. */
static void host_text(char out[static HOST_TEXT_LEN], const char *host)
{
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    size_t n = 0;
    for (; host[n] != '\0' && n + 1 < HOST_TEXT_LEN; n++) {
        out[n] = host[n];
        if (strchr(good, host[n]) == NULL) {
            out[n] = '_';
        }
    }
    out[n] = '\0';
}

static void add_hosts(struct metrics_out *o, const struct client_metrics *m)
{
    static const struct {
        const char *name, *kind, *help;
    } heads[] = {
        {"rookery_client_tracker_announces_total", "counter",
         "Announces to a tracker, by result, while its host is remembered."},
        {"rookery_client_tracker_announces_waiting", "gauge", "Announces waiting for their turn."},
        {"rookery_client_tracker_announces_running", "gauge", "Announces under way."},
    };
    for (size_t k = 0; k < sizeof heads / sizeof heads[0]; k++) {
        metric_head(o, heads[k].name, heads[k].kind, heads[k].help);
        for (size_t i = 0; i < m->n_hosts; i++) {
            const struct announce_host_view *h = &m->hosts[i];
            char host[HOST_TEXT_LEN];
            host_text(host, h->host);
            struct metric_labels labels = {{{"host", host}}};
            if (k == 0) {
                labels.at[1] = (struct metric_label){"result", results[0]};
                metric_u64(o, &labels, h->n_ok);
                labels.at[1].value = results[1];
                metric_u64(o, &labels, h->n_failed);
            } else {
                metric_u64(o, &labels, k == 1 ? h->n_waiting : h->n_running);
            }
        }
    }
}

void metrics_client_render(struct metrics_out *o, const struct client_metrics *m)
{
    const uint64_t announces[2] = {m->totals.announces_ok, m->totals.announces_failed};
    const uint64_t scrapes[2] = {m->totals.scrapes_ok, m->totals.scrapes_failed};
    add_torrents(o, m);
    add_peers(o, &m->totals);
    add_disk(o, m);
    add_pair(o, "rookery_client_announces_total", "Announces to all trackers, by result.", "result",
             results, announces);
    add_pair(o, "rookery_client_scrapes_total", "Scrapes of all trackers, by result.", "result",
             results, scrapes);
    add_hosts(o, m);
}

void metrics_client_gather(struct client_metrics *out, const struct client *c)
{
    const struct engine *engine = client_engine(c);
    engine_totals(engine, &out->totals);
    disk_stats(client_disk(c), &out->disk);
    out->n_left_out = client_count_left_out(c);
    out->n_hosts = announce_queue_hosts(engine_announce_queue(engine), out->hosts,
                                        sizeof out->hosts / sizeof out->hosts[0]);
}
