#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/ids.h"
#include "proto/metainfo.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SPAN_INIT(literal)                                                                         \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    } /* of a static one */

enum { TORRENT_FILE_MAX = 16384 };

/* Parts of dictionaries, as they are in sorted order. */
#define HASH        "01234567890123456789"
#define NAME        "4:name1:n"
#define PIECE_LEN   "12:piece lengthi16384e"
#define ONE_PIECE   "6:pieces20:" HASH
#define TWO_PIECES  "6:pieces40:" HASH HASH
#define TAIL        NAME PIECE_LEN ONE_PIECE
#define SINGLE      "6:lengthi5e" TAIL
#define INFO(body)  "d4:infod" body "ee"
#define FILES(body) INFO("5:filesl" body "e" TAIL)
#define FILE5       "d6:lengthi5e4:pathl1:aee"

static ssize_t decode(struct metainfo *out, struct span in, const struct metainfo_limits *lim,
                      const char **why)
{
    *why = NULL;
    memset(out, 0xa5, sizeof *out); /* nothing may depend on what was there */
    ssize_t n = metainfo_decode(out, in, lim, why);
    assert_true(n != 0 && n <= (ssize_t)in.n);
    assert_true((n < 0) == (*why != NULL));
    return n;
}

/* Decodes a valid text; what it borrows is the text. */
static struct metainfo decode_text(const char *text)
{
    struct metainfo m;
    const char *why;
    if (decode(&m, span_str(text), &metainfo_limits_default, &why) != (ssize_t)strlen(text)) {
        fail_msg("%s: %s", text, why);
    }
    return m;
}

