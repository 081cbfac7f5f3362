/* ops.h: what the API does, free of any dialect: check, store, then tell the tracker.
 *
 * Order      the database first; the tracker's memory changes only after the commit, so a failure
 *            changes nothing.
 * Callbacks  a call that returns a negative code never calls back; else exactly once, later. They
 *            may come when the API is closed already: tracker, store and persist outlive it.
 */
#ifndef API_OPS_H
#define API_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/ids.h"
#include "base/span.h"
#include "tracker/tracker.h"

/* n: what was really changed in the database. */
typedef void (*ops_done)(void *ctx, int status, size_t n);

/* hashes are copied; one transaction. */
MUST_CHECK int ops_whitelist_add(const struct api_parts *parts, const struct infohash *hashes,
                                 size_t n, ops_done done, void *ctx);
MUST_CHECK int ops_whitelist_remove(const struct api_parts *parts, const struct infohash *hash,
                                    ops_done done, void *ctx);
/* Whitelist and keys from the database again. */
MUST_CHECK int ops_reload(const struct api_parts *parts, ops_done done, void *ctx);

enum { KEY_LABEL_MAX = 64 };
/* 9999-12-31T23:59:59Z: no key lives longer. */
#define KEY_EXPIRY_MAX_S INT64_C(253402300799)

struct key_request {
    struct span key; /* p is NULL: one is made up */
    struct span label;
    bool permanent;
    uint64_t seconds_valid; /* 0: to the end of this second */
};

enum key_fault { KEY_OK, KEY_BAD_LENGTH, KEY_BAD_CHARACTERS, KEY_BAD_LABEL, KEY_BAD_DURATION };

/* Is this the form of a key? KEY_OK, KEY_BAD_LENGTH or KEY_BAD_CHARACTERS. */
enum key_fault key_check(struct span key);

/* The key a request asks for. Pure but for the random key. */
enum key_fault key_make(struct access_key *out, const struct key_request *req, int64_t now_unix_ms);

/* Seconds as the API shows them: the second in which the key expires. */
int64_t key_valid_until_s(const struct access_key *key);

/* ERR_EXISTS when the key is there already. */
MUST_CHECK int ops_key_add(const struct api_parts *parts, const struct access_key *key,
                           ops_done done, void *ctx);
/* n is 0 for a key that is not there. */
MUST_CHECK int ops_key_remove(const struct api_parts *parts, struct span key, ops_done done,
                              void *ctx);

#endif
