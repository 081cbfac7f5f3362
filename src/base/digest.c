#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

struct digest_stream {
    EVP_MD_CTX *ctx;
};

int digest_start(void)
{
    return sodium_init() < 0 ? ERR_SYSTEM : 0;
}

static void evp_digest(const EVP_MD *md, uint8_t *out, struct span in)
{
    unsigned len = 0;
    ASSERT(EVP_Digest(in.p, in.n, out, &len, md, NULL) == 1);
}

void digest_sha1(uint8_t out[static 20], struct span in)
{
    evp_digest(EVP_sha1(), out, in);
}

void digest_sha256(uint8_t out[static 32], struct span in)
{
    evp_digest(EVP_sha256(), out, in);
}

struct digest_stream *digest_stream_new(void)
{
    struct digest_stream *s = mem_new(struct digest_stream);
    s->ctx = EVP_MD_CTX_new();
    ASSERT(s->ctx != NULL && EVP_DigestInit_ex(s->ctx, EVP_sha1(), NULL) == 1);
    return s;
}

void digest_stream_free(struct digest_stream *s)
{
    if (s != NULL) {
        EVP_MD_CTX_free(s->ctx);
        free(s);
    }
}

void digest_stream_add(struct digest_stream *s, struct span in)
{
    ASSERT(EVP_DigestUpdate(s->ctx, in.p, in.n) == 1);
}

void digest_stream_end(struct digest_stream *s, uint8_t out[static 20])
{
    ASSERT(EVP_DigestFinal_ex(s->ctx, out, NULL) == 1);
    ASSERT(EVP_DigestInit_ex(s->ctx, NULL, NULL) == 1); /* the same algorithm again */
}

uint64_t digest_siphash(struct siphash_key const *key, struct span in)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t v;
    (void)crypto_shorthash(out, in.p, in.n, key->b);
    memcpy(&v, out, sizeof v);
    return v;
}

void digest_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void digest_random_alnum(char *out, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < n; i++) {
        out[i] = letters[randombytes_uniform(sizeof letters - 1)];
    }
    out[n] = '\0';
}

bool digest_equal(struct span a, struct span b)
{
    return a.n == b.n && sodium_memcmp(a.p, b.p, a.n) == 0;
}
