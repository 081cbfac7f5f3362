/* http_client.h: outgoing HTTP and HTTPS: libcurl's multi interface on the loop.
 *
 * Requests   GET only. One answer body, at most max_len bytes after decompression (gzip, deflate).
 * Redirects  http and https only, at most max_redirects of them; each hop's connection is checked
 *            by allow with the address that is really connected to, so that no name can change its
 *            mind between the check and the connection.
 * TLS        certificates are checked against the system's authorities, or those in the file that
 *            SSL_CERT_FILE names.
 * Never      reads .netrc, cookies, proxies from the environment; sends credentials across hosts.
 * Limits     HTTP_CLIENT_MAX at once; more wait in line. Connections are kept alive and reused.
 * Thread     the loop's. done exactly once for each request, never from inside a call of the user.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/err.h"
#include "base/span.h"

enum { HTTP_CLIENT_MAX = 128 };

struct http_client;
struct http_get;

struct http_response {
    int status;       /* 0: answered, whatever http_status; ERR_TIMEOUT, ERR_LIMIT (too long),
                              ERR_DENIED (allow said no, or a redirect to another scheme),
                              ERR_UNAVAILABLE (no connection, no such host, broken off),
                              ERR_MALFORMED (not HTTP, bad URL), ERR_CANCELED */
    long http_status; /* 200 ... */
    struct span body; /* borrowed for the call */
    const char *content_type; /* "" when there is none */
    struct endpoint remote;   /* where the last hop was connected */
    const char *why;          /* for people, when status is not 0: "could not resolve host" */
    uint64_t sent_len, received_len; /* bytes of requests; of headers and bodies as they came */
};

struct http_get_opts {
    const char *url; /* http or https; copied */
    const char *user_agent;
    const char *source;  /* address to connect from; NULL: any. Copied */
    uint32_t timeout_ms; /* for all of it */
    size_t max_len;
    uint32_t max_redirects;
    /* May this address be connected to? first: of the URL itself; else of a redirect. NULL: all. */
    bool (*allow)(void *ctx, const struct addr *addr, bool first);
    void (*done)(void *ctx, const struct http_response *r);
    void *ctx;
};

MUST_CHECK int http_client_open(struct http_client **out, uv_loop_t *loop, struct err *e);
/* Requests under way end with ERR_CANCELED; closed exactly once and last. */
void http_client_close(struct http_client *c, void (*closed)(void *ctx), void *ctx);

/* returns 0; ERR_INVALID: not an http or https URL; ERR_LIMIT: too many wait (1024). */
MUST_CHECK int http_get_start(struct http_get **out, struct http_client *c,
                              const struct http_get_opts *opts);
/* done comes with ERR_CANCELED, soon. */
void http_get_cancel(struct http_get *get);

#endif
