/* Connection strings and their host names.
 *
 * Happy path of a look-up: pg_resolve_start → for each host in turn uv_getaddrinfo → each address
 * appended to three parallel lists (host stays the name, for TLS) → done(0) → connect_start.
 * Socket folders and IP addresses are appended without a look-up.
 *
 * Failures: a name that is not found is skipped; when nothing is left, done(ERR_UNAVAILABLE) with
 * the last reason. After pg_resolve_cancel: done(ERR_CANCELED).
 *
 * At the end: done ran once, no request is active, the lists belong to r until its release.
 */
#include "store/pg_params.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/mem.h"
#include "store/pg_err.h"

#include "base/banned.h"

static const char *params_get(const struct pg_params *p, const char *keyword)
{
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->keywords[i], keyword) == 0) {
            return p->values[i];
        }
    }
    return NULL;
}

static void params_add(struct pg_params *p, const char *keyword, const char *value)
{
    ASSERT(p->n < PG_PARAMS_MAX);
    p->keywords[p->n] = mem_strndup(keyword, strlen(keyword));
    p->values[p->n] = mem_strndup(value, strlen(value));
    p->n++;
}

static void params_default(struct pg_params *p, const char *keyword, const char *value)
{
    if (params_get(p, keyword) == NULL) {
        params_add(p, keyword, value);
    }
}

/* The user's options first: ours win where both set the same. */
static void params_add_options(struct pg_params *p, const char *options)
{
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->keywords[i], "options") == 0) {
            size_t cap = strlen(p->values[i]) + 1 + strlen(options) + 1;
            char *joined = mem_array(cap, 1);
            (void)snprintf(joined, cap, "%s %s", p->values[i], options);
            free(p->values[i]);
            p->values[i] = joined;
            return;
        }
    }
    params_add(p, "options", options);
}

static bool host_is_name(const char *host)
{
    struct addr ignored;
    return host[0] != '\0' && host[0] != '/' && host[0] != '@' &&
           !addr_parse(&ignored, span_str(host));
}

/* Split a comma-separated list; returns the number of entries, or PG_HOSTS_MAX + 1: too many. */
static size_t split_list(char *out[PG_HOSTS_MAX], const char *list)
{
    struct span rest = span_str(list);
    size_t n = 0;
    for (bool more = true; more; n++) {
        if (n == PG_HOSTS_MAX) {
            return PG_HOSTS_MAX + 1;
        }
        more = span_find(rest, ',') < rest.n;
        struct span item = span_cut(rest, ',', &rest);
        out[n] = mem_strndup((const char *)item.p, item.n);
    }
    return n;
}

static void free_list(char *list[PG_HOSTS_MAX])
{
    for (size_t i = 0; i < PG_HOSTS_MAX; i++) {
        free(list[i]);
        list[i] = NULL;
    }
}

/* Which hosts there are to resolve. libpq takes host and port from the environment too. */
static int params_find_hosts(struct pg_params *p, struct err *e)
{
    const char *host = params_get(p, "host");
    const char *hostaddr = params_get(p, "hostaddr");
    const char *port = params_get(p, "port");
    host = host != NULL ? host : getenv("PGHOST");
    hostaddr = hostaddr != NULL ? hostaddr : getenv("PGHOSTADDR");
    port = port != NULL ? port : getenv("PGPORT");
    if (host == NULL || host[0] == '\0' || (hostaddr != NULL && hostaddr[0] != '\0')) {
        return 0;
    }
    size_t n = split_list(p->hosts, host);
    size_t n_ports = n > PG_HOSTS_MAX ? 0 : split_list(p->ports, port == NULL ? "" : port);
    if (n > PG_HOSTS_MAX) {
        return err_set(e, ERR_INVALID, "more than %d hosts in the connection string", PG_HOSTS_MAX);
    }
    if (n_ports != 1 && n_ports != n) {
        return err_set(e, ERR_INVALID, "%zu ports for %zu hosts in the connection string", n_ports,
                       n);
    }
    bool names = false;
    for (size_t i = 0; i < n; i++) {
        names = names || host_is_name(p->hosts[i]);
        if (i > 0 && n_ports == 1) {
            p->ports[i] = mem_strndup(p->ports[0], strlen(p->ports[0]));
        }
    }
    p->n_hosts = names ? n : 0;
    return 0;
}

/* libpq quotes the string it could not read, which may hold the password: only the complaints
 * about an option's name are passed on. */
static int params_parse_err(const char *message, struct err *e)
{
    char line[128] = "";
    if (message != NULL && (strncmp(message, "invalid connection option", 25) == 0 ||
                            strncmp(message, "invalid URI query parameter", 27) == 0)) {
        pg_one_line(line, sizeof line, message);
    }
    return err_set(e, ERR_INVALID, "not a PostgreSQL connection string%s%s",
                   line[0] != '\0' ? ": " : "", line);
}

int pg_params_init(struct pg_params *p, const char *url, const char *options, struct err *e)
{
    *p = (struct pg_params){.n = 0};
    char *message = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &message);
    if (parsed == NULL) {
        int status = params_parse_err(message, e);
        PQfreemem(message);
        return status;
    }
    for (const PQconninfoOption *o = parsed; o->keyword != NULL; o++) {
        if (o->val != NULL) {
            params_add(p, o->keyword, o->val);
        }
    }
    PQconninfoFree(parsed);
    params_default(p, "fallback_application_name", "rookery");
    params_default(p, "client_encoding", "UTF8");
    params_default(p, "gssencmode", "disable"); /* it may block */
    params_default(p, "keepalives_idle", "10");
    params_default(p, "keepalives_interval", "5");
    params_default(p, "keepalives_count", "3");
    params_default(p, "tcp_user_timeout", "15000");
    params_add_options(p, options);
    int status = params_find_hosts(p, e);
    if (status < 0) {
        pg_params_release(p);
    }
    return status;
}

