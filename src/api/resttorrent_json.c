/* Members of a torrent are a table, which `fields` chooses from; all others are written in a row.
 *
 * Flags of a peer, a letter each: D we download from it (d: it does not let us yet), U it downloads
 * from us (u: we do not let it yet), O chosen by chance, S snubbed, I it came to us, X found by peer
 * exchange.
 */
#include "api/resttorrent_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/torrent_text.h"
#include "base/json.h"

#include "base/banned.h"

#define OPTIONS_HEAD "{\"id\":\""
#define OPTIONS_TAIL "\"}"

/* ---- torrents ------------------------------------------------------------------------------ */

enum torrent_member {
    MEMBER_INFOHASH,
    MEMBER_INFO_HASH,
    MEMBER_STATE,
    MEMBER_PROGRESS,
    MEMBER_DOWNLOAD_RATE,
    MEMBER_UPLOAD_RATE,
    MEMBER_NUM_PEERS,
    MEMBER_NAME,
    MEMBER_SAVE_PATH,
    MEMBER_PAUSED,
    MEMBER_TOTAL_SIZE,
    MEMBER_MEMORY_ONLY,
    N_MEMBERS
};

static const char *const members[N_MEMBERS] = {
    [MEMBER_INFOHASH] = "infohash",
    [MEMBER_INFO_HASH] = "info_hash",
    [MEMBER_STATE] = "state",
    [MEMBER_PROGRESS] = "progress",
    [MEMBER_DOWNLOAD_RATE] = "download_rate",
    [MEMBER_UPLOAD_RATE] = "upload_rate",
    [MEMBER_NUM_PEERS] = "num_peers",
    [MEMBER_NAME] = "name",
    [MEMBER_SAVE_PATH] = "save_path",
    [MEMBER_PAUSED] = "paused",
    [MEMBER_TOTAL_SIZE] = "total_size",
    [MEMBER_MEMORY_ONLY] = "memory_only",
};

unsigned resttorrent_fields(struct span list)
{
    unsigned fields = 0;
    while (list.n > 0) {
        struct span name = span_trim(span_cut(list, ',', &list));
        for (unsigned i = 0; i < N_MEMBERS; i++) {
            fields |= span_eq(name, span_str(members[i])) ? 1U << i : 0;
        }
    }
    return fields;
}

static void add_float(struct buf *out, double v)
{
    buf_addf(out, "%.4f", isfinite(v) ? v : 0.0);
}

static void add_bool(struct buf *out, bool v)
{
    buf_add_str(out, v ? "true" : "false");
}

static void add_hash(struct buf *out, const struct infohash *hash)
{
    buf_add_byte(out, '"');
    buf_add_hex(out, span_of(hash->b, sizeof hash->b));
    buf_add_byte(out, '"');
}

static void add_member(struct buf *out, enum torrent_member which, const struct torrent_status *s,
                       const struct client_facts *facts)
{
    switch (which) {
    case MEMBER_INFOHASH:
    case MEMBER_INFO_HASH:
        add_hash(out, &s->info_hash);
        break;
    case MEMBER_STATE:
        json_add_string(out, span_str(torrent_state_text(s->state)));
        break;
    case MEMBER_PROGRESS:
        add_float(out, s->progress);
        break;
    case MEMBER_DOWNLOAD_RATE:
        buf_add_u64(out, s->down_all_bps);
        break;
    case MEMBER_UPLOAD_RATE:
        buf_add_u64(out, s->up_all_bps);
        break;
    case MEMBER_NUM_PEERS:
        buf_add_u64(out, s->n_peers);
        break;
    case MEMBER_NAME:
        json_add_string(out, span_str(s->name));
        break;
    case MEMBER_SAVE_PATH:
        json_add_string(out, span_str(facts->save_path));
        break;
    case MEMBER_PAUSED:
        add_bool(out, (s->flags & TORRENT_PAUSED) != 0);
        break;
    case MEMBER_TOTAL_SIZE:
        buf_add_u64(out, s->total_len);
        break;
    case MEMBER_MEMORY_ONLY:
        add_bool(out, facts->memory_only);
        break;
    case N_MEMBERS:
        break;
    }
}

