/* gotorrent_params.h: what the GoTorrentServer API is given, as values. Pure.
 *
 * Rates    KiB per second, as a JSON number or in digits; 0: no limit. What is not 0 never becomes 0.
 */
#ifndef API_GOTORRENT_PARAMS_H
#define API_GOTORRENT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/ids.h"
#include "base/span.h"

enum {
    GOTORRENT_TEXT_MAX = 65536, /* bytes of url or targetdir */
    GOTORRENT_RATE_LEN = 64,    /* characters of a rate */
};

/* Any form of hash_param.h, or base64 with or without its padding. */
bool gotorrent_hash_parse(struct infohash *out, struct span text);

/* Bytes per second. False: not a number, negative, or endless. */
bool gotorrent_rate_parse(uint64_t *out_bps, struct span text);

/* true, false, 1, 0, yes, no; letters of any case. */
bool gotorrent_bool_parse(bool *out, struct span text);

/* UTF-8 without a NUL, as the name of a folder must be. */
bool gotorrent_is_text(struct span s);

/* The body of an add. */
struct gotorrent_add {
    struct buf source; /* url, or file, as the text that it was */
    struct buf targetdir;
    bool has_source, has_targetdir;
    uint64_t max_down_bps, max_up_bps;
};

/* source: the name of the member that says what to add ("url" or "file"); max_len: bytes of it.
 * returns 0; ERR_MALFORMED: not JSON, ERR_INVALID: a member that will not do, each with *why. Release
 * it in any case. */
MUST_CHECK int gotorrent_add_parse(struct gotorrent_add *out, struct span body, const char *source,
                                   size_t max_len, const char **why);
void gotorrent_add_release(struct gotorrent_add *a);

/* The .torrent that text stands for, the first of these that is one: its bytes as they are; each code
 * point as a byte; base64 of either alphabet, padded or not, line ends and all. Added to out, which
 * is empty. False with *why. */
MUST_CHECK bool gotorrent_metainfo(struct buf *out, struct span text, const char **why);

#endif
