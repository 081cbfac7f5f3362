/* Socket.IO over a real engine, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/socketio.h"
#include "base/mem.h"

#include "base/banned.h"

enum { MAX_MESSAGE = 1000 };

struct fixture {
    struct eio *eio;
    struct sio *sio;
    struct sio_event event;
    int link;
};

static const struct eio_sid SID = {"aaaaaaaaaaaaaaaaaaaa"};

static struct span sid(void)
{
    return span_of(SID.text, EIO_SID_LEN);
}

/* What the session's WebSocket is sent next, in this text; NULL: nothing more, "": it is closed. */
static void expect(struct fixture *f, const char *want)
{
    struct eio_out out;
    bool any = eio_next_out(f->eio, &out);
    if (any && out.type == EIO_OUT_CUT) {
        assert_true(eio_next_out(f->eio, &out) && out.type == EIO_OUT_CLOSED);
        sio_on_closed(f->sio, sid());
        assert_string_equal(want, "");
        return;
    }
    assert_int_equal(any, want != NULL);
    if (any) {
        assert_int_equal(out.type, EIO_OUT_SEND);
        if (!span_eq(out.data, span_str(want))) {
            fail_msg("%.*s, not %s", (int)out.data.n, (const char *)out.data.p, want);
        }
    }
}

static struct fixture *opened(enum eio_version version, enum sio_trust trust)
{
    struct fixture *f = mem_new(struct fixture);
    struct eio_out out;
    f->eio = eio_new(&(struct eio_cfg){.ping_interval_ms = 1000000,
                                       .ping_timeout_ms = 1000000,
                                       .max_payload = MAX_MESSAGE,
                                       .max_sessions = 2});
    f->sio =
        sio_new(&(struct sio_cfg){.engine = f->eio, .event = "v1", .max_message = MAX_MESSAGE});
    const struct eio_opening opening = {
        .sid = SID, .version = version, .websocket = true, .link = &f->link};
    const struct sio_opening socket = {.sid = SID, .version = version, .trust = trust};
    assert_int_equal(eio_on_open(f->eio, &opening, 0), 0);
    while (eio_next_out(f->eio, &out)) {
    }
    sio_on_open(f->sio, &socket, 0);
    return f;
}

static void done(struct fixture *f)
{
    expect(f, NULL);
    sio_free(f->sio);
    eio_free(f->eio);
    free(f);
}

static enum sio_happening hear(struct fixture *f, const char *text)
{
    return sio_on_message(f->sio, sid(), false, span_str(text), &f->event, 1);
}

static enum sio_happening hear_bytes(struct fixture *f, struct span bytes)
{
    return sio_on_message(f->sio, sid(), true, bytes, &f->event, 1);
}

static struct fixture *connected(void)
{
    struct fixture *f = opened(EIO_V4, SIO_TRUST_TOKEN);
    assert_int_equal(hear(f, "0"), SIO_WANTS_CONNECT);
    sio_connect(f->sio, sid(), SPAN("me"));
    expect(f, "40{\"sid\":\"me\"}");
    return f;
}