void resttorrent_add_torrent(struct buf *out, const struct torrent_status *s,
                             const struct client_facts *facts, unsigned fields)
{
    const char *comma = "";
    for (unsigned i = 0; i < N_MEMBERS; i++) {
        if ((fields & 1U << i) != 0) {
            buf_addf(out, "%s\"%s\":", comma, members[i]);
            add_member(out, (enum torrent_member)i, s, facts);
            comma = ",";
        }
    }
}

/* ---- sessions ------------------------------------------------------------------------------ */

void resttorrent_options(char out[static REST_OPTIONS_CAP],
                         const char key[static REST_SESSION_KEY_LEN + 1])
{
    (void)snprintf(out, REST_OPTIONS_CAP, OPTIONS_HEAD "%s" OPTIONS_TAIL, key);
}

void resttorrent_session_key(char out[static REST_SESSION_KEY_LEN + 1],
                             const struct client_session *s)
{
    const struct span head = SPAN(OPTIONS_HEAD);
    struct span key = span_sub(s->options, head.n, REST_SESSION_KEY_LEN);
    uint8_t ignored[REST_SESSION_KEY_LEN / 2];
    if (span_starts_with(s->options, head) && hex_decode(ignored, sizeof ignored, key)) {
        memcpy(out, key.p, key.n);
        out[key.n] = '\0';
    } else {
        (void)snprintf(out, REST_SESSION_KEY_LEN + 1, "%032" PRIx32, s->id);
    }
}

void resttorrent_add_session(struct buf *out, const struct client_session *s)
{
    char key[REST_SESSION_KEY_LEN + 1];
    resttorrent_session_key(key, s);
    buf_addf(out, "\"id\":\"%s\",\"ports\":[%u,%u],\"port\":%u", key, s->port_first, s->port_last,
             s->port);
}

/* ---- peers --------------------------------------------------------------------------------- */

static void add_flags(struct buf *out, const struct peer_view *p)
{
    buf_add_str(out, !p->interested ? "" : p->peer_choking ? "d" : "D");
    buf_add_str(out, !p->peer_interested ? "" : p->choking ? "u" : "U");
    buf_add_str(out, p->optimistic ? "O" : "");
    buf_add_str(out, p->snubbing ? "S" : "");
    buf_add_str(out, p->incoming ? "I" : "");
    buf_add_str(out, p->source == CANDIDATE_PEX ? "X" : "");
}

/* What it says of itself, else what its peer id begins with (BEP 20). */
static struct span client_text(const struct peer_view *p)
{
    size_t n = 0;
    if (p->client[0] != '\0') {
        return span_str(p->client);
    }
    while (n < 8 && p->peer_id.b[n] > 0x20 && p->peer_id.b[n] < 0x7f) {
        n++;
    }
    return span_of(p->peer_id.b, n);
}

void resttorrent_add_peer(struct buf *out, const struct peer_view *peer)
{
    char ip[ADDR_TEXT_LEN];
    buf_addf(out, "\"ip\":\"%s\",\"port\":%u,\"client\":", addr_format(ip, &peer->remote.addr),
             peer->remote.port);
    json_add_string(out, client_text(peer));
    buf_add_str(out, ",\"progress\":");
    add_float(out, peer->progress);
    buf_addf(out, ",\"download_rate\":%" PRIu64 ",\"upload_rate\":%" PRIu64 ",\"flags\":\"",
             peer->down_bps, peer->up_bps);
    add_flags(out, peer);
    buf_add_byte(out, '"');
}

/* ---- failures ------------------------------------------------------------------------------ */

void resttorrent_add_failure(struct buf *out, const char *code, struct span message)
{
    buf_add_str(out, "\"status\":\"fail\",\"message\":");
    json_add_string(out, message);
    buf_addf(out, ",\"error\":{\"code\":\"%s\",\"message\":", code);
    json_add_string(out, message);
    buf_add_byte(out, '}');
}
