/* Sessions that somebody made, beside the default one: a port of their own, and torrents.
 *
 *   ADDING --stored--> LIVE --remove is stored--> REMOVING --last record gone--> CLOSING --ports--> freed
 *      `---- not stored --------------------------------------------------------------^
 *
 * Add      a port is bound -> stored -> in the engine -> answered.
 * Remove   stored (its torrents go with it) -> the torrents leave the engine, as when each is removed
 *          -> the engine's session ends -> the ports close -> answered. From the first of these on
 *          nothing is added to it.
 * Failures before the commit nothing has changed; a port that was bound for it closes.
 * Memory   a session that is not stored has a number above those of the database. Torrents of it
 *          that are stored are in the database as the default session's, whose they are after a
 *          restart; its removal takes them from there by their names.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/client_impl.h"

#include "base/banned.h"

enum {
    MEMORY_IDS = 1 << 30, /* the database counts from 1 */
    ENDS_A_TURN = 64,
};

struct session_add_op {
    struct client *c;
    struct session_net *session;
    client_session_added done;
    void *ctx;
};

struct session_remove_op {
    struct client *c;
    session_id id;
    bool with_data;
    torrent_id last; /* that was told to end */
    client_done done;
    void *ctx;
};

/* ---- their lives ------------------------------------------------------------------------------ */

struct session_net *session_new(struct client *c, enum session_state state)
{
    struct session_net *s = mem_new(struct session_net);
    s->c = c;
    s->state = state;
    list_init(&s->ports);
    list_init(&s->torrents);
    list_add_tail(&c->sessions, &s->node);
    return s;
}

void session_set_options(struct session_net *s, struct span options)
{
    free(s->options);
    s->options = mem_array(options.n == 0 ? 1 : options.n, 1);
    s->options_len = options.n;
    if (options.n > 0) {
        memcpy(s->options, options.p, options.n);
    }
}

static void remove_finish(struct session_remove_op *op, int status)
{
    struct client *c = op->c;
    op->done(op->ctx, status);
    free(op);
    c->n_calls--;
    client_check_closed(c);
}

static void session_free(struct session_net *s)
{
    struct session_remove_op *op = s->removing;
    free(s->options);
    free(s->listen.at);
    free(s);
    if (op != NULL) {
        remove_finish(op, 0);
    }
}

void session_close(struct session_net *s)
{
    list_remove(&s->node);
    s->state = SESSION_CLOSING;
    session_unbind(s);
    if (s->n_ports == 0) {
        session_free(s);
    }
}

void session_on_port_closed(struct session_net *s)
{
    s->n_ports--;
    if (s->state == SESSION_CLOSING && s->n_ports == 0) {
        session_free(s);
    }
}

void session_on_record_gone(struct session_net *s)
{
    struct client *c = s->c;
    ASSERT(s->n_records > 0);
    s->n_records--;
    if (s->state == SESSION_REMOVING && s->n_records == 0 && !c->stopped) {
        engine_remove_session(c->engine, s->id);
        session_close(s);
        client_drain(c);
    }
}

void sessions_give_up_removing(struct client *c)
{
    LIST_FOREACH_SAFE (node, &c->sessions) {
        struct session_net *s = container_of(node, struct session_net, node);
        struct session_remove_op *op = s->removing;
        s->removing = NULL;
        if (op != NULL) {
            op->done(op->ctx, 0);
            free(op);
            c->n_calls--;
        }
    }
}

void sessions_free(struct client *c)
{
    LIST_FOREACH_SAFE (node, &c->sessions) {
        struct session_net *s = container_of(node, struct session_net, node);
        ASSERT(s->n_ports == 0 && s->removing == NULL);
        list_remove(node);
        session_free(s);
    }
}

/* ---- looking ---------------------------------------------------------------------------------- */

struct session_net *session_find(const struct client *c, session_id id)
{
    LIST_FOREACH_SAFE (node, &c->sessions) {
        struct session_net *s = container_of(node, struct session_net, node);
        if (s->id == id && s->state != SESSION_ADDING) {
            return s;
        }
    }
    return NULL;
}

