/* The engine's connections on sockets. Each event is one call into the engine and then a drain.
 *
 * Happy path  listener -> engine_on_accept -> a link; or CONNECT -> stream_connect ->
 *             engine_on_connected. Readable -> as many bytes as the engine has room for ->
 *             engine_on_bytes. SEND or writable -> what the engine has, in one writev after another
 *             until the kernel takes no more.
 * Failures    of a socket: engine_on_closed, then the link closes. From the engine: CLOSE.
 * At the end  a link leaves the table at once and is freed when its socket is closed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "net/listen.h"

#include "base/banned.h"

enum { SEND_PARTS = 64 };

static const struct stream_events link_events;

/* ---- links ---------------------------------------------------------------------------------- */

static struct link *link_of(struct stream *s)
{
    return container_of(s, struct link, stream);
}

static struct link *link_find(const struct client *c, conn_id id)
{
    struct map_node *node = map_find(&c->links, span_of(&id, sizeof id));
    return node == NULL ? NULL : container_of(node, struct link, by_id);
}

static struct link *link_new(struct client *c)
{
    struct link *l = mem_new(struct link);
    l->c = c;
    return l;
}

static void link_insert(struct link *l, conn_id id)
{
    l->id = id;
    map_insert(&l->c->links, &l->by_id, span_of(&l->id, sizeof l->id));
    l->c->n_links++;
}

static void on_link_closed(struct stream *s)
{
    struct link *l = link_of(s);
    struct client *c = l->c;
    free(l);
    c->n_links--;
    client_check_closed(c);
}

static void link_drop(struct link *l)
{
    map_remove(&l->c->links, &l->by_id);
    stream_close(&l->stream, on_link_closed);
}

/* For whoever wonders why a peer went away: at debug level only, as its address is in it. */
static void log_end(const struct link *l, const char *message, const char *why)
{
    char text[ENDPOINT_TEXT_LEN];
    if (log_enabled(LOG_DEBUG)) {
        log_debug(LOG_CLIENT, message, KV_STR("peer", endpoint_format(text, &l->stream.peer)),
                  KV_STR("why", why));
    }
}

/* The socket broke, or the peer has ended it. */
static void link_broke(struct link *l, int why)
{
    struct client *c = l->c;
    conn_id id = l->id;
    log_end(l, "connection ended by the peer", err_text(why));
    link_drop(l);
    engine_on_closed(c->engine, id, why, client_now_ms(c));
    client_drain(c);
}

static void on_connected(struct stream *s, int status)
{
    struct link *l = link_of(s);
    struct client *c = l->c;
    conn_id id = l->id;
    if (status < 0) {
        log_end(l, "connecting failed", err_text(status));
        link_drop(l);
    } else {
        stream_set_reading(s, true);
    }
    engine_on_connected(c->engine, id, status, client_now_ms(c));
    client_drain(c);
}

static void on_readable(struct stream *s)
{
    struct link *l = link_of(s);
    struct client *c = l->c;
    size_t room = engine_read_room(c->engine, l->id, client_now_ms(c));
    if (room == 0) {
        stream_set_reading(s, false); /* until link_read */
        client_drain(c);
        return;
    }
    ssize_t n = stream_read(s, c->read_to, room < READ_LEN ? room : READ_LEN);
    if (n < 0) {
        link_broke(l, (int)n);
    } else if (n > 0) {
        engine_on_bytes(c->engine, l->id, span_of(c->read_to, (size_t)n), client_now_ms(c));
        client_drain(c);
    }
}

static void on_writable(struct stream *s)
{
    struct link *l = link_of(s);
    struct client *c = l->c;
    link_send(c, l->id);
    client_drain(c);
}

