/* Decoding: one pass makes sure that the bytes are bencoded at all. Then each dictionary is read by
 * its table of keys (read_keys), which leaves one value a key; the values are checked by hand. The
 * walks read the same tables again over bytes that have passed them once.
 */
#include "proto/metainfo.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"

#include "base/banned.h"

const struct metainfo_limits metainfo_limits_default = {
    .len_max = (size_t)64 << 20,
    .items_max = (size_t)8 << 20,
    .depth_max = BENCODE_DEPTH_MAX,
    .pieces_max = 2097152,
    .files_max = 500000,
    .total_len_max = (uint64_t)1 << 50,
    .name_len_max = 1024,
    .path_parts_max = 64,
    .urls_max = 1000,
    .text_len_max = 65536,
};

/* What a key may have. type_why NULL: another type counts as absent, and the first of a repeated
 * key counts. */
struct key_rule {
    const char *key;
    size_t key_len;
    enum bencode_type type;
    const char *type_why;
    const char *twice_why;
};

#define STRICT(key, type, rule)                                                                    \
    {                                                                                              \
        key, sizeof(key) - 1, type, key " must be " rule, key " must not be there twice"           \
    }
#define TOLERANT(key, type)                                                                        \
    {                                                                                              \
        key, sizeof(key) - 1, type, NULL, NULL                                                     \
    }

enum file_key {
    FILE_LENGTH,
    FILE_PATH,
    FILE_PATH_UTF8,
    FILE_ATTR,
    FILE_SYMLINK,
    N_FILE_KEYS,
};

static const struct key_rule file_rules[N_FILE_KEYS] = {
    [FILE_LENGTH] = STRICT("length", BENCODE_INT, "a number of bytes"),
    [FILE_PATH] = STRICT("path", BENCODE_LIST, "a list of strings"),
    [FILE_PATH_UTF8] = STRICT("path.utf-8", BENCODE_LIST, "a list of strings"),
    [FILE_ATTR] = STRICT("attr", BENCODE_STRING, "a string"),
    [FILE_SYMLINK] = STRICT("symlink path", BENCODE_LIST, "a list of strings"),
};

enum info_key {
    INFO_FILES,
    INFO_LENGTH,
    INFO_META_VERSION,
    INFO_NAME,
    INFO_NAME_UTF8,
    INFO_PIECE_LENGTH,
    INFO_PIECES,
    INFO_PRIVATE,
    INFO_ATTR,
    N_INFO_KEYS,
};

static const struct key_rule info_rules[N_INFO_KEYS] = {
    [INFO_FILES] = STRICT("files", BENCODE_LIST, "a list of dictionaries"),
    [INFO_LENGTH] = STRICT("length", BENCODE_INT, "a number of bytes"),
    [INFO_META_VERSION] = STRICT("meta version", BENCODE_INT, "a number"),
    [INFO_NAME] = STRICT("name", BENCODE_STRING, "a string"),
    [INFO_NAME_UTF8] = STRICT("name.utf-8", BENCODE_STRING, "a string"),
    [INFO_PIECE_LENGTH] = STRICT("piece length", BENCODE_INT, "1 to 2^29"),
    [INFO_PIECES] = STRICT("pieces", BENCODE_STRING, "a string of 20 bytes a piece"),
    [INFO_PRIVATE] = STRICT("private", BENCODE_INT, "a number"),
    [INFO_ATTR] = STRICT("attr", BENCODE_STRING, "a string"),
};

enum outer_key {
    OUTER_ANNOUNCE,
    OUTER_ANNOUNCE_LIST,
    OUTER_COMMENT,
    OUTER_CREATED_BY,
    OUTER_CREATION_DATE,
    OUTER_INFO,
    OUTER_URL_STRING,
    OUTER_URL_LIST,
    N_OUTER_KEYS,
};

static const struct key_rule outer_rules[N_OUTER_KEYS] = {
    [OUTER_ANNOUNCE] = TOLERANT("announce", BENCODE_STRING),
    [OUTER_ANNOUNCE_LIST] = TOLERANT("announce-list", BENCODE_LIST),
    [OUTER_COMMENT] = TOLERANT("comment", BENCODE_STRING),
    [OUTER_CREATED_BY] = TOLERANT("created by", BENCODE_STRING),
    [OUTER_CREATION_DATE] = TOLERANT("creation date", BENCODE_INT),
    [OUTER_INFO] = STRICT("info", BENCODE_DICT, "a dictionary"),
    [OUTER_URL_STRING] = TOLERANT("url-list", BENCODE_STRING),
    [OUTER_URL_LIST] = TOLERANT("url-list", BENCODE_LIST),
};

