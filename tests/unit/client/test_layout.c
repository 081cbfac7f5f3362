/* Which names files get, whatever a torrent says, and where the bytes of its content are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "unit/client/layout_fixture.h"

#include "base/banned.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { FIXTURE_PIECE_LEN = 16384 };

/* ---- the rules of layout.h, checked from outside ---------------------------------------------- */

static void check_part(struct span part)
{
    assert_true(part.n > 0 && part.n <= LAYOUT_PART_MAX);
    assert_false(span_eq(part, SPAN(".")));
    assert_false(span_eq(part, SPAN("..")));
    for (size_t i = 0, n; i < part.n; i += n) {
        n = utf8_sequence_len(span_sub(part, i, part.n));
        assert_true(n > 0);
        assert_true(part.p[i] >= 0x20 && part.p[i] != 0x7f);
    }
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* No two paths are equal, and none is a folder of another, case ignored. */
static void check_apart(const struct layout *l)
{
    char **low = mem_array(l->n_files, sizeof *low);
    for (uint32_t i = 0; i < l->n_files; i++) {
        low[i] = mem_strndup(l->files[i].path, strlen(l->files[i].path));
        for (char *c = low[i]; *c != '\0'; c++) {
            *c = *c == '/' ? '\1' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        }
    }
    qsort(low, l->n_files, sizeof *low, compare_text);
    for (uint32_t i = 1; i < l->n_files; i++) {
        size_t n = strlen(low[i - 1]);
        assert_false(strncmp(low[i - 1], low[i], n) == 0 &&
                     (low[i][n] == '\0' || low[i][n] == '\1'));
    }
    for (uint32_t i = 0; i < l->n_files; i++) {
        free(low[i]);
    }
    free(low);
}

static void check_layout(const struct layout *l)
{
    uint64_t offset = 0;
    uint64_t pad_len = 0;
    for (uint32_t i = 0; i < l->n_files; i++) {
        const struct layout_file *f = &l->files[i];
        struct span rest = span_str(f->path);
        assert_int_equal(f->offset, offset);
        offset += f->len;
        pad_len += (f->attr & METAINFO_PAD) != 0 ? f->len : 0;
        if (l->multi_file) {
            assert_true(span_eq(span_cut(rest, '/', &rest), span_str(l->name)));
        } else {
            assert_string_equal(f->path, l->name);
        }
        check_part(span_str(l->name));
        for (bool more = true; more;) {
            more = span_find(rest, '/') < rest.n;
            check_part(span_cut(rest, '/', &rest));
        }
    }
    assert_int_equal(offset, l->total_len);
    assert_int_equal(pad_len, l->pad_len);
    assert_int_equal((uint64_t)(l->geometry.n_pieces - 1) * l->geometry.piece_len +
                         l->geometry.last_piece_len,
                     l->total_len);
    check_apart(l);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void check_name(struct span said, const char *name)
{
    struct layout *l = fixture_single(said, 5, FIXTURE_PIECE_LEN);
    check_layout(l);
    assert_string_equal(l->name, name);
    assert_int_equal(l->n_files, 1);
    layout_free(l);
}

static void a_single_name_is_made_safe(void **state)
{
    static const struct {
        const char *said;
        const char *name;
    } rows[] = {
        {"a.txt", "a.txt"},
        {"/tmp/randomfile", "tmprandomfile"},
        {"../../etc/passwd", "....etcpasswd"},
        {"a\\b", "ab"},
        {"..", FIXTURE_HASH_HEX},
        {".", FIXTURE_HASH_HEX},
        {"", FIXTURE_HASH_HEX},
        {"/", FIXTURE_HASH_HEX},
        {"/../", FIXTURE_HASH_HEX},
        {"./.", FIXTURE_HASH_HEX}, /* ".." once its separator is gone */
        {"...", "..."},
        {".hidden", ".hidden"},
        {"a\x01\x1f\x7f"
         "b\n",
         "a___b_"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"gr\xfc\xdf", "gr__"},       /* Latin 1 */
        {"\xc0\xae\xc0\xae", "____"}, /* dots in an overlong form */
        {"\xe2\x82", "__"},           /* a character that is cut off */
        {"\xed\xa0\x80", "___"},      /* half of a surrogate pair */
        {"\xf0\x9f\x8e\xb5", "\xf0\x9f\x8e\xb5"},
        {" a ", " a "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_name(span_str(rows[i].said), rows[i].name);
    }
    check_name(SPAN("a\0b"), "a_b");
    check_name(SPAN("\0"), "_");
    check_name(SPAN("a\0/../b"), "a_..b");
}

static void long_names_keep_their_extension(void **state)
{
    char said[1024];
    char name[LAYOUT_PART_MAX + 1];
    (void)state;
    memset(said, 'n', 1000);
    memcpy(said + 996, ".mkv", 4);
    memset(name, 'n', LAYOUT_PART_MAX);
    memcpy(name + LAYOUT_PART_MAX - 4, ".mkv", 5);
    check_name(span_of(said, 1000), name);

    said[996] = 'n'; /* no extension */
    memset(name, 'n', LAYOUT_PART_MAX);
    check_name(span_of(said, 996), name);

    memcpy(said + 10, ".", 1); /* one that is too long to be meant */
    name[10] = '.';
    check_name(span_of(said, 996), name);

    /* Exactly as long as may be, and one more. */
    memset(said, 'e', sizeof said);
    memset(name, 'e', LAYOUT_PART_MAX);
    check_name(span_of(said, LAYOUT_PART_MAX), name);
    check_name(span_of(said, LAYOUT_PART_MAX + 1), name);

    /* Characters of three bytes are not cut in two: 78 of them are 234 bytes, and ".flac" is 5. */
    for (size_t i = 0; i + 3 <= 900; i += 3) {
        memcpy(said + i, "\xe2\x82\xac", 3);
    }
    memcpy(said + 900, ".flac", 5);
    memcpy(name, said, 234);
    memcpy(name + 234, ".flac", 6);
    check_name(span_of(said, 905), name);
}

static void check_paths(const char *name, const struct fixture_file *files,
                        const char *const *paths, size_t n)
{
    struct layout *l = fixture_layout(name, files, n, FIXTURE_PIECE_LEN);
    check_layout(l);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(l->files[i].path, paths[i]);
    }
    layout_free(l);
}

static void paths_begin_with_the_name(void **state)
{
    static const struct fixture_file files[] = {
        {"a.txt", 3, NULL},      {"sub|b.txt", 4, NULL}, {"..|..|etc|passwd", 1, NULL},
        {"|x||y|", 1, NULL},     {"..", 1, NULL},        {".|/|\\", 1, NULL},
        {"/abs|/file", 1, NULL}, {"sub|..|c", 1, NULL},
    };
    static const char *const paths[] = {
        "multi/a.txt",
        "multi/sub/b.txt",
        "multi/etc/passwd",
        "multi/x/y",
        "multi/" FIXTURE_HASH_HEX,
        "multi/" FIXTURE_HASH_HEX " (2)",
        "multi/abs/file",
        "multi/sub/c",
    };
    (void)state;
    check_paths("multi", files, paths, COUNT(files));
    struct layout *l = fixture_layout("../..", files, COUNT(files), FIXTURE_PIECE_LEN);
    assert_string_equal(l->name, "....");
    layout_free(l);
    l = fixture_layout("..", files, COUNT(files), FIXTURE_PIECE_LEN);
    assert_string_equal(l->name, FIXTURE_HASH_HEX);
    assert_string_equal(l->files[0].path, FIXTURE_HASH_HEX "/a.txt");
    check_layout(l);
    layout_free(l);
}

static void twins_get_numbers(void **state)
{
    static const struct fixture_file files[] = {
        {"a.txt", 1, NULL},     {"A.TXT", 1, NULL},  {"a.txt", 1, NULL},  {"a (2).txt", 1, NULL},
        {"A (4).Txt", 1, NULL}, {"a.txt", 1, NULL},  {"d|x", 1, NULL},    {"D|X", 1, NULL},
        {".rc", 1, NULL},       {".RC", 1, NULL},    {"no", 1, NULL},     {"NO", 1, NULL},
        {"e|no", 1, NULL},      {"tar.gz", 1, NULL}, {"Tar.gz", 1, NULL},
    };
    static const char *const paths[] = {
        "m/a.txt",     "m/A (3).TXT", "m/a (5).txt", "m/a (2).txt", "m/A (4).Txt",
        "m/a (6).txt", "m/d/x",       "m/D/X (2)",   "m/.rc",       "m/.RC (2)",
        "m/no",        "m/NO (2)",    "m/e/no",      "m/tar.gz",    "m/Tar (2).gz",
    };
    (void)state;
    check_paths("m", files, paths, COUNT(files));
}

static void a_file_gives_way_to_a_folder(void **state)
{
    static const struct fixture_file files[] = {
        {"a", 1, NULL},         {"a|b", 1, NULL},   {"A", 1, NULL},
        {"a|b|c", 1, NULL},     {"x.d|y", 1, NULL}, {"X.D", 1, NULL},
        {"x (2).d|z", 1, NULL}, {"a b", 1, NULL},   {"a!", 1, NULL},
    };
    static const char *const paths[] = {
        "m/a (2)",   "m/a/b (2)",   "m/A (3)", "m/a/b/c", "m/x.d/y",
        "m/X (3).D", "m/x (2).d/z", "m/a b",   "m/a!",
    };
    (void)state;
    check_paths("m", files, paths, COUNT(files));
}

/* What is on no disk never takes a name from what is. */
static void pads_and_links_come_last(void **state)
{
    static const struct fixture_file files[] = {
        {".pad|1", 1, "p"}, {"a", 0, "l"},  {"a", 7, NULL},
        {".pad|1", 9, "p"}, {"x", 2, "hx"}, {"x", 3, "p"},
    };
    static const char *const paths[] = {
        "m/.pad/1", "m/a (2)", "m/a", "m/.pad/1 (2)", "m/x", "m/x (2)",
    };
    static const bool stored[] = {false, false, true, false, true, false};
    (void)state;
    check_paths("m", files, paths, COUNT(files));
    struct layout *l = fixture_layout("m", files, COUNT(files), FIXTURE_PIECE_LEN);
    assert_int_equal(l->pad_len, 1 + 9 + 3);
    for (size_t i = 0; i < COUNT(files); i++) {
        assert_int_equal(layout_is_stored(&l->files[i]), stored[i]);
    }
    layout_free(l);
}

/* Names that are equal once they are cut for a number must not be tried again and again. */
static void add_many(struct buf *b, uint32_t n, int kind)
{
    char path[300];
    for (uint32_t i = 0; i < n; i++) {
        int len = 0;
        if (kind == 0) { /* a usual torrent */
            len = snprintf(path, sizeof path, "disc %u|track %u.flac", i / 20, i % 20);
        } else if (kind == 1) { /* one name */
            len = snprintf(path, sizeof path, "%s", i % 2 == 0 ? "same.txt" : "SAME.TXT");
        } else if (kind == 2) { /* pairs that differ where they are cut */
            len = snprintf(path, sizeof path, "%0236u%04x", 0, i / 2);
        } else { /* a folder has the name of each file */
            len = snprintf(path, sizeof path, i % 2 == 0 ? "n%u" : "n%u|x", i / 2);
        }
        fixture_add_file(b, span_of(path, (size_t)len), 1, NULL);
    }
}

static void a_hundred_thousand_files_take_no_time(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        const uint32_t n = kind == 1 ? 100000 : 20000;
        struct buf b;
        buf_init(&b, SIZE_MAX);
        buf_add_str(&b, "d5:filesl");
        add_many(&b, n, kind);
        buf_add_byte(&b, 'e');
        fixture_add_tail(&b, SPAN("many"), FIXTURE_PIECE_LEN, n);
        struct layout *l = fixture_layout_of(&b);
        assert_int_equal(l->n_files, n);
        if (kind == 1) {
            assert_string_equal(l->files[0].path, "many/same.txt");
            assert_string_equal(l->files[n - 1].path, "many/SAME (100000).TXT");
        } else {
            check_layout(l);
        }
        layout_free(l);
    }
}

/* Any bytes at all: few different ones, so that there are twins, dots and separators. */
static void hostile_names_are_all_made_safe(void **state)
{
    static const char bytes[] = {'a', 'A', '.', '.', '/', '\\', '\0', '\x80', '\xc3', ' ', '('};
    struct rng rng = {42};
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct buf b;
        uint32_t n_files = 1 + rng_below(&rng, 40);
        buf_init(&b, SIZE_MAX);
        buf_add_str(&b, "d5:filesl");
        for (uint32_t i = 0; i < n_files; i++) {
            char path[400];
            size_t len = rng_below(&rng, round % 10 == 0 ? sizeof path : 6);
            for (size_t k = 0; k < len; k++) {
                path[k] = rng_below(&rng, len > 6 ? 20 : 4) == 0
                              ? '|'
                              : bytes[rng_below(&rng, sizeof bytes)];
            }
            const char *attr = rng_below(&rng, 5) == 0 ? "p" : NULL;
            fixture_add_file(&b, span_of(path, len), 1 + rng_below(&rng, 3), attr);
        }
        buf_add_byte(&b, 'e');
        fixture_add_tail(&b, span_of(bytes, rng_below(&rng, sizeof bytes)), 1 << 20, 1 << 20);
        struct metainfo m;
        const char *why;
        if (metainfo_info_decode(&m, buf_span(&b), &metainfo_limits_default, &why) > 0) {
            struct layout *l = layout_new(&m, &fixture_hash);
            check_layout(l);
            layout_free(l);
        } else {
            fail_msg("%s", why);
        }
        buf_release(&b);
    }
}