void pg_params_release(struct pg_params *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->keywords[i]);
        free(p->values[i]);
    }
    free_list(p->hosts);
    free_list(p->ports);
    *p = (struct pg_params){.n = 0};
}

PGconn *pg_params_connect_blocking(const struct pg_params *p, const char *timeout_s)
{
    const char *keywords[PG_PARAMS_MAX + 2] = {NULL};
    const char *values[PG_PARAMS_MAX + 2] = {NULL};
    for (size_t i = 0; i < p->n; i++) {
        keywords[i] = p->keywords[i];
        values[i] = p->values[i];
    }
    keywords[p->n] = "connect_timeout";
    values[p->n] = timeout_s;
    return PQconnectdbParams(keywords, values, 0);
}

/* ---- look-up ------------------------------------------------------------------------------ */

static void resolve_append(struct pg_resolve *r, const char *hostaddr)
{
    if (r->port.len > 0 || r->host.len > 0) {
        buf_add_byte(&r->host, ',');
        buf_add_byte(&r->hostaddr, ',');
        buf_add_byte(&r->port, ',');
    }
    const char *port = r->params->ports[r->next];
    buf_add_str(&r->host, r->params->hosts[r->next]);
    buf_add_str(&r->hostaddr, hostaddr);
    buf_add_str(&r->port, port[0] != '\0' ? port : "5432");
}

static int resolve_finish(struct pg_resolve *r, int uv_status, struct err *e)
{
    if (r->canceled) {
        return err_set(e, ERR_CANCELED, "canceled");
    }
    buf_add_byte(&r->host, 0);
    buf_add_byte(&r->hostaddr, 0);
    buf_add_byte(&r->port, 0);
    if (r->host.bad || r->hostaddr.bad || r->port.bad) {
        return err_set(e, ERR_LIMIT, "host names of the database are too long");
    }
    if (r->port.len == 1) {
        return err_set(e, ERR_UNAVAILABLE, "look up %s: %s", r->params->hosts[r->next - 1],
                       uv_status < 0 ? uv_strerror(uv_status) : "no address");
    }
    return 0;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found);

/* Up to the next name; 1: a look-up is under way, 0: all done, negative: UV_*. */
static int resolve_next(struct pg_resolve *r)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int status = 0;
    for (; r->next < r->params->n_hosts && !r->canceled; r->next++) {
        const char *host = r->params->hosts[r->next];
        if (host_is_name(host)) {
            status = uv_getaddrinfo(r->loop, &r->req, on_resolved, host, NULL, &hints);
            if (status == 0) {
                return 1;
            }
        } else {
            resolve_append(r, host[0] == '/' || host[0] == '@' ? "" : host);
        }
    }
    return status;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct pg_resolve *r = container_of(req, struct pg_resolve, req);
    size_t n = 0;
    for (const struct addrinfo *a = found; a != NULL && n < PG_ADDRS_MAX; a = a->ai_next) {
        struct endpoint at;
        char text[ADDR_TEXT_LEN];
        if (endpoint_from_sockaddr(&at, a->ai_addr)) {
            resolve_append(r, addr_format(text, &at.addr));
            n++;
        }
    }
    uv_freeaddrinfo(found);
    r->next++;
    int more = resolve_next(r);
    if (more != 1) {
        struct err e = {0};
        int code = resolve_finish(r, more < 0 ? more : status, &e);
        r->done(r, code, &e);
    }
}

int pg_resolve_start(struct pg_resolve *r, uv_loop_t *loop, const struct pg_params *p,
                     pg_resolve_done done, struct err *e)
{
    *r = (struct pg_resolve){.loop = loop, .params = p, .done = done};
    buf_init(&r->host, PG_HOSTS_LEN_MAX);
    buf_init(&r->hostaddr, PG_HOSTS_LEN_MAX);
    buf_init(&r->port, PG_HOSTS_LEN_MAX);
    int status = resolve_next(r);
    if (status != 1) {
        pg_resolve_release(r);
        return err_set(e, ERR_UNAVAILABLE, "look up database host: %s", uv_strerror(status));
    }
    return 0;
}

void pg_resolve_cancel(struct pg_resolve *r)
{
    r->canceled = true;
    (void)uv_cancel((uv_req_t *)&r->req); /* too late is fine: done comes with the answer */
}

void pg_resolve_release(struct pg_resolve *r)
{
    buf_release(&r->host);
    buf_release(&r->hostaddr);
    buf_release(&r->port);
}

PGconn *pg_params_connect_start(const struct pg_params *p, const struct pg_resolve *r)
{
    const char *keywords[PG_PARAMS_MAX + 4] = {NULL};
    const char *values[PG_PARAMS_MAX + 4] = {NULL};
    size_t n = 0;
    for (; n < p->n; n++) {
        keywords[n] = p->keywords[n];
        values[n] = p->values[n];
    }
    if (r != NULL) { /* of a keyword given twice libpq takes the later value */
        const char *const found[3][2] = {{"host", (const char *)r->host.p},
                                         {"hostaddr", (const char *)r->hostaddr.p},
                                         {"port", (const char *)r->port.p}};
        for (size_t i = 0; i < 3; i++, n++) {
            keywords[n] = found[i][0];
            values[n] = found[i][1];
        }
    }
    return PQconnectStartParams(keywords, values, 0);
}
