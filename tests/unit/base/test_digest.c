#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/ids.h"

#include "base/banned.h"

static const char million[1000000] = {0};

static void assert_sha1(struct span in, const char *want)
{
    uint8_t out[20];
    char hex[41];
    digest_sha1(out, in);
    hex_encode(hex, span_of(out, sizeof out));
    assert_string_equal(hex, want);
}

static void assert_sha256(struct span in, const char *want)
{
    uint8_t out[32];
    char hex[65];
    digest_sha256(out, in);
    hex_encode(hex, span_of(out, sizeof out));
    assert_string_equal(hex, want);
}

/* FIPS 180-2, appendices A and B. */
static void test_sha(void **state)
{
    (void)state;
    static const struct span two_blocks =
        SPAN("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
    assert_sha1(span_of(NULL, 0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_sha1(SPAN("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_sha1(two_blocks, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_sha256(SPAN(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_sha256(SPAN("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_sha256(two_blocks, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_sha256(span_of(million, sizeof million),
                  "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025");
}

static void assert_stream_end(struct digest_stream *s, const char *want)
{
    uint8_t out[20];
    char hex[41];
    digest_stream_end(s, out);
    hex_encode(hex, span_of(out, sizeof out));
    assert_string_equal(hex, want);
}

static void test_stream(void **state)
{
    (void)state;
    static const char abc[] = "a9993e364706816aba3e25717850c26c9cd0d89d";
    struct digest_stream *s = digest_stream_new();
    assert_stream_end(s, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    digest_stream_add(s, SPAN("abc"));
    assert_stream_end(s, abc);
    digest_stream_add(s, SPAN("a"));
    digest_stream_add(s, span_of(NULL, 0));
    digest_stream_add(s, SPAN("bc"));
    assert_stream_end(s, abc);
    for (size_t at = 0; at < sizeof million; at += 1000) {
        digest_stream_add(s, span_of(million + at, 1000));
    }
    uint8_t whole[20];
    char hex[41];
    digest_sha1(whole, span_of(million, sizeof million));
    hex_encode(hex, span_of(whole, sizeof whole));
    assert_stream_end(s, hex);
    digest_stream_free(s);
    digest_stream_free(NULL);
}

/* The SipHash paper, appendix A, and its reference implementation's first vector. */
static void test_siphash(void **state)
{
    (void)state;
    struct siphash_key key;
    uint8_t in[15];
    for (uint8_t i = 0; i < sizeof key.b; i++) {
        key.b[i] = i;
    }
    for (uint8_t i = 0; i < sizeof in; i++) {
        in[i] = i;
    }
    assert_true(digest_siphash(&key, span_of(in, sizeof in)) == UINT64_C(0xa129ca6149be45e5));
    assert_true(digest_siphash(&key, span_of(NULL, 0)) == UINT64_C(0x726fdb47dd0e0e31));
    key.b[0] = 1;
    assert_false(digest_siphash(&key, span_of(NULL, 0)) == UINT64_C(0x726fdb47dd0e0e31));
}

static void test_random(void **state)
{
    (void)state;
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    digest_random(a, sizeof a);
    digest_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void test_random_letters(void **state)
{
    (void)state;
    enum { N = 10000 };
    static char text[N + 1];
    bool seen[256] = {false};
    int n_seen = 0;
    text[N] = 'x';
    digest_random_alnum(text, N);
    assert_int_equal(strlen(text), N);
    for (size_t i = 0; i < N; i++) {
        char c = text[i];
        assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
        n_seen += !seen[(uint8_t)c];
        seen[(uint8_t)c] = true;
    }
    /* One letter missing in 10,000 has a chance below 10^-68. */
    assert_int_equal(n_seen, 62);
    digest_random_alnum(text, 0);
    assert_int_equal(text[0], '\0');
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(digest_equal(SPAN("secret"), SPAN("secret")));
    assert_false(digest_equal(SPAN("secret"), SPAN("secreT")));
    assert_false(digest_equal(SPAN("secret"), SPAN("secre")));
    assert_false(digest_equal(SPAN("secret"), SPAN("")));
    assert_true(digest_equal(SPAN(""), span_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_letters),
        cmocka_unit_test(test_equal),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
