/* One table of names; each row says what becomes of the value. The text was looked at as a whole before:
 * nothing in it can be cut short by a NUL, or be no UTF-8 where a database wants some.
 */
#include "api/spritzle_args.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/announcer.h"

#include "base/banned.h"

enum {
    FILES_MAX = 1 << 20, /* priorities */
    PRIORITY_MAX = 7,
    STORAGE_ALLOCATE = 0,
    STORAGE_SPARSE = 1,
};

enum kind {
    IGNORED,
    FLAG,
    DUPLICATE_IS_ERROR,
    SAVE_PATH,
    NAME,
    TRACKERS,
    TRACKER_URL,
    PRIORITIES,
    STORAGE_MODE,
    MAX_PEERS,
    MAX_UPLOADS,
    MAX_DOWN,
    MAX_UP,
    SOURCE_FILE, /* these three in a whole request only */
    SOURCE_URL,
    SOURCE_HASH,
};

struct known {
    const char *name;
    enum kind kind;
};

static const struct known args_known[] = {
    {"save_path", SAVE_PATH},
    {"name", NAME},
    {"trackers", TRACKERS},
    {"tracker_url", TRACKER_URL},
    {"storage_mode", STORAGE_MODE},
    {"file_priorities", PRIORITIES},
    {"paused", FLAG},
    {"auto_managed", FLAG},
    {"sequential_download", FLAG},
    {"seed_mode", FLAG},
    {"upload_mode", FLAG},
    {"share_mode", FLAG},
    {"max_connections", MAX_PEERS},
    {"max_uploads", MAX_UPLOADS},
    {"upload_limit", MAX_UP},
    {"download_limit", MAX_DOWN},
    {"duplicate_is_error", DUPLICATE_IS_ERROR},
    {"dht_nodes", IGNORED},
    {"flags", IGNORED},
    {"apply_ip_filter", IGNORED},
    {"override_resume_data", IGNORED},
    {"merge_resume_trackers", IGNORED},
    {"trackerid", IGNORED},
    {"url", IGNORED},
    {"uuid", IGNORED},
    {"source_feed_url", IGNORED},
    {"resume_data", IGNORED},
    {"ti", IGNORED},
    {"info_hash", IGNORED},
};

static const struct known whole_known[] = {
    {"file", SOURCE_FILE},
    {"url", SOURCE_URL},
    {"info_hash", SOURCE_HASH},
    {"spritzle.tags", IGNORED},
};

/* ---- JSON ---------------------------------------------------------------------------------- */

static bool is_utf8(struct span s)
{
    while (s.n > 0) {
        size_t n = utf8_sequence_len(s);
        if (n == 0) {
            return false;
        }
        s = span_sub(s, n, s.n);
    }
    return true;
}

cJSON *spritzle_json_object(struct span text)
{
    const char *end = NULL;
    /* cJSON ends a string at an escaped NUL, and would hand on the half of it. */
    if (text.n == 0 || !is_utf8(text) || memchr(text.p, '\0', text.n) != NULL ||
        memmem(text.p, text.n, "\\u0000", 6) != NULL) {
        return NULL;
    }
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)text.p, text.n, &end, 0);
    if (json == NULL) {
        return NULL;
    }
    size_t used = (size_t)((const uint8_t *)end - text.p);
    if (!cJSON_IsObject(json) || span_trim(span_sub(text, used, text.n)).n > 0) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

/* ---- values: NULL, or what they must be ------------------------------------------------------ */

static const char *take_text(const cJSON *item, struct span *out)
{
    if (!cJSON_IsString(item)) {
        return "a string";
    }
    *out = span_str(item->valuestring);
    return NULL;
}

static const char *take_int(const cJSON *item, int64_t *out)
{
    const double most = 9007199254740992.0; /* 2^53: all integers up to it are exact */
    if (!cJSON_IsNumber(item) || floor(item->valuedouble) != item->valuedouble ||
        fabs(item->valuedouble) > most) {
        return "an integer";
    }
    *out = (int64_t)item->valuedouble;
    return NULL;
}

/* 0 and less: none. */
static const char *take_limit(const cJSON *item, uint64_t most, uint64_t *out)
{
    int64_t v = 0;
    const char *must = take_int(item, &v);
    *out = v < 0 ? 0 : (uint64_t)v > most ? most : (uint64_t)v;
    return must;
}

/* A number counts as Python counts it. */
static const char *take_bool(const cJSON *item, bool *out)
{
    if (!cJSON_IsBool(item) && !cJSON_IsNumber(item)) {
        return "true or false";
    }
    *out = cJSON_IsNumber(item) ? item->valuedouble != 0 : cJSON_IsTrue(item);
    return NULL;
}

static const char *take_flag(struct spritzle_args *a, const cJSON *item)
{
    bool on = false;
    const char *must = take_bool(item, &on);
    unsigned flag = spritzle_flag_of(item->string);
    a->add.flags = on ? a->add.flags | flag : a->add.flags & ~flag;
    return must;
}

