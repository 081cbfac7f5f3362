/* Adding a torrent.
 *
 * Happy path  the .torrent or the magnet is read -> the save path resolved and made, by a thread ->
 *             stored -> on the own tracker's whitelist -> given to the engine -> answered. Another
 *             add of the same torrent meanwhile waits for the first one's answer; one that is there
 *             already is answered in the next turn of the loop; one that is being removed is added
 *             when it has gone.
 * Loading     until the stored torrents are here nobody knows which one is new: adds wait for
 *             that, once their save path is known to be good.
 * Failures    before the commit nothing has changed. Behind it only the engine can refuse, which is
 *             given nothing that was not checked: logged, and tried again at the next start.
 *             A row that is there already is of an add whose answer was lost with the connection to
 *             the database: this one goes on with it.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "client/picker.h"
#include "proto/magnet.h"
#include "proto/metainfo.h"

#include "base/banned.h"

enum { TEXTS_MAX = 1 << 20 };

/* An add on its way to the database, or behind another add or the removal of the same torrent. */
struct add_op {
    struct list node; /* in record.waiting, of that one */
    struct client *c;
    struct record *record;
    session_id session;
    bool memory_only;
    client_added done;
    void *ctx;
    uint8_t *bytes; /* the .torrent, or the texts of the magnet: what the spans below point into */
    struct metainfo meta;
    struct magnet magnet;
    struct store_torrent row;
    struct store_tracker *trackers;
    struct buf web_seeds;
    struct buf texts; /* name and further trackers */
    uint8_t *priorities;
    struct path_check save_path;
};

static void add_op_free(struct add_op *op)
{
    buf_release(&op->web_seeds);
    buf_release(&op->texts);
    free(op->priorities);
    free(op->trackers);
    free(op->bytes);
    free(op);
}

void record_take_waiting(struct record *r, struct list *out)
{
    list_init(out);
    while (!list_is_empty(&r->waiting)) {
        struct list *node = list_first(&r->waiting);
        list_remove(node);
        list_add_tail(out, node);
    }
}

static void add_answer(struct add_op *op, int status, bool existed, const struct err *e)
{
    op->done(op->ctx, status, &op->row.info_hash, existed, e);
    add_op_free(op);
}

/* The answer to the add and to those that waited for it; the record is gone when it failed. */
static void add_finish(struct add_op *op, int status, const struct err *e)
{
    struct record *r = op->record;
    struct list waiting;
    record_take_waiting(r, &waiting);
    if (status < 0) {
        record_free(r);
    }
    add_answer(op, status, false, e);
    LIST_FOREACH_SAFE (node, &waiting) {
        add_answer(container_of(node, struct add_op, node), status, true, e);
    }
}

static void fill_trackers(const struct add_op *op, struct torrent_tracker *out)
{
    for (size_t i = 0; i < op->row.n_trackers; i++) {
        out[i] = (struct torrent_tracker){op->trackers[i].url, op->trackers[i].tier};
    }
}

static size_t fill_peers(const struct add_op *op, struct endpoint *out)
{
    size_t n = 0;
    for (size_t i = 0; i < op->magnet.n_peers; i++) {
        n += endpoint_parse(&out[n], op->magnet.peers[i]) ? 1 : 0;
    }
    return n;
}

static void add_refuse(struct add_op *op, int status, const char *why)
{
    struct client *c = op->c;
    struct err e;
    (void)err_set(&e, status, "%s", why);
    c->n_calls--;
    add_finish(op, status, &e);
    client_check_closed(c);
}