/* A file of tests/data/torrents in a block of exactly its size; exact_free it. */
static struct span torrent_file(const char *name)
{
    char path[512];
    uint8_t bytes[TORRENT_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/torrents/%s", TEST_DATA_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    assert_in_range(n, 1, sizeof bytes - 1);
    return exact_copy(span_of(bytes, n));
}

static void assert_info_hash(const struct metainfo *m, const char *expected)
{
    uint8_t hash[20];
    char hex[HEX20_LEN + 1];
    digest_sha1(hash, m->info);
    hex_encode(hex, span_of(hash, sizeof hash));
    assert_string_equal(hex, expected);
}

/* "sub/b.txt 50000 @1000 x": the walk over the files as a line each. */
static void describe_file(char *out, size_t cap, struct metainfo_file *file)
{
    static const char letters[] = "plxh";
    struct wr w = wr_over(out, cap - 1);
    struct span part;
    for (bool first = true; metainfo_strings_next(&file->path, &part); first = false) {
        wr_bytes(&w, first ? SPAN("") : SPAN("/"));
        wr_bytes(&w, part);
    }
    wr_u8(&w, ' ');
    wr_dec(&w, file->len);
    wr_bytes(&w, SPAN(" @"));
    wr_dec(&w, file->offset);
    wr_bytes(&w, file->attr != 0 ? SPAN(" ") : SPAN(""));
    for (size_t i = 0; letters[i] != '\0'; i++) {
        if ((file->attr & 1u << i) != 0) {
            wr_u8(&w, (uint8_t)letters[i]);
        }
    }
    while (metainfo_strings_next(&file->symlink, &part)) {
        wr_bytes(&w, SPAN(" >"));
        wr_bytes(&w, part);
    }
    assert_false(w.bad);
    out[wr_len(&w)] = '\0';
}

/* expected ends with NULL. */
static void assert_files(const struct metainfo *m, const char *const *expected)
{
    struct metainfo_files at = metainfo_files(m);
    struct metainfo_file file;
    uint32_t n = 0;
    for (; metainfo_files_next(&at, &file); n++) {
        char text[256];
        describe_file(text, sizeof text, &file);
        assert_non_null(expected[n]);
        assert_string_equal(text, expected[n]);
    }
    assert_null(expected[n]);
    assert_int_equal(m->n_files, n);
}

static void test_single_file(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why;
    struct span file = torrent_file("hello.torrent");
    assert_int_equal(decode(&m, file, &metainfo_limits_default, &why), 92);
    assert_info_hash(&m, "7b5e918f364908afab937ecdd84059dfb61102b7");
    assert_span(m.name, "hello.txt");
    assert_int_equal(m.piece_len, 16384);
    assert_int_equal(m.n_pieces, 1);
    assert_int_equal(m.pieces.n, 20);
    assert_int_equal(m.total_len, 12);
    assert_false(m.multi_file || m.private || m.hybrid);
    assert_true(m.announce.n == 0 && m.comment.n == 0 && m.created_by.n == 0);
    assert_int_equal(m.creation_date_s, 0);
    assert_files(&m, (const char *const[]){"hello.txt 12 @0", NULL});
    exact_free(file);
}

static void test_several_files(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why;
    struct span file = torrent_file("multi.torrent");
    assert_int_equal(decode(&m, file, &metainfo_limits_default, &why), 276);
    assert_info_hash(&m, "92a63ae0210987f37c3c38ea74645034829c482f");
    assert_span(m.name, "multi");
    assert_int_equal(m.n_pieces, 4);
    assert_int_equal(m.total_len, 51000);
    assert_true(m.multi_file);
    assert_span(m.comment, "c multi");
    assert_span(m.created_by, "mk");
    assert_int_equal(m.creation_date_s, 1700000000);
    assert_files(&m, (const char *const[]){"a.txt 1000 @0", "sub/b.txt 50000 @1000", NULL});
    exact_free(file);
}

static void test_every_truncation_is_malformed(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why;
    struct span file = torrent_file("multi.torrent");
    (void)decode(&m, file, &metainfo_limits_default, &why);
    struct span info = m.info;
    for (size_t n = 0; n < file.n; n++) {
        struct span cut = exact_copy(span_sub(file, 0, n));
        assert_int_equal(decode(&m, cut, &metainfo_limits_default, &why), ERR_MALFORMED);
        exact_free(cut);
    }
    for (size_t n = 0; n < info.n; n++) {
        struct span cut = exact_copy(span_sub(info, 0, n));
        assert_int_equal(metainfo_info_decode(&m, cut, &metainfo_limits_default, &why),
                         ERR_MALFORMED);
        exact_free(cut);
    }
    exact_free(file);
}

static void test_info_alone(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why = NULL;
    const struct span info = SPAN("d" SINGLE "e");
    assert_int_equal(metainfo_info_decode(&m, info, &metainfo_limits_default, &why), info.n);
    assert_true(span_eq(m.info, info));
    assert_span(m.name, "n");
    assert_files(&m, (const char *const[]){"n 5 @0", NULL});
    assert_int_equal(
        metainfo_info_decode(&m, SPAN("d" SINGLE "e "), &metainfo_limits_default, &why),
        ERR_MALFORMED);
    assert_string_equal(why, "info must have nothing behind its dictionary");
}

static void test_what_is_behind_a_file_does_not_matter(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why;
    const char *file = INFO(SINGLE);
    assert_int_equal(decode(&m, SPAN(INFO(SINGLE) "\n"), &metainfo_limits_default, &why),
                     strlen(file));
}

struct refusal {
    const char *text;
    const char *why;
};

static const struct refusal refusals[] = {
    {"<html>", "not a bencoded value"},
    {"le", "a torrent must be a bencoded dictionary"},
    {"4:spam", "a torrent must be a bencoded dictionary"},
    {"de", "info must be a dictionary"},
    {"d4:infolee", "info must be a dictionary"},
    {"d4:info4:spame", "info must be a dictionary"},
    {"d4:infod" SINGLE "e4:infod" SINGLE "ee", "info must not be there twice"},

    {INFO(""), "name must be a string"},
    {INFO("6:lengthi5e" PIECE_LEN ONE_PIECE), "name must be a string"},
    {INFO("6:lengthi5e4:namei1e" PIECE_LEN ONE_PIECE), "name must be a string"},
    {INFO("6:lengthi5e" NAME NAME PIECE_LEN ONE_PIECE), "name must not be there twice"},
    {INFO("6:lengthi5e" NAME "10:name.utf-8le" PIECE_LEN ONE_PIECE), "name.utf-8 must be a string"},

    {INFO("6:lengthi5e" NAME ONE_PIECE), "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME "12:piece length5:16384" ONE_PIECE), "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME "12:piece lengthi0e" ONE_PIECE), "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME "12:piece lengthi-1e" ONE_PIECE), "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME "12:piece lengthi536870913e" ONE_PIECE),
     "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME "12:piece lengthi18446744073709551617e" ONE_PIECE),
     "piece length must be 1 to 2^29"},
    {INFO("6:lengthi5e" NAME PIECE_LEN PIECE_LEN ONE_PIECE),
     "piece length must not be there twice"},

    {INFO("6:lengthi5e" NAME PIECE_LEN), "pieces must be a string of 20 bytes a piece"},
    {INFO("6:lengthi5e" NAME PIECE_LEN "6:piecesle"),
     "pieces must be a string of 20 bytes a piece"},
    {INFO("6:lengthi5e" NAME PIECE_LEN "6:pieces19:0123456789012345678"),
     "pieces must be a string of 20 bytes a piece"},
    {INFO("6:lengthi5e" NAME PIECE_LEN "6:pieces21:" HASH "x"),
     "pieces must be a string of 20 bytes a piece"},
    {INFO("6:lengthi5e" NAME PIECE_LEN "6:pieces0:"),
     "pieces must have one hash for each piece of the length"},
    {INFO("6:lengthi16385e" TAIL), "pieces must have one hash for each piece of the length"},
    {INFO("6:lengthi16384e" NAME PIECE_LEN TWO_PIECES),
     "pieces must have one hash for each piece of the length"},
    {INFO("6:lengthi1125899906842624e" TAIL),
     "pieces must have one hash for each piece of the length"},

    {INFO(TAIL), "info must have either length or files"},
    {INFO("5:filesl" FILE5 "e" SINGLE), "info must have either length or files"},
    {INFO("6:lengthi0e" TAIL), "length of all files together must not be 0"},
    {INFO("6:lengthi0e" NAME PIECE_LEN "6:pieces0:"), "length of all files together must not be 0"},
    {INFO("6:lengthi-1e" TAIL), "length must be 0 to 2^63 - 1"},
    {INFO("6:lengthi9223372036854775808e" TAIL), "length must be 0 to 2^63 - 1"},
    {INFO("6:length1:5" TAIL), "length must be a number of bytes"},
    {INFO("6:lengthi5e" SINGLE), "length must not be there twice"},
    {INFO("4:attr1:l" SINGLE), "length of a symlink must be 0"},
    {INFO("4:attri1e" SINGLE), "attr must be a string"},
    {INFO(SINGLE "7:private1:1"), "private must be a number"},
    {INFO(SINGLE "7:privatei0e7:privatei1e"), "private must not be there twice"},
    {INFO("12:meta versioni2e" NAME PIECE_LEN), "meta version must be 1, or the torrent a hybrid"},
    {INFO("12:meta versioni3e" NAME PIECE_LEN), "meta version must be 1, or the torrent a hybrid"},
    {INFO("6:lengthi5e12:meta version1:2" TAIL), "meta version must be a number"},

    {FILES(""), "files must not be empty"},
    {INFO("5:filesd"
          "1:a" FILE5 "e" TAIL),
     "files must be a list of dictionaries"},
    {FILES("i1e"), "files must be a list of dictionaries"},
    {FILES(FILE5 "le"), "files must be a list of dictionaries"},
    {INFO("5:filesl" FILE5 "e5:filesl" FILE5 "e" TAIL), "files must not be there twice"},
    {FILES("d6:lengthi0e4:pathl1:aee"), "length of all files together must not be 0"},
    {FILES("d4:pathl1:aee"), "length must be 0 to 2^63 - 1"},
    {FILES("d6:lengthi-1e4:pathl1:aee"), "length must be 0 to 2^63 - 1"},
    {FILES("d6:lengthi9223372036854775808e4:pathl1:aee"), "length must be 0 to 2^63 - 1"},
    {FILES("d6:length1:54:pathl1:aee"), "length must be a number of bytes"},
    {FILES("d6:lengthi5e6:lengthi6e4:pathl1:aee"), "length must not be there twice"},
    {FILES("d4:attr1:l6:lengthi5e4:pathl1:aee"), "length of a symlink must be 0"},
    {FILES("d4:attrle6:lengthi5e4:pathl1:aee"), "attr must be a string"},
    {FILES("d6:lengthi5ee"), "path must have at least one part"},
    {FILES("d6:lengthi5e4:pathlee"), "path must have at least one part"},
    {FILES("d6:lengthi5e4:path1:ae"), "path must be a list of strings"},
    {FILES("d6:lengthi5e4:pathli1eee"), "path must be a list of strings"},
    {FILES("d6:lengthi5e4:pathl1:aleee"), "path must be a list of strings"},
    {FILES("d6:lengthi5e4:pathl1:ae4:pathl1:bee"), "path must not be there twice"},
    {FILES("d6:lengthi5e4:pathl1:ae10:path.utf-8i1ee"), "path.utf-8 must be a list of strings"},
    {FILES(FILE5 "d4:attr1:l4:pathl1:be12:symlink path1:ae"),
     "symlink path must be a list of strings"},
    {FILES(FILE5 "d4:attr1:l4:pathl1:be12:symlink pathli1eee"), "path must be a list of strings"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct metainfo m;
        const char *why;
        struct span copy = exact_copy(span_str(refusals[i].text));
        ssize_t n = decode(&m, copy, &metainfo_limits_default, &why);
        if (n != ERR_MALFORMED || strcmp(why, refusals[i].why) != 0) {
            fail_msg("%s: %d %s", refusals[i].text, (int)n, n < 0 ? why : "");
        }
        exact_free(copy);
    }
}

