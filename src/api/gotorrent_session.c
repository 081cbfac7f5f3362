/*   HEAD --> PIECES --> BASE64 --> TRACKERS --> PEERS <--> PEER_PIECES
 *                                                 |
 *                                                 +--> TAIL --> over
 *
 * Between two calls peers come (at the end of the engine's list) and go: the one that was written last
 * tells where to go on. When that one has gone itself, whoever moved to its place is next.
 */
#include "api/gotorrent_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/call.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    TEXTS_MAX = 1 << 17,    /* bytes of a head or of the numbers */
    BITS_A_CALL = 1 << 16,  /* each a character */
    BYTES_A_CALL = 3 << 14, /* of a bitfield in base64; a multiple of three */
    TRACKERS_A_CALL = 32,
};

/* ---- values ------------------------------------------------------------------------------------ */

void gotorrent_time_text(char out[static GOTORRENT_TIME_LEN], int64_t unix_s)
{
    struct tm tm;
    time_t at = (time_t)unix_s;
    out[0] = '\0';
    if (unix_s <= 0 || gmtime_r(&at, &tm) == NULL || tm.tm_year > 9999 - 1900) {
        return;
    }
    (void)strftime(out, GOTORRENT_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void gotorrent_id_text(char out[static GOTORRENT_ID_LEN], const struct peer_id *id)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof id->b; i++) {
        if (id->b[i] >= 0x20 && id->b[i] <= 0x7e) {
            out[n++] = (char)id->b[i];
        } else {
            out[n++] = '%';
            hex_encode(out + n, span_of(&id->b[i], 1));
            n += 2;
        }
    }
    out[n] = '\0';
}

bool gotorrent_bits_add(struct buf *out, struct gotorrent_bits *from, uint32_t max)
{
    uint32_t left = from->n - from->at;
    uint32_t n = left < max ? left : max;
    uint8_t *to = buf_reserve(out, n);
    if (to == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++, from->at++) {
        to[i] = from->bytes[from->at / 8] & 0x80 >> from->at % 8 ? '1' : '0';
    }
    out->len += n;
    return from->at < from->n;
}

static void add_text(struct buf *out, const char *key, struct span text)
{
    buf_addf(out, "\"%s\":", key);
    json_add_string(out, text);
}

static void add_kib(struct buf *out, const char *key, uint64_t bytes)
{
    buf_addf(out, ",\"%s\":%.3f", key, (double)bytes / 1024);
}

static void add_time(struct buf *out, const char *key, int64_t unix_s)
{
    char text[GOTORRENT_TIME_LEN];
    gotorrent_time_text(text, unix_s);
    buf_addf(out, ",\"%s\":\"%s\"", key, text);
}

static const char *status_text(const struct torrent_status *s)
{
    if (s->flags & TORRENT_PAUSED) {
        return "paused";
    }
    if (s->fault != FAULT_NONE) {
        return "error";
    }
    if (s->state == TORRENT_QUEUED_CHECK || s->state == TORRENT_CHECKING) {
        return "checking";
    }
    return s->n_peers > 0 ? "connected" : "disconnected";
}

/* ---- the beginning ------------------------------------------------------------------------------ */

static void add_head(struct buf *out, const struct torrent_status *s)
{
    char hex[HEX20_LEN + 1];
    struct span hash = span_of(s->info_hash.b, sizeof s->info_hash.b);
    hex_encode(hex, hash);
    buf_add_byte(out, '{');
    add_text(out, "name", span_str(s->name[0] != '\0' ? s->name : hex));
    buf_addf(out, ",\"infohash\":\"%s\",\"infohash_base64\":\"", hex);
    base64_add(out, hash);
    buf_add_str(out, "\",\"pieces\":\"");
}

static void add_numbers(struct buf *out, const struct torrent_status *s, int64_t started_unix_s)
{
    bool older = s->added_unix_s < started_unix_s;
    buf_addf(out, ",\"bitfield_length\":%u", s->n_pieces);
    add_time(out, "timestarted", older ? started_unix_s : s->added_unix_s);
    add_kib(out, "wasted", s->session_wasted);
    add_kib(out, "downloaded", s->session_down);
    add_kib(out, "uploaded", s->session_up);
    add_kib(out, "maxdown", s->max_down_bps);
    add_kib(out, "maxup", s->max_up_bps);
    buf_addf(out, ",\"status\":\"%s\",\"error\":", status_text(s));
    if (s->error[0] != '\0') {
        json_add_string(out, span_str(s->error));
    } else {
        buf_add_str(out, "null");
    }
}

