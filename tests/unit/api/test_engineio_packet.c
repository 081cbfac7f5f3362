/* The vectors are bytes that npm's clients and reference servers have sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/engineio_packet.h"
#include "base/err.h"

#include "base/banned.h"

static struct eio_packet text(enum eio_type type, const char *data)
{
    return (struct eio_packet){.type = type, .data = span_str(data)};
}

static struct eio_packet base64(const char *data)
{
    return (struct eio_packet){
        .type = EIO_MESSAGE, .binary = true, .base64 = true, .data = span_str(data)};
}

static void assert_packet(const struct eio_packet *got, const struct eio_packet *want)
{
    assert_int_equal(got->type, want->type);
    assert_int_equal(got->binary, want->binary);
    assert_int_equal(got->base64, want->base64);
    assert_true(span_eq(got->data, want->data));
}

static void assert_payload(enum eio_version version, bool octets, struct span body,
                           const struct eio_packet *want, size_t n)
{
    struct eio_payload walk;
    struct eio_packet packet;
    const char *why = NULL;
    eio_payload_begin(&walk, version, octets, body);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(eio_payload_next(&walk, &packet, &why), 1);
        assert_packet(&packet, &want[i]);
    }
    assert_int_equal(eio_payload_next(&walk, &packet, &why), 0);
}

static void assert_refused(enum eio_version version, bool octets, struct span body)
{
    struct eio_payload walk;
    struct eio_packet packet;
    const char *why = NULL;
    int status;
    eio_payload_begin(&walk, version, octets, body);
    do {
        status = eio_payload_next(&walk, &packet, &why);
    } while (status == 1);
    assert_int_equal(status, ERR_MALFORMED);
    assert_non_null(why);
}

static void test_payloads_of_revision_4(void **state)
{
    (void)state;
    const struct eio_packet connect[] = {text(EIO_MESSAGE, "0")};
    assert_payload(EIO_V4, false, SPAN("40"), connect, 1);
    const struct eio_packet two[] = {text(EIO_MESSAGE, "2[\"v1\",{\"t_id\":\"1\"}]"),
                                     text(EIO_MESSAGE, "2[\"v1\",{\"t_id\":\"2\"}]")};
    assert_payload(EIO_V4, false,
                   SPAN("42[\"v1\",{\"t_id\":\"1\"}]\x1e"
                        "42[\"v1\",{\"t_id\":\"2\"}]"),
                   two, 2);
    const struct eio_packet binary[] = {text(EIO_MESSAGE, "51-[\"v1\",{}]"), base64("3q2+7w==")};
    struct span body = SPAN("451-[\"v1\",{}]\x1e"
                            "b3q2+7w==");
    assert_payload(EIO_V4, false, body, binary, 2);
    assert_payload(EIO_V4, true, body, binary, 2); /* a revision without octets */
}

static void test_payloads_of_revision_3(void **state)
{
    (void)state;
    const struct eio_packet two[] = {text(EIO_MESSAGE, "0"), text(EIO_MESSAGE, "0/x,")};
    assert_payload(EIO_V3, false, SPAN("2:405:40/x,"), two, 2);
    const struct eio_packet ping[] = {text(EIO_PING, "")};
    assert_payload(EIO_V3, false, SPAN("1:2"), ping, 1);
    const struct eio_packet binary[] = {base64("3q2+7w==")};
    assert_payload(EIO_V3, false, SPAN("10:b43q2+7w=="), binary, 1);
    /* Lengths count UTF-16 code units: 1, 1 and 2 for these. */
    const char *said = "20[\"v1\",{\"t_id\":\"1\",\"command\":\"get_session_list\","
                       "\"u\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}]";
    const struct eio_packet units[] = {text(EIO_MESSAGE, said)};
    struct buf body;
    size_t n;
    assert_true(utf16_len(span_str(said), &n));
    assert_int_equal(n, strlen(said) - 5);
    buf_init(&body, 256);
    buf_addf(&body, "%zu:4%s", n + 1, said);
    assert_int_equal(body.p[0], '6');
    assert_int_equal(body.p[1], '2');
    assert_payload(EIO_V3, false, buf_span(&body), units, 1);
    buf_release(&body);
}

static void test_octets_of_browsers(void **state)
{
    (void)state;
    struct eio_packet want[] = {text(EIO_MESSAGE, "51-[\"v1\",{}]"),
                                {.type = EIO_MESSAGE, .binary = true}};
    want[1].data = SPAN("\xde\xad\xbe\xef");
    struct span body = SPAN("\x00\x01\x03\xff"
                            "451-[\"v1\",{}]\x01\x05\xff\x04\xde\xad\xbe\xef");
    assert_payload(EIO_V3, true, body, want, 2);
    for (size_t n = 1; n < body.n; n++) {
        if (n != 4 + 13) { /* there a packet ends */
            assert_refused(EIO_V3, true, span_sub(body, 0, n));
        }
    }
}