/* Committed: from here on it is the client's, whatever happens. */
static void add_start(struct add_op *op)
{
    struct client *c = op->c;
    if (c->closed != NULL) { /* what is stored begins with the next start */
        add_refuse(op, ERR_UNAVAILABLE, "the client is stopping");
        return;
    }
    if (op->record->session->state != SESSION_LIVE) {
        add_refuse(op, ERR_NOT_FOUND, "the session was removed");
        return;
    }
    struct torrent_tracker *trackers =
        mem_array(op->row.n_trackers == 0 ? 1 : op->row.n_trackers, sizeof *trackers);
    struct endpoint peers[MAGNET_PEERS_MAX];
    const char *why = NULL;
    struct err e;
    fill_trackers(op, trackers);
    const struct torrent_add add = {
        .info_hash = op->row.info_hash,
        .session = op->record->session->id,
        .info = op->row.info,
        .name = op->row.name,
        .trackers = trackers,
        .n_trackers = op->row.n_trackers,
        .peers = peers,
        .n_peers = fill_peers(op, peers),
        .flags = op->row.flags,
        .max_down_bps = op->row.max_down_bps,
        .max_up_bps = op->row.max_up_bps,
        .max_peers = op->row.max_peers,
        .max_uploads = op->row.max_uploads,
        .priorities = op->row.priorities,
        .added_unix_s = op->row.added_unix_s,
    };
    record_set_facts(op->record, &op->row);
    int status = record_start(op->record, &add, &why);
    free(trackers);
    if (status < 0) {
        log_error(LOG_CLIENT, "a stored torrent is refused", KV_HASH("info_hash", &add.info_hash),
                  KV_STR("why", why));
        (void)err_set(&e, status, "%s", why);
    }
    c->n_calls--;
    add_finish(op, status, &e);
    client_drain(c);
}

static void on_add_listed(void *ctx, int status)
{
    struct add_op *op = ctx;
    if (status < 0) {
        log_warn(LOG_CLIENT, "a torrent is not on this tracker's whitelist, will try again",
                 KV_HASH("info_hash", &op->row.info_hash), KV_STR("why", err_text(status)));
        client_list_later(op->record);
    }
    add_start(op);
}

static void on_add_stored(void *ctx, int status, const struct err *e)
{
    struct add_op *op = ctx;
    struct client *c = op->c;
    if (status < 0 && status != ERR_EXISTS) {
        c->n_calls--;
        add_finish(op, status, e);
        client_check_closed(c);
    } else if (c->opts.own_list != NULL) {
        c->opts.own_list(c->opts.own_ctx, &op->row.info_hash, 1, on_add_listed, op);
    } else {
        add_start(op);
    }
}

/* It is not to be stored. */
static void on_add_unstored(void *ctx)
{
    on_add_stored(ctx, 0, NULL);
}

static void add_tracker(struct add_op *op, struct span url, uint32_t tier)
{
    if (op->row.n_trackers < TRACKERS_MAX) {
        op->trackers[op->row.n_trackers++] = (struct store_tracker){url, tier};
    }
}

static int parse_metainfo(struct add_op *op, struct span file, struct err *e)
{
    struct metainfo *m = &op->meta;
    struct metainfo_trackers trackers;
    struct metainfo_strings seeds;
    struct span url;
    uint32_t tier;
    const char *why;
    if (file.n == 0) {
        return err_set(e, ERR_MALFORMED, "not a torrent: it is empty");
    }
    op->bytes = mem_array(file.n, 1);
    memcpy(op->bytes, file.p, file.n);
    ssize_t n = metainfo_decode(m, span_of(op->bytes, file.n), &metainfo_limits_default, &why);
    if (n < 0) {
        return err_set(e, (int)n, "not a torrent: %s", why);
    }
    digest_sha1(op->row.info_hash.b, m->info);
    op->row.info = m->info;
    op->row.comment = m->comment;
    op->row.created_by = m->created_by;
    op->row.creation_unix_s = m->creation_date_s;
    trackers = metainfo_trackers(m);
    while (metainfo_trackers_next(&trackers, &url, &tier)) {
        add_tracker(op, url, tier);
    }
    seeds = metainfo_web_seeds(m);
    while (metainfo_strings_next(&seeds, &url)) {
        buf_add(&op->web_seeds, url);
        buf_add_byte(&op->web_seeds, '\n');
    }
    return 0;
}

static int parse_magnet(struct add_op *op, struct span uri, struct err *e)
{
    struct wr room;
    const char *why;
    op->bytes = mem_array(uri.n == 0 ? 1 : uri.n, 1);
    room = wr_over(op->bytes, uri.n);
    int status = magnet_decode(&op->magnet, uri, &room, &why);
    if (status < 0) {
        return err_set(e, status, "not a magnet link: %s", why);
    }
    op->row.info_hash = op->magnet.info_hash;
    op->row.name = op->magnet.name;
    for (size_t i = 0; i < op->magnet.n_trackers; i++) {
        add_tracker(op, op->magnet.trackers[i], (uint32_t)i);
    }
    return 0;
}

