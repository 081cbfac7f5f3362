/* tls.h: the server side of TLS over memory; net/tcp moves the bytes.
 *
 * Versions  TLS 1.2 and 1.3, no renegotiation, OpenSSL's default ciphers.
 * Threads   a tls_server may be shared by threads; a tls_conn belongs to one.
 * Memory    a tls_conn keeps at most one record that is not complete, plus what was fed and not
 *           read, plus the output that was not taken.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/span.h"

struct ssl_ctx_st;
struct tls_server;
struct tls_conn;

/* An OpenSSL context for a server, from a PEM certificate chain and its PEM key (without
 * passphrase); for what brings its own way of moving bytes. The caller frees *out with
 * SSL_CTX_free. returns 0, or a negative code with e naming the file. */
MUST_CHECK int tls_context_load(struct ssl_ctx_st **out, const char *certificate_file,
                                const char *key_file, struct err *e);

/* As tls_context_load. */
MUST_CHECK int tls_server_new(struct tls_server **out, const char *certificate_file,
                              const char *key_file, struct err *e);
/* NULL is fine. Connections made from it may live on. */
void tls_server_free(struct tls_server *server);

/* NULL when OpenSSL has no memory. */
struct tls_conn *tls_conn_new(struct tls_server *server);
void tls_conn_free(struct tls_conn *t);

/* Bytes that came from the peer. */
MUST_CHECK int tls_feed(struct tls_conn *t, struct span ciphertext);

/* Decrypts into out, doing the handshake on the way. returns bytes; 0: more must be fed first;
 * ERR_CLOSED: the peer ended the session; ERR_MALFORMED: not TLS, or a broken session. */
MUST_CHECK ssize_t tls_read(struct tls_conn *t, uint8_t *out, size_t cap);

/* Encrypts all of plaintext into the output. ERR_INVALID before the handshake is done. */
MUST_CHECK int tls_write(struct tls_conn *t, struct span plaintext);

/* Tells the peer that no more comes (close_notify). */
void tls_finish(struct tls_conn *t);

/* What has to go to the peer; valid until the next call here. After any call but tls_feed. */
struct span tls_output(struct tls_conn *t);
void tls_output_clear(struct tls_conn *t);

#endif
