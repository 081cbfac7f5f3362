#include "api/torrentflow_status.h"

#include <inttypes.h>
#include <math.h>

#include "api/torrent_text.h"
#include "base/json.h"

#include "base/banned.h"

/* ---- values -------------------------------------------------------------------------------- */

static void add_key(struct buf *out, const char *key)
{
    buf_addf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
}

static void add_text(struct buf *out, const char *key, struct span text)
{
    add_key(out, key);
    json_add_string(out, text);
}

static void add_int(struct buf *out, const char *key, int64_t v)
{
    add_key(out, key);
    buf_addf(out, "%" PRId64, v);
}

static void add_count(struct buf *out, const char *key, uint64_t v)
{
    add_key(out, key);
    buf_add_u64(out, v);
}

static void add_bool(struct buf *out, const char *key, bool v)
{
    add_key(out, key);
    buf_add_str(out, v ? "true" : "false");
}

/* With a point in it, so that typed languages read a float. */
static void add_float(struct buf *out, const char *key, double v)
{
    add_key(out, key);
    buf_addf(out, "%.4f", isfinite(v) ? v : 0.0);
}

/* Pads are there to fill a piece: nobody sees them. */
static bool is_shown(const struct layout_file *f)
{
    return (f->attr & METAINFO_PAD) == 0;
}

static uint64_t count_shown(const struct layout *layout)
{
    uint64_t n = 0;
    for (uint32_t i = 0; layout != NULL && i < layout->n_files; i++) {
        n += is_shown(&layout->files[i]);
    }
    return n;
}

/* ---- groups of keys, in the order of the API's document -------------------------------------- */

static void add_state(struct buf *out, const struct torrent_status *s)
{
    bool seeding = s->state == TORRENT_SEEDING;
    add_text(out, "state", span_str(torrent_state_text(s->state)));
    add_bool(out, "paused", (s->flags & TORRENT_PAUSED) != 0);
    add_bool(out, "auto_managed", (s->flags & TORRENT_AUTO_MANAGED) != 0);
    add_bool(out, "sequential_download", (s->flags & TORRENT_SEQUENTIAL) != 0);
    add_bool(out, "is_seeding", seeding);
    add_bool(out, "is_finished", seeding || s->state == TORRENT_FINISHED);
    add_bool(out, "has_metadata", s->has_metadata);
    add_float(out, "progress", s->progress * 100);
    add_text(out, "error", span_str(s->error));
}

static void add_transfer(struct buf *out, const struct torrent_status *s)
{
    add_float(out, "download_rate", (double)s->down_all_bps);
    add_float(out, "upload_rate", (double)s->up_all_bps);
    add_count(out, "total_download", s->session_down_all);
    add_count(out, "total_upload", s->session_up_all);
    add_count(out, "num_peers", s->n_peers);
    add_count(out, "list_peers", s->n_known);
    add_count(out, "list_seeds", s->n_known_seeds);
    add_count(out, "connect_candidates", s->n_candidates);
    add_count(out, "num_pieces", s->n_pieces);
    add_count(out, "total_pieces", s->n_pieces);
    add_count(out, "pieces_downloaded", s->n_pieces_have);
    add_count(out, "total_done", s->done_len);
    add_count(out, "total_wanted_done", s->wanted_done_len);
    add_count(out, "total_wanted", s->wanted_len);
    add_float(out, "distributed_copies", s->copies < 0 ? -1 : s->copies);
    add_count(out, "num_seeds", s->n_seeds);
    add_int(out, "num_complete", s->n_complete);
    add_int(out, "num_incomplete", s->n_incomplete);
}

static void add_times(struct buf *out, const struct torrent_status *s)
{
    add_int(out, "last_seen_complete", s->last_seen_complete_unix_s);
    add_int(out, "time_since_upload", s->since_up_s);
    add_int(out, "time_since_download", s->since_down_s);
    add_count(out, "active_time", s->active_s);
    add_count(out, "finished_time", s->finished_s);
    add_count(out, "seeding_time", s->seeding_s);
    add_int(out, "seed_rank", 0); /* nothing waits for its turn to be seeded */
    add_int(out, "last_scrape", s->since_counts_s);
    add_int(out, "added_time", s->added_unix_s);
    add_int(out, "completed_time", s->completed_unix_s);
}

static void add_modes(struct buf *out, const struct torrent_status *s)
{
    add_bool(out, "has_incoming", s->has_incoming);
    add_bool(out, "seed_mode", (s->flags & TORRENT_SEED_MODE) != 0);
    add_bool(out, "upload_mode", torrent_in_upload_mode(s));
    add_bool(out, "share_mode", (s->flags & TORRENT_SHARE_MODE) != 0);
    add_bool(out, "super_seeding", (s->flags & TORRENT_SUPER_SEEDING) != 0);
    add_int(out, "priority", 0); /* all torrents are equal */
}

void torrentflow_status_add_head(struct buf *out, const struct torrent_status *s,
                                 const struct client_facts *facts, const struct layout *layout)
{
    char hash[HEX20_LEN + 1];
    hex_encode(hash, span_of(s->info_hash.b, sizeof s->info_hash.b));
    buf_add_byte(out, '{');
    add_text(out, "infohash", span_str(hash));
    add_state(out, s);
    add_transfer(out, s);
    add_times(out, s);
    add_modes(out, s);
    add_text(out, "storage_mode",
             span_str(facts->allocate ? "storage_mode_allocate" : "storage_mode_sparse"));
    add_text(out, "save_path", span_str(facts->save_path));
    add_text(out, "name", span_str(s->name[0] != '\0' ? s->name : hash));
    add_count(out, "total_size", s->total_len);
    add_count(out, "num_files", count_shown(layout));
    add_int(out, "creation_date", facts->creation_unix_s);
    add_text(out, "creator", facts->created_by);
    add_text(out, "comment", facts->comment);
    add_count(out, "piece_length", s->piece_len);
    add_key(out, "files");
    buf_add_byte(out, '[');
}

bool torrentflow_status_add_files(struct buf *out, const struct layout *layout,
                                  struct torrentflow_files *at, uint32_t n)
{
    uint32_t n_files = layout == NULL ? 0 : layout->n_files;
    for (; at->next < n_files && n > 0; at->next++, n--) {
        const struct layout_file *f = &layout->files[at->next];
        if (!is_shown(f)) {
            continue;
        }
        buf_add_str(out, at->any ? ",{\"path\":" : "{\"path\":");
        json_add_string(out, span_str(f->path));
        buf_addf(out, ",\"size\":%" PRIu64 ",\"offset\":%" PRIu64 "}", f->len, f->offset);
        at->any = true;
    }
    return at->next < n_files;
}

void torrentflow_status_add_tail(struct buf *out)
{
    buf_add_str(out, "]}");
}