static void test_tolerated(void **state)
{
    (void)state;
    static const char *const rows[] = {
        INFO(SINGLE),
        INFO(ONE_PIECE PIECE_LEN NAME "6:lengthi5e"), /* not sorted */
        "d4:infod" SINGLE "e8:announce3:u:/e",
        INFO("6:lengthi005e" TAIL), /* not canonical */
        INFO("6:lengthi5e" NAME "12:piece lengthi536870912e" ONE_PIECE),
        INFO("6:lengthi5e" NAME "12:piece lengthi5e" ONE_PIECE),
        INFO("6:lengthi16384e" TAIL),
        INFO("6:lengthi16385e" NAME PIECE_LEN TWO_PIECES),
        INFO("6:lengthi5e4:name0:" PIECE_LEN ONE_PIECE),
        INFO("6:lengthi5e4:name8:../../\xff\n" PIECE_LEN ONE_PIECE),
        INFO("6:lengthi5e10:name.utf-81:n" PIECE_LEN ONE_PIECE),
        INFO(SINGLE "7:unknownd1:a1:be7:unknownle"),
        INFO("12:meta versioni1e" SINGLE),
        FILES("d6:lengthi5e4:pathl0:2:..1:/ee"),
        FILES("d6:lengthi5e10:path.utf-8l1:aee"),
        FILES(FILE5 FILE5),
        FILES(FILE5 "d4:attr1:l6:lengthi0e4:pathl1:bee"),
        FILES("d6:lengthi0e4:pathl1:bee" FILE5),
        "d8:announcei1e13:announce-list1:x7:commentle10:created byi1e13:creation date4:then"
        "4:infod" SINGLE "e8:url-listi1ee",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)decode_text(rows[i]);
    }
}

