/* torrust_calls.h: the handlers that both forms of the Torrust API share.
 *
 * Each asks form_of(c) where the forms differ; params[0] is the path's parameter.
 */
#ifndef API_TORRUST_CALLS_H
#define API_TORRUST_CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "api/call.h"
#include "api/ops.h"
#include "api/torrust_rows.h"
#include "api/torrust_streams.h"

enum torrust_form torrust_form_of(const struct dialect *d);

/* Helpers of handlers. The first four fail the call and return false for what is not right. */
bool torrust_hash(struct call *c, struct span text, struct infohash *out);
bool torrust_page(struct call *c, uint64_t default_limit, struct page *out);
bool torrust_key_fault(struct call *c, enum key_fault fault, struct span key, struct span seconds);
/* ?format=json (also when absent) or prometheus. */
bool torrust_format(struct call *c, bool *prometheus);
/* The value for messages: its first characters, for "%.*s". */
#define SHOWN(s) (int)((s).n < 200 ? (s).n : 200), (const char *)(s).p

/* What is left of a call while the database works. what: "failed to whitelist torrent", static. */
struct torrust_pending {
    struct http_exchange *x;
    const struct dialect *dialect;
    const char *what;
    struct access_key key;
    size_t n_given;
};
struct torrust_pending *torrust_pending_new(struct call *c, const char *what);
/* The answer to a database that failed; frees p. */
void torrust_pending_fail(struct torrust_pending *p, int status);
/* An ops_done: {"status":"ok"}, or torrust_pending_fail. */
void torrust_pending_ok(void *pending, int status, size_t n);
/* The value an ops call returned: on refusal the failure is answered now. */
void torrust_pending_started(struct torrust_pending *p, int status);

/* Makes the key and stores it; the answer is the key. */
void torrust_create_key(struct call *c, const struct key_request *req, struct span seconds);

void torrust_get_stats(struct call *c);
void torrust_get_torrents(struct call *c);
void torrust_get_torrent(struct call *c);
void torrust_post_whitelist(struct call *c);
void torrust_delete_whitelist(struct call *c);
void torrust_reload_whitelist(struct call *c);
void torrust_reload_keys(struct call *c);
void torrust_post_key(struct call *c);
void torrust_delete_key(struct call *c);

#endif
