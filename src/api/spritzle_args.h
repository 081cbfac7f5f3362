/* spritzle_args.h: the options of an added torrent as the spritzle API takes them: a JSON object with the
 * names of libtorrent's add_torrent_params. Pure.
 *
 * Honoured  those that struct client_add has, and duplicate_is_error.
 * Ignored   the rest of the names of that list, whatever their values.
 * Refused   any other name, and values of the wrong kind.
 */
#ifndef API_SPRITZLE_ARGS_H
#define API_SPRITZLE_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "api/spritzle_flags.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"
#include "client/client.h"

struct cJSON;

struct spritzle_args {
    struct client_add add; /* but for what is added; points into the rest of this */
    bool duplicate_is_error;
    /* Of a body that is JSON altogether; p is NULL: not there. */
    struct span file; /* in base64 */
    struct span url;
    struct span info_hash;
    /* private */
    struct cJSON *json;
    struct span *trackers;
    struct buf priorities;
};

/* No options: what stands when nothing was said. */
void spritzle_args_init(struct spritzle_args *a);
void spritzle_args_release(struct spritzle_args *a);

/* After spritzle_args_init, once. whole: the text is a request with file, url or info_hash in it, and
 * not its args alone. returns 0, or ERR_MALFORMED with why. */
MUST_CHECK int spritzle_args_parse(struct spritzle_args *a, struct span text, bool whole,
                                   char why[static SPRITZLE_WHY_MAX]);

/* The object that text is, to be freed with cJSON_Delete; NULL: it is none. Its strings are valid UTF-8
 * without NULs. */
struct cJSON *spritzle_json_object(struct span text);

#endif