/* One that can be acted on from outside, or NULL. */
static struct session_net *session_live(const struct client *c, session_id id)
{
    struct session_net *s = id == 0 ? NULL : session_find(c, id);
    return s != NULL && s->state == SESSION_LIVE ? s : NULL;
}

static void show(const struct session_net *s, struct client_session *out)
{
    *out = (struct client_session){
        .id = s->id,
        .port_first = s->port_first,
        .port_last = s->port_last,
        .port = session_bound_port(s),
        .memory_only = s->memory_only,
        .options = span_of(s->options, s->options_len),
    };
}

int client_session_of(const struct client *c, session_id id, struct client_session *out)
{
    const struct session_net *s = session_live(c, id);
    if (s == NULL) {
        return client_not_here(c);
    }
    show(s, out);
    return 0;
}

bool client_session_next(const struct client *c, session_id after, struct client_session *out)
{
    bool behind = after == 0;
    LIST_FOREACH_SAFE (node, &c->sessions) {
        const struct session_net *s = container_of(node, struct session_net, node);
        if (behind && s->state == SESSION_LIVE && s->id != 0) {
            show(s, out);
            return true;
        }
        behind = behind || (s->id == after && s->state != SESSION_ADDING);
    }
    return false;
}

torrent_id client_session_torrent(const struct client *c, session_id session, torrent_id after)
{
    struct session_net *s = session_find(c, session);
    const struct record *r = record_of_id(c, after);
    if (s == NULL) {
        return 0;
    }
    const struct list *node = r != NULL && r->session == s ? &r->in_session : &s->torrents;
    for (node = node->next; node != &s->torrents; node = node->next) {
        r = container_of(node, struct record, in_session);
        if (r->id > after && r->state == RECORD_LIVE) { /* numbers grow as they come in */
            return r->id;
        }
    }
    return 0;
}

bool client_is_loading(const struct client *c)
{
    return c->loading;
}

/* ---- adding ----------------------------------------------------------------------------------- */

static void on_add_stored(void *ctx, int status, uint32_t id, const struct err *e)
{
    struct session_add_op *op = ctx;
    struct client *c = op->c;
    struct session_net *s = op->session;
    if (status == 0 && c->closed != NULL) {
        status = ERR_UNAVAILABLE; /* a stored one comes with the next start */
    }
    if (status < 0) {
        session_close(s);
    } else {
        s->id = id;
        s->state = SESSION_LIVE;
        session_start(s);
    }
    op->done(op->ctx, status, id, e);
    free(op);
    c->n_calls--;
    client_drain(c);
}

static void on_add_unstored(void *ctx)
{
    struct session_add_op *op = ctx;
    on_add_stored(op, 0, MEMORY_IDS + ++op->c->last_memory_id, NULL);
}

static int add_check(const struct client *c, struct err *e)
{
    size_t n = 0;
    if (c->closed != NULL) {
        return err_set(e, ERR_UNAVAILABLE, "the client is stopping");
    }
    if (c->loading) { /* the stored ones choose their ports first */
        return err_set(e, ERR_UNAVAILABLE, "the sessions are being loaded");
    }
    LIST_FOREACH_SAFE (node, &c->sessions) {
        n++;
    }
    return n > CLIENT_SESSIONS_MAX ? err_set(e, ERR_LIMIT, "there are too many sessions") : 0;
}

