/* Pushes about torrents of a fake engine, to a client that polls, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/resttorrent_ops.h"
#include "api/socketio_push.h"
#include "base/digest.h"

#include "base/banned.h"

enum { MANY = 10000, PING_MS = 3600000, POLL_MS = 500, MAX_PAYLOAD = 1000000 };

/* ---- the engine: torrents 1 to n ------------------------------------------------------------- */

struct client {
    torrent_id n;
};

const struct engine *client_engine(const struct client *c)
{
    return (const struct engine *)(const void *)c;
}

uint64_t client_now_ms(const struct client *c)
{
    (void)c;
    return 0;
}

torrent_id engine_next_torrent(const struct engine *e, torrent_id after)
{
    const struct client *c = (const void *)e;
    return after < c->n ? after + 1 : 0;
}

int engine_status(const struct engine *e, torrent_id id, struct torrent_status *out,
                  uint64_t now_ms)
{
    (void)e;
    (void)now_ms;
    *out = (struct torrent_status){.id = id};
    memcpy(out->info_hash.b, &id, sizeof id);
    return 0;
}

void resttorrent_session_text(char out[static RESTTORRENT_SESSION_KEY_CAP], const struct client *c,
                              uint32_t session)
{
    (void)c;
    (void)session;
    out[0] = '\0';
}

/* ---- a subscriber ---------------------------------------------------------------------------- */

static const struct eio_sid SID = {"aaaaaaaaaaaaaaaaaaaa"};

struct fixture {
    struct client client;
    struct eio *eio;
    struct sio *sio;
    struct sio_push *push;
    uint64_t now_ms;
    int get; /* the link: its address */
    bool hangs;
    size_t n_added, n_removed;
};

static struct span sid(void)
{
    return span_of(SID.text, EIO_SID_LEN);
}

static size_t count(struct span text, const char *what)
{
    size_t n = 0;
    for (const uint8_t *at; (at = memmem(text.p, text.n, what, strlen(what))) != NULL; n++) {
        text = span_of(at + 1, text.n - (size_t)(at + 1 - text.p));
    }
    return n;
}

static void take_outs(struct fixture *f)
{
    struct eio_out out;
    while (eio_next_out(f->eio, &out)) {
        assert_int_not_equal(out.type, EIO_OUT_CLOSED);
        if (out.type == EIO_OUT_ANSWER) {
            f->hangs = false;
            f->n_added += count(out.data, "torrent_added");
            f->n_removed += count(out.data, "torrent_removed");
        }
    }
}

static void begin(struct fixture *f, torrent_id n)
{
    const struct eio_cfg cfg = {.ping_interval_ms = PING_MS,
                                .ping_timeout_ms = PING_MS,
                                .max_payload = MAX_PAYLOAD,
                                .max_sessions = 1};
    const struct eio_opening opening = {.sid = SID, .version = EIO_V3, .link = &f->get};
    const struct sio_opening socket = {.sid = SID, .version = EIO_V3, .trust = SIO_TRUST_TOKEN};
    *f = (struct fixture){.client = {n}};
    f->eio = eio_new(&cfg);
    f->sio = sio_new(&(struct sio_cfg){.engine = f->eio, .event = "v1", .max_message = 1000});
    f->push = sio_push_new(f->sio, &f->client);
    assert_int_equal(eio_on_open(f->eio, &opening, 0), 0);
    sio_on_open(f->sio, &socket, 0);
    take_outs(f);
    sio_subscribe(f->sio, sid());
}

static void end(struct fixture *f)
{
    sio_push_free(f->push);
    sio_free(f->sio);
    eio_free(f->eio);
}

/* The time passes; every POLL_MS the client asks. */
static void run(struct fixture *f, uint64_t ms)
{
    uint64_t until_ms = f->now_ms + ms;
    for (; f->now_ms <= until_ms; f->now_ms++) {
        if (f->now_ms % POLL_MS == 0 && !f->hangs) {
            f->hangs = true;
            assert_int_equal(eio_on_poll(f->eio, sid(), &f->get, f->now_ms), EIO_FAULT_NONE);
        }
        if (sio_push_next_deadline_ms(f->push) <= f->now_ms) {
            sio_push_on_deadline(f->push, f->now_ms);
            assert_true(sio_push_next_deadline_ms(f->push) > f->now_ms); /* a turn later */
        }
        take_outs(f);
    }
}

static void test_thousands_at_once_reach_who_polls(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, MANY);
    run(&f, 2000); /* it learns */
    assert_true(f.n_added == 0 && f.n_removed == 0);
    f.client.n = 0;
    run(&f, 10000);
    assert_int_equal(f.n_removed, MANY);
    f.client.n = MANY;
    run(&f, 10000);
    assert_true(f.n_added == MANY && f.n_removed == MANY);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousands_at_once_reach_who_polls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
