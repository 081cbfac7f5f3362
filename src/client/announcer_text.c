/* Trackers name the same refusal in a hundred ways, and there is no code for it. What counts as
 * "unregistered" is a short list of phrases that the software behind them uses; a refusal of the
 * client, the key or the user can have the same words ("your client is not on whitelist"), but
 * another torrent would fare no better there, so those are ordinary failures.
 */
#include "client/announcer_text.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "client/announcer.h"

#include "base/banned.h"

enum { REASON_LOOKED_AT = 512 };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* word is lower case. */
static bool starts_with_word(struct span text, const char *word)
{
    for (size_t i = 0; word[i] != '\0'; i++) {
        if (i == text.n || lower(text.p[i]) != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

static bool has_one_of(struct span text, const char *const *words, size_t n)
{
    for (size_t at = 0; at < text.n; at++) {
        for (size_t i = 0; i < n; i++) {
            if (starts_with_word(span_sub(text, at, text.n), words[i])) {
                return true;
            }
        }
    }
    return false;
}

bool announce_is_unregistered(struct span reason)
{
    static const char *const yes[] = {
        "unregistered",         "not registered",           "not on whitelist",
        "not on the whitelist", "unknown torrent",          "torrent not found",
        "torrent is not found", "torrent unknown",          "unknown info",
        "info_hash not found",  "info hash not found",      "infohash not found",
        "torrent not exist",    "torrent does not exist",   "torrent not in",
        "torrent deleted",      "torrent has been deleted", "download is not authorized",
    };
    static const char *const no[] = {"client", "passkey", "user", "account", "access key"};
    reason = span_sub(reason, 0, REASON_LOOKED_AT);
    return has_one_of(reason, yes, sizeof yes / sizeof yes[0]) &&
           !has_one_of(reason, no, sizeof no / sizeof no[0]);
}

char *announcer_text_copy(struct span s)
{
    char out[ANNOUNCE_TEXT_MAX];
    size_t len = 0;
    s = span_trim(s);
    while (s.n > 0) {
        size_t n = utf8_sequence_len(s);
        bool plain = n > 1 || (n == 1 && s.p[0] >= 0x20 && s.p[0] != 0x7f);
        if ((plain ? n : 1) > sizeof out - 1 - len) {
            break;
        }
        if (plain) {
            memcpy(out + len, s.p, n);
        } else {
            n = 1;
            out[len] = '?';
        }
        len += n;
        s = span_sub(s, n, s.n);
    }
    return len == 0 ? NULL : mem_strndup(out, len);
}

bool announcer_url_is_usable(struct span url)
{
    static const char *const schemes[] = {"http://", "https://", "udp://"};
    size_t head = 0;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (starts_with_word(url, schemes[i])) {
            head = strlen(schemes[i]);
        }
    }
    if (head == 0 || url.n == head || url.n > TRACKER_URL_MAX) {
        return false;
    }
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] <= ' ' || url.p[i] == 0x7f) {
            return false;
        }
    }
    uint8_t first = url.p[head];
    return first != '/' && first != ':' && first != '?' && first != '#' && first != '@';
}
