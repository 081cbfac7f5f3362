#include "api/socketio_push.h"

#include <stdlib.h>

#include "api/resttorrent_ops.h"
#include "api/socketio_watch.h"
#include "base/mem.h"

#include "base/banned.h"

enum { PUSH_MAX = 512 };

struct sio_push {
    struct sio *sio;
    struct client *client;
    struct watch *watch; /* NULL: nobody has subscribed */
    torrent_id at;       /* in the round that is under way */
    bool all_seen;       /* what is left of the round: those that are gone */
    bool pushed;         /* in this slice */
    uint64_t next_ms;
};

struct sio_push *sio_push_new(struct sio *sio, struct client *client)
{
    struct sio_push *p = mem_new(struct sio_push);
    p->sio = sio;
    p->client = client;
    return p;
}

static void forget(struct sio_push *p)
{
    if (p->watch != NULL) {
        watch_free(p->watch);
        p->watch = NULL;
    }
}

void sio_push_free(struct sio_push *p)
{
    forget(p);
    free(p);
}

uint64_t sio_push_next_deadline_ms(const struct sio_push *p)
{
    bool wanted = p->client != NULL && (p->watch != NULL || sio_has_subscribers(p->sio));
    return wanted ? p->next_ms : UINT64_MAX;
}

static void push(struct sio_push *p, const char *event, const struct watch_facts *facts)
{
    struct buf out;
    char hash[HEX20_LEN + 1];
    hex_encode(hash, span_of(facts->info_hash.b, sizeof facts->info_hash.b));
    buf_init(&out, PUSH_MAX);
    buf_addf(&out, "{\"event\":\"%s\",\"session_id\":\"%s\",\"info_hash\":\"%s\"}", event,
             facts->session, hash);
    sio_push(p->sio, buf_span(&out));
    p->pushed = true;
    buf_release(&out);
}

static void push_events(struct sio_push *p, unsigned events, const struct watch_facts *facts)
{
    static const struct {
        enum watch_event event;
        const char *name;
    } names[] = {{WATCH_ADDED, "torrent_added"},
                 {WATCH_METADATA, "metadata_received"},
                 {WATCH_FINISHED, "finished"},
                 {WATCH_STATE, "state_changed"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((events & names[i].event) != 0) {
            push(p, names[i].name, facts);
        }
    }
}

static void look_at(struct sio_push *p, torrent_id id)
{
    struct torrent_status status;
    struct watch_facts facts = {.state = 0};
    if (engine_status(client_engine(p->client), id, &status, client_now_ms(p->client)) < 0) {
        return;
    }
    _Static_assert((int)WATCH_SESSION_CAP >= (int)RESTTORRENT_SESSION_KEY_CAP, "it fits");
    resttorrent_session_text(facts.session, p->client, status.session);
    facts.info_hash = status.info_hash;
    facts.state = status.state;
    facts.has_metadata = status.has_metadata;
    facts.is_complete = status.completed_unix_s != 0;
    push_events(p, watch_see(p->watch, &facts), &facts);
}

/* The next part of a round; false when that was the last. */
static bool run_slice(struct sio_push *p)
{
    struct watch_facts gone;
    for (int i = 0; i < SIO_PUSH_SLICE; i++) {
        if (!p->all_seen) {
            p->at = engine_next_torrent(client_engine(p->client), p->at);
            p->all_seen = p->at == 0;
        }
        if (!p->all_seen) {
            look_at(p, p->at);
        } else if (watch_next_gone(p->watch, &gone)) {
            push(p, "torrent_removed", &gone);
        } else {
            p->all_seen = false;
            return false;
        }
    }
    return true;
}

void sio_push_on_deadline(struct sio_push *p, uint64_t now_ms)
{
    struct siphash_key seed;
    if (!sio_has_subscribers(p->sio)) {
        forget(p);
        return;
    }
    if (p->watch == NULL) {
        digest_random(&seed, sizeof seed);
        p->watch = watch_new(&seed);
        p->at = 0;
        p->all_seen = false;
    }
    p->pushed = false;
    bool more = run_slice(p);
    /* A client that polls has to come for them before its queue is full. And never now: libuv would
     * go on in the same turn of the loop. */
    p->next_ms = now_ms + (!more ? SIO_PUSH_MS : p->pushed ? SIO_PUSH_PAUSE_MS : 1);
}