static void test_odd_texts_count_as_absent(void **state)
{
    (void)state;
    struct metainfo m = decode_text("d8:announcei1e7:commentle7:comment1:c10:created byi1e"
                                    "13:creation date4:then4:infod" SINGLE "e8:url-listi1ee");
    struct metainfo_strings seeds = metainfo_web_seeds(&m);
    struct span url;
    assert_int_equal(m.announce.n, 0);
    assert_span(m.comment, "c");
    assert_int_equal(m.created_by.n, 0);
    assert_int_equal(m.creation_date_s, 0);
    assert_false(metainfo_strings_next(&seeds, &url));
    m = decode_text("d7:comment1:a7:comment1:b13:creation datei-1e4:infod" SINGLE "ee");
    assert_span(m.comment, "a");
    assert_int_equal(m.creation_date_s, -1);
}

static void test_flags(void **state)
{
    (void)state;
    assert_true(decode_text(INFO(SINGLE "7:privatei1e")).private);
    assert_true(decode_text(INFO(SINGLE "7:privatei2e")).private);
    assert_true(decode_text(INFO(SINGLE "7:privatei99999999999999999999e")).private);
    assert_false(decode_text(INFO(SINGLE "7:privatei0e")).private);
    assert_false(decode_text("d4:infod" SINGLE "e7:privatei1ee").private);
    assert_true(decode_text(INFO("12:meta versioni2e" SINGLE)).hybrid);
    assert_false(decode_text(INFO("12:meta versioni1e" SINGLE)).hybrid);
    assert_true(decode_text(FILES(FILE5)).multi_file);
}

