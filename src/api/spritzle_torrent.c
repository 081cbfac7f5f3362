/* Keys in the order of the API's document.
 *
 * Constants  what this program does not have is shown as libtorrent shows it when it is off or of no
 *            effect: no queue for bandwidth, no filter of addresses that a torrent could leave, no
 *            moving of storage, no local discovery and no DHT.
 */
#include "api/spritzle_torrent.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "api/spritzle_flags.h"
#include "api/spritzle_json.h"
#include "api/torrent_text.h"
#include "base/ids.h"
#include "proto/peer_wire.h"

#include "base/banned.h"

enum { PPM = 1000000, ERROR_TEXT_MAX = 128 };

/* ---- values -------------------------------------------------------------------------------- */

static int errno_of(enum torrent_fault fault)
{
    switch (fault) {
    case FAULT_NONE:
        return 0;
    case FAULT_DISK_FULL:
        return ENOSPC;
    case FAULT_MISSING:
        return ENOENT;
    case FAULT_DISK:
        return EIO;
    }
    return 0;
}

static bool has_flag(const struct torrent_status *s, unsigned flag)
{
    return (spritzle_flags_shown(s->flags) & flag) != 0;
}

/* The engine calls a magnet without a name by its hash, which is none. */
static const char *name_of(const struct torrent_status *s)
{
    char hash[HEX20_LEN + 1];
    hex_encode(hash, span_of(s->info_hash.b, sizeof s->info_hash.b));
    return s->has_metadata || strcmp(s->name, hash) != 0 ? s->name : "";
}

static double clamped_progress(const struct torrent_status *s)
{
    if (!isfinite(s->progress) || s->progress < 0) {
        return 0;
    }
    return s->progress > 1 ? 1 : s->progress;
}

/* Whole copies and thousandths of one; -1 both while nobody is there to have any. */
static void split_copies(const struct torrent_status *s, int64_t *full, int64_t *fraction)
{
    bool known = s->copies >= 0 && s->copies < (double)UINT32_MAX && s->n_peers > 0;
    *full = known ? (int64_t)s->copies : -1;
    *fraction = known ? (int64_t)((s->copies - (double)*full) * 1000) : -1;
}

static void add_copies(struct buf *out, const struct torrent_status *s)
{
    int64_t full;
    int64_t fraction;
    split_copies(s, &full, &fraction);
    spritzle_json_float(out, "distributed_copies",
                        full < 0 ? -1 : (double)full + (double)fraction / 1000);
}

static void add_error(struct buf *out, const struct torrent_status *s)
{
    char room[ERROR_TEXT_MAX];
    int value = errno_of(s->fault);
    struct span text = span_str(value == 0 ? "Success" : strerror_r(value, room, sizeof room));
    spritzle_json_key(out, "errc");
    buf_add_byte(out, '{');
    spritzle_json_text(out, "message", text);
    spritzle_json_int(out, "value", value);
    spritzle_json_key(out, "category");
    buf_add_byte(out, '{');
    spritzle_json_text(out, "message", text);
    spritzle_json_text(out, "name", SPAN("system"));
    buf_add_str(out, "}}");
}

static void add_next_announce(struct buf *out, const struct torrent_status *s)
{
    spritzle_json_key(out, "next_announce");
    buf_addf(out, "\"%lld.0\"", s->next_announce_s < 0 ? 0LL : (long long)s->next_announce_s);
}

/* ---- the object ---------------------------------------------------------------------------- */

void spritzle_torrent_add_head(struct buf *out, const struct spritzle_torrent *t)
{
    const struct torrent_status *s = &t->status;
    buf_add_byte(out, '{');
    spritzle_json_count(out, "seeding_time", s->seeding_s);
    spritzle_json_count(out, "num_seeds", s->n_seeds);
    spritzle_json_count(out, "all_time_download", s->total_down);
    spritzle_json_int(out, "seed_rank", 0);
    spritzle_json_count(out, "total_download", s->session_down_all);
    add_error(out, s);
    add_copies(out, s);
    spritzle_json_count(out, "download_payload_rate", s->down_bps);
    spritzle_json_int(out, "priority", 0);
    spritzle_json_count(out, "total_wanted", s->wanted_len);
    spritzle_json_int(out, "progress_ppm", (int64_t)(clamped_progress(s) * PPM));
    spritzle_json_bool(out, "has_metadata", s->has_metadata);
    spritzle_json_count(out, "total_done", s->done_len);
    spritzle_json_int(out, "num_incomplete", s->n_incomplete);
    spritzle_json_int(out, "time_since_download", s->since_down_s);
    spritzle_json_int(out, "block_size", WIRE_BLOCK_LEN);
    spritzle_json_count(out, "num_uploads", s->n_uploads);
    spritzle_json_key(out, "verified_pieces");
    buf_add_byte(out, '[');
}

