/* One request as libcurl sees it.
 *
 * Addresses  are checked twice by the user's allow. Before a socket is opened (on_open_socket) the
 *            address is the one that connect() gets, whatever the name says by then. A connection
 *            that is reused opens no socket, so every request is checked once more when it is about
 *            to leave (on_ready), with the address that the connection really has.
 * Limits     the body is counted as it comes out of the decompression; headers are counted, too,
 *            because libcurl keeps them all.
 * Fresh      each request begins with a handle that was reset: no name, credential or header of
 *            the one before can be left in it. Connections belong to the multi handle and stay.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/http_client_impl.h"

#include "base/banned.h"

enum { HEADERS_MAX = 65536 };

static bool is_first_hop(const struct http_get *get)
{
    long n_redirects = 0;
    (void)curl_easy_getinfo(get->easy, CURLINFO_REDIRECT_COUNT, &n_redirects);
    return n_redirects == 0;
}

static bool is_allowed(struct http_get *get, const struct addr *addr)
{
    bool ok = get->opts.allow == NULL || get->opts.allow(get->opts.ctx, addr, is_first_hop(get));
    get->denied = get->denied || !ok;
    return ok;
}

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct http_get *get = ctx;
    struct endpoint at;
    if (purpose != CURLSOCKTYPE_IPCXN || !endpoint_from_sockaddr(&at, &to->addr)) {
        return CURL_SOCKET_BAD;
    }
    get->denied = false; /* of several addresses the last one counts */
    if (!is_allowed(get, &at.addr)) {
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static int on_ready(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
    struct http_get *get = ctx;
    struct addr addr;
    (void)local;
    (void)remote_port;
    (void)local_port;
    get->denied = false;
    if (!addr_parse(&addr, span_str(remote))) {
        return CURL_PREREQFUNC_ABORT;
    }
    return is_allowed(get, &addr) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct http_get *get = ctx;
    (void)p;
    get->headers_len += size * n;
    get->too_long = get->too_long || get->headers_len > HEADERS_MAX;
    return get->too_long ? 0 : size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http_get *get = ctx;
    buf_add(&get->body, span_of(p, size * n));
    get->too_long = get->too_long || get->body.bad;
    return get->body.bad ? 0 : size * n;
}

/* OpenSSL looks at the variable itself; libcurl's own default hides it. */
static CURLcode set_authorities(CURL *e)
{
    const char *file = getenv("SSL_CERT_FILE");
    return file == NULL || file[0] == '\0' ? CURLE_OK : curl_easy_setopt(e, CURLOPT_CAINFO, file);
}

/* What every request has. */
static CURLcode set_rules(CURL *e)
{
    CURLcode rc = set_authorities(e);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROXY, ""); /* nor the environment's */
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* A name that nobody answers for must not hold the loop when the request ends. */
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_ready);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    return rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
}

/* Connect from that address, and to its family. */
static CURLcode set_source(CURL *e, const char *source)
{
    char text[sizeof "host!" + ADDR_TEXT_LEN];
    struct addr addr;
    if (!addr_parse(&addr, span_str(source))) {
        return CURLE_INTERFACE_FAILED;
    }
    (void)snprintf(text, sizeof text, "host!%s", source);
    CURLcode rc = curl_easy_setopt(e, CURLOPT_INTERFACE, text);
    long family = addr.v6 ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4;
    return rc ? rc : curl_easy_setopt(e, CURLOPT_IPRESOLVE, family);
}

int http_get_prepare(struct http_get *get, uint32_t timeout_ms)
{
    CURL *e = get->easy;
    CURLcode rc = set_rules(e);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_URL, get->url);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_USERAGENT, get->user_agent);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)get->opts.max_redirects);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PRIVATE, get);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, get);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PREREQDATA, get);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERDATA, get);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEDATA, get);
    if (get->source != NULL) {
        rc = rc ? rc : set_source(e, get->source);
    }
    return rc == CURLE_OK ? 0 : ERR_UNAVAILABLE;
}

static int fail(struct http_response *out, int status, const char *why)
{
    out->why = why;
    return status;
}

static int connect_status(const struct http_get *get, struct http_response *out)
{
    long errno_value = 0;
    if (get->denied) {
        return fail(out, ERR_DENIED, "the address is not permitted");
    }
    (void)curl_easy_getinfo(get->easy, CURLINFO_OS_ERRNO, &errno_value);
    return fail(out, ERR_UNAVAILABLE,
                errno_value == ECONNREFUSED ? "connection refused" : "could not connect");
}

static int status_of(const struct http_get *get, CURLcode result, struct http_response *out)
{
    switch (result) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_RESOLVE_HOST:
        return fail(out, ERR_UNAVAILABLE, "could not resolve host");
    case CURLE_COULDNT_CONNECT:
        return connect_status(get, out);
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(out, ERR_DENIED, "the address is not permitted");
    case CURLE_OPERATION_TIMEDOUT:
        return fail(out, ERR_TIMEOUT, "timed out");
    case CURLE_TOO_MANY_REDIRECTS:
        return fail(out, ERR_LIMIT, "too many redirects");
    case CURLE_WRITE_ERROR:
    case CURLE_FILESIZE_EXCEEDED:
        return get->too_long ? fail(out, ERR_LIMIT, "the answer is too long")
                             : fail(out, ERR_MALFORMED, "the answer cannot be decompressed");
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* Of HTTP/0.9 as well, which has no status. */
        return out->http_status >= 300 && out->http_status < 400
                   ? fail(out, ERR_DENIED, "redirected to something that is not HTTP")
                   : fail(out, ERR_MALFORMED, "the answer is not HTTP");
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return fail(out, ERR_MALFORMED, curl_easy_strerror(result));
    default:
        return fail(out, ERR_UNAVAILABLE, curl_easy_strerror(result));
    }
}

static void count_bytes(const struct http_get *get, struct http_response *out)
{
    long requests = 0;
    long headers = 0;
    curl_off_t body = 0;
    (void)curl_easy_getinfo(get->easy, CURLINFO_REQUEST_SIZE, &requests);
    (void)curl_easy_getinfo(get->easy, CURLINFO_HEADER_SIZE, &headers);
    (void)curl_easy_getinfo(get->easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
    out->sent_len = (uint64_t)requests;
    out->received_len = (uint64_t)headers + (uint64_t)body;
}

void http_get_response(const struct http_get *get, CURLcode result, struct http_response *out)
{
    char *text = NULL;
    long port = 0;
    *out = (struct http_response){.body = buf_span(&get->body), .content_type = "", .why = ""};
    (void)curl_easy_getinfo(get->easy, CURLINFO_RESPONSE_CODE, &out->http_status);
    (void)curl_easy_getinfo(get->easy, CURLINFO_PRIMARY_PORT, &port);
    if (curl_easy_getinfo(get->easy, CURLINFO_PRIMARY_IP, &text) == CURLE_OK && text != NULL &&
        addr_parse(&out->remote.addr, span_str(text))) {
        out->remote.port = (uint16_t)port;
    }
    text = NULL;
    (void)curl_easy_getinfo(get->easy, CURLINFO_CONTENT_TYPE, &text);
    out->content_type = text == NULL ? "" : text;
    count_bytes(get, out);
    out->status = status_of(get, result, out);
}