static void test_files_with_attributes(void **state)
{
    (void)state;
    struct metainfo m =
        decode_text(FILES("d6:lengthi3e4:pathl1:d1:aee"
                          "d4:attr1:p6:lengthi5e4:pathl4:.pad1:5ee"
                          "d4:attr2:hx6:lengthi7e4:pathl3:bade10:path.utf-8l2:\xc3\xa9"
                          "1:bee"
                          "d4:attr1:l4:pathl1:le12:symlink pathl1:d1:aee"
                          "d4:attr2:lz6:lengthi0e4:pathl1:mee"));
    assert_files(&m, (const char *const[]){"d/a 3 @0", ".pad/5 5 @3 p", "\xc3\xa9/b 7 @8 xh",
                                           "l 0 @15 l >d >a", "m 0 @15 l", NULL});
    assert_int_equal(m.total_len, 15);
    m = decode_text(INFO("4:attr1:x" SINGLE));
    assert_files(&m, (const char *const[]){"n 5 @0 x", NULL});
    m = decode_text(INFO("6:lengthi5e" NAME "10:name.utf-82:\xc3\xa9" PIECE_LEN ONE_PIECE));
    assert_span(m.name, "\xc3\xa9");
    assert_files(&m, (const char *const[]){"\xc3\xa9 5 @0", NULL});
    m = decode_text(INFO("6:lengthi5e" NAME "10:name.utf-80:" PIECE_LEN ONE_PIECE));
    assert_span(m.name, "n");
}

static void test_trackers(void **state)
{
    (void)state;
    static const struct {
        const char *outer; /* in front of info */
        const char *expected;
    } rows[] = {
        {"", ""},
        {"8:announce1:a", "0:a "},
        {"8:announce0:", ""},
        {"8:announce1:a13:announce-listll1:bee", "0:b "},
        {"13:announce-listll1:a1:bel1:cee", "0:a 0:b 1:c "},
        {"8:announce1:a13:announce-listle", "0:a "},
        {"8:announce1:a13:announce-listllee", "0:a "},
        {"8:announce1:a13:announce-listll0:ee", "0:a "},
        {"13:announce-listllel1:aelel0:el1:b0:1:cee", "0:a 1:b 1:c "},
        {"13:announce-listl1:a1:be", "0:a 1:b "},
        {"13:announce-listl1:al1:b1:cee", "0:a 1:b 1:c "},
        {"13:announce-listli1el1:ai2el1:xe1:bed1:c1:dee", "0:a 0:b "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[512];
        uint8_t seen[128];
        struct wr w = wr_over(seen, sizeof seen);
        struct span url;
        uint32_t tier;
        (void)snprintf(text, sizeof text, "d%s4:infod" SINGLE "ee", rows[i].outer);
        struct metainfo m = decode_text(text);
        struct metainfo_trackers at = metainfo_trackers(&m);
        while (metainfo_trackers_next(&at, &url, &tier)) {
            wr_dec(&w, tier);
            wr_u8(&w, ':');
            wr_bytes(&w, url);
            wr_u8(&w, ' ');
        }
        assert_false(metainfo_trackers_next(&at, &url, &tier));
        assert_span(wr_span(&w), rows[i].expected);
    }
}

static void test_web_seeds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected;
    } rows[] = {
        {"d4:infod" SINGLE "e8:url-list1:ae", "a"},
        {"d4:infod" SINGLE "e8:url-list0:e", ""},
        {"d4:infod" SINGLE "e8:url-listl1:a0:1:bi1eee", "ab"},
        {INFO(SINGLE), ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t seen[16];
        struct wr w = wr_over(seen, sizeof seen);
        struct metainfo m = decode_text(rows[i].text);
        struct metainfo_strings at = metainfo_web_seeds(&m);
        struct span url;
        while (metainfo_strings_next(&at, &url)) {
            wr_bytes(&w, url);
        }
        assert_span(wr_span(&w), rows[i].expected);
    }
}