static void test_payloads_that_are_none(void **state)
{
    (void)state;
    const struct {
        enum eio_version version;
        bool octets;
        struct span body;
    } cases[] = {
        {EIO_V4, false, SPAN("")},
        {EIO_V4, false, SPAN("40\x1e")},
        {EIO_V4, false,
         SPAN("\x1e"
              "40")},
        {EIO_V4, false, SPAN("7")},
        {EIO_V4, false, SPAN("abc")},
        {EIO_V4, false, SPAN("4\xff")},
        {EIO_V4, false, SPAN("/")},
        {EIO_V3, false, SPAN("")},
        {EIO_V3, false, SPAN("40")},
        {EIO_V3, false, SPAN("3:40")},
        {EIO_V3, false, SPAN("1:40")},
        {EIO_V3, false, SPAN("0:")},
        {EIO_V3, false, SPAN(":4")},
        {EIO_V3, false, SPAN("-1:4")},
        {EIO_V3, false, SPAN("9999999999:4")},
        {EIO_V3, false, SPAN("999999999:4")},
        {EIO_V3, false, SPAN("2:4\xf0\x9f\x98\x80")}, /* half of a pair */
        {EIO_V3, false, SPAN("2:b7")},
        {EIO_V3, false, SPAN("1:b")},
        {EIO_V3, true,
         SPAN("\x02\x01\xff"
              "4")},
        {EIO_V3, true,
         SPAN("\x00\xff"
              "4")},
        {EIO_V3, true,
         SPAN("\x00\x0a\xff"
              "4")},
        {EIO_V3, true, SPAN("\x01\x01\xff\x07")},
        {EIO_V3, true, SPAN("\x01\x02\xff\x02\x80")}, /* only messages are binary */
        {EIO_V3, false, SPAN("6:b2gA==")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(cases[i].version, cases[i].octets, cases[i].body);
    }
}

static void test_a_payload_has_a_limit(void **state)
{
    (void)state;
    struct buf body;
    struct eio_payload walk;
    struct eio_packet packet;
    const char *why = NULL;
    buf_init(&body, 1 << 20);
    for (int i = 0; i < EIO_PACKETS_MAX; i++) {
        buf_add_str(&body, "1:2");
    }
    eio_payload_begin(&walk, EIO_V3, false, buf_span(&body));
    for (int i = 0; i < EIO_PACKETS_MAX; i++) {
        assert_int_equal(eio_payload_next(&walk, &packet, &why), 1);
    }
    assert_int_equal(eio_payload_next(&walk, &packet, &why), 0);
    buf_add_str(&body, "1:2");
    eio_payload_begin(&walk, EIO_V3, false, buf_span(&body));
    int status;
    do {
        status = eio_payload_next(&walk, &packet, &why);
    } while (status == 1);
    assert_int_equal(status, ERR_LIMIT);
    buf_release(&body);
}

static void test_frames(void **state)
{
    (void)state;
    struct eio_packet packet;
    const char *why = NULL;
    struct eio_packet want = text(EIO_PING, "probe");
    assert_int_equal(eio_frame_decode(&packet, EIO_V4, false, SPAN("2probe"), &why), 0);
    assert_packet(&packet, &want);
    want =
        (struct eio_packet){.type = EIO_MESSAGE, .binary = true, .data = SPAN("\xde\xad\xbe\xef")};
    assert_int_equal(eio_frame_decode(&packet, EIO_V4, true, SPAN("\xde\xad\xbe\xef"), &why), 0);
    assert_packet(&packet, &want);
    assert_int_equal(eio_frame_decode(&packet, EIO_V3, true, SPAN("\x04\xde\xad\xbe\xef"), &why),
                     0);
    assert_packet(&packet, &want);
    assert_int_equal(eio_frame_decode(&packet, EIO_V4, true, SPAN(""), &why), 0);
    assert_int_equal(eio_frame_decode(&packet, EIO_V3, true, SPAN(""), &why), ERR_MALFORMED);
    assert_int_equal(eio_frame_decode(&packet, EIO_V3, true, SPAN("\x07"), &why), ERR_MALFORMED);
    assert_int_equal(eio_frame_decode(&packet, EIO_V3, true, SPAN("\x02\x80"), &why),
                     ERR_MALFORMED);
    assert_int_equal(eio_frame_decode(&packet, EIO_V4, false, SPAN(""), &why), ERR_MALFORMED);
}

static void assert_written(enum eio_version version, const struct eio_packet *packets, size_t n,
                           struct span payload)
{
    struct buf out;
    buf_init(&out, 256);
    for (size_t i = 0; i < n; i++) {
        size_t before = out.len;
        eio_payload_add(&out, version, &packets[i]);
        assert_true(out.len - before <= eio_payload_cost(&packets[i]));
    }
    assert_true(span_eq(buf_span(&out), payload));
    buf_release(&out);
}

static void test_writing(void **state)
{
    (void)state;
    const struct eio_packet noop[] = {text(EIO_NOOP, "")};
    assert_written(EIO_V4, noop, 1, SPAN("6"));
    assert_written(EIO_V3, noop, 1, SPAN("1:6"));
    struct eio_packet two[] = {text(EIO_MESSAGE, "0"), {.type = EIO_MESSAGE, .binary = true}};
    two[1].data = SPAN("\xde\xad\xbe\xef");
    assert_written(EIO_V4, two, 2,
                   SPAN("40\x1e"
                        "b3q2+7w=="));
    assert_written(EIO_V3, two, 2, SPAN("2:4010:b43q2+7w=="));
    struct buf frame;
    buf_init(&frame, 16);
    eio_frame_encode(&frame, EIO_V4, &two[1]);
    assert_true(span_eq(buf_span(&frame), SPAN("\xde\xad\xbe\xef")));
    buf_clear(&frame);
    eio_frame_encode(&frame, EIO_V3, &two[1]);
    assert_true(span_eq(buf_span(&frame), SPAN("\x04\xde\xad\xbe\xef")));
    buf_clear(&frame);
    eio_frame_encode(&frame, EIO_V3, &two[0]);
    assert_true(span_eq(buf_span(&frame), SPAN("40")));
    buf_release(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads_of_revision_4),
        cmocka_unit_test(test_payloads_of_revision_3),
        cmocka_unit_test(test_octets_of_browsers),
        cmocka_unit_test(test_payloads_that_are_none),
        cmocka_unit_test(test_a_payload_has_a_limit),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
