/* Commandments.
 *
 * 1. The mode's bits are asked one by one: the key first, then the whitelist.
 * 2. A refusal says in plain words what to do, and contains the word "key" or "whitelist".
 * 3. A torrent that is not listed is often a new one that is about to be: "retry in" a few minutes,
 *    which is sooner than clients would come back by themselves. A wrong key stays wrong until its
 *    owner does something, so for keys clients keep their own pace.
 */
#include "tracker/policy.h"

#include "base/err.h"

#include "base/banned.h"

enum { RETRY_LISTED_MIN = 5 };

static int refuse(struct announce_failure *failure, struct span reason, int32_t retry_in_min)
{
    *failure = (struct announce_failure){.reason = reason, .retry_in_min = retry_in_min};
    return ERR_DENIED;
}

int policy_check_key(const struct policy *p, struct span key, struct key_entry **entry,
                     struct announce_failure *failure)
{
    *entry = NULL;
    if (!mode_is_private(p->mode)) {
        return 0;
    }
    if (key.n == 0) {
        return refuse(failure, SPAN("access key missing: use the announce URL with your key"), 0);
    }
    struct key_entry *k = key.n > ACCESS_KEY_LEN ? NULL : access_find_key(p->access, p->list, key);
    if (k == NULL) {
        return refuse(failure, SPAN("access key unknown"), 0);
    }
    if (key_entry_is_expired(k, p->now_unix_ms)) {
        return refuse(failure, SPAN("access key expired"), 0);
    }
    *entry = k;
    return 0;
}

int policy_check_hash(const struct policy *p, const struct infohash *hash,
                      struct announce_failure *failure)
{
    if (!mode_is_listed(p->mode) || access_has_hash(p->access, p->list, hash)) {
        return 0;
    }
    return refuse(failure, SPAN("torrent not on whitelist"), RETRY_LISTED_MIN);
}