/* What the encoder makes of a folder's files comes out as it went in. */
static void encoded_torrents_keep_their_names(void **state)
{
    static const struct metainfo_source_file files[] = {
        {{(const uint8_t *)"README", 6}, 100},
        {{(const uint8_t *)"sub/deep/x.bin", 14}, 40000},
        {{(const uint8_t *)"sub/empty", 9}, 0},
    };
    static const uint8_t pieces[3 * METAINFO_HASH_LEN] = {0};
    const struct metainfo_source src = {
        .name = SPAN("folder"),
        .files = files,
        .n_files = COUNT(files),
        .piece_len = FIXTURE_PIECE_LEN,
        .pieces = {pieces, sizeof pieces},
    };
    uint8_t file[1024];
    struct wr w = wr_over(file, sizeof file);
    struct metainfo_encoded done = metainfo_encode(&w, &src);
    struct metainfo m;
    const char *why;
    (void)state;
    assert_false(w.bad);
    assert_true(metainfo_decode(&m, span_of(file, done.len), &metainfo_limits_default, &why) > 0);
    struct layout *l = layout_new(&m, &fixture_hash);
    check_layout(l);
    assert_string_equal(l->files[0].path, "folder/README");
    assert_string_equal(l->files[1].path, "folder/sub/deep/x.bin");
    assert_string_equal(l->files[2].path, "folder/sub/empty");
    assert_int_equal(l->geometry.n_pieces, 3);
    assert_int_equal(l->geometry.last_piece_len, 40100 - 2 * FIXTURE_PIECE_LEN);
    layout_free(l);
}

