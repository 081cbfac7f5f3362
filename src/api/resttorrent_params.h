/* resttorrent_params.h: what a call of the RestTorrent API is given, from wherever it came. Pure.
 *
 * Sources   query string, form fields, files of a form, members of a JSON object. Whoever reads them
 *           in this order has what is documented: a later one overrides an earlier one.
 * Values    are texts: JSON's true is "true", null is absent, an array is what stands in it. A file
 *           is bytes, in a text base64 or itself.
 * Limits    REST_TEXT_MAX bytes a value, REST_FILE_MAX of a file.
 */
#ifndef API_RESTTORRENT_PARAMS_H
#define API_RESTTORRENT_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum { REST_TEXT_MAX = 65536, REST_FILE_MAX = 1 << 30 };

enum resttorrent_param {
    REST_SESSION_ID,
    REST_INFO_HASH,
    REST_FILE,
    REST_MAGNET,
    REST_URL,
    REST_SAVE_PATH,
    REST_AUTOSTART,
    REST_STORAGE_MODE,
    REST_MEMORY_ONLY,
    REST_PORT_RANGE,
    REST_PORTS,
    REST_FIELDS,
    REST_PAUSE,
    REST_N_PARAMS
};

struct resttorrent_params {
    /* private */
    bool given[REST_N_PARAMS];
    struct buf values[REST_N_PARAMS];
    unsigned n_files;
};

void resttorrent_params_init(struct resttorrent_params *p);
void resttorrent_params_release(struct resttorrent_params *p);

/* The value from now on; copied. False: it is too long. */
MUST_CHECK bool resttorrent_params_set(struct resttorrent_params *p, enum resttorrent_param which,
                                       struct span value);
/* Each returns 0, or ERR_MALFORMED or ERR_LIMIT with *why. Names that are none are passed over. */
MUST_CHECK int resttorrent_params_add_query(struct resttorrent_params *p, struct span query,
                                            const char **why);
/* A form or a JSON object, which may call itself a form; anything else is no parameters. */
MUST_CHECK int resttorrent_params_add_body(struct resttorrent_params *p, struct span content_type,
                                           struct span body, const char **why);
/* text: a JSON object. A "file" that is no string is passed over. */
MUST_CHECK int resttorrent_params_add_json(struct resttorrent_params *p, struct span text,
                                           const char **why);

/* False when it is absent. Borrowed until it is set again. */
bool resttorrent_params_get(const struct resttorrent_params *p, enum resttorrent_param which,
                            struct span *out);
/* 0/1, false/true; absent: fallback. False: it is something else. */
bool resttorrent_params_flag(const struct resttorrent_params *p, enum resttorrent_param which,
                             bool fallback, bool *out);
/* "lo,hi", or one for both; 0,0: any. Absent: 6881,6891. False: no range. */
bool resttorrent_params_ports(const struct resttorrent_params *p, uint16_t *first, uint16_t *last);

#endif