/* Each limit as tight as it can be, and then one less. */
static void test_limits_at_and_behind_the_edge(void **state)
{
    (void)state;
    static const char text[] =
        "d13:announce-listll1:a6:tenderee7:comment6:remark10:created by6:writer"
        "4:infod5:filesld6:lengthi20000e4:pathl3:dir4:fileeed6:lengthi1e4:pathl1:aeee"
        "4:name3:foo" PIECE_LEN TWO_PIECES "e8:url-listl1:a1:bee";
    const struct metainfo_limits exact = {
        .len_max = sizeof text - 1,
        .items_max = 37,
        .depth_max = 5,
        .pieces_max = 2,
        .files_max = 2,
        .total_len_max = 20001,
        .name_len_max = 4,
        .path_parts_max = 2,
        .urls_max = 2,
        .text_len_max = 6,
    };
    static const char *const whys[] = {
        "bencoded value is too long",
        "bencoded value has too many items",
        "bencoded value is nested too deeply",
        "pieces has too many pieces",
        "files has too many files",
        "length of all files together is too large",
        "path has a part that is too long",
        "path has too many parts",
        "announce-list has too many URLs, or one that is too long",
        "comment is too long",
    };
    struct metainfo m;
    const char *why;
    assert_int_equal(decode(&m, span_str(text), &exact, &why), sizeof text - 1);
    for (size_t i = 0; i < COUNT(whys); i++) {
        struct metainfo_limits less = exact;
        less.len_max -= i == 0;
        less.items_max -= i == 1;
        less.depth_max -= i == 2;
        less.pieces_max -= i == 3;
        less.files_max -= i == 4;
        less.total_len_max -= i == 5;
        less.name_len_max -= i == 6;
        less.path_parts_max -= i == 7;
        less.urls_max -= i == 8;
        less.text_len_max -= i == 9;
        if (decode(&m, span_str(text), &less, &why) != ERR_LIMIT || strcmp(why, whys[i]) != 0) {
            fail_msg("%s, not: %s", why, whys[i]);
        }
    }
}

static void test_limits_of_each_text(void **state)
{
    (void)state;
    static const char urls[] = "announce-list has too many URLs, or one that is too long";
    static const char seeds[] = "url-list has too many URLs, or one that is too long";
    const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"d8:announce7:12345674:infod" SINGLE "ee", "announce is too long"},
        {"d8:announce7:123456713:announce-listll1:aee4:infod" SINGLE "ee", "announce is too long"},
        {"d13:announce-listll7:1234567ee4:infod" SINGLE "ee", urls},
        {"d13:announce-listll1:a1:bel1:cee4:infod" SINGLE "ee", urls},
        {"d10:created by7:12345674:infod" SINGLE "ee", "created by is too long"},
        {"d4:infod" SINGLE "e8:url-list7:1234567e", seeds},
        {"d4:infod" SINGLE "e8:url-listl1:a1:b1:cee", seeds},
        {INFO("6:lengthi5e4:name7:1234567" PIECE_LEN ONE_PIECE), "name is too long"},
        {INFO("6:lengthi101e" TAIL), "length is too large"},
        {FILES(FILE5 "d4:attr1:l4:pathl1:be12:symlink pathl7:1234567ee"),
         "path has a part that is too long"},
        {FILES(FILE5 "d4:attr1:l4:pathl1:be12:symlink pathl1:a1:a1:aee"),
         "path has too many parts"},
    };
    struct metainfo_limits lim = metainfo_limits_default;
    lim.text_len_max = 6;
    lim.name_len_max = 6;
    lim.path_parts_max = 2;
    lim.urls_max = 2;
    lim.total_len_max = 100;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct metainfo m;
        const char *why;
        if (decode(&m, span_str(rows[i].text), &lim, &why) != ERR_LIMIT ||
            strcmp(why, rows[i].why) != 0) {
            fail_msg("%s: %s", rows[i].text, why);
        }
    }
}