/* ---- where the bytes are --------------------------------------------------------------------- */

static void check_walk(const struct layout *l, uint64_t offset, uint64_t len)
{
    struct layout_walk at = layout_walk(l, offset, len);
    struct layout_range r;
    uint64_t end = offset + len;
    while (layout_walk_next(&at, &r)) {
        assert_true(r.file < l->n_files && r.len > 0);
        assert_int_equal(l->files[r.file].offset + r.at, offset);
        assert_true(r.at + r.len <= l->files[r.file].len);
        offset += r.len;
    }
    assert_int_equal(offset, end);
    assert_false(layout_walk_next(&at, &r));
}

static void a_walk_covers_every_byte_once(void **state)
{
    static const struct fixture_file files[] = {
        {"e0", 0, NULL}, {"a", 10, NULL}, {"e1", 0, NULL}, {"l", 0, "l"},   {"b", 1, NULL},
        {"p", 5, "p"},   {"c", 20, NULL}, {"e2", 0, NULL}, {"e3", 0, NULL},
    };
    struct layout *l = fixture_layout("m", files, COUNT(files), FIXTURE_PIECE_LEN);
    (void)state;
    assert_int_equal(l->total_len, 36);
    for (uint64_t offset = 0; offset <= l->total_len; offset++) {
        for (uint64_t len = 0; len <= l->total_len - offset; len++) {
            check_walk(l, offset, len);
        }
    }
    layout_free(l);
    l = fixture_single(SPAN("one"), UINT64_C(1) << 40, 1 << 24);
    check_walk(l, 0, UINT64_C(1) << 40);
    check_walk(l, (UINT64_C(1) << 40) - 1, 1);
    layout_free(l);
}

