/* announcer_text.h: what trackers say in words. Client core, pure. Private to announcer.c. */
#ifndef CLIENT_ANNOUNCER_TEXT_H
#define CLIENT_ANNOUNCER_TEXT_H

#include <stdbool.h>

#include "base/span.h"

/* A copy of s that can be shown: valid UTF-8 on one line, shorter than ANNOUNCE_TEXT_MAX bytes;
 * whatever is neither becomes '?'. NULL for an empty s; free() it. */
char *announcer_text_copy(struct span s);

/* Can it be announced to? http, https or udp, a host, no blanks or control characters. */
bool announcer_url_is_usable(struct span url);

#endif
