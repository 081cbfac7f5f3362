/* config.h: the configuration: one struct, one schema table, YAML and environment in.
 *
 * Schema   config_schema.c is the single list of keys (key, type, place, default, range, help). An
 *          unknown key, a wrong type, a value out of range or a key given twice is an error with
 *          its line; all errors of a file are reported at once.
 * Order    defaults, then the file, then ROOKERY_* variables (ROOKERY_TRACKER__MODE=private;
 *          lists: comma-separated or as in YAML, "[a, b]"; ROOKERY_API__TOKENS__<LABEL>). A variable
 *          that looks like a key and is none is an error; others with the prefix are not ours.
 * Reserved keys of parts that are still to come are checked as all others and then have no effect.
 * Limits   CONFIG_LIST_MAX entries in a list; CONFIG_TOKEN_MAX bytes in a token.
 * Memory   everything config_load fills belongs to the config; config_release frees it.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/log.h"
#include "base/span.h"

enum {
    CONFIG_LIST_MAX = 64,
    CONFIG_TOKEN_MAX = 512,
    CONFIG_OPEN_TOKEN_MIN = 16, /* characters, once the API listens beyond loopback */
};

struct endpoint_list {
    struct endpoint *at;
    size_t n;
};

struct cidr_list {
    struct cidr *at;
    size_t n;
};

struct string_list {
    char **at;
    size_t n;
};

struct api_token {
    char *label;
    char *token;
};

struct token_list {
    struct api_token *at;
    size_t n;
};

/* Which addresses a torrent's URL may lead to; never link-local ones. */
enum url_fetch {
    URL_FETCH_PUBLIC, /* not to loopback and private ranges either */
    URL_FETCH_ANY,
    URL_FETCH_OFF,
};

struct config {
    char *data_dir;
    struct {
        enum log_level level;
        bool json;
    } log;
    struct {
        char *url; /* empty: embedded */
    } database;
    struct {
        uint32_t mode; /* enum tracker_mode: public, listed, private, private_listed */
        struct endpoint_list udp;
        struct endpoint_list http;
        char *tls_certificate; /* empty: no TLS */
        char *tls_key;
        uint32_t workers; /* 0: one a core */
        uint32_t announce_interval_s;
        uint32_t min_announce_interval_s; /* never above announce_interval_s */
        uint32_t peer_timeout_s;          /* as configured; use config_peer_timeout_s */
        uint32_t max_numwant;
        uint32_t max_scrape;
        uint32_t connection_id_lifetime_s;
        struct cidr_list trust_forwarded_for;
        struct addr external_ip; /* unspecified when has_external_ip is false */
        bool has_external_ip;
        bool trust_ip_parameter;
        bool persist_completed;
        uint64_t max_torrents;
        uint64_t max_peers;
        uint32_t max_connections;        /* HTTP, over all workers */
        uint32_t http_idle_timeout_s;    /* keep-alive connection with no request */
        uint32_t http_request_timeout_s; /* from the first byte of a head to its end */
    } tracker;
    struct {
        bool enabled;
        struct endpoint_list listen;
        char *download_dir;              /* as configured; use config_download_dir */
        struct string_list allowed_dirs; /* as configured; empty: the download folder only */
        bool announce_to_own_tracker;
        uint32_t max_peers;
        uint32_t max_peers_per_torrent;
        uint64_t max_download_rate_bps; /* 0: no limit */
        uint64_t max_upload_rate_bps;
        bool pex;
        uint32_t hash_threads; /* 0: chosen from the cores */
        uint32_t disk_threads;
    } client;
    struct {
        struct endpoint_list listen;
        char *tls_certificate;
        char *tls_key;
        struct token_list tokens;
        bool local_without_token;
        struct string_list hosts;
        struct string_list cors_origins;
        uint64_t max_body; /* bytes */
        uint32_t socketio_ping_interval_ms;
        uint32_t socketio_ping_timeout_ms;
        uint32_t url_fetch; /* enum url_fetch */
    } api;
};

/* One complaint: "FILE:LINE: KEY: what is wrong", without the newline. An environment variable is
 * named in place of FILE:LINE. No complaint shows a token or a connection string. */
typedef void (*config_complain)(void *ctx, const char *text);

/* Fill *out from defaults, the YAML text and the environment (NULL-terminated "NAME=value" list;
 * NULL: none).
 *
 * file     the name that complaints show.
 * returns  0, or ERR_INVALID after every complaint was made; *out is filled and must be released
 *          in both cases.
 */
MUST_CHECK int config_load(struct config *out, const char *file, struct span yaml,
                           const char *const *environment, config_complain complain, void *ctx);

/* A zeroed config may be released too. */
void config_release(struct config *c);

/* tracker.peer_timeout, or what its default stands for: twice the announce interval + 10 %. */
uint32_t config_peer_timeout_s(const struct config *c);

/* client.download_dir, or what its default stands for: data_dir/downloads. The caller's, free(). */
char *config_download_dir(const struct config *c);

/* The schema for documentation and tests: the key at index i ("tracker.mode"), NULL at the end.
 * The others are for an i that has a name. */
const char *config_key_name(size_t i);
const char *config_key_help(size_t i);
/* True for a key that is accepted and checked, and has no effect yet. */
bool config_key_reserved(size_t i);

#endif
