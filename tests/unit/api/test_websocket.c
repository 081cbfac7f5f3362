/* Frames as RFC 6455 has them, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/websocket.h"

#include "base/banned.h"

enum { MAX_MESSAGE = 200 };

struct fixture {
    struct websocket *w;
    struct buf heard; /* each message in <> or [] */
    bool echo;
};

static void on_message(void *ctx, bool binary, struct span message)
{
    struct fixture *f = ctx;
    buf_add_byte(&f->heard, binary ? '[' : '<');
    buf_add(&f->heard, message);
    buf_add_byte(&f->heard, binary ? ']' : '>');
    if (f->echo) {
        assert_true(websocket_send(f->w, binary, message));
    }
}

static void start(struct fixture *f)
{
    *f = (struct fixture){.w = NULL};
    buf_init(&f->heard, 1 << 16);
    f->w = websocket_new(MAX_MESSAGE, on_message, f);
}

static void stop(struct fixture *f)
{
    websocket_free(f->w);
    buf_release(&f->heard);
}

/* A masked frame of a client; first: FIN and opcode. */
static bool feed(struct fixture *f, uint8_t first, struct span payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct buf frame;
    buf_init(&frame, 1 << 16);
    buf_add_byte(&frame, first);
    if (payload.n < 126) {
        buf_add_byte(&frame, (uint8_t)(0x80 | payload.n));
    } else {
        buf_add_byte(&frame, 0x80 | 126);
        buf_add_byte(&frame, (uint8_t)(payload.n >> 8));
        buf_add_byte(&frame, (uint8_t)payload.n);
    }
    buf_add(&frame, span_of(mask, sizeof mask));
    for (size_t i = 0; i < payload.n; i++) {
        buf_add_byte(&frame, payload.p[i] ^ mask[i % 4]);
    }
    bool good = websocket_on_bytes(f->w, buf_span(&frame));
    buf_release(&frame);
    return good;
}

static void expect_heard(struct fixture *f, struct span want)
{
    assert_true(span_eq(buf_span(&f->heard), want));
    buf_clear(&f->heard);
}

static void expect_sent(struct fixture *f, struct span want)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    websocket_take(f->w, &out);
    assert_true(span_eq(buf_span(&out), want));
    buf_release(&out);
}

