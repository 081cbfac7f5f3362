/* key_body.h: the body of POST /api/v1/keys. Pure.
 *
 * {"key": string or null, "seconds_valid": whole number or null, "label": string or null}
 * The first two must be there; null means: make one up, and: never expires.
 */
#ifndef API_KEY_BODY_H
#define API_KEY_BODY_H

#include "api/ops.h"
#include "base/assert.h"
#include "base/span.h"

struct key_body {
    struct key_request req; /* its spans live until the release */
    struct span seconds;    /* the number as written, borrowed from the body */
    /* private */
    void *json;
};

/* returns 0, and the caller releases; ERR_MALFORMED: no JSON; ERR_INVALID: *why says which member
 * is not right. */
MUST_CHECK int key_body_parse(struct key_body *out, struct span text, const char **why);
void key_body_release(struct key_body *b);

#endif
