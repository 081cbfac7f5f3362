/* The engine's connections on sockets. Each event is one call into the engine and then a drain.
 *
 * Happy path  a port -> engine_on_accept -> a link; or CONNECT -> stream_connect ->
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

#include "base/banned.h"

enum { SEND_PARTS = 64 };

static const struct stream_events link_events;

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

void link_accept(struct session_net *s, int fd, const struct endpoint *peer)
{
    struct client *c = s->c;
    struct link *l;
    bool begun = s->state != SESSION_ADDING; /* before, the engine does not know it */
    conn_id id = begun ? engine_on_accept(c->engine, s->id, peer, client_now_ms(c)) : 0;
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