/* The RFC's own key, and what keys are not. */
static void test_accept_key(void **state)
{
    (void)state;
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    assert_true(websocket_accept_key(accept, SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(websocket_accept_key(accept, SPAN("KgBXz6uukxCDj+iXaetrcQ==")));
    assert_string_equal(accept, "VhXhrMUj/9BbKBsNpcNFsXm0nh8=");
    static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j",
                                      "!!!!!!!!!!!!!!!!!!!!!!==", "dGhlIHNhbXBsZSBub25jZQ==dGhl"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(websocket_accept_key(accept, span_str(bad[i])));
    }
}

/* The document's own example of a command. */
static void test_a_captured_frame_in_any_pieces(void **state)
{
    (void)state;
    static const uint8_t frame[] = {
        0x81, 0xbf, 0x37, 0xfa, 0x21, 0x3d, 0x03, 0xc8, 0x7a, 0x1f, 0x41, 0xcb, 0x03, 0x11,
        0x4c, 0xd8, 0x55, 0x62, 0x5e, 0x9e, 0x03, 0x07, 0x15, 0xcb, 0x03, 0x11, 0x15, 0x99,
        0x4e, 0x50, 0x5a, 0x9b, 0x4f, 0x59, 0x15, 0xc0, 0x03, 0x5e, 0x45, 0x9f, 0x40, 0x49,
        0x52, 0xa5, 0x52, 0x58, 0x44, 0x89, 0x48, 0x52, 0x59, 0xd8, 0x0d, 0x1f, 0x47, 0x95,
        0x53, 0x49, 0x44, 0xd8, 0x1b, 0x66, 0x01, 0xc2, 0x19, 0x0c, 0x6a, 0x87, 0x7c};
    for (size_t piece = 1; piece <= sizeof frame; piece++) {
        struct fixture f;
        start(&f);
        for (size_t at = 0; at < sizeof frame; at += piece) {
            assert_true(websocket_on_bytes(f.w, span_sub(span_of(frame, sizeof frame), at, piece)));
        }
        expect_heard(&f, SPAN("<42[\"v1\",{\"t_id\":\"1\",\"command\":\"create_session\","
                              "\"ports\":[6881]}]>"));
        stop(&f);
    }
}

static void test_both_ways(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    f.echo = true;
    assert_true(feed(&f, 0x82, SPAN("\xde\xad\xbe\xef")));
    expect_heard(&f, SPAN("[\xde\xad\xbe\xef]"));
    expect_sent(&f, SPAN("\x82\x04\xde\xad\xbe\xef"));
    assert_true(feed(&f, 0x81, SPAN("")));
    expect_heard(&f, SPAN("<>"));
    expect_sent(&f, SPAN("\x81\x00"));
    expect_sent(&f, SPAN(""));
    stop(&f);
}

static void test_fragments_with_a_ping_between(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_true(feed(&f, 0x01, SPAN("2pr")));
    assert_true(feed(&f, 0x89, SPAN("hello")));
    assert_true(feed(&f, 0x00, SPAN("o")));
    expect_heard(&f, SPAN(""));
    assert_true(feed(&f, 0x80, SPAN("be")));
    expect_heard(&f, SPAN("<2probe>"));
    expect_sent(&f, SPAN("\x8a\x05hello"));
    stop(&f);
}

static void test_close_of_the_client(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_true(feed(&f, 0x88, SPAN("")));
    assert_false(websocket_is_over(f.w));
    expect_sent(&f, SPAN("\x88\x00"));
    assert_true(websocket_is_over(f.w));
    assert_true(feed(&f, 0x81, SPAN("too late")));
    assert_true(websocket_send(f.w, false, SPAN("too late")));
    expect_heard(&f, SPAN(""));
    expect_sent(&f, SPAN(""));
    stop(&f);
}

static void test_our_close(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_true(websocket_send(f.w, false, SPAN("last")));
    websocket_close(f.w, WEBSOCKET_GOING_AWAY);
    websocket_close(f.w, WEBSOCKET_NORMAL);
    expect_sent(&f, SPAN("\x81\x04last\x88\x02\x03\xe9"));
    assert_false(websocket_is_over(f.w)); /* the client has yet to agree */
    assert_true(feed(&f, 0x88, SPAN("\x03\xe9")));
    assert_true(websocket_is_over(f.w));
    stop(&f);
}

static void test_who_breaks_the_rules_is_told(void **state)
{
    (void)state;
    static const struct {
        struct span bytes;
        uint8_t code; /* behind 3 * 256 */
    } cases[] = {
        {{(const uint8_t *)"\x81\x02hi", 4}, 0xea},                /* not masked */
        {{(const uint8_t *)"\x83\x80\0\0\0\0", 6}, 0xea},          /* no such opcode */
        {{(const uint8_t *)"\xc1\x80\0\0\0\0", 6}, 0xea},          /* a bit of an extension */
        {{(const uint8_t *)"\x80\x80\0\0\0\0", 6}, 0xea},          /* goes on with nothing */
        {{(const uint8_t *)"\x81\x82\0\0\0\0\xff\xfe", 8}, 0xef},  /* no UTF-8 */
        {{(const uint8_t *)"\x81\xfe\x00\xc9\0\0\0\0x", 9}, 0xf1}, /* a byte too long */
        {{(const uint8_t *)"\x81\xff\0\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15}, 0xf1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        start(&f);
        assert_true(websocket_on_bytes(f.w, cases[i].bytes));
        expect_heard(&f, SPAN(""));
        struct buf out;
        buf_init(&out, 256);
        websocket_take(f.w, &out);
        if (out.len < 4 || out.p[0] != 0x88 || out.p[2] != 3) {
            fail_msg("case %zu", i);
        }
        assert_int_equal(out.p[3], cases[i].code);
        assert_true(websocket_is_over(f.w));
        buf_release(&out);
        stop(&f);
    }
}

static void test_the_longest_message(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t bytes[MAX_MESSAGE + 1] = {0};
    start(&f);
    assert_true(feed(&f, 0x82, span_of(bytes, MAX_MESSAGE)));
    assert_int_equal(f.heard.len, MAX_MESSAGE + 2);
    websocket_set_max_message(f.w, MAX_MESSAGE + 1);
    assert_true(feed(&f, 0x82, span_of(bytes, MAX_MESSAGE + 1)));
    assert_int_equal(f.heard.len, MAX_MESSAGE + 2 + MAX_MESSAGE + 3);
    stop(&f);
}

static void test_fragments_have_a_limit(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_true(feed(&f, 0x01, SPAN("")));
    for (int i = 1; i < WEBSOCKET_FRAMES_MAX; i++) {
        assert_true(feed(&f, 0x00, SPAN("")));
    }
    assert_false(feed(&f, 0x00, SPAN("")));
    stop(&f);
}

static void test_who_takes_nothing_is_not_sent_more(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    int n = 0;
    while (feed(&f, 0x89, SPAN("x"))) {
        n++;
    }
    assert_int_equal(n, WEBSOCKET_QUEUE_LEN);
    assert_false(websocket_send(f.w, false, SPAN("x")));
    stop(&f);
}

static void test_long_messages_come_out_in_parts(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t bytes[100000];
    start(&f);
    memset(bytes, 'x', sizeof bytes);
    assert_true(websocket_send(f.w, true, span_of(bytes, sizeof bytes)));
    size_t sent = 0;
    struct buf out;
    buf_init(&out, 64 * 1024);
    do {
        buf_clear(&out);
        websocket_take(f.w, &out);
        assert_false(out.bad);
        sent += out.len;
    } while (out.len > 0);
    assert_int_equal(sent, sizeof bytes + 10);
    buf_release(&out);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_key),
        cmocka_unit_test(test_a_captured_frame_in_any_pieces),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_fragments_with_a_ping_between),
        cmocka_unit_test(test_close_of_the_client),
        cmocka_unit_test(test_our_close),
        cmocka_unit_test(test_who_breaks_the_rules_is_told),
        cmocka_unit_test(test_the_longest_message),
        cmocka_unit_test(test_fragments_have_a_limit),
        cmocka_unit_test(test_who_takes_nothing_is_not_sent_more),
        cmocka_unit_test(test_long_messages_come_out_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