int client_session_add(struct client *c, const struct client_session_add *add,
                       client_session_added done, void *ctx, struct err *e)
{
    int status = add_check(c, e);
    if (status < 0) {
        return status;
    }
    ASSERT(add->port_first <= add->port_last && (add->port_first > 0 || add->port_last == 0));
    struct session_net *s = session_new(c, SESSION_ADDING);
    s->port_first = add->port_first;
    s->port_last = add->port_last;
    s->memory_only = add->memory_only;
    session_set_options(s, add->options);
    status = session_bind_range(s, e);
    if (status < 0) {
        session_close(s);
        return status;
    }
    struct session_add_op *op = mem_new(struct session_add_op);
    *op = (struct session_add_op){c, s, done, ctx};
    const struct store_session row = {
        .port_first = add->port_first,
        .port_last = add->port_last,
        .options = add->options,
    };
    if (s->memory_only) {
        client_later(c, on_add_unstored, op);
    } else {
        status = store_session_add(c->opts.store, &row, on_add_stored, op);
    }
    if (status < 0) {
        session_close(s);
        free(op);
        return err_set(e, status, "the database is not available");
    }
    c->n_calls++;
    return 0;
}

/* ---- removing --------------------------------------------------------------------------------- */

/* Some of its torrents in each turn, so that a session with many of them stops nobody else. */
static void end_torrents(void *ctx)
{
    struct session_net *s = ctx;
    struct client *c = s->c;
    struct session_remove_op *op = s->removing;
    if (c->stopped) {
        return; /* op may be answered, and nobody waits for the rest */
    }
    for (int i = 0; i < ENDS_A_TURN; i++) {
        op->last = client_session_torrent(c, s->id, op->last);
        if (op->last == 0) {
            session_on_record_gone(s); /* what on_remove_stored has put in */
            client_drain(c);
            return;
        }
        record_of_id(c, op->last)->state = RECORD_REMOVING;
        engine_remove_torrent(c->engine, op->last, op->with_data, client_now_ms(c));
    }
    client_later(c, end_torrents, s);
    client_drain(c);
}

static void on_remove_stored(void *ctx, int status, size_t n, const struct err *e)
{
    struct session_remove_op *op = ctx;
    struct client *c = op->c;
    struct session_net *s = session_live(c, op->id);
    (void)n; /* one that was gone from the database goes from here all the same */
    (void)e;
    if (s != NULL) {
        s->n_leaving--;
    }
    if (status < 0 || s == NULL || c->stopped) {
        remove_finish(op, status == 0 && s == NULL ? ERR_NOT_FOUND : status);
        return;
    }
    s->state = SESSION_REMOVING;
    s->removing = op;
    s->n_records++; /* so that it does not go before all of them were looked at */
    end_torrents(s);
    client_drain(c);
}

static void on_remove_unstored(void *ctx)
{
    on_remove_stored(ctx, 0, 0, NULL);
}

/* The rows of a session that has none itself. */
static int remove_rows(const struct session_net *s, struct session_remove_op *op)
{
    struct client *c = s->c;
    struct infohash *hashes = mem_array(s->n_records + 1, sizeof *hashes);
    size_t n = 0;
    int status = 0;
    for (struct map_node *node = map_first(&c->records); node != NULL;
         node = map_next(&c->records, node)) {
        const struct record *r = container_of(node, struct record, by_hash);
        if (r->session == s && !r->memory_only) {
            hashes[n++] = r->info_hash;
        }
    }
    if (n == 0) {
        client_later(c, on_remove_unstored, op);
    } else {
        status = store_torrents_remove(c->opts.store, hashes, n, on_remove_stored, op);
    }
    free(hashes);
    return status;
}

int client_session_remove(struct client *c, session_id id, bool with_data, client_done done,
                          void *ctx)
{
    struct session_net *s = session_live(c, id);
    if (c->loading || c->closed != NULL) {
        return ERR_UNAVAILABLE;
    }
    if (s == NULL) {
        return ERR_NOT_FOUND;
    }
    struct session_remove_op *op = mem_new(struct session_remove_op);
    *op = (struct session_remove_op){c, id, with_data, 0, done, ctx};
    int status = s->memory_only ? remove_rows(s, op)
                                : store_session_remove(c->opts.store, id, on_remove_stored, op);
    if (status < 0) {
        free(op);
        return status;
    }
    s->n_leaving++;
    c->n_calls++;
    return 0;
}
