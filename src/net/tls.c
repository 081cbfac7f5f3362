#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

struct tls_server {
    SSL_CTX *ctx;
};

struct tls_conn {
    SSL *ssl;
    BIO *in; /* both owned by ssl */
    BIO *out;
};

/* An encrypted key must be an error, not a question on the terminal of a server. */
static int no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return 0;
}

static int openssl_fail(struct err *e, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return err_set(e, ERR_INVALID, "%s %s: %s", what, file, reason == NULL ? "not usable" : reason);
}

/* OpenSSL words "no such file" in its own way; say it as everywhere else. */
static int check_readable(const char *what, const char *file, struct err *e)
{
    FILE *f = fopen(file, "re");
    if (f == NULL) {
        return err_set_errno(e, errno, "%s %s", what, file);
    }
    (void)fclose(f);
    return 0;
}

static int load_files(SSL_CTX *ctx, const char *certificate_file, const char *key_file,
                      struct err *e)
{
    int status = check_readable("TLS certificate", certificate_file, e);
    if (status < 0) {
        return status;
    }
    status = check_readable("TLS key", key_file, e);
    if (status < 0) {
        return status;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_file) != 1) {
        return openssl_fail(e, "TLS certificate", certificate_file);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return openssl_fail(e, "TLS key", key_file);
    }
    return 0;
}

int tls_context_load(struct ssl_ctx_st **out, const char *certificate_file, const char *key_file,
                     struct err *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return openssl_fail(e, "TLS", "context");
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Sessions resume by tickets, which cost the server no memory. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    int status = load_files(ctx, certificate_file, key_file, e);
    if (status < 0) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = ctx;
    return 0;
}

int tls_server_new(struct tls_server **out, const char *certificate_file, const char *key_file,
                   struct err *e)
{
    SSL_CTX *ctx = NULL;
    int status = tls_context_load(&ctx, certificate_file, key_file, e);
    if (status < 0) {
        return status;
    }
    *out = mem_new(struct tls_server);
    (*out)->ctx = ctx;
    return 0;
}

void tls_server_free(struct tls_server *server)
{
    if (server != NULL) {
        SSL_CTX_free(server->ctx);
        free(server);
    }
}

struct tls_conn *tls_conn_new(struct tls_server *server)
{
    SSL *ssl = SSL_new(server->ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        (void)BIO_free(in);
        (void)BIO_free(out);
        return NULL;
    }
    (void)BIO_set_mem_eof_return(in, -1);
    (void)BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    struct tls_conn *t = mem_new(struct tls_conn);
    *t = (struct tls_conn){ssl, in, out};
    return t;
}

void tls_conn_free(struct tls_conn *t)
{
    if (t != NULL) {
        SSL_free(t->ssl);
        free(t);
    }
}

int tls_feed(struct tls_conn *t, struct span ciphertext)
{
    ASSERT(ciphertext.n <= INT_MAX);
    int n = BIO_write(t->in, ciphertext.p, (int)ciphertext.n);
    return n == (int)ciphertext.n ? 0 : ERR_SYSTEM;
}

ssize_t tls_read(struct tls_conn *t, uint8_t *out, size_t cap)
{
    size_t n = 0;
    ERR_clear_error();
    int status = SSL_read_ex(t->ssl, out, cap, &n);
    if (status == 1) {
        return (ssize_t)n;
    }
    switch (SSL_get_error(t->ssl, status)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_CLOSED;
    default:
        ERR_clear_error();
        return ERR_MALFORMED;
    }
}

int tls_write(struct tls_conn *t, struct span plaintext)
{
    size_t n = 0;
    if (plaintext.n == 0) {
        return 0;
    }
    if (!SSL_is_init_finished(t->ssl)) {
        return ERR_INVALID;
    }
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, plaintext.p, plaintext.n, &n) != 1) {
        ERR_clear_error();
        return ERR_MALFORMED;
    }
    return 0;
}

void tls_finish(struct tls_conn *t)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl)) {
        (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
}

struct span tls_output(struct tls_conn *t)
{
    char *p = NULL;
    long n = BIO_get_mem_data(t->out, &p);
    return n <= 0 ? span_of(NULL, 0) : span_of(p, (size_t)n);
}

void tls_output_clear(struct tls_conn *t)
{
    (void)BIO_reset(t->out);
}
