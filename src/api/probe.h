/* probe.h: does a listener of ours really answer? One real request from outside of the process.
 *
 * UDP    a connect of BEP 15 and its reply.
 * HTTP   GET /health_check and a status of 200; with TLS only the connection.
 * Use    probe_start, then settled exactly once (never inside the call), unless probe_close comes
 *        first; probe_close at any time, then closed exactly once.
 */
#ifndef API_PROBE_H
#define API_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/endpoint.h"

enum probe_kind { PROBE_UDP, PROBE_HTTP, PROBE_HTTPS };

struct probe {
    enum probe_kind kind;
    struct endpoint at; /* as bound: a wildcard is asked on loopback */
    void *owner;        /* for the callbacks */
    bool settled;
    const char *why; /* static; NULL: it answered */
    /* private */
    void (*on_settled)(struct probe *p);
    void (*on_closed)(struct probe *p);
    bool open;
    uint32_t transaction_id;
    size_t in_len;
    uint8_t in[512];
    uint8_t out[96];
    union {
        uv_handle_t handle;
        uv_udp_t udp;
        uv_tcp_t tcp;
    } u;
    union {
        uv_udp_send_t send;
        uv_connect_t connect;
        uv_write_t write;
    } req;
};

/* kind, at and owner are set, the rest is zero. The struct stays where it is until closed. */
void probe_start(struct probe *p, uv_loop_t *loop, void (*on_settled)(struct probe *p));
void probe_close(struct probe *p, void (*on_closed)(struct probe *p));

#endif