static void test_lengths_that_overflow(void **state)
{
    (void)state;
#define HUGE_FILE "d6:lengthi9223372036854775807e4:pathl1:aee"
    struct metainfo_limits lim = metainfo_limits_default;
    struct metainfo m;
    const char *why;
    lim.total_len_max = UINT64_MAX;
    assert_int_equal(decode(&m, SPAN(FILES(HUGE_FILE HUGE_FILE HUGE_FILE)), &lim, &why), ERR_LIMIT);
    assert_string_equal(why, "length of all files together is too large");
    assert_int_equal(decode(&m, SPAN(FILES(HUGE_FILE HUGE_FILE)), &lim, &why), ERR_MALFORMED);
    assert_string_equal(why, "pieces must have one hash for each piece of the length");
    assert_int_equal(decode(&m, SPAN(FILES(HUGE_FILE)), &metainfo_limits_default, &why), ERR_LIMIT);
}

/* What other programs make of files. */
static void test_torrents_of_other_programs(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *hash;
        uint32_t n_files;
        uint32_t n_pieces;
        uint64_t total_len;
        bool private;
        bool hybrid;
    } rows[] = {
        {"attributes.torrent", "df18230bac82b9225291448ad490b937bdc975ec", 5, 4, 51020, false,
         false},
        {"hybrid.torrent", "6610d4fb17c7c9f91f9a9b811abaf2e1d85d6484", 9, 10, 163840, false, true},
        {"mktorrent.torrent", "40549231bb4e2c16d649cc9e3d51950a430a9783", 5, 4, 101020, true,
         false},
        {"padded.torrent", "c80061466d0ef188d2998274c0a5f7a2018e4852", 9, 10, 163840, false, false},
        {"transmission.torrent", "e496ac00fd64d6c057ceddea931479ab9b550015", 4, 4, 101020, true,
         false},
        {"unicode.torrent", "51a6f5859629b5358be1c516d09b43b7f1d79c9f", 2, 2, 16417, true, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct metainfo m;
        struct metainfo alone;
        const char *why;
        struct span file = torrent_file(rows[i].file);
        if (decode(&m, file, &metainfo_limits_default, &why) != (ssize_t)file.n) {
            fail_msg("%s: %s", rows[i].file, why);
        }
        assert_info_hash(&m, rows[i].hash);
        assert_int_equal(m.n_files, rows[i].n_files);
        assert_int_equal(m.n_pieces, rows[i].n_pieces);
        assert_int_equal(m.total_len, rows[i].total_len);
        assert_true(m.private == rows[i].private && m.hybrid == rows[i].hybrid);
        assert_int_equal(metainfo_info_decode(&alone, m.info, &metainfo_limits_default, &why),
                         m.info.n);
        assert_true(alone.n_files == m.n_files && alone.info.p == m.info.p);
        exact_free(file);
    }
}

static void test_version_2_alone_is_refused(void **state)
{
    (void)state;
    struct metainfo m;
    const char *why;
    struct span file = torrent_file("v2_only.torrent");
    assert_int_equal(decode(&m, file, &metainfo_limits_default, &why), ERR_MALFORMED);
    assert_string_equal(why, "meta version must be 1, or the torrent a hybrid");
    exact_free(file);
}

/* What is encoded, measured first and then written into exactly that much room. */
static struct span encode(const struct metainfo_source *src, struct metainfo_encoded *done)
{
    struct metainfo_encoded expected = metainfo_measure(src);
    uint8_t *p = malloc(expected.len);
    assert_non_null(p);
    struct wr w = wr_over(p, expected.len);
    *done = metainfo_encode(&w, src);
    assert_false(w.bad);
    assert_int_equal(wr_len(&w), expected.len);
    assert_memory_equal(done, &expected, sizeof expected);
    return wr_span(&w);
}

static void test_encode_gives_the_bytes_of_others(void **state)
{
    (void)state;
    static const struct metainfo_source_file files[] = {{SPAN_INIT("a.txt"), 1000},
                                                        {SPAN_INIT("sub/b.txt"), 50000}};
    struct metainfo m;
    const char *why;
    for (int i = 0; i < 2; i++) {
        struct span file = torrent_file(i == 0 ? "hello.torrent" : "multi.torrent");
        (void)decode(&m, file, &metainfo_limits_default, &why);
        struct metainfo_source src = {
            .name = m.name,
            .files = files,
            .n_files = i == 0 ? 0 : 2,
            .single_len = m.total_len,
            .piece_len = m.piece_len,
            .pieces = m.pieces,
            .comment = m.comment,
            .created_by = m.created_by,
            .creation_date_s = m.creation_date_s,
        };
        struct metainfo_encoded done;
        struct span made = encode(&src, &done);
        assert_true(span_eq(made, file));
        assert_true(span_eq(span_sub(made, done.info_at, done.info_len), m.info));
        exact_free(made);
        exact_free(file);
    }
}