static void bits_clear(struct gotorrent_bits *bits)
{
    free(bits->bytes);
    *bits = (struct gotorrent_bits){.n = 0};
}

static size_t bits_len(uint32_t n)
{
    return ((size_t)n + 7) / 8;
}

bool gotorrent_session_begin(struct gotorrent_session *s, struct client *client, torrent_id id,
                             int64_t started_unix_s)
{
    const struct engine *e = client_engine(client);
    struct torrent_status status;
    struct client_facts facts;
    if (engine_status(e, id, &status, client_now_ms(client)) < 0 ||
        client_facts(client, &status.info_hash, &facts) < 0) {
        return false;
    }
    *s = (struct gotorrent_session){.client = client, .id = id};
    buf_init(&s->head, TEXTS_MAX);
    buf_init(&s->numbers, TEXTS_MAX);
    add_head(&s->head, &status);
    add_numbers(&s->numbers, &status, started_unix_s);
    s->pieces.bytes = mem_zeroed(bits_len(status.n_pieces) + 1);
    if (engine_bitfield(e, id, s->pieces.bytes, bits_len(status.n_pieces))) {
        s->pieces.n = status.n_pieces;
    }
    return true;
}

void gotorrent_session_release(struct gotorrent_session *s)
{
    buf_release(&s->head);
    buf_release(&s->numbers);
    bits_clear(&s->pieces);
    bits_clear(&s->peer_pieces);
}

/* ---- the parts --------------------------------------------------------------------------------- */

static void produce_pieces(struct gotorrent_session *s, struct buf *out)
{
    if (!gotorrent_bits_add(out, &s->pieces, BITS_A_CALL)) {
        buf_add_str(out, "\",\"bitfield_base64\":\"");
        s->pieces.at = 0;
        s->part = GOTORRENT_BASE64;
    }
}

/* s->pieces.at counts bytes here. */
static void produce_base64(struct gotorrent_session *s, struct buf *out)
{
    struct span all = span_of(s->pieces.bytes, bits_len(s->pieces.n));
    base64_add(out, span_sub(all, s->pieces.at, BYTES_A_CALL));
    s->pieces.at += BYTES_A_CALL;
    if (s->pieces.at >= all.n) {
        buf_add_byte(out, '"');
        buf_add(out, buf_span(&s->numbers));
        buf_add_str(out, ",\"trackers\":[");
        bits_clear(&s->pieces);
        s->part = GOTORRENT_TRACKERS;
    }
}

static int64_t wall_s(const struct gotorrent_session *s, uint64_t at_ms)
{
    uint64_t now_ms = client_now_ms(s->client);
    return at_ms == 0 ? 0 : (call_unix_ms() - (int64_t)(now_ms - at_ms)) / 1000;
}

static const char *tracker_status_text(enum tracker_state state)
{
    switch (state) {
    case TRACKER_IDLE:
        return "not contacted";
    case TRACKER_WORKING:
        return "working";
    case TRACKER_FAILED:
    case TRACKER_UNREGISTERED:
        break;
    }
    return "error";
}

static void add_tracker(const struct gotorrent_session *s, struct buf *out,
                        const struct tracker_view *v)
{
    struct scrape_counts counts = {.complete = 0};
    if (v->has_counts) {
        counts = v->counts;
    }
    buf_add_str(out, s->any_tracker ? ",{" : "{");
    add_text(out, "url", span_str(v->url));
    buf_addf(out, ",\"status\":\"%s\",\"leechers\":%u,\"seeders\":%u,\"peers\":%llu",
             tracker_status_text(v->state), counts.incomplete, counts.complete,
             (unsigned long long)counts.incomplete + counts.complete);
    add_time(out, "lastannounce", wall_s(s, v->last_ms));
    buf_add_byte(out, ',');
    add_text(out, "message", span_str(v->text));
    buf_add_byte(out, '}');
}