void spritzle_torrent_add_middle(struct buf *out, const struct spritzle_torrent *t)
{
    const struct torrent_status *s = &t->status;
    int64_t full;
    int64_t fraction;
    split_copies(s, &full, &fraction);
    buf_add_byte(out, ']');
    spritzle_json_count(out, "total_payload_upload", s->session_up);
    spritzle_json_text(out, "state", span_str(torrent_state_text(s->state)));
    spritzle_json_int(out, "queue_position", t->queue_position);
    spritzle_json_bool(out, "ip_filter_applies", true);
    spritzle_json_text(out, "current_tracker", span_str(s->tracker));
    spritzle_json_bool(out, "super_seeding", has_flag(s, TORRENT_SUPER_SEEDING));
    spritzle_json_int(out, "last_seen_complete", s->last_seen_complete_unix_s);
    spritzle_json_bool(out, "is_seeding", s->state == TORRENT_SEEDING);
    spritzle_json_int(out, "time_since_upload", s->since_up_s);
    spritzle_json_bool(out, "moving_storage", false);
    spritzle_json_bool(out, "announcing_to_lsd", false);
    spritzle_json_count(out, "download_rate", s->down_all_bps);
    spritzle_json_int(out, "added_time", s->added_unix_s);
    spritzle_json_int(out, "distributed_fraction", fraction);
    spritzle_json_int(out, "storage_mode", t->facts.allocate ? 0 : 1);
    spritzle_json_bool(out, "auto_managed", has_flag(s, TORRENT_AUTO_MANAGED));
    spritzle_json_bool(out, "sequential_download", has_flag(s, TORRENT_SEQUENTIAL));
    spritzle_json_count(out, "num_connections", (uint64_t)s->n_peers + s->n_half_open);
    spritzle_json_bool(out, "upload_mode", torrent_in_upload_mode(s));
    spritzle_json_count(out, "upload_rate", s->up_all_bps);
    spritzle_json_int(out, "error_file", -1);
    spritzle_json_bool(out, "stop_when_ready", false);
    add_next_announce(out, s);
    spritzle_json_count(out, "total_upload", s->session_up_all);
    spritzle_json_int(out, "up_bandwidth_queue", 0);
    spritzle_json_bool(out, "is_loaded", true);
    spritzle_json_key(out, "pieces");
    buf_add_byte(out, '[');
}

static int64_t limit_shown(uint32_t n)
{
    return n == 0 ? -1 : (int64_t)n;
}

void spritzle_torrent_add_tail(struct buf *out, const struct spritzle_torrent *t)
{
    const struct torrent_status *s = &t->status;
    int64_t full;
    int64_t fraction;
    split_copies(s, &full, &fraction);
    buf_add_byte(out, ']');
    spritzle_json_int(out, "connections_limit", limit_shown(s->max_peers));
    spritzle_json_count(out, "list_seeds", s->n_known_seeds);
    spritzle_json_bool(out, "announcing_to_trackers", true);
    spritzle_json_count(out, "total_failed_bytes", s->failed_len);
    spritzle_json_count(out, "active_time", s->active_s);
    spritzle_json_bool(out, "announcing_to_dht", false);
    spritzle_json_int(out, "distributed_full_copies", full);
    spritzle_json_int(out, "down_bandwidth_queue", 0);
    spritzle_json_bool(out, "need_save_resume", s->unsaved);
    spritzle_json_count(out, "upload_payload_rate", s->up_bps);
    spritzle_json_int(out, "num_complete", s->n_complete);
    spritzle_json_count(out, "connect_candidates", s->n_candidates);
    spritzle_json_count(out, "total_payload_download", s->session_down);
    spritzle_json_count(out, "total_redundant_bytes", s->redundant_len);
    spritzle_json_count(out, "total_wanted_done", s->wanted_done_len);
    spritzle_json_bool(out, "is_finished",
                       s->state == TORRENT_SEEDING || s->state == TORRENT_FINISHED);
    spritzle_json_bool(out, "seed_mode", has_flag(s, TORRENT_SEED_MODE));
    spritzle_json_float(out, "progress", clamped_progress(s));
    spritzle_json_bool(out, "paused", has_flag(s, TORRENT_PAUSED));
    spritzle_json_bool(out, "has_incoming", s->has_incoming);
    spritzle_json_count(out, "all_time_upload", s->total_up);
    spritzle_json_int(out, "completed_time", s->completed_unix_s);
    spritzle_json_count(out, "finished_time", s->finished_s);
    spritzle_json_text(out, "name", span_str(name_of(s)));
    spritzle_json_int(out, "uploads_limit", limit_shown(s->max_uploads));
    spritzle_json_int(out, "last_scrape", s->since_counts_s);
    char hash[HEX20_LEN + 1];
    hex_encode(hash, span_of(s->info_hash.b, sizeof s->info_hash.b));
    spritzle_json_text(out, "info_hash", span_str(hash));
    spritzle_json_count(out, "num_peers", s->n_peers);
    spritzle_json_count(out, "num_pieces", s->n_pieces_have);
    spritzle_json_text(out, "save_path", span_str(t->facts.save_path));
    spritzle_json_bool(out, "share_mode", has_flag(s, TORRENT_SHARE_MODE));
    spritzle_json_count(out, "list_peers", s->n_known);
    buf_add_byte(out, '}');
}
