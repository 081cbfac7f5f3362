/* What a session listens on: one port number on all hosts of client.listen, for TCP and, but for the
 * default session, for UDP.
 *
 * Range      each port in turn, low to high; one is good when it is free on every host and for both
 *            protocols. What was bound of a port that is not good closes on its own.
 * UDP        the socket holds the port for the session, so that no other program gets the other half
 *            of what this one tells its peers. Nothing is read from it.
 * Wildcards  of a family that this machine does not have are left out.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/client_impl.h"
#include "net/listen.h"

#include "base/banned.h"

enum { ANY_PORT_TRIES = 16 };

static void on_accept(void *ctx, int fd, const struct endpoint *peer)
{
    struct port *port = ctx;
    link_accept(port->session, fd, peer);
}

static void on_port_closed(void *ctx)
{
    struct port *port = ctx;
    struct session_net *s = port->session;
    struct client *c = s->c;
    free(port);
    session_on_port_closed(s);
    c->open_parts--;
    client_check_closed(c);
}

static void port_close(struct port *port)
{
    list_remove(&port->node);
    if (port->udp_fd >= 0) {
        (void)close(port->udp_fd);
    }
    stream_listener_close(port->listener, on_port_closed, port);
}

/* A bound socket, or why not. */
static int open_socket(struct listen_spec *spec, struct err *e)
{
    int status = listen_probe(spec, e);
    return status < 0 ? status : listen_open(spec, e);
}

static int port_open(struct session_net *s, struct listen_spec *spec, bool udp, struct err *e)
{
    struct port *port = mem_new(struct port);
    struct listen_spec udp_spec = *spec;
    int udp_fd = -1;
    int status = 0;
    int fd = open_socket(spec, e);
    if (fd < 0) {
        free(port);
        return fd;
    }
    if (udp) {
        udp_spec.kind = LISTEN_UDP;
        udp_spec.at.port = spec->at.port;
        udp_fd = open_socket(&udp_spec, e);
        status = udp_fd < 0 ? udp_fd : 0;
    }
    if (status < 0) {
        (void)close(fd);
        free(port);
        return status;
    }
    status = stream_listen(&port->listener, s->c->loop, fd, on_accept, port);
    if (status < 0) {
        if (udp_fd >= 0) {
            (void)close(udp_fd);
        }
        free(port);
        return err_set(e, status, "listening for peers failed");
    }
    port->session = s;
    port->udp_fd = udp_fd;
    list_add_tail(&s->ports, &port->node);
    s->n_ports++;
    s->c->open_parts++;
    return 0;
}

/* The address that connections come from: the first of each family that is not a wildcard. */
static void choose_source(struct session_net *s, const struct endpoint *at)
{
    struct addr *source = at->addr.v6 ? &s->source6 : &s->source4;
    if (addr_is_unspecified(source)) {
        *source = at->addr;
    }
}

void session_unbind(struct session_net *s)
{
    LIST_FOREACH_SAFE (node, &s->ports) {
        port_close(container_of(node, struct port, node));
    }
}

int session_bind(struct session_net *s, const struct endpoint *listen, size_t n, bool udp,
                 struct err *e)
{
    int status = 0;
    free(s->listen.at);
    s->listen = (struct endpoint_list){mem_array(n == 0 ? 1 : n, sizeof *s->listen.at), 0};
    s->source4 = (struct addr){.v6 = false};
    s->source6 = (struct addr){.v6 = true};
    for (size_t i = 0; i < n && status == 0; i++) {
        struct listen_spec spec = listen_spec_for(LISTEN_TCP, listen, n, i);
        status = port_open(s, &spec, udp, e);
        if (status == ERR_NOT_FOUND) {
            status = 0; /* a wildcard of a family that this machine does not have */
        } else if (status == 0) {
            s->listen.at[s->listen.n++] = spec.at;
            choose_source(s, &spec.at);
        }
    }
    if (status < 0) {
        session_unbind(s);
        s->listen.n = 0;
    }
    return status;
}

uint16_t session_bound_port(const struct session_net *s)
{
    return s->listen.n == 0 ? 0 : s->listen.at[0].port;
}

/* ---- ranges -------------------------------------------------------------------------------- */

/* client.listen without its ports: each address once. */
static size_t listen_hosts(const struct client *c, struct endpoint *out)
{
    const struct endpoint_list *listen = &c->opts.cfg->client.listen;
    size_t n = 0;
    for (size_t i = 0; i < listen->n; i++) {
        size_t k = 0;
        while (k < n && !addr_eq(&out[k].addr, &listen->at[i].addr)) {
            k++;
        }
        if (k == n) {
            out[n++] = (struct endpoint){.addr = listen->at[i].addr};
        }
    }
    return n;
}

static int bind_hosts(struct session_net *s, struct endpoint *hosts, size_t n, uint16_t port,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        hosts[i].port = port;
    }
    return session_bind(s, hosts, n, true, e);
}

/* A port that the kernel finds free on the first host. */
static int suggest_port(struct endpoint *hosts, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        hosts[i].port = 0;
        struct listen_spec spec = listen_spec_for(LISTEN_TCP, hosts, n, i);
        int fd = listen_open(&spec, e);
        if (fd >= 0) {
            (void)close(fd);
            return spec.at.port;
        }
        if (fd != ERR_NOT_FOUND) {
            return fd;
        }
    }
    return 0;
}

/* Somebody may be faster, or have it on another host: then another one. */
static int bind_any(struct session_net *s, struct endpoint *hosts, size_t n, struct err *e)
{
    int status = ERR_IN_USE;
    for (int i = 0; i < ANY_PORT_TRIES && status == ERR_IN_USE; i++) {
        int port = suggest_port(hosts, n, e);
        status = port < 0 ? port : bind_hosts(s, hosts, n, (uint16_t)port, e);
    }
    return status;
}

/* Ports that only the system may have are like those that are taken. */
static int bind_first(struct session_net *s, struct endpoint *hosts, size_t n, struct err *e)
{
    int status = ERR_IN_USE;
    for (uint32_t port = s->port_first; port <= s->port_last; port++) {
        status = bind_hosts(s, hosts, n, (uint16_t)port, e);
        if (status != ERR_IN_USE && status != ERR_DENIED) {
            return status;
        }
    }
    return err_set(e, ERR_IN_USE, "bind failed address already in use");
}

int session_bind_range(struct session_net *s, struct err *e)
{
    const struct client *c = s->c;
    struct endpoint *hosts = mem_array(c->opts.cfg->client.listen.n + 1, sizeof *hosts);
    size_t n = listen_hosts(c, hosts);
    int status = s->port_last == 0 ? bind_any(s, hosts, n, e) : bind_first(s, hosts, n, e);
    free(hosts);
    return status;
}