static void test_connect_of_protocol_5(void **state)
{
    (void)state;
    struct fixture *f = opened(EIO_V4, SIO_TRUST_NONE);
    expect(f, NULL);
    assert_int_equal(sio_waiting_count(f->sio), 1);
    static const struct {
        const char *text;
        const char *token;
    } cases[] = {{"0", NULL},
                 {"0{}", NULL},
                 {"0{\"token\":null}", NULL}, /* what a page has that nobody has logged in to */
                 {"0{\"token\":\"\"}", ""},
                 {"0{\"token\":\"x y\"}", "x y"},
                 {"0{\"token\":\"a\\/b\"}", "a\\/b"},
                 {"0 { \"a\" : {\"token\":1} , \"token\" : 5 }", "5"},
                 {"0{\"a\":[1,{}],\"b\":\"token\"}", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(hear(f, cases[i].text), SIO_WANTS_CONNECT);
        assert_int_equal(f->event.token.p == NULL, cases[i].token == NULL);
        assert_true(cases[i].token == NULL || span_eq(f->event.token, span_str(cases[i].token)));
        assert_int_equal(f->event.trust, SIO_TRUST_NONE);
        sio_refuse(f->sio, sid(), "unauthorized");
        expect(f, "44{\"message\":\"unauthorized\"}");
    }
    assert_false(sio_is_connected(f->sio, sid()));
    assert_int_equal(hear(f, "0"), SIO_WANTS_CONNECT);
    sio_connect(f->sio, sid(), SPAN("me"));
    expect(f, "40{\"sid\":\"me\"}");
    assert_int_equal(hear(f, "0"), SIO_NOTHING); /* again */
    assert_true(sio_is_connected(f->sio, sid()));
    assert_int_equal(sio_waiting_count(f->sio), 0);
    done(f);
}

static void test_protocol_4_is_connected_unasked(void **state)
{
    (void)state;
    struct fixture *f = opened(EIO_V3, SIO_TRUST_LOCAL);
    expect(f, "40");
    assert_int_equal(hear(f, "2[\"v1\",{}]"), SIO_COMMAND);
    done(f);
}

static void test_other_namespaces(void **state)
{
    (void)state;
    struct fixture *f = connected();
    assert_int_equal(hear(f, "0/x,{\"token\":\"x\"}"), SIO_NOTHING);
    expect(f, "44/x,{\"message\":\"Invalid namespace\"}");
    assert_int_equal(hear(f, "0/x?token=Q,"), SIO_NOTHING);
    expect(f, "44/x,{\"message\":\"Invalid namespace\"}");
    assert_int_equal(hear(f, "1/x,"), SIO_NOTHING);
    assert_int_equal(hear(f, "2/x,[\"v1\"]"), SIO_NOTHING);
    expect(f, "");
    done(f);
}

static void test_connect_has_its_time(void **state)
{
    (void)state;
    struct fixture *f = opened(EIO_V4, SIO_TRUST_TOKEN);
    assert_int_equal(sio_next_deadline_ms(f->sio), SIO_CONNECT_MS);
    sio_on_deadline(f->sio, SIO_CONNECT_MS - 1);
    expect(f, NULL);
    sio_on_deadline(f->sio, SIO_CONNECT_MS);
    expect(f, "");
    assert_int_equal(sio_waiting_count(f->sio), 0);
    done(f);
    f = connected();
    assert_true(sio_next_deadline_ms(f->sio) == UINT64_MAX);
    assert_int_equal(hear(f, "1"), SIO_NOTHING);
    assert_int_equal(sio_next_deadline_ms(f->sio), SIO_CONNECT_MS + 1);
    done(f);
}

static void test_commands(void **state)
{
    (void)state;
    struct fixture *f = connected();
    assert_int_equal(hear(f, "2[\"v1\",{\"t_id\":\"1\"},2]"), SIO_COMMAND);
    assert_true(span_eq(f->event.argument, SPAN("{\"t_id\":\"1\"}")));
    assert_int_equal(f->event.id.n, 0);
    assert_int_equal(hear(f, "2012[\"v1\"]"), SIO_COMMAND);
    assert_int_equal(f->event.argument.n, 0);
    assert_true(span_eq(f->event.id, SPAN("012")));
    sio_answer(f->sio, sid(), f->event.id, SPAN("{\"a\":1}"));
    expect(f, "43012[{\"a\":1}]");
    sio_answer(f->sio, sid(), SPAN(""), SPAN("{\"a\":\"\xc3\xa9\"}"));
    expect(f, "42[\"v1\",{\"a\":\"\\u00e9\"}]");
    assert_int_equal(hear(f, "21[\"v2\",{}]"), SIO_NOTHING); /* nor an acknowledgement */
    assert_int_equal(hear(f, "31[]"), SIO_NOTHING);
    done(f);
}

static void test_attachments(void **state)
{
    (void)state;
    struct fixture *f = connected();
    assert_int_equal(hear(f, "52-7[\"v1\",{\"file\":{\"_placeholder\":true,\"num\":1}}]"),
                     SIO_NOTHING);
    assert_int_equal(hear_bytes(f, SPAN("\0one")), SIO_NOTHING);
    assert_int_equal(hear_bytes(f, SPAN("")), SIO_COMMAND);
    assert_int_equal(f->event.n_attachments, 2);
    assert_true(span_eq(f->event.attachments[0], SPAN("\0one")));
    assert_int_equal(f->event.attachments[1].n, 0);
    assert_true(span_eq(f->event.id, SPAN("7")));
    assert_true(span_eq(f->event.argument, SPAN("{\"file\":{\"_placeholder\":true,\"num\":1}}")));
    assert_int_equal(hear(f, "50-[\"v1\",{}]"), SIO_COMMAND);
    assert_int_equal(f->event.n_attachments, 0);
    done(f);
}

static void test_disorder_ends_it(void **state)
{
    (void)state;
    struct fixture *f = connected();
    assert_int_equal(hear_bytes(f, SPAN("x")), SIO_NOTHING);
    expect(f, "");
    done(f);
    f = connected();
    assert_int_equal(hear(f, "51-[\"v1\",{}]"), SIO_NOTHING);
    assert_int_equal(hear(f, "2[\"v1\",{}]"), SIO_NOTHING);
    expect(f, "");
    done(f);
    static const char *const bad[] = {"", "x", "2{}", "2[\"v1\"", "51[\"v1\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f = connected();
        assert_int_equal(hear(f, bad[i]), SIO_NOTHING);
        expect(f, "");
        assert_int_equal(hear(f, "2[\"v1\",{}]"), SIO_NOTHING); /* nobody is there */
        done(f);
    }
}

static void test_nothing_before_connect(void **state)
{
    (void)state;
    static const char *const early[] = {"2[\"v1\",{}]", "51-[\"v1\",{}]", "50-[\"v1\",{}]"};
    for (size_t i = 0; i < sizeof early / sizeof early[0]; i++) {
        struct fixture *f = opened(EIO_V4, SIO_TRUST_TOKEN);
        assert_int_equal(hear(f, early[i]), SIO_NOTHING);
        expect(f, "");
        done(f);
    }
}

static void test_a_packet_has_a_limit(void **state)
{
    (void)state;
    struct fixture *f = connected();
    uint8_t bytes[MAX_MESSAGE] = {0};
    const char *text = "52-[\"v1\",{}]";
    assert_int_equal(hear(f, text), SIO_NOTHING);
    assert_int_equal(hear_bytes(f, span_of(bytes, sizeof bytes - strlen(text))), SIO_NOTHING);
    expect(f, NULL);
    assert_int_equal(hear_bytes(f, SPAN("")), SIO_COMMAND);
    assert_int_equal(hear(f, text), SIO_NOTHING);
    assert_int_equal(hear_bytes(f, span_of(bytes, sizeof bytes - strlen(text) + 1)), SIO_NOTHING);
    expect(f, "");
    done(f);
}

static void test_subscribers(void **state)
{
    (void)state;
    struct fixture *f = connected();
    sio_push(f->sio, SPAN("{\"event\":\"x\"}"));
    expect(f, NULL);
    assert_false(sio_has_subscribers(f->sio));
    sio_subscribe(f->sio, sid());
    sio_subscribe(f->sio, sid());
    assert_true(sio_has_subscribers(f->sio));
    sio_push(f->sio, SPAN("{\"event\":\"x\"}"));
    expect(f, "42[\"v1\",{\"event\":\"x\"}]");
    expect(f, NULL);
    assert_int_equal(hear(f, "1"), SIO_NOTHING);
    assert_false(sio_has_subscribers(f->sio));
    sio_answer(f->sio, sid(), SPAN("1"), SPAN("{}")); /* too late: it has left */
    sio_subscribe(f->sio, sid());
    assert_false(sio_has_subscribers(f->sio));
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect_of_protocol_5),
        cmocka_unit_test(test_protocol_4_is_connected_unasked),
        cmocka_unit_test(test_other_namespaces),
        cmocka_unit_test(test_connect_has_its_time),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_attachments),
        cmocka_unit_test(test_disorder_ends_it),
        cmocka_unit_test(test_nothing_before_connect),
        cmocka_unit_test(test_a_packet_has_a_limit),
        cmocka_unit_test(test_subscribers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