/* The server's own tracker is among them when the torrent names it. */
static void produce_trackers(struct gotorrent_session *s, struct buf *out)
{
    struct tracker_view v;
    for (unsigned n = 0; n < TRACKERS_A_CALL; n++) {
        if (!engine_tracker(client_engine(s->client), s->id, s->tracker, &v)) {
            buf_add_str(out, "],\"Peers\":[");
            s->part = GOTORRENT_PEERS;
            return;
        }
        s->tracker++;
        if (v.url != NULL) {
            add_tracker(s, out, &v);
            s->any_tracker = true;
        }
    }
}

static bool peer_at(const struct gotorrent_session *s, size_t i, struct peer_view *out)
{
    return engine_peer(client_engine(s->client), s->id, i, out, client_now_ms(s->client));
}

/* The peer behind the last one that was written, or false. */
static bool next_peer(struct gotorrent_session *s, struct peer_view *out)
{
    size_t before = s->peer; /* that many were in front of the next one, the last one with them */
    while (before > 0 && (!peer_at(s, before - 1, out) || out->conn != s->last)) {
        before--;
    }
    s->peer = before > 0 ? before : s->peer > 0 ? s->peer - 1 : 0;
    return peer_at(s, s->peer, out);
}

static void take_pieces(struct gotorrent_session *s, const struct peer_view *v)
{
    const struct layout *l = engine_layout(client_engine(s->client), s->id);
    uint32_t n = l == NULL ? 0 : l->geometry.n_pieces;
    bits_clear(&s->peer_pieces);
    s->peer_pieces.bytes = mem_zeroed(bits_len(n) + 1);
    s->peer_pieces.n = n;
    if (v->seed) {
        memset(s->peer_pieces.bytes, 0xff, bits_len(n));
    } else if (v->bitfield.n == bits_len(n) && n > 0) {
        memcpy(s->peer_pieces.bytes, v->bitfield.p, v->bitfield.n);
    }
}

static void produce_peer(struct gotorrent_session *s, struct buf *out)
{
    struct peer_view v;
    char id[GOTORRENT_ID_LEN];
    char host[ENDPOINT_TEXT_LEN];
    if (!next_peer(s, &v)) {
        s->part = GOTORRENT_TAIL;
        return;
    }
    gotorrent_id_text(id, &v.peer_id);
    buf_add_str(out, s->last != 0 ? ",{" : "{");
    add_text(out, "ID", span_str(id));
    buf_addf(out, ",\"host\":\"%s\",\"pieces\":\"", endpoint_format(host, &v.remote));
    s->peer++;
    s->last = v.conn;
    s->peer_down_bps = v.down_bps;
    s->peer_up_bps = v.up_bps;
    take_pieces(s, &v);
    s->part = GOTORRENT_PEER_PIECES;
}

static void produce_peer_pieces(struct gotorrent_session *s, struct buf *out)
{
    if (!gotorrent_bits_add(out, &s->peer_pieces, BITS_A_CALL)) {
        buf_add_byte(out, '"');
        add_kib(out, "down", s->peer_down_bps);
        add_kib(out, "up", s->peer_up_bps);
        buf_add_byte(out, '}');
        s->part = GOTORRENT_PEERS;
    }
}

bool gotorrent_session_produce(struct gotorrent_session *s, struct buf *out)
{
    switch (s->part) {
    case GOTORRENT_HEAD:
        buf_add(out, buf_span(&s->head));
        s->part = GOTORRENT_PIECES;
        return true;
    case GOTORRENT_PIECES:
        produce_pieces(s, out);
        return true;
    case GOTORRENT_BASE64:
        produce_base64(s, out);
        return true;
    case GOTORRENT_TRACKERS:
        produce_trackers(s, out);
        return true;
    case GOTORRENT_PEERS:
        produce_peer(s, out);
        return true;
    case GOTORRENT_PEER_PIECES:
        produce_peer_pieces(s, out);
        return true;
    case GOTORRENT_TAIL:
        break;
    }
    buf_add_str(out, "]}");
    gotorrent_session_release(s);
    return false;
}