static void test_encode_everything(void **state)
{
    (void)state;
    static const struct metainfo_source_file file = {SPAN_INIT("d/e/f"), 5};
    static const struct metainfo_source_tracker trackers[] = {
        {SPAN_INIT("a:1"), 0}, {SPAN_INIT("b:2"), 0}, {SPAN_INIT("c:3"), 7}};
    struct metainfo_source src = {
        .name = SPAN("n"),
        .files = &file,
        .n_files = 1,
        .piece_len = 16384,
        .pieces = SPAN(HASH),
        .private = true,
        .trackers = trackers,
        .n_trackers = 3,
        .comment = SPAN("c"),
        .created_by = SPAN("b"),
        .creation_date_s = 1,
    };
    struct metainfo_encoded done;
    struct span made = encode(&src, &done);
    assert_span(made, "d8:announce3:a:113:announce-listll3:a:13:b:2el3:c:3ee7:comment1:c"
                      "10:created by1:b13:creation datei1e4:infod5:filesld6:lengthi5e"
                      "4:pathl1:d1:e1:feee" TAIL "7:privatei1eee");
    exact_free(made);

    src = (struct metainfo_source){.name = SPAN("n"),
                                   .single_len = 5,
                                   .piece_len = 16384,
                                   .pieces = SPAN(HASH),
                                   .trackers = trackers,
                                   .n_trackers = 1};
    made = encode(&src, &done);
    assert_span(made, "d8:announce3:a:14:infod" SINGLE "ee");
    exact_free(made);
}

static void test_encode_into_too_little_room(void **state)
{
    (void)state;
    struct metainfo_source src = {
        .name = SPAN("n"), .single_len = 5, .piece_len = 16384, .pieces = SPAN(HASH)};
    struct metainfo_encoded all = metainfo_measure(&src);
    for (size_t n = 0; n < all.len; n++) {
        uint8_t *p = malloc(n + 1);
        struct wr w = wr_over(p, n);
        assert_int_equal(metainfo_encode(&w, &src).len, all.len);
        assert_true(w.bad);
        free(p);
    }
}

static void test_piece_length_by_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t total_len;
        uint32_t piece_len;
    } rows[] = {
        {0, 16 << 10},
        {1, 16 << 10},
        {2048u * (16 << 10), 16 << 10},
        {2048u * (16 << 10) + 1, 32 << 10},
        {UINT64_C(1) << 30, 512 << 10},
        {(UINT64_C(1) << 30) + 1, 1 << 20},
        {UINT64_C(2048) * (16 << 20), 16 << 20},
        {UINT64_C(2048) * (16 << 20) + 1, 16 << 20},
        {UINT64_MAX, 16 << 20},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(metainfo_piece_len_for(rows[i].total_len), rows[i].piece_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_file),
        cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_every_truncation_is_malformed),
        cmocka_unit_test(test_info_alone),
        cmocka_unit_test(test_what_is_behind_a_file_does_not_matter),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tolerated),
        cmocka_unit_test(test_odd_texts_count_as_absent),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_files_with_attributes),
        cmocka_unit_test(test_trackers),
        cmocka_unit_test(test_web_seeds),
        cmocka_unit_test(test_limits_at_and_behind_the_edge),
        cmocka_unit_test(test_limits_of_each_text),
        cmocka_unit_test(test_lengths_that_overflow),
        cmocka_unit_test(test_torrents_of_other_programs),
        cmocka_unit_test(test_version_2_alone_is_refused),
        cmocka_unit_test(test_encode_gives_the_bytes_of_others),
        cmocka_unit_test(test_encode_everything),
        cmocka_unit_test(test_encode_into_too_little_room),
        cmocka_unit_test(test_piece_length_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
