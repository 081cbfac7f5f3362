#include "base/config_schema.h"

#include "base/assert.h"
#include "base/config.h"

#include "base/banned.h"

#define PLACE(field)                                                                               \
    .offset = offsetof(struct config, field), .size = sizeof(((struct config *)NULL)->field)

#define LATER " Reserved for a part that is still to come; has no effect yet."

enum {
    YEAR_S = 366 * 24 * 3600, /* durations stay below 2^31 s with jitter and doubling */
    DAY_S = 24 * 3600,
    PATH_BYTES = 4095,
    URL_BYTES = 4095,
    NAME_BYTES = 255,
};

#define MAX_BODY_BYTES (UINT64_C(1) << 40)
#define MAX_COUNT      UINT64_C(4000000000)
#define MAX_RATE_BPS   ((uint64_t)INT64_MAX)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const tracker_modes[] = {"public", "listed", "private", "private_listed", NULL};
static const char *const encryptions[] = {"off", "prefer", "require", NULL};
static const char *const url_fetches[] = {"public", "any", "off", NULL};

static const struct config_key keys[] = {
    {.name = "data_dir",
     .type = CONFIG_TEXT,
     .initial = "./data",
     .min = 1,
     .max = PATH_BYTES,
     PLACE(data_dir),
     .help = "Folder of everything the server writes."},

    {.name = "log.level",
     .type = CONFIG_CHOICE,
     .initial = "info",
     .choices = log_levels,
     PLACE(log.level),
     .help = "error, warn, info or debug; read again at SIGHUP."},
    {.name = "log.format",
     .type = CONFIG_CHOICE,
     .initial = "text",
     .choices = log_formats,
     PLACE(log.json),
     .help = "text for people, json for one object a line."},

    {.name = "database.url",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = URL_BYTES,
     .secret = true,
     PLACE(database.url),
     .help = "libpq connection string. Empty: a private PostgreSQL in data_dir/postgres."},

    {.name = "tracker.mode",
     .type = CONFIG_CHOICE,
     .initial = "public",
     .choices = tracker_modes,
     PLACE(tracker.mode),
     .help = "public, listed (whitelist), private (keys), private_listed (both)."},
    {.name = "tracker.udp",
     .type = CONFIG_ENDPOINTS,
     .initial = "0.0.0.0:6969, [::]:6969",
     PLACE(tracker.udp),
     .help = "Addresses of the UDP tracker; an empty list turns it off."},
    {.name = "tracker.http",
     .type = CONFIG_ENDPOINTS,
     .initial = "0.0.0.0:7070, [::]:7070",
     PLACE(tracker.http),
     .help = "Addresses of the HTTP tracker; an empty list turns it off."},
    {.name = "tracker.tls.certificate",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = PATH_BYTES,
     PLACE(tracker.tls_certificate),
     .help = "PEM file with the certificate chain; with the key, the HTTP tracker speaks TLS."},
    {.name = "tracker.tls.key",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = PATH_BYTES,
     PLACE(tracker.tls_key),
     .help = "PEM file with the private key."},
    {.name = "tracker.workers",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = 256,
     PLACE(tracker.workers),
     .help = "Worker threads; 0: one for each core."},
    {.name = "tracker.announce_interval",
     .type = CONFIG_NUMBER,
     .initial = "1800",
     .min = 1,
     .max = YEAR_S,
     PLACE(tracker.announce_interval_s),
     .help = "Seconds told to clients; each answer adds up to 10 % jitter."},
    {.name = "tracker.min_announce_interval",
     .type = CONFIG_NUMBER,
     .initial = "300",
     .min = 1,
     .max = YEAR_S,
     PLACE(tracker.min_announce_interval_s),
     .help = "Seconds. Left out, it is never longer than announce_interval."},
    {.name = "tracker.peer_timeout",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = YEAR_S,
     PLACE(tracker.peer_timeout_s),
     .help = "Seconds without an announce before a peer is dropped; 0: twice the announce "
             "interval + 10 %."},
    {.name = "tracker.max_numwant",
     .type = CONFIG_NUMBER,
     .initial = "100",
     .min = 1,
     .max = 1000,
     PLACE(tracker.max_numwant),
     .help = "Peers in one answer at most."},
    {.name = "tracker.max_scrape",
     .type = CONFIG_NUMBER,
     .initial = "74",
     .min = 1,
     .max = 74,
     PLACE(tracker.max_scrape),
     .help = "Info-hashes in one scrape at most."},
    {.name = "tracker.connection_id_lifetime",
     .type = CONFIG_NUMBER,
     .initial = "120",
     .min = 1,
     .max = DAY_S,
     PLACE(tracker.connection_id_lifetime_s),
     .help = "Seconds a UDP connection id stays valid."},
    {.name = "tracker.trust_forwarded_for",
     .type = CONFIG_CIDRS,
     .initial = "",
     PLACE(tracker.trust_forwarded_for),
     .help = "CIDR blocks of reverse proxies whose X-Forwarded-For is believed."},
    {.name = "tracker.external_ip",
     .type = CONFIG_ADDRESS,
     .initial = "",
     PLACE(tracker.external_ip),
     .help = "Address handed out for peers that announce from loopback or a private range."},
    {.name = "tracker.trust_ip_parameter",
     .type = CONFIG_BOOL,
     .initial = "false",
     PLACE(tracker.trust_ip_parameter),
     .help = "Believe the address that a peer names for itself. Anybody can then name anybody."},
    {.name = "tracker.persist_completed",
     .type = CONFIG_BOOL,
     .initial = "true",
     PLACE(tracker.persist_completed),
     .help = "Keep the count of completed downloads in the database."},
    {.name = "tracker.max_torrents",
     .type = CONFIG_NUMBER,
     .initial = "10000000",
     .min = 1,
     .max = MAX_COUNT,
     PLACE(tracker.max_torrents),
     .help = "Swarms in memory at most; an announce that would add one more is refused."},
    {.name = "tracker.max_peers",
     .type = CONFIG_NUMBER,
     .initial = "50000000",
     .min = 1,
     .max = MAX_COUNT,
     PLACE(tracker.max_peers),
     .help = "Peers in memory at most, over all swarms."},
    {.name = "tracker.max_connections",
     .type = CONFIG_NUMBER,
     .initial = "20000",
     .min = 1,
     .max = 10000000,
     PLACE(tracker.max_connections),
     .help = "Open connections of the HTTP tracker at most."},
    {.name = "tracker.http_idle_timeout",
     .type = CONFIG_NUMBER,
     .initial = "60",
     .min = 1,
     .max = DAY_S,
     PLACE(tracker.http_idle_timeout_s),
     .help = "Seconds a connection without a request is kept."},
    {.name = "tracker.http_request_timeout",
     .type = CONFIG_NUMBER,
     .initial = "10",
     .min = 1,
     .max = DAY_S,
     PLACE(tracker.http_request_timeout_s),
     .help = "Seconds a request head may take from its first byte to its last."},

    {.name = "client.enabled",
     .type = CONFIG_BOOL,
     .initial = "true",
     PLACE(client.enabled),
     .help = "Run the BitTorrent client."},
    {.name = "client.listen",
     .type = CONFIG_ENDPOINTS,
     .initial = "0.0.0.0:6881, [::]:6881",
     PLACE(client.listen),
     .help = "Addresses for connections of peers; an empty list: none can connect."},
    {.name = "client.download_dir",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = PATH_BYTES,
     PLACE(client.download_dir),
     .help = "Default save path; empty: data_dir/downloads."},
    {.name = "client.allowed_dirs",
     .type = CONFIG_TEXTS,
     .initial = "",
     .min = 1,
     .max = PATH_BYTES,
     PLACE(client.allowed_dirs),
     .help = "Save paths outside of these are refused; empty: download_dir only."},
    {.name = "client.announce_to_own_tracker",
     .type = CONFIG_BOOL,
     .initial = "true",
     PLACE(client.announce_to_own_tracker),
     .help = "Announce the client's torrents to this tracker directly."},
    {.name = "client.max_peers",
     .type = CONFIG_NUMBER,
     .initial = "2000",
     .min = 1,
     .max = 1000000,
     PLACE(client.max_peers),
     .help = "Connections to peers at most."},
    {.name = "client.max_peers_per_torrent",
     .type = CONFIG_NUMBER,
     .initial = "200",
     .min = 1,
     .max = 1000000,
     PLACE(client.max_peers_per_torrent),
     .help = "Connections to peers of one torrent at most."},
    {.name = "client.max_download_rate",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = MAX_RATE_BPS,
     PLACE(client.max_download_rate_bps),
     .help = "Bytes a second; 0: no limit."},
    {.name = "client.max_upload_rate",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = MAX_RATE_BPS,
     PLACE(client.max_upload_rate_bps),
     .help = "Bytes a second; 0: no limit."},
    {.name = "client.dht",
     .type = CONFIG_BOOL,
     .initial = "true",
     .help = "Take part in the DHT." LATER},
    {.name = "client.pex",
     .type = CONFIG_BOOL,
     .initial = "true",
     PLACE(client.pex),
     .help = "Exchange peers with peers."},
    {.name = "client.lsd",
     .type = CONFIG_BOOL,
     .initial = "true",
     .help = "Find peers in the local network." LATER},
    {.name = "client.utp",
     .type = CONFIG_BOOL,
     .initial = "true",
     .help = "Peer connections over UDP as well." LATER},
    {.name = "client.port_mapping",
     .type = CONFIG_BOOL,
     .initial = "true",
     .help = "Ask the router to forward the port." LATER},
    {.name = "client.dht_bootstrap",
     .type = CONFIG_HOST_PORTS,
     .initial = "router.bittorrent.com:6881, dht.transmissionbt.com:6881, "
                "dht.libtorrent.org:25401",
     .help = "HOST:PORT of DHT nodes to begin with; an empty list: none." LATER},
    {.name = "client.encryption",
     .type = CONFIG_CHOICE,
     .initial = "prefer",
     .choices = encryptions,
     .help = "off, prefer or require (MSE/PE)." LATER},
    {.name = "client.hash_threads",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = 256,
     PLACE(client.hash_threads),
     .help = "Threads for hashing beside those of disk_threads."},
    {.name = "client.disk_threads",
     .type = CONFIG_NUMBER,
     .initial = "0",
     .max = 256,
     PLACE(client.disk_threads),
     .help = "Threads that read, write and hash; 0: one a core, at least 4."},

    {.name = "api.listen",
     .type = CONFIG_ENDPOINTS,
     .initial = "127.0.0.1:1212",
     PLACE(api.listen),
     .help = "Addresses of the admin API."},
    {.name = "api.tls.certificate",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = PATH_BYTES,
     PLACE(api.tls_certificate),
     .help = "PEM file with the certificate chain; with the key, the API speaks TLS."},
    {.name = "api.tls.key",
     .type = CONFIG_TEXT,
     .initial = "",
     .max = PATH_BYTES,
     PLACE(api.tls_key),
     .help = "PEM file with the private key."},
    {.name = "api.tokens",
     .type = CONFIG_TOKENS,
     .initial = "",
     .secret = true,
     PLACE(api.tokens),
     .help = "label: token. Empty: one is generated at first start into data_dir/api-token."},
    {.name = "api.local_without_token",
     .type = CONFIG_BOOL,
     .initial = "false",
     PLACE(api.local_without_token),
     .help = "Let local programs call without a token where the API's documents have none."},
    {.name = "api.hosts",
     .type = CONFIG_TEXTS,
     .initial = "",
     .min = 1,
     .max = NAME_BYTES,
     PLACE(api.hosts),
     .help = "Further names accepted in Host, beside localhost and the listen addresses."},
    {.name = "api.cors_origins",
     .type = CONFIG_TEXTS,
     .initial = "",
     .min = 1,
     .max = NAME_BYTES,
     PLACE(api.cors_origins),
     .help = "Origins of browsers that may call."},
    {.name = "api.max_body",
     .type = CONFIG_NUMBER,
     .initial = "16777216",
     .min = 1,
     .max = MAX_BODY_BYTES,
     PLACE(api.max_body),
     .help = "Bytes of a request body at most; a larger one gets 413."},
    {.name = "api.socketio_ping_interval_ms",
     .type = CONFIG_NUMBER,
     .initial = "25000",
     .min = 1,
     .max = DAY_S * 1000ULL,
     PLACE(api.socketio_ping_interval_ms),
     .help = "Socket.IO: milliseconds between two heartbeats."},
    {.name = "api.socketio_ping_timeout_ms",
     .type = CONFIG_NUMBER,
     .initial = "20000",
     .min = 1,
     .max = DAY_S * 1000ULL,
     PLACE(api.socketio_ping_timeout_ms),
     .help = "Socket.IO: milliseconds to wait for the answer to one."},
    {.name = "api.url_fetch",
     .type = CONFIG_CHOICE,
     .initial = "public",
     .choices = url_fetches,
     PLACE(api.url_fetch),
     .help = "Which addresses a torrent URL may name: public, any or off."},
};