static int fail(const char **why, int code, const char *text)
{
    *why = text;
    return code;
}

static bool is_absent(struct bencode v)
{
    return bencode_type(v) == BENCODE_NONE;
}

/* One value into *slot, by its rule. */
static int take_value(struct bencode *slot, const struct key_rule *rule, struct bencode value,
                      const char **why)
{
    bool right_type = bencode_type(value) == rule->type;
    if (rule->type_why != NULL && !right_type) {
        return fail(why, ERR_MALFORMED, rule->type_why);
    }
    if (rule->type_why != NULL && !is_absent(*slot)) {
        return fail(why, ERR_MALFORMED, rule->twice_why);
    }
    if (right_type && is_absent(*slot)) {
        *slot = value;
    }
    return 0;
}

/* The values of a dictionary's keys, each in the place of its rule; no value where there is none. */
static int read_keys(struct bencode *values, const struct key_rule *rules, size_t n_rules,
                     struct bencode dict, const char **why)
{
    struct bencode_walk at = bencode_walk(dict);
    struct span key;
    struct bencode value;
    memset(values, 0, n_rules * sizeof *values);
    while (bencode_next_pair(&at, &key, &value)) {
        for (size_t i = 0; i < n_rules; i++) {
            if (!span_eq(key, span_of(rules[i].key, rules[i].key_len))) {
                continue;
            }
            int rc = take_value(&values[i], &rules[i], value, why);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* The string of a value that read_keys has let through, or an empty span. */
static struct span text_of(struct bencode v)
{
    struct span s = span_of(NULL, 0);
    (void)bencode_string(v, &s); /* absent: empty */
    return s;
}

/* Of a string, or of a list (only the strings in it); of anything else there are none. */
static struct metainfo_strings strings_of(struct bencode v)
{
    if (bencode_type(v) == BENCODE_STRING) {
        return (struct metainfo_strings){.one = v};
    }
    if (bencode_type(v) == BENCODE_LIST) {
        return (struct metainfo_strings){.many = bencode_walk(v)};
    }
    return (struct metainfo_strings){.skip_empty = false};
}

static struct metainfo_strings urls_of(struct bencode v)
{
    struct metainfo_strings s = strings_of(v);
    s.skip_empty = true;
    return s;
}

bool metainfo_strings_next(struct metainfo_strings *at, struct span *text)
{
    struct bencode item = at->one;
    at->one = (struct bencode){{NULL, 0}};
    while (!is_absent(item) || bencode_next(&at->many, &item)) {
        if (bencode_string(item, text) && (text->n > 0 || !at->skip_empty)) {
            return true;
        }
        item = (struct bencode){{NULL, 0}};
    }
    return false;
}

/* BEP 47. Letters of other people's making mean nothing. */
static unsigned attr_of(struct bencode v)
{
    static const struct {
        uint8_t letter;
        enum metainfo_attr bit;
    } letters[] = {
        {'p', METAINFO_PAD},
        {'l', METAINFO_SYMLINK},
        {'x', METAINFO_EXECUTABLE},
        {'h', METAINFO_HIDDEN},
    };
    struct span text = text_of(v);
    unsigned attr = 0;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        attr |= span_find(text, letters[i].letter) < text.n ? letters[i].bit : 0;
    }
    return attr;
}

/* What a file's keys say, but for its path. A symlink needs no length: it has no content. */
static int file_fill(struct metainfo_file *out, struct bencode length, struct bencode attr,
                     struct bencode symlink, const char **why)
{
    int64_t len = -1;
    (void)bencode_int(length, &len); /* absent or too large: -1 */
    out->attr = attr_of(attr);
    if ((out->attr & METAINFO_SYMLINK) != 0 && is_absent(length)) {
        len = 0;
    }
    if (len < 0) {
        return fail(why, ERR_MALFORMED, "length must be 0 to 2^63 - 1");
    }
    if ((out->attr & METAINFO_SYMLINK) != 0 && len > 0) {
        return fail(why, ERR_MALFORMED, "length of a symlink must be 0");
    }
    out->len = (uint64_t)len;
    out->symlink = strings_of(symlink);
    return 0;
}

/* An item of files; its parts are not counted yet. */
static int file_decode(struct metainfo_file *out, struct bencode dict, const char **why)
{
    struct bencode v[N_FILE_KEYS];
    if (bencode_type(dict) != BENCODE_DICT) {
        return fail(why, ERR_MALFORMED, info_rules[INFO_FILES].type_why);
    }
    int rc = read_keys(v, file_rules, N_FILE_KEYS, dict, why);
    if (rc < 0) {
        return rc;
    }
    out->path = strings_of(is_absent(v[FILE_PATH_UTF8]) ? v[FILE_PATH] : v[FILE_PATH_UTF8]);
    return file_fill(out, v[FILE_LENGTH], v[FILE_ATTR], v[FILE_SYMLINK], why);
}

static struct bencode name_of(const struct bencode *info_values)
{
    return text_of(info_values[INFO_NAME_UTF8]).n > 0 ? info_values[INFO_NAME_UTF8]
                                                      : info_values[INFO_NAME];
}

/* The one file of an info dictionary without files. One that is a symlink would be a torrent
 * without content: where it points does not matter. */
static int single_decode(struct metainfo_file *out, const struct bencode *info_values,
                         const char **why)
{
    out->offset = 0;
    out->path = strings_of(name_of(info_values));
    const struct bencode nowhere = {{NULL, 0}};
    return file_fill(out, info_values[INFO_LENGTH], info_values[INFO_ATTR], nowhere, why);
}

/* The parts of a path: how many, how long, and that each is a string. */
static int check_parts(struct metainfo_strings parts, size_t n_min,
                       const struct metainfo_limits *lim, const char **why)
{
    struct bencode part;
    size_t n = 0;
    for (; bencode_next(&parts.many, &part); n++) {
        struct span text;
        if (!bencode_string(part, &text)) {
            return fail(why, ERR_MALFORMED, "path must be a list of strings");
        }
        if (n == lim->path_parts_max) {
            return fail(why, ERR_LIMIT, "path has too many parts");
        }
        if (text.n > lim->name_len_max) {
            return fail(why, ERR_LIMIT, "path has a part that is too long");
        }
    }
    return n < n_min ? fail(why, ERR_MALFORMED, "path must have at least one part") : 0;
}

static int check_file(struct metainfo_file *file, struct bencode dict,
                      const struct metainfo_limits *lim, const char **why)
{
    int rc = file_decode(file, dict, why);
    if (rc == 0) {
        rc = check_parts(file->path, 1, lim, why);
    }
    return rc == 0 ? check_parts(file->symlink, 0, lim, why) : rc;
}

/* Each of files, their number and the sum of their lengths. */
static int read_files(struct metainfo *out, const struct metainfo_limits *lim, const char **why)
{
    struct bencode_walk at = bencode_walk(out->files);
    struct bencode dict;
    while (bencode_next(&at, &dict)) {
        struct metainfo_file file;
        if (out->n_files == lim->files_max) {
            return fail(why, ERR_LIMIT, "files has too many files");
        }
        int rc = check_file(&file, dict, lim, why);
        if (rc < 0) {
            return rc;
        }
        if (file.len > lim->total_len_max - out->total_len) {
            return fail(why, ERR_LIMIT, "length of all files together is too large");
        }
        out->total_len += file.len;
        out->n_files++;
    }
    return out->n_files == 0 ? fail(why, ERR_MALFORMED, "files must not be empty") : 0;
}

static int read_single(struct metainfo *out, const struct bencode *v,
                       const struct metainfo_limits *lim, const char **why)
{
    struct metainfo_file file;
    int rc = single_decode(&file, v, why);
    if (rc < 0) {
        return rc;
    }
    if (file.len > lim->total_len_max) {
        return fail(why, ERR_LIMIT, "length is too large");
    }
    out->total_len = file.len;
    out->n_files = 1;
    return 0;
}

/* piece length, pieces and the total length must fit each other. */
static int read_pieces(struct metainfo *out, const struct bencode *v,
                       const struct metainfo_limits *lim, const char **why)
{
    int64_t piece_len = 0;
    out->pieces = text_of(v[INFO_PIECES]);
    (void)bencode_int(v[INFO_PIECE_LENGTH], &piece_len); /* absent or too large: 0 */
    if (piece_len < 1 || piece_len > METAINFO_PIECE_LEN_MAX) {
        return fail(why, ERR_MALFORMED, info_rules[INFO_PIECE_LENGTH].type_why);
    }
    if (out->pieces.n % METAINFO_HASH_LEN != 0 || is_absent(v[INFO_PIECES])) {
        return fail(why, ERR_MALFORMED, info_rules[INFO_PIECES].type_why);
    }
    if (out->total_len == 0) {
        return fail(why, ERR_MALFORMED, "length of all files together must not be 0");
    }
    uint64_t n_pieces = (out->total_len - 1) / (uint64_t)piece_len + 1;
    if (out->pieces.n / METAINFO_HASH_LEN > lim->pieces_max) {
        return fail(why, ERR_LIMIT, "pieces has too many pieces");
    }
    if (out->pieces.n / METAINFO_HASH_LEN != n_pieces) {
        return fail(why, ERR_MALFORMED, "pieces must have one hash for each piece of the length");
    }
    out->piece_len = (uint32_t)piece_len;
    out->n_pieces = (uint32_t)n_pieces;
    return 0;
}

/* BEP 52: version 2 has no pieces; what has them too is a hybrid. */
static int read_version(struct metainfo *out, const struct bencode *v, const char **why)
{
    int64_t version = 1;
    (void)bencode_int(v[INFO_META_VERSION], &version); /* absent: 1 */
    if (version != 1 && is_absent(v[INFO_PIECES])) {
        return fail(why, ERR_MALFORMED, "meta version must be 1, or the torrent a hybrid");
    }
    out->hybrid = version == 2;
    return 0;
}

/* Any number but 0, also one that is too large for int64_t: in doubt, a torrent is private. */
static bool is_set(struct bencode flag)
{
    int64_t n;
    return !is_absent(flag) && (!bencode_int(flag, &n) || n != 0);
}

static int read_info(struct metainfo *out, struct bencode info, const struct metainfo_limits *lim,
                     const char **why)
{
    struct bencode v[N_INFO_KEYS];
    int rc = read_keys(v, info_rules, N_INFO_KEYS, info, why);
    if (rc == 0) {
        rc = read_version(out, v, why);
    }
    if (rc < 0) {
        return rc;
    }
    if (is_absent(v[INFO_NAME]) && is_absent(v[INFO_NAME_UTF8])) {
        return fail(why, ERR_MALFORMED, "name must be a string");
    }
    if (is_absent(v[INFO_FILES]) == is_absent(v[INFO_LENGTH])) {
        return fail(why, ERR_MALFORMED, "info must have either length or files");
    }
    out->info = info.raw;
    out->name = text_of(name_of(v));
    if (out->name.n > lim->name_len_max) {
        return fail(why, ERR_LIMIT, "name is too long");
    }
    out->private = is_set(v[INFO_PRIVATE]);
    out->multi_file = is_absent(v[INFO_LENGTH]);
    if (out->multi_file) {
        out->files = v[INFO_FILES];
    } else {
        out->single = info;
    }
    rc = out->multi_file ? read_files(out, lim, why) : read_single(out, v, lim, why);
    return rc == 0 ? read_pieces(out, v, lim, why) : rc;
}

static int check_texts(const struct metainfo *m, const struct metainfo_limits *lim,
                       const char **why)
{
    struct metainfo_trackers trackers = metainfo_trackers(m);
    struct metainfo_strings seeds = metainfo_web_seeds(m);
    struct span url;
    uint32_t tier;
    if (m->comment.n > lim->text_len_max) {
        return fail(why, ERR_LIMIT, "comment is too long");
    }
    if (m->created_by.n > lim->text_len_max) {
        return fail(why, ERR_LIMIT, "created by is too long");
    }
    if (m->announce.n > lim->text_len_max) {
        return fail(why, ERR_LIMIT, "announce is too long");
    }
    for (size_t n = 0; metainfo_trackers_next(&trackers, &url, &tier); n++) {
        if (n == lim->urls_max || url.n > lim->text_len_max) {
            return fail(why, ERR_LIMIT, "announce-list has too many URLs, or one that is too long");
        }
    }
    for (size_t n = 0; metainfo_strings_next(&seeds, &url); n++) {
        if (n == lim->urls_max || url.n > lim->text_len_max) {
            return fail(why, ERR_LIMIT, "url-list has too many URLs, or one that is too long");
        }
    }
    return 0;
}

static int read_outer(struct metainfo *out, struct bencode file, const struct metainfo_limits *lim,
                      const char **why)
{
    struct bencode v[N_OUTER_KEYS];
    int rc = read_keys(v, outer_rules, N_OUTER_KEYS, file, why);
    if (rc < 0) {
        return rc;
    }
    if (is_absent(v[OUTER_INFO])) {
        return fail(why, ERR_MALFORMED, outer_rules[OUTER_INFO].type_why);
    }
    out->announce = text_of(v[OUTER_ANNOUNCE]);
    out->announce_list = v[OUTER_ANNOUNCE_LIST];
    out->comment = text_of(v[OUTER_COMMENT]);
    out->created_by = text_of(v[OUTER_CREATED_BY]);
    (void)bencode_int(v[OUTER_CREATION_DATE], &out->creation_date_s); /* absent: 0 */
    out->url_list = is_absent(v[OUTER_URL_LIST]) ? v[OUTER_URL_STRING] : v[OUTER_URL_LIST];
    rc = check_texts(out, lim, why);
    return rc == 0 ? read_info(out, v[OUTER_INFO], lim, why) : rc;
}

/* Any bytes to a dictionary. The length of strings is bounded by that of the whole alone. */
static ssize_t decode_dict(struct bencode *out, struct span in, const struct metainfo_limits *lim,
                           const char **why)
{
    const struct bencode_limits bencode_lim = {
        .len_max = lim->len_max,
        .string_max = lim->len_max,
        .items_max = lim->items_max,
        .depth_max = lim->depth_max,
    };
    ssize_t n = bencode_decode(out, in, &bencode_lim, why);
    if (n > 0 && bencode_type(*out) != BENCODE_DICT) {
        return fail(why, ERR_MALFORMED, "a torrent must be a bencoded dictionary");
    }
    return n;
}

ssize_t metainfo_decode(struct metainfo *out, struct span file, const struct metainfo_limits *lim,
                        const char **why)
{
    struct bencode dict;
    memset(out, 0, sizeof *out);
    ssize_t n = decode_dict(&dict, file, lim, why);
    if (n < 0) {
        return n;
    }
    int rc = read_outer(out, dict, lim, why);
    return rc < 0 ? rc : n;
}

ssize_t metainfo_info_decode(struct metainfo *out, struct span info,
                             const struct metainfo_limits *lim, const char **why)
{
    struct bencode dict;
    memset(out, 0, sizeof *out);
    ssize_t n = decode_dict(&dict, info, lim, why);
    if (n < 0) {
        return n;
    }
    if ((size_t)n < info.n) {
        return fail(why, ERR_MALFORMED, "info must have nothing behind its dictionary");
    }
    int rc = read_info(out, dict, lim, why);
    return rc < 0 ? rc : n;
}

struct metainfo_files metainfo_files(const struct metainfo *m)
{
    return (struct metainfo_files){.single = m->single, .many = bencode_walk(m->files)};
}

/* Decoding has let each of them through, so reading one again cannot fail. */
bool metainfo_files_next(struct metainfo_files *at, struct metainfo_file *file)
{
    struct bencode v[N_INFO_KEYS];
    struct bencode dict;
    const char *why;
    if (!is_absent(at->single)) {
        int rc = read_keys(v, info_rules, N_INFO_KEYS, at->single, &why);
        rc = rc == 0 ? single_decode(file, v, &why) : rc;
        ASSERT(rc == 0);
        at->single = (struct bencode){{NULL, 0}};
        return true;
    }
    if (!bencode_next(&at->many, &dict)) {
        return false;
    }
    int rc = file_decode(file, dict, &why);
    ASSERT(rc == 0);
    file->offset = at->offset;
    at->offset += file->len;
    return true;
}

struct metainfo_trackers metainfo_trackers(const struct metainfo *m)
{
    struct metainfo_trackers at = {.tiers = bencode_walk(m->announce_list)};
    struct metainfo_trackers ahead = at;
    struct span url;
    uint32_t tier;
    /* A list without a URL is no list. */
    if (!metainfo_trackers_next(&ahead, &url, &tier)) {
        at.announce = m->announce;
    }
    return at;
}

bool metainfo_trackers_next(struct metainfo_trackers *at, struct span *url, uint32_t *tier)
{
    struct bencode list;
    if (at->announce.n > 0) {
        *url = at->announce;
        *tier = 0;
        at->announce = span_of(NULL, 0);
        return true;
    }
    while (!metainfo_strings_next(&at->urls, url)) {
        if (!bencode_next(&at->tiers, &list)) {
            return false;
        }
        at->urls = urls_of(list); /* a string of its own makes a tier of one */
        at->begun = false;
    }
    at->n_tiers += at->begun ? 0 : 1;
    at->begun = true;
    *tier = at->n_tiers - 1;
    return true;
}

struct metainfo_strings metainfo_web_seeds(const struct metainfo *m)
{
    return urls_of(m->url_list);
}