static void a_file_knows_its_pieces(void **state)
{
    static const struct fixture_file files[] = {
        {"a", 16384, NULL}, {"b", 1, NULL}, {"e", 0, NULL}, {"c", 32768, NULL}, {"d", 0, NULL},
    };
    static const uint32_t first[] = {0, 1, 1, 1, 3};
    static const uint32_t end[] = {1, 2, 1, 4, 3};
    struct layout *l = fixture_layout("m", files, COUNT(files), FIXTURE_PIECE_LEN);
    (void)state;
    assert_int_equal(l->geometry.n_pieces, 4);
    assert_int_equal(l->geometry.last_piece_len, 1);
    for (uint32_t i = 0; i < l->n_files; i++) {
        uint32_t a;
        uint32_t b;
        layout_file_pieces(l, i, &a, &b);
        assert_int_equal(a, first[i]);
        assert_int_equal(b, end[i]);
    }
    layout_free(l);
    l = fixture_single(SPAN("whole"), 2 * FIXTURE_PIECE_LEN, FIXTURE_PIECE_LEN);
    assert_int_equal(l->geometry.n_pieces, 2);
    assert_int_equal(l->geometry.last_piece_len, FIXTURE_PIECE_LEN);
    layout_free(l);
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_name_is_made_safe),
        cmocka_unit_test(long_names_keep_their_extension),
        cmocka_unit_test(paths_begin_with_the_name),
        cmocka_unit_test(twins_get_numbers),
        cmocka_unit_test(a_file_gives_way_to_a_folder),
        cmocka_unit_test(pads_and_links_come_last),
        cmocka_unit_test(a_hundred_thousand_files_take_no_time),
        cmocka_unit_test(hostile_names_are_all_made_safe),
        cmocka_unit_test(encoded_torrents_keep_their_names),
        cmocka_unit_test(a_walk_covers_every_byte_once),
        cmocka_unit_test(a_file_knows_its_pieces),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