/* The name and the trackers that the caller adds to those of the torrent. */
static int take_texts(struct add_op *op, const struct client_add *add, struct err *e)
{
    uint32_t tier = op->row.n_trackers == 0 ? 0 : op->trackers[op->row.n_trackers - 1].tier + 1;
    buf_add(&op->texts, add->name);
    for (size_t i = 0; i < add->n_trackers; i++) {
        buf_add(&op->texts, add->trackers[i]);
    }
    if (op->texts.bad) {
        return err_set(e, ERR_LIMIT, "name and trackers are too long");
    }
    struct span rest = buf_span(&op->texts);
    if (add->name.n > 0) {
        op->row.name = span_sub(rest, 0, add->name.n);
    }
    rest = span_sub(rest, add->name.n, rest.n);
    for (size_t i = 0; i < add->n_trackers; i++) {
        add_tracker(op, span_sub(rest, 0, add->trackers[i].n), tier + (uint32_t)i);
        rest = span_sub(rest, add->trackers[i].n, rest.n);
    }
    return 0;
}

/* The files that the magnet names; numbers that no torrent reaches are left out (BEP 53). */
static void take_named_files(struct add_op *op)
{
    const struct magnet *m = &op->magnet;
    const uint32_t files_max = metainfo_limits_default.files_max;
    uint32_t n = 0;
    for (size_t i = 0; i < m->n_ranges; i++) {
        uint32_t end = m->ranges[i].last < files_max ? m->ranges[i].last + 1 : files_max;
        n = m->ranges[i].first < end && end > n ? end : n;
    }
    if (n == 0) {
        return;
    }
    op->priorities = mem_array(n, 1);
    memset(op->priorities, PICKER_SKIP, n);
    for (size_t i = 0; i < m->n_ranges; i++) {
        uint32_t end = m->ranges[i].last < n ? m->ranges[i].last + 1 : n;
        if (m->ranges[i].first < end) {
            memset(op->priorities + m->ranges[i].first, PICKER_NORMAL, end - m->ranges[i].first);
        }
    }
    op->row.priorities = span_of(op->priorities, n);
    op->row.flags |= TORRENT_REST_SKIPPED;
}

/* What somebody asked for comes before what the magnet says. */
static void take_priorities(struct add_op *op, struct span given)
{
    size_t n = op->row.info.n > 0 ? op->meta.n_files : metainfo_limits_default.files_max;
    n = given.n < n ? given.n : n;
    if (n == 0) {
        take_named_files(op);
        return;
    }
    op->priorities = mem_array(n, 1);
    memcpy(op->priorities, given.p, n);
    op->row.priorities = span_of(op->priorities, n);
}

static int add_prepare(struct add_op *op, const struct client_add *add, struct err *e)
{
    int status =
        add->magnet.n > 0 ? parse_magnet(op, add->magnet, e) : parse_metainfo(op, add->metainfo, e);
    status = status < 0 ? status : take_texts(op, add, e);
    if (status < 0) {
        return status;
    }
    op->row.flags = add->flags;
    take_priorities(op, add->priorities);
    op->session = add->session;
    op->memory_only = add->memory_only;
    op->row.trackers = op->trackers;
    op->row.web_seeds = buf_span(&op->web_seeds);
    op->row.max_down_bps = add->max_down_bps;
    op->row.max_up_bps = add->max_up_bps;
    op->row.max_peers = add->max_peers;
    op->row.max_uploads = add->max_uploads;
    op->row.allocate = add->allocate;
    op->row.added_unix_s = (int64_t)time(NULL);
    return 0;
}

static void on_existing(void *ctx)
{
    add_answer(ctx, 0, true, NULL);
}

/* It is here, or was: what becomes of it is answered later. */
static void add_behind(struct record *r, struct add_op *op)
{
    /* Stored already, yet the answer must not come from inside the call. */
    if (r->state == RECORD_LIVE) {
        client_later(r->c, on_existing, op);
        return;
    }
    if (r->state == RECORD_REMOVING) {
        r->c->n_calls++;
    }
    list_add_tail(&r->waiting, &op->node);
}

