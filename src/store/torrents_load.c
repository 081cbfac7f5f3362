/* The client's sessions and torrents, loaded in the order they were added. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/load.h"
#include "store/store_impl.h"
#include "store/torrents.h"

#include "base/banned.h"

/* Each row is work for its receiver, such as hashing the info dictionary. */
enum { ROWS_A_LOOK = 1 };

static bool row_session(void *receiver, const struct span *cells)
{
    const struct store_torrents_load *what = receiver;
    const struct store_session session = {
        .id = (uint32_t)pg_int8(cells[0]),
        .port_first = (uint16_t)pg_int8(cells[1]),
        .port_last = (uint16_t)pg_int8(cells[2]),
        .options = cells[3],
    };
    what->on_session(what->ctx, &session);
    return session.id > 0;
}

enum torrent_cell {
    CELL_INFO_HASH,
    CELL_SESSION,
    CELL_INFO,
    CELL_NAME,
    CELL_SAVE_PATH,
    CELL_TRACKER_URLS,
    CELL_TRACKER_TIERS,
    CELL_WEB_SEEDS,
    CELL_COMMENT,
    CELL_CREATED_BY,
    CELL_CREATION_DATE,
    CELL_FLAGS,
    CELL_ALLOCATE,
    CELL_MAX_DOWN,
    CELL_MAX_UP,
    CELL_MAX_PEERS,
    CELL_PRIORITIES,
    CELL_ADDED_AT,
    CELL_CHECKED,
    CELL_BITFIELD,
    CELL_PARTIALS,
    CELL_TOTAL_DOWN,
    CELL_TOTAL_UP,
    CELL_WASTED,
    CELL_ACTIVE,
    CELL_FINISHED,
    CELL_SEEDING,
    CELL_COMPLETED_AT,
    CELL_LAST_SEEN_COMPLETE_AT,
    CELL_STOP_PENDING,
    CELL_MAX_UPLOADS,
    N_CELLS
};

#define UNIX_S(column) "coalesce(round(extract(epoch FROM " column "))::int8, 0)"
#define TORRENT_COLUMNS                                                                            \
    "info_hash, session, info, name, save_path, tracker_urls, tracker_tiers, web_seeds, comment, " \
    "created_by, creation_date, flags, allocate, max_down_bps, max_up_bps, max_peers, "            \
    "priorities, " UNIX_S(                                                                         \
        "added_at") ", checked, bitfield, partials, total_down, total_up, "                        \
                    "wasted, active_s, finished_s, seeding_s, " UNIX_S(                            \
                        "completed_at") ", " UNIX_S("last_seen_complete_at") ", stop_pending, "    \
                                                                             "max_uploads"

static uint64_t cell_u64(const struct span *cells, enum torrent_cell i)
{
    return (uint64_t)pg_int8(cells[i]); /* the schema has none below 0 */
}

