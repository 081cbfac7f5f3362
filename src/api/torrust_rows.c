#include "api/torrust_rows.h"

#include <time.h>

#include "api/ops.h"
#include "api/peer_client.h"
#include "base/json.h"

#include "base/banned.h"

/* "name":value, and a comma in front unless the object has just been opened. */
static void add_name(struct buf *b, const char *name)
{
    if (b->len > 0 && b->p[b->len - 1] != '{') {
        buf_add_byte(b, ',');
    }
    json_add_string(b, span_str(name));
    buf_add_byte(b, ':');
}

static void add_u64(struct buf *b, const char *name, uint64_t v)
{
    add_name(b, name);
    buf_add_u64(b, v > INT64_MAX ? INT64_MAX : v);
}

static void add_s64(struct buf *b, const char *name, int64_t v)
{
    add_u64(b, name, v < 0 ? 0 : (uint64_t)v);
}

static void add_str(struct buf *b, const char *name, const char *text)
{
    add_name(b, name);
    if (text == NULL) {
        buf_add(b, SPAN("null"));
    } else {
        json_add_string(b, span_str(text));
    }
}

static void add_hash(struct buf *b, const struct infohash *hash)
{
    add_name(b, "info_hash");
    buf_add_byte(b, '"');
    buf_add_hex(b, span_of(hash->b, sizeof hash->b));
    buf_add_byte(b, '"');
}

/* ---- torrents ---------------------------------------------------------------------------- */

void torrust_add_torrent_open(struct buf *b, enum torrust_form form, const struct torrent_row *row)
{
    buf_add_byte(b, '{');
    add_hash(b, &row->info_hash);
    if (form == TORRUST_SEED) {
        add_u64(b, "completed", row->counts.downloaded);
        add_u64(b, "seeders", row->counts.complete);
    } else {
        add_u64(b, "seeders", row->counts.complete);
        add_u64(b, "completed", row->counts.downloaded);
    }
    add_u64(b, "leechers", row->counts.incomplete);
}

void torrust_add_torrent(struct buf *b, enum torrust_form form, const struct torrent_row *row)
{
    torrust_add_torrent_open(b, form, row);
    buf_add_byte(b, '}');
}

/* ---- peers ------------------------------------------------------------------------------- */

static const char *event_name(enum announce_event event)
{
    switch (event) {
    case EVENT_STARTED:
        return "Started";
    case EVENT_STOPPED:
        return "Stopped";
    case EVENT_COMPLETED:
        return "Completed";
    case EVENT_NONE:
        break;
    }
    return "None";
}

static void add_id(struct buf *b, const char *prefix, const struct peer_id *id)
{
    buf_add_byte(b, '{');
    add_name(b, "id");
    buf_add_byte(b, '"');
    buf_add_str(b, prefix);
    buf_add_hex(b, span_of(id->b, sizeof id->b));
    buf_add_byte(b, '"');
    add_str(b, "client", peer_client_name(id));
    buf_add_byte(b, '}');
}

static void add_traffic(struct buf *b, const struct peer_row *row)
{
    add_u64(b, "uploaded", row->uploaded);
    add_u64(b, "downloaded", row->downloaded);
    add_u64(b, "left", row->left);
    add_str(b, "event", event_name(row->event));
}

static void add_peer_pair(struct buf *b, const struct peer_row *row)
{
    char text[ENDPOINT_TEXT_LEN];
    buf_add_byte(b, '[');
    add_id(b, "", &row->peer_id);
    buf_add(b, SPAN(",{"));
    add_str(b, "ip", endpoint_format(text, &row->endpoint));
    add_s64(b, "updated", row->updated_unix_ms / 1000);
    add_traffic(b, row);
    buf_add(b, SPAN("}]"));
}

static void add_peer_members(struct buf *b, const struct peer_row *row)
{
    char text[ENDPOINT_TEXT_LEN];
    add_name(b, "peer_id");
    add_id(b, "0x", &row->peer_id);
    add_str(b, "peer_addr", endpoint_format(text, &row->endpoint));
    add_s64(b, "updated", row->updated_unix_ms);
    /* Misnamed where it comes from: it is the same moment. */
    add_s64(b, "updated_milliseconds_ago", row->updated_unix_ms);
    add_traffic(b, row);
}

void torrust_add_peer(struct buf *b, enum torrust_form form, const struct peer_row *row)
{
    if (form == TORRUST_SEED) {
        add_peer_pair(b, row);
        return;
    }
    buf_add_byte(b, '{');
    add_peer_members(b, row);
    buf_add_byte(b, '}');
}

void torrust_add_found_peer(struct buf *b, const struct peer_row *row)
{
    char text[ADDR_TEXT_LEN];
    buf_add_byte(b, '{');
    add_hash(b, &row->info_hash);
    add_str(b, "ip", addr_format(text, &row->endpoint.addr));
    add_u64(b, "port", row->endpoint.port);
    add_peer_members(b, row);
    add_str(b, "key", row->key[0] == '\0' ? NULL : row->key);
    buf_add_byte(b, '}');
}

