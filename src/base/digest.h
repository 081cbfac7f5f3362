/* digest.h: hashes, random bytes and comparison that does not leak, from libcrypto and libsodium.
 *
 * Start    digest_start once before anything else here; it may fail only when the machine has no
 *          source of randomness. Every function may then be called from any thread.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/span.h"

struct siphash_key {
    uint8_t b[16];
};

MUST_CHECK int digest_start(void);

void digest_sha1(uint8_t out[static 20], struct span in);
void digest_sha256(uint8_t out[static 32], struct span in);

/* SHA-1 of bytes that come in parts; for one thread at a time. */
struct digest_stream;
struct digest_stream *digest_stream_new(void);
void digest_stream_free(struct digest_stream *s); /* NULL: nothing */
void digest_stream_add(struct digest_stream *s, struct span in);
/* The hash of all that was added; what is added from now on belongs to the next one. */
void digest_stream_end(struct digest_stream *s, uint8_t out[static 20]);

/* SipHash-2-4 (libsodium crypto_shorthash). */
uint64_t digest_siphash(struct siphash_key const *key, struct span in);

void digest_random(void *out, size_t n);
/* n random characters of [A-Za-z0-9], each equally likely, and a NUL. */
void digest_random_alnum(char *out, size_t n);

/* Equal contents, in time that depends on the lengths only. */
bool digest_equal(struct span a, struct span b);

#endif