static struct store_torrent torrent_from_cells(const struct span *cells)
{
    struct store_torrent t = {
        .session = (uint32_t)pg_int8(cells[CELL_SESSION]),
        .info = cells[CELL_INFO],
        .name = cells[CELL_NAME],
        .save_path = cells[CELL_SAVE_PATH],
        .web_seeds = cells[CELL_WEB_SEEDS],
        .comment = cells[CELL_COMMENT],
        .created_by = cells[CELL_CREATED_BY],
        .creation_unix_s = pg_int8(cells[CELL_CREATION_DATE]),
        .flags = (uint32_t)pg_int8(cells[CELL_FLAGS]),
        .allocate = pg_bool(cells[CELL_ALLOCATE]),
        .max_down_bps = cell_u64(cells, CELL_MAX_DOWN),
        .max_up_bps = cell_u64(cells, CELL_MAX_UP),
        .max_peers = (uint32_t)pg_int8(cells[CELL_MAX_PEERS]),
        .priorities = cells[CELL_PRIORITIES],
        .added_unix_s = pg_int8(cells[CELL_ADDED_AT]),
        .checked = pg_bool(cells[CELL_CHECKED]),
        .bitfield = cells[CELL_BITFIELD],
        .partials = cells[CELL_PARTIALS],
        .total_down = cell_u64(cells, CELL_TOTAL_DOWN),
        .total_up = cell_u64(cells, CELL_TOTAL_UP),
        .wasted = cell_u64(cells, CELL_WASTED),
        .active_s = cell_u64(cells, CELL_ACTIVE),
        .finished_s = cell_u64(cells, CELL_FINISHED),
        .seeding_s = cell_u64(cells, CELL_SEEDING),
        .completed_unix_s = pg_int8(cells[CELL_COMPLETED_AT]),
        .last_seen_complete_unix_s = pg_int8(cells[CELL_LAST_SEEN_COMPLETE_AT]),
        .stop_pending = pg_bool(cells[CELL_STOP_PENDING]),
        .max_uploads = (uint32_t)pg_int8(cells[CELL_MAX_UPLOADS]),
    };
    return t;
}

/* As far as it goes. */
static struct infohash hash_from_cell(struct span cell)
{
    struct infohash hash = {.b = {0}};
    if (cell.n > 0) {
        memcpy(hash.b, cell.p, cell.n < sizeof hash.b ? cell.n : sizeof hash.b);
    }
    return hash;
}

/* False: these are no lists, or not as long as each other. */
static bool take_trackers(struct store_torrent *t, struct pg_items *urls, struct pg_items *tiers)
{
    struct store_tracker *trackers = mem_array((size_t)urls->n + 1, sizeof *trackers);
    t->trackers = trackers;
    bool same = urls->n == tiers->n;
    while (same && urls->n > 0) {
        trackers[t->n_trackers++] = (struct store_tracker){
            .url = pg_items_next(urls),
            .tier = (uint32_t)pg_int8(pg_items_next(tiers)),
        };
    }
    return same && !urls->bad && !tiers->bad;
}

static bool row_torrent(void *receiver, const struct span *cells)
{
    const struct store_torrents_load *what = receiver;
    struct pg_items urls = pg_items_over(cells[CELL_TRACKER_URLS]);
    struct pg_items tiers = pg_items_over(cells[CELL_TRACKER_TIERS]);
    struct store_torrent t = torrent_from_cells(cells);
    t.info_hash = hash_from_cell(cells[CELL_INFO_HASH]);
    const char *why = NULL;
    if (!take_trackers(&t, &urls, &tiers)) {
        why = "tracker_urls and tracker_tiers must be lists of the same length";
    } else if (cells[CELL_INFO_HASH].n != sizeof t.info_hash.b) {
        why = "info_hash must have 20 bytes";
    }
    if (why != NULL) {
        what->on_unreadable(what->ctx, &t.info_hash, why);
    } else {
        what->on_torrent(what->ctx, &t);
    }
    free((void *)t.trackers);
    return true;
}

static const struct load_step steps[] = {
    {"COPY (SELECT id, port_first::int8, port_last::int8, options::text FROM sessions "
     "WHERE id > 0 ORDER BY id) TO STDOUT (FORMAT binary)",
     4, row_session},
    {"COPY (SELECT " TORRENT_COLUMNS " FROM torrents ORDER BY id) TO STDOUT (FORMAT binary)",
     N_CELLS, row_torrent},
};

int store_torrents_load(struct store *s, const struct store_torrents_load *load)
{
    struct store_torrents_load *what = mem_new(struct store_torrents_load);
    *what = *load;
    const struct load_plan plan = {
        .kind = LOAD_TORRENTS,
        .steps = steps,
        .n_steps = sizeof steps / sizeof *steps,
        .rows_a_look = ROWS_A_LOOK,
        .receiver = what,
        .done = load->done,
        .ctx = load->ctx,
    };
    return load_start(s, &plan);
}