static int find_session(const struct client *c, session_id id, struct session_net **out,
                        struct err *e)
{
    *out = session_find(c, id);
    if (*out == NULL || (*out)->state != SESSION_LIVE) {
        return err_set(e, ERR_NOT_FOUND, "there is no such session");
    }
    return (*out)->n_leaving > 0 ? err_set(e, ERR_UNAVAILABLE, "the session is being removed") : 0;
}

/* Negative: nothing has begun, and op is still the caller's. */
static int add_begin(struct add_op *op, struct err *e)
{
    struct client *c = op->c;
    struct record *there = record_of_hash(c, &op->row.info_hash);
    if (there != NULL) {
        add_behind(there, op);
        return 0;
    }
    if (client_leaves_out(c, &op->row.info_hash)) {
        return err_set(e, ERR_DATABASE, "what is stored of it cannot be used: the log says why");
    }
    struct session_net *session;
    int status = find_session(c, op->session, &session, e);
    if (status < 0) {
        return status;
    }
    op->row.save_path = span_str(op->save_path.resolved);
    op->row.session = session->memory_only ? 0 : session->id;
    op->record = record_new(session, &op->row.info_hash);
    op->record->memory_only = op->memory_only;
    if (op->memory_only) {
        client_later(c, on_add_unstored, op);
    } else {
        status = store_torrent_add(c->opts.store, &op->row, on_add_stored, op);
    }
    if (status < 0) {
        record_free(op->record);
        return err_set(e, status, "the database is not available");
    }
    c->n_calls++;
    return 0;
}

static void on_loaded(void *ctx, int status)
{
    struct add_op *op = ctx;
    struct err e;
    int rc = status < 0 ? err_set(&e, status, "%s", err_text(status)) : add_begin(op, &e);
    if (rc < 0) {
        add_answer(op, rc, false, &e);
    }
}

void client_add_waiting(struct client *c, struct list *waiting)
{
    LIST_FOREACH_SAFE (node, waiting) {
        struct add_op *op = container_of(node, struct add_op, node);
        list_remove(node);
        c->n_calls--;
        on_loaded(op, c->closed != NULL ? ERR_UNAVAILABLE : 0);
    }
}

static void on_path(struct path_check *p)
{
    struct add_op *op = container_of(p, struct add_op, save_path);
    struct client *c = op->c;
    if (p->status < 0) {
        add_answer(op, p->status, false, &p->err);
    } else if (c->closed != NULL) {
        on_loaded(op, ERR_CANCELED);
    } else if (!client_when_loaded(c, on_loaded, op)) {
        on_loaded(op, 0);
    }
    client_check_closed(c);
}

/* Is there nothing that this add would find? */
static bool is_new(const struct client *c, const struct infohash *hash)
{
    const struct record *r = record_of_hash(c, hash);
    return c->loading || r == NULL || r->state == RECORD_REMOVING;
}

/* What can be said of it before its save path is looked at. */
static int add_check(const struct add_op *op, struct err *e)
{
    const struct client *c = op->c;
    struct session_net *session;
    return c->loading ? 0 : find_session(c, op->session, &session, e);
}

int client_add(struct client *c, const struct client_add *add, client_added done, void *ctx,
               struct err *e)
{
    if (c->closed != NULL) {
        return err_set(e, ERR_UNAVAILABLE, "the client is stopping");
    }
    struct add_op *op = mem_new(struct add_op);
    op->c = c;
    op->done = done;
    op->ctx = ctx;
    op->trackers = mem_array(TRACKERS_MAX, sizeof *op->trackers);
    buf_init(&op->web_seeds, 1 << 20);
    buf_init(&op->texts, TEXTS_MAX);
    int status = add_prepare(op, add, e);
    if (status == 0 && !is_new(c, &op->row.info_hash)) {
        status = add_begin(op, e);
    } else if (status == 0) {
        status = add_check(op, e);
        status =
            status == 0 ? path_check_start(&op->save_path, c, add->save_path, on_path, e) : status;
    }
    if (status < 0) {
        add_op_free(op);
    }
    return status;
}
