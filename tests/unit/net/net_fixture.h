/* net_fixture.h: what tests with sockets share: waiting for an event, plain blocking clients, and a
 * certificate made on the spot. Header only; include after cmocka.h. */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <uv.h>

#include "base/endpoint.h"
#include "base/err.h"
#include "net/listen.h"

enum { FIXTURE_PATIENCE_MS = 20000, FIXTURE_KERNEL_BUFFER_LEN = 32768 };

static inline void fixture_on_patience_end(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("%s", "waited too long");
}

/* Turns the loop until *done; fails the test when nothing more can happen or it takes too long. */
static inline void fixture_run_until(uv_loop_t *loop, const bool *done)
{
    uv_timer_t patience;
    assert_int_equal(uv_timer_init(loop, &patience), 0);
    assert_int_equal(uv_timer_start(&patience, fixture_on_patience_end, FIXTURE_PATIENCE_MS, 0), 0);
    while (!*done) {
        assert_int_not_equal(uv_run(loop, UV_RUN_ONCE), 0);
    }
    uv_close((uv_handle_t *)&patience, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static inline struct endpoint fixture_endpoint(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(&e, span_str(text)));
    return e;
}

/* A socket as listen_open gives it, on an address of the text form; *at is where it is bound. */
static inline int fixture_bind(enum listen_kind kind, const char *text, struct endpoint *at)
{
    struct err e;
    struct endpoint list[1] = {fixture_endpoint(text)};
    struct listen_spec spec = listen_spec_for(kind, list, 1, 0);
    int fd = listen_open(&spec, &e);
    if (fd < 0) {
        fail_msg("%s", e.msg);
    }
    if (kind == LISTEN_TCP) { /* accepted connections inherit it */
        int send_len = FIXTURE_KERNEL_BUFFER_LEN;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_len, sizeof send_len), 0);
    }
    *at = spec.at;
    return fd;
}

/* A blocking client socket, connected; its reads give up after the patience. A TCP one has a small
 * receive buffer, so that a server meets a peer that does not read. */
static inline int fixture_connect(int type, const struct endpoint *to)
{
    struct sockaddr_storage ss;
    struct timeval patience = {.tv_sec = FIXTURE_PATIENCE_MS / 1000};
    unsigned len = endpoint_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int receive_len = FIXTURE_KERNEL_BUFFER_LEN;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_len, sizeof receive_len),
                         0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

/* A self-signed certificate for localhost and its key as PEM files in a new folder. */
struct fixture_certificate {
    char dir[64];
    char certificate[96];
    char key[96];
};

static inline void fixture_certificate_make(struct fixture_certificate *c)
{
    (void)snprintf(c->dir, sizeof c->dir, "/tmp/rookery-test-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    (void)snprintf(c->certificate, sizeof c->certificate, "%s/certificate.pem", c->dir);
    (void)snprintf(c->key, sizeof c->key, "%s/key.pem", c->dir);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(key);
    assert_non_null(x);
    assert_int_equal(X509_set_version(x, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    X509_NAME *name = X509_get_subject_name(x);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(c->certificate, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(c->key, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void fixture_certificate_remove(struct fixture_certificate *c)
{
    assert_int_equal(unlink(c->certificate), 0);
    assert_int_equal(unlink(c->key), 0);
    assert_int_equal(rmdir(c->dir), 0);
}

#endif
