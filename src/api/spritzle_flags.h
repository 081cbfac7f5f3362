/* spritzle_flags.h: flags of a torrent by the names that the spritzle API has for them. Pure.
 *
 * Shown     share mode is not downloading either, but is not shown as upload mode.
 */
#ifndef API_SPRITZLE_FLAGS_H
#define API_SPRITZLE_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

/* The bit of enum torrent_flag; 0: no such name. */
unsigned spritzle_flag_of(const char *name);

/* From what a torrent has to what is shown, and from what is asked for to what a new one has. */
unsigned spritzle_flags_shown(unsigned flags);
unsigned spritzle_flags_meant(unsigned asked);

/* {"paused": false, ...} */
void spritzle_flags_add(struct buf *out, unsigned flags);

/* What an object of names and booleans asks for of a torrent that has the flags now: bits to set and
 * to clear, none in both. returns 0, or ERR_MALFORMED with why. seed_mode may only be as it is. */
enum { SPRITZLE_WHY_MAX = 192 };
MUST_CHECK int spritzle_flags_parse(unsigned *set, unsigned *clear, unsigned now, struct span json,
                                    char why[static SPRITZLE_WHY_MAX]);

#endif
