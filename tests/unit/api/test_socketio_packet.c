#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/socketio_packet.h"
#include "base/err.h"

#include "base/banned.h"

static struct sio_packet decode(const char *text)
{
    struct sio_packet packet;
    const char *why = NULL;
    int status = sio_packet_decode(&packet, span_str(text), &why);
    if (status != 0) {
        fail_msg("%s: %s", text, why);
    }
    return packet;
}

static void assert_texts(const struct sio_packet *p, const char *nsp, const char *id,
                         const char *json)
{
    assert_true(span_eq(p->nsp, span_str(nsp)));
    assert_true(span_eq(p->id, span_str(id)));
    assert_true(span_eq(p->json, span_str(json)));
}

static void test_packets(void **state)
{
    (void)state;
    struct sio_packet p = decode("0");
    assert_int_equal(p.type, SIO_CONNECT);
    assert_texts(&p, "", "", "");
    p = decode("0{\"token\":\"x\"}");
    assert_texts(&p, "", "", "{\"token\":\"x\"}");
    p = decode("0/x?token=Q,"); /* of revision 4 */
    assert_texts(&p, "/x?token=Q", "", "");
    p = decode("0/x,{\"a\":1}");
    assert_texts(&p, "/x", "", "{\"a\":1}");
    p = decode("0/x");
    assert_texts(&p, "/x", "", "");
    p = decode("1");
    assert_int_equal(p.type, SIO_DISCONNECT);
    p = decode("212[\"v1\",{}]");
    assert_int_equal(p.type, SIO_EVENT);
    assert_texts(&p, "", "12", "[\"v1\",{}]");
    p = decode("2/,3[\"v1\"]"); /* the namespace that is left out, written */
    assert_texts(&p, "", "3", "[\"v1\"]");
    p = decode("51-[\"v1\",{\"_placeholder\":true,\"num\":0}]");
    assert_int_equal(p.type, SIO_BINARY_EVENT);
    assert_int_equal(p.n_attachments, 1);
    p = decode("62-/x,7[]");
    assert_int_equal(p.type, SIO_BINARY_ACK);
    assert_int_equal(p.n_attachments, 2);
    assert_texts(&p, "/x", "7", "[]");
    p = decode("4/nope,{\"message\":\"Invalid namespace\"}");
    assert_int_equal(p.type, SIO_ERROR);
    p = decode("2 [ \"v1\" ] ");
    assert_texts(&p, "", "", "[ \"v1\" ]");
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "7",
                                      "a",
                                      "0[]",
                                      "0\"x\"",
                                      "1{}",
                                      "2",
                                      "2{}",
                                      "2[]",
                                      "2[1]",
                                      "2[",
                                      "2[\"v1\"",
                                      "2[\"v1\"]x",
                                      "2[\"v1\",]",
                                      "2[\"v1\"][]",
                                      "3[]",
                                      "31{}",
                                      "31",
                                      "5[\"v1\"]",
                                      "5-[\"v1\"]",
                                      "59-[\"v1\"]",
                                      "5x-[\"v1\"]",
                                      "51[\"v1\"]",
                                      "21a[\"v1\"]",
                                      "2-1[\"v1\"]",
                                      "2012345678901234567890[\"v1\"]",
                                      "2[\"v1\",01]",
                                      "2[\"v1\",1.]",
                                      "2[\"v1\",.5]",
                                      "2[\"v1\",+1]",
                                      "2[\"v1\",1e]",
                                      "2[\"v1\",tru]",
                                      "2[\"v1\",nul]",
                                      "2[\"v1\",\"\\x\"]",
                                      "2[\"v1\",\"\\u12g4\"]",
                                      "2[\"v1\",\"\n\"]",
                                      "2[\"v1\",{\"a\"}]",
                                      "2[\"v1\",{\"a\":}]",
                                      "2[\"v1\",{a:1}]",
                                      "2[\"v1\",{\"a\":1,}]",
                                      "2[\"v1\",{\"a\":1]]",
                                      "2[\"v1\" \"v2\"]",
                                      "2[\"v1\",NaN]",
                                      "42  8",
                                      "4[]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sio_packet packet;
        const char *why = NULL;
        if (sio_packet_decode(&packet, span_str(bad[i]), &why) != ERR_MALFORMED) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_non_null(why);
    }
}

static void test_every_truncation_is_refused_or_shorter(void **state)
{
    (void)state;
    struct span whole = SPAN("2/ns,15[\"v1\",{\"a\":[1,-2.5e+3,true,null,\"\\u00e9\"],\"b\":{}}]");
    for (size_t n = 0; n < whole.n; n++) {
        struct sio_packet packet;
        const char *why = NULL;
        assert_true(sio_packet_decode(&packet, span_sub(whole, 0, n), &why) < 0);
    }
    struct sio_packet packet;
    const char *why = NULL;
    assert_int_equal(sio_packet_decode(&packet, whole, &why), 0);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * SIO_DEPTH_MAX + 3];
    for (size_t depth = 1; depth <= SIO_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        size_t end = sio_json_end(span_of(text, 2 * depth));
        assert_int_equal(end, depth <= SIO_DEPTH_MAX ? 2 * depth : 0);
    }
}

static void test_json_ends_where_it_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t end;
    } cases[] = {{"1", 1},           {"1,2", 1},   {"-0.5e-7 ", 7},    {" true", 5},
                 {"\"a\\\"b\"x", 6}, {"{} {}", 2}, {"null]", 4},       {"", 0},
                 {" ", 0},           {"]", 0},     {"{\"a\":1 } ", 8}, {"-", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sio_json_end(span_str(cases[i].text)), cases[i].end);
    }
}

static void test_elements(void **state)
{
    (void)state;
    struct span element;
    struct span rest;
    assert_true(sio_array_begin(SPAN(" [ \"v1\" , {\"a\":[1,2]} ,3 ] "), &element, &rest));
    assert_true(span_eq(element, SPAN("\"v1\"")));
    assert_true(sio_array_next(&element, &rest));
    assert_true(span_eq(element, SPAN("{\"a\":[1,2]}")));
    assert_true(sio_array_next(&element, &rest));
    assert_true(span_eq(element, SPAN("3")));
    assert_false(sio_array_next(&element, &rest));
    assert_false(sio_array_begin(SPAN("[]"), &element, &rest));
}

static void assert_encoded(const struct sio_packet *packet, const char *want)
{
    struct buf out;
    buf_init(&out, 256);
    sio_packet_encode(&out, packet);
    assert_true(span_eq(buf_span(&out), span_str(want)));
    buf_release(&out);
}

static void test_writing(void **state)
{
    (void)state;
    assert_encoded(&(struct sio_packet){.type = SIO_CONNECT}, "0");
    assert_encoded(&(struct sio_packet){.type = SIO_ACK, .id = SPAN("12"), .json = SPAN("[{}]")},
                   "312[{}]");
    assert_encoded(
        &(struct sio_packet){.type = SIO_ERROR, .nsp = SPAN("/x"), .json = SPAN("\"no\"")},
        "4/x,\"no\"");
    assert_encoded(&(struct sio_packet){.type = SIO_BINARY_EVENT,
                                        .n_attachments = 2,
                                        .nsp = SPAN("/x"),
                                        .id = SPAN("1"),
                                        .json = SPAN("[\"v1\"]")},
                   "52-/x,1[\"v1\"]");
    assert_encoded(&(struct sio_packet){.type = SIO_EVENT,
                                        .json = SPAN("[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]")},
                   "2[\"\\u00e9\\u20ac\\ud83d\\ude00\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_every_truncation_is_refused_or_shorter),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_json_ends_where_it_ends),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
