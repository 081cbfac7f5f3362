/* policy.h: who may ask, from mode, access lists and the time alone. Tracker core.
 *
 * Key before whitelist: somebody without a key does not learn what is on the whitelist.
 */
#ifndef TRACKER_POLICY_H
#define TRACKER_POLICY_H

#include <stdint.h>

#include "proto/announce.h"
#include "tracker/access.h"
#include "tracker/tracker.h"

static inline bool mode_is_listed(enum tracker_mode mode)
{
    return (mode & MODE_LISTED) != 0;
}

static inline bool mode_is_private(enum tracker_mode mode)
{
    return (mode & MODE_PRIVATE) != 0;
}

/* What a decision depends on, beside the request. */
struct policy {
    enum tracker_mode mode;
    const struct access *access;
    const struct access_list *list;
    int64_t now_unix_ms;
};

/* The key's turn: 0, or ERR_DENIED with *failure. *entry: the key that was used, NULL when the mode
 * asks for none. A key stops working the millisecond it expires. */
int policy_check_key(const struct policy *p, struct span key, struct key_entry **entry,
                     struct announce_failure *failure);

/* The torrent's turn: 0, or ERR_DENIED with *failure. */
int policy_check_hash(const struct policy *p, const struct infohash *hash,
                      struct announce_failure *failure);

#endif
