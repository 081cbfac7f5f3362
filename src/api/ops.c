/* Happy path   ops_x -> the store takes the command -> its commit -> on_x: the tracker is told ->
 *              done.
 * Failures     the store refuses at once: its code, nothing is kept. The store fails later: done
 *              with the code, the tracker untouched.
 * At the end   each op was freed by its one callback.
 */
#include "api/ops.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"
#include "tracker/persist.h"

#include "base/banned.h"

struct op {
    struct tracker *tracker;
    ops_done done;
    void *ctx;
    struct access_key key;
    struct infohash *hashes;
    size_t n_hashes;
};

static struct op *op_new(const struct api_parts *parts, ops_done done, void *ctx)
{
    struct op *op = mem_new(struct op);
    op->tracker = parts->tracker;
    op->done = done;
    op->ctx = ctx;
    return op;
}

static void op_free(struct op *op)
{
    free(op->hashes);
    free(op);
}

static void op_end(struct op *op, int status, size_t n)
{
    ops_done done = op->done;
    void *ctx = op->ctx;
    op_free(op);
    done(ctx, status, n);
}

/* The store's answer to a call: on refusal the op goes, and nobody is called back. */
static int op_started(struct op *op, int status)
{
    if (status < 0) {
        op_free(op);
        return status;
    }
    return 0;
}

static void set_hashes(struct op *op, const struct infohash *hashes, size_t n)
{
    op->hashes = mem_array(n + 1, sizeof *hashes);
    op->n_hashes = n;
    if (n > 0) {
        memcpy(op->hashes, hashes, n * sizeof *hashes);
    }
}

/* ---- whitelist --------------------------------------------------------------------------- */

static void on_whitelist_added(void *ctx, int status, size_t n, const struct err *e)
{
    struct op *op = ctx;
    (void)e;
    if (status == 0) {
        tracker_whitelist_add(op->tracker, op->hashes, op->n_hashes);
    }
    op_end(op, status, n);
}

int ops_whitelist_add(const struct api_parts *parts, const struct infohash *hashes, size_t n,
                      ops_done done, void *ctx)
{
    struct op *op = op_new(parts, done, ctx);
    set_hashes(op, hashes, n);
    return op_started(op, store_whitelist_add(parts->store, hashes, n, on_whitelist_added, op));
}

static void on_whitelist_removed(void *ctx, int status, size_t n, const struct err *e)
{
    struct op *op = ctx;
    (void)e;
    if (status == 0) {
        tracker_whitelist_remove(op->tracker, op->hashes, op->n_hashes);
    }
    op_end(op, status, n);
}

int ops_whitelist_remove(const struct api_parts *parts, const struct infohash *hash, ops_done done,
                         void *ctx)
{
    struct op *op = op_new(parts, done, ctx);
    set_hashes(op, hash, 1);
    return op_started(op, store_whitelist_remove(parts->store, hash, on_whitelist_removed, op));
}

static void on_reloaded(void *ctx, int status, const struct err *e)
{
    (void)e;
    op_end(ctx, status, 0);
}

int ops_reload(const struct api_parts *parts, ops_done done, void *ctx)
{
    struct op *op = op_new(parts, done, ctx);
    return op_started(op, persist_reload(parts->persist, on_reloaded, op));
}

/* ---- keys -------------------------------------------------------------------------------- */

enum key_fault key_check(struct span key)
{
    if (key.n != ACCESS_KEY_LEN) {
        return KEY_BAD_LENGTH;
    }
    for (size_t i = 0; i < key.n; i++) {
        uint8_t c = key.p[i];
        uint8_t lower = c | 0x20;
        if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'z')) {
            return KEY_BAD_CHARACTERS;
        }
    }
    return KEY_OK;
}

static bool is_label(struct span s)
{
    if (s.n > KEY_LABEL_MAX) {
        return false;
    }
    for (size_t i = 0, len; i < s.n; i += len) {
        len = utf8_sequence_len(span_sub(s, i, s.n));
        if (len == 0 || s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

enum key_fault key_make(struct access_key *out, const struct key_request *req, int64_t now_unix_ms)
{
    enum key_fault fault = req->key.p == NULL ? KEY_OK : key_check(req->key);
    int64_t now_s = now_unix_ms / 1000;
    *out = (struct access_key){.permanent = req->permanent, .created_unix_s = now_s};
    if (fault != KEY_OK) {
        return fault;
    }
    if (!is_label(req->label)) {
        return KEY_BAD_LABEL;
    }
    if (!req->permanent) {
        if (req->seconds_valid >= (uint64_t)(KEY_EXPIRY_MAX_S - now_s)) {
            return KEY_BAD_DURATION;
        }
        out->expires_unix_ms = req->seconds_valid == 0
                                   ? now_s * 1000 + 999
                                   : now_unix_ms + (int64_t)req->seconds_valid * 1000;
    }
    if (req->label.n > 0) {
        memcpy(out->label, req->label.p, req->label.n);
    }
    if (req->key.p != NULL) {
        memcpy(out->key, req->key.p, ACCESS_KEY_LEN);
    } else {
        digest_random_alnum(out->key, ACCESS_KEY_LEN);
    }
    return KEY_OK;
}

int64_t key_valid_until_s(const struct access_key *key)
{
    return key->expires_unix_ms / 1000;
}

static void on_key_added(void *ctx, int status, const struct err *e)
{
    struct op *op = ctx;
    (void)e;
    if (status == 0) {
        tracker_key_put(op->tracker, &op->key);
    }
    op_end(op, status, status == 0);
}

int ops_key_add(const struct api_parts *parts, const struct access_key *key, ops_done done,
                void *ctx)
{
    struct op *op = op_new(parts, done, ctx);
    struct store_key stored = {.permanent = key->permanent,
                               .expires_unix_ms = key->expires_unix_ms,
                               .created_unix_s = key->created_unix_s};
    memcpy(stored.key, key->key, sizeof stored.key);
    memcpy(stored.label, key->label, sizeof stored.label);
    op->key = *key;
    return op_started(op, store_key_add(parts->store, &stored, on_key_added, op));
}

static void on_key_removed(void *ctx, int status, size_t n, const struct err *e)
{
    struct op *op = ctx;
    (void)e;
    if (status == 0) {
        (void)tracker_key_remove(op->tracker, span_str(op->key.key));
    }
    op_end(op, status, n);
}

int ops_key_remove(const struct api_parts *parts, struct span key, ops_done done, void *ctx)
{
    ASSERT(key_check(key) == KEY_OK);
    struct op *op = op_new(parts, done, ctx);
    memcpy(op->key.key, key.p, ACCESS_KEY_LEN);
    return op_started(op, store_key_remove(parts->store, op->key.key, on_key_removed, op));
}