static const char *take_trackers(struct spritzle_args *a, const cJSON *item)
{
    static const char *const must = "a list of at most 200 strings";
    if (!cJSON_IsArray(item)) {
        return must;
    }
    a->add.n_trackers = 0;
    for (const cJSON *one = item->child; one != NULL; one = one->next) {
        if (a->add.n_trackers == TRACKERS_MAX ||
            take_text(one, &a->trackers[a->add.n_trackers++]) != NULL) {
            return must;
        }
    }
    return NULL;
}

static const char *take_priorities(struct spritzle_args *a, const cJSON *item)
{
    static const char *const must = "a list of integers, 0 to 7";
    if (!cJSON_IsArray(item)) {
        return must;
    }
    buf_clear(&a->priorities);
    for (const cJSON *one = item->child; one != NULL; one = one->next) {
        int64_t v = 0;
        if (take_int(one, &v) != NULL || v < 0 || v > PRIORITY_MAX) {
            return must;
        }
        buf_add_byte(&a->priorities, (uint8_t)v);
    }
    a->add.priorities = buf_span(&a->priorities);
    return a->priorities.bad ? must : NULL;
}

static const char *take_storage_mode(struct spritzle_args *a, const cJSON *item)
{
    int64_t v = -1;
    if (take_int(item, &v) != NULL || (v != STORAGE_ALLOCATE && v != STORAGE_SPARSE)) {
        return "0 (allocate) or 1 (sparse)";
    }
    a->add.allocate = v == STORAGE_ALLOCATE;
    return NULL;
}

static const char *take_number(const cJSON *item, uint32_t *out)
{
    uint64_t v = 0;
    const char *must = take_limit(item, UINT32_MAX, &v);
    *out = (uint32_t)v;
    return must;
}

static const char *take(struct spritzle_args *a, enum kind kind, const cJSON *item,
                        struct span *tracker_url)
{
    switch (kind) {
    case IGNORED:
        return NULL;
    case FLAG:
        return take_flag(a, item);
    case DUPLICATE_IS_ERROR:
        return take_bool(item, &a->duplicate_is_error);
    case SAVE_PATH:
        return take_text(item, &a->add.save_path);
    case NAME:
        return take_text(item, &a->add.name);
    case TRACKERS:
        return take_trackers(a, item);
    case TRACKER_URL:
        return take_text(item, tracker_url);
    case PRIORITIES:
        return take_priorities(a, item);
    case STORAGE_MODE:
        return take_storage_mode(a, item);
    case MAX_PEERS:
        return take_number(item, &a->add.max_peers);
    case MAX_UPLOADS:
        return take_number(item, &a->add.max_uploads);
    case MAX_DOWN:
        return take_limit(item, INT64_MAX, &a->add.max_down_bps);
    case MAX_UP:
        return take_limit(item, INT64_MAX, &a->add.max_up_bps);
    case SOURCE_FILE:
        return take_text(item, &a->file);
    case SOURCE_URL:
        return take_text(item, &a->url);
    case SOURCE_HASH:
        return take_text(item, &a->info_hash);
    }
    return NULL;
}

/* ---- the object ---------------------------------------------------------------------------- */

static const struct known *find(const struct known *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct known *find_arg(const char *name, bool whole)
{
    const struct known *k = NULL;
    if (whole) {
        k = find(whole_known, sizeof whole_known / sizeof whole_known[0], name);
    }
    return k != NULL ? k : find(args_known, sizeof args_known / sizeof args_known[0], name);
}

void spritzle_args_init(struct spritzle_args *a)
{
    *a = (struct spritzle_args){.add.flags = TORRENT_AUTO_MANAGED};
    buf_init(&a->priorities, FILES_MAX);
}

void spritzle_args_release(struct spritzle_args *a)
{
    cJSON_Delete(a->json);
    free(a->trackers);
    buf_release(&a->priorities);
    *a = (struct spritzle_args){.json = NULL};
}

int spritzle_args_parse(struct spritzle_args *a, struct span text, bool whole,
                        char why[static SPRITZLE_WHY_MAX])
{
    struct span tracker_url = {NULL, 0};
    a->json = spritzle_json_object(text);
    if (a->json == NULL) {
        (void)snprintf(why, SPRITZLE_WHY_MAX, "%s is not a JSON object",
                       whole ? "the body" : "args");
        return ERR_MALFORMED;
    }
    a->trackers = mem_array(TRACKERS_MAX + 1, sizeof *a->trackers);
    a->add.trackers = a->trackers;
    for (const cJSON *item = a->json->child; item != NULL; item = item->next) {
        const struct known *k = find_arg(item->string, whole);
        if (k == NULL) {
            (void)snprintf(why, SPRITZLE_WHY_MAX, "unknown name in torrent params: %s",
                           item->string);
            return ERR_MALFORMED;
        }
        const char *must = cJSON_IsNull(item) ? NULL : take(a, k->kind, item, &tracker_url);
        if (must != NULL) {
            (void)snprintf(why, SPRITZLE_WHY_MAX, "%s must be %s", k->name, must);
            return ERR_MALFORMED;
        }
    }
    if (tracker_url.n > 0) {
        a->trackers[a->add.n_trackers++] = tracker_url;
    }
    a->add.flags = spritzle_flags_meant(a->add.flags);
    return 0;
}