static const struct stream_events link_events = {
    .on_connected = on_connected,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

static const struct addr *source_for(const struct session_net *s, bool v6)
{
    return v6 ? &s->source6 : &s->source4;
}

void link_connect(struct client *c, const struct engine_out *out)
{
    const struct session_net *session = session_find(c, out->session);
    const struct endpoint source = {.addr = *source_for(session, out->remote.addr.v6)};
    struct link *l = link_new(c);
    int status = stream_connect(&l->stream, c->loop, &out->remote, &source, &link_events);
    if (status < 0) {
        free(l);
        engine_on_connected(c->engine, out->conn, status, client_now_ms(c));
        return;
    }
    link_insert(l, out->conn);
}

void link_send(struct client *c, conn_id id)
{
    struct link *l = link_find(c, id);
    struct iovec parts[SEND_PARTS];
    while (l != NULL && !stream_is_full(&l->stream)) {
        size_t n = engine_send_iov(c->engine, id, parts, SEND_PARTS, client_now_ms(c));
        if (n == 0) {
            return;
        }
        ssize_t sent = stream_writev(&l->stream, parts, n);
        if (sent < 0) {
            link_drop(l);
            engine_on_closed(c->engine, id, (int)sent, client_now_ms(c));
            return;
        }
        engine_on_sent(c->engine, id, (size_t)sent, client_now_ms(c));
    }
}

void link_read(struct client *c, conn_id id)
{
    struct link *l = link_find(c, id);
    if (l != NULL) {
        stream_set_reading(&l->stream, true);
    }
}

void link_close(struct client *c, const struct engine_out *out)
{
    struct link *l = link_find(c, out->conn);
    if (l != NULL) {
        log_end(l, "connection closed", out->why);
        link_drop(l);
    }
}

void links_close(struct client *c)
{
    for (struct map_node *node = map_first(&c->links); node != NULL;) {
        struct link *l = container_of(node, struct link, by_id);
        node = map_next(&c->links, node);
        link_drop(l);
    }
}

/* ---- ports ---------------------------------------------------------------------------------- */

static void on_accept(void *ctx, int fd, const struct endpoint *peer)
{
    struct port *port = ctx;
    struct client *c = port->c;
    conn_id id = engine_on_accept(c->engine, port->session->id, peer, client_now_ms(c));
    struct link *l;
    if (id == 0) {
        (void)close(fd);
        return;
    }
    l = link_new(c);
    l->stream.peer = *peer;
    int status = stream_adopt(&l->stream, c->loop, fd, &link_events);
    if (status < 0) {
        free(l);
        engine_on_closed(c->engine, id, status, client_now_ms(c));
    } else {
        link_insert(l, id);
        stream_set_reading(&l->stream, true);
    }
    client_drain(c);
}

static int port_open(struct session_net *s, struct listen_spec *spec, struct err *e)
{
    struct port *port = mem_new(struct port);
    int fd = listen_open(spec, e);
    port->c = s->c;
    port->session = s;
    if (fd < 0) {
        free(port);
        return fd;
    }
    int status = stream_listen(&port->listener, s->c->loop, fd, on_accept, port);
    if (status < 0) {
        free(port);
        return err_set(e, status, "listening for peers failed");
    }
    list_add_tail(&s->ports, &port->node);
    s->c->open_parts++;
    return 0;
}

static void on_port_closed(void *ctx)
{
    struct port *port = ctx;
    struct client *c = port->c;
    free(port);
    c->open_parts--;
    client_check_closed(c);
}

/* The address that connections come from: the first of each family that is not a wildcard. */
static void choose_source(struct session_net *s, const struct endpoint *at)
{
    struct addr *source = at->addr.v6 ? &s->source6 : &s->source4;
    if (addr_is_unspecified(source)) {
        *source = at->addr;
    }
}

struct session_net *session_find(const struct client *c, session_id id)
{
    LIST_FOREACH_SAFE (node, &c->sessions) {
        struct session_net *s = container_of(node, struct session_net, node);
        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

int session_open(struct session_net **out, struct client *c, session_id id,
                 const struct endpoint *listen, size_t n, struct err *e)
{
    struct session_net *s = mem_new(struct session_net);
    int status = 0;
    s->c = c;
    s->id = id;
    s->source6.v6 = true;
    s->listen.at = mem_array(n == 0 ? 1 : n, sizeof *s->listen.at);
    list_init(&s->ports);
    list_add_tail(&c->sessions, &s->node);
    for (size_t i = 0; i < n && status == 0; i++) {
        struct listen_spec spec = listen_spec_for(LISTEN_TCP, listen, n, i);
        status = listen_probe(&spec, e);
        if (status == ERR_NOT_FOUND) {
            status = 0; /* a wildcard of a family that this machine does not have */
            continue;
        }
        if (status == 0) {
            status = port_open(s, &spec, e);
        }
        if (status == 0) {
            s->listen.at[s->listen.n++] = spec.at;
            choose_source(s, &spec.at);
        }
    }
    if (status < 0) {
        session_close(s);
        return status;
    }
    *out = s;
    return 0;
}

void session_close(struct session_net *s)
{
    LIST_FOREACH_SAFE (node, &s->ports) {
        struct port *port = container_of(node, struct port, node);
        list_remove(node);
        stream_listener_close(port->listener, on_port_closed, port);
    }
    list_remove(&s->node);
    free(s->listen.at);
    free(s);
}