/* ---- keys -------------------------------------------------------------------------------- */

static void add_expiry(struct buf *b, enum torrust_form form, const struct access_key *key)
{
    if (key->permanent) {
        add_str(b, "valid_until", NULL);
    } else {
        add_s64(b, "valid_until", key_valid_until_s(key));
    }
    if (form == TORRUST_SEED) {
        return;
    }
    time_t at = (time_t)key_valid_until_s(key);
    struct tm tm;
    char text[64];
    if (key->permanent || gmtime_r(&at, &tm) == NULL) {
        add_str(b, "expiry_time", NULL);
        return;
    }
    size_t n = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    add_name(b, "expiry_time");
    buf_addf(b, "\"%.*s.%09u UTC\"", (int)n, text,
             (unsigned)(key->expires_unix_ms % 1000) * 1000000U);
}

void torrust_add_key(struct buf *b, enum torrust_form form, const struct access_key *key)
{
    buf_add_byte(b, '{');
    add_str(b, "key", key->key);
    add_expiry(b, form, key);
    buf_add_byte(b, '}');
}

void torrust_add_listed_key(struct buf *b, const struct access_key *key)
{
    buf_add_byte(b, '{');
    add_str(b, "key", key->key);
    add_str(b, "label", key->label);
    add_expiry(b, TORRUST_V1, key);
    if (key->last_used_unix_s == 0) {
        add_str(b, "last_used", NULL);
    } else {
        add_s64(b, "last_used", key->last_used_unix_s);
    }
    add_s64(b, "created", key->created_unix_s);
    buf_add_byte(b, '}');
}

/* ---- stats ------------------------------------------------------------------------------- */

static uint64_t average_ns(const struct stats_totals *s, enum tracker_timed what)
{
    return s->timed[what].count == 0 ? 0 : s->timed[what].sum_ns / s->timed[what].count;
}

size_t torrust_stats(struct torrust_stat out[static TORRUST_STATS_MAX], enum torrust_form form,
                     const struct tracker_totals *t, const struct stats_totals *s)
{
    const uint64_t *c = s->counters;
    bool v1 = form == TORRUST_V1;
    const struct {
        bool shown;
        struct torrust_stat stat;
    } all[] = {
        {true, {"torrents", t->torrents}},
        {true, {"seeders", t->seeders}},
        {true, {"completed", t->completed}},
        {true, {"leechers", t->leechers}},
        {true, {"tcp4_connections_handled", c[COUNT_http4_announces] + c[COUNT_http4_scrapes]}},
        {true, {"tcp4_announces_handled", c[COUNT_http4_announces]}},
        {true, {"tcp4_scrapes_handled", c[COUNT_http4_scrapes]}},
        {true, {"tcp6_connections_handled", c[COUNT_http6_announces] + c[COUNT_http6_scrapes]}},
        {true, {"tcp6_announces_handled", c[COUNT_http6_announces]}},
        {true, {"tcp6_scrapes_handled", c[COUNT_http6_scrapes]}},
        /* Nothing is ever aborted or banned here; clients of version 3 want the members. */
        {v1, {"udp_requests_aborted", 0}},
        {v1, {"udp_requests_banned", 0}},
        {v1, {"udp_banned_ips_total", 0}},
        {v1, {"udp_avg_connect_processing_time_ns", average_ns(s, TIMED_UDP_CONNECT)}},
        {v1, {"udp_avg_announce_processing_time_ns", average_ns(s, TIMED_UDP_ANNOUNCE)}},
        {v1, {"udp_avg_scrape_processing_time_ns", average_ns(s, TIMED_UDP_SCRAPE)}},
        {v1, {"udp4_requests", c[COUNT_udp4_requests]}},
        {true, {"udp4_connections_handled", c[COUNT_udp4_connects]}},
        {true, {"udp4_announces_handled", c[COUNT_udp4_announces]}},
        {true, {"udp4_scrapes_handled", c[COUNT_udp4_scrapes]}},
        {v1, {"udp4_responses", c[COUNT_udp4_responses]}},
        {v1, {"udp4_errors_handled", c[COUNT_udp4_errors]}},
        {v1, {"udp6_requests", c[COUNT_udp6_requests]}},
        {true, {"udp6_connections_handled", c[COUNT_udp6_connects]}},
        {true, {"udp6_announces_handled", c[COUNT_udp6_announces]}},
        {true, {"udp6_scrapes_handled", c[COUNT_udp6_scrapes]}},
        {v1, {"udp6_responses", c[COUNT_udp6_responses]}},
        {v1, {"udp6_errors_handled", c[COUNT_udp6_errors]}},
    };
    _Static_assert(sizeof all / sizeof all[0] <= TORRUST_STATS_MAX, "room for all");
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].shown) {
            out[n++] = all[i].stat;
        }
    }
    return n;
}