enum { N_KEYS = sizeof keys / sizeof keys[0] };
_Static_assert(sizeof keys / sizeof keys[0] <= CONFIG_KEYS_MAX, "raise CONFIG_KEYS_MAX");

size_t config_schema_count(void)
{
    return N_KEYS;
}

const struct config_key *config_schema_at(size_t i)
{
    ASSERT(i < N_KEYS);
    return &keys[i];
}

bool config_schema_find(struct span name, size_t *index)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if (span_eq(name, span_str(keys[i].name))) {
            *index = i;
            return true;
        }
    }
    return false;
}

bool config_schema_find_section(struct span name, size_t *first_inside)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        struct span key = span_str(keys[i].name);
        if (span_starts_with(key, name) && key.n > name.n && key.p[name.n] == '.') {
            *first_inside = i;
            return true;
        }
    }
    return false;
}

bool config_key_is_list(const struct config_key *key)
{
    return key->type == CONFIG_ENDPOINTS || key->type == CONFIG_CIDRS ||
           key->type == CONFIG_TEXTS || key->type == CONFIG_HOST_PORTS;
}

const char *config_key_name(size_t i)
{
    return i < N_KEYS ? keys[i].name : NULL;
}

const char *config_key_help(size_t i)
{
    return config_schema_at(i)->help;
}

bool config_key_reserved(size_t i)
{
    return config_schema_at(i)->size == 0;
}
