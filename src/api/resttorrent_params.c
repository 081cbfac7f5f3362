/* One table of names; a walk over each source that puts what it knows into the values. */
#include "api/resttorrent_params.h"

#include <string.h>
#include <strings.h>

#include "api/form.h"
#include "api/json_fields.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

enum { DEFAULT_PORT_FIRST = 6881, DEFAULT_PORT_LAST = 6891 };

static const struct {
    const char *name;
    enum resttorrent_param which;
} names[] = {
    {"session_id", REST_SESSION_ID},
    {"info_hash", REST_INFO_HASH},
    {"infohash", REST_INFO_HASH},
    {"file", REST_FILE},
    {"magnet", REST_MAGNET},
    {"url", REST_URL},
    {"save_path", REST_SAVE_PATH},
    {"autostart", REST_AUTOSTART},
    {"storage_mode", REST_STORAGE_MODE},
    {"memory_only", REST_MEMORY_ONLY},
    {"port_range", REST_PORT_RANGE},
    {"ports", REST_PORTS},
    {"fields", REST_FIELDS},
    {"pause", REST_PAUSE},
};

/* REST_N_PARAMS: nobody's. */
static enum resttorrent_param param_of(struct span name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_eq(name, span_str(names[i].name))) {
            return names[i].which;
        }
    }
    return REST_N_PARAMS;
}

void resttorrent_params_init(struct resttorrent_params *p)
{
    *p = (struct resttorrent_params){.n_files = 0};
    for (size_t i = 0; i < REST_N_PARAMS; i++) {
        buf_init(&p->values[i], i == REST_FILE ? REST_FILE_MAX : REST_TEXT_MAX);
    }
}

void resttorrent_params_release(struct resttorrent_params *p)
{
    for (size_t i = 0; i < REST_N_PARAMS; i++) {
        buf_release(&p->values[i]);
    }
}

bool resttorrent_params_set(struct resttorrent_params *p, enum resttorrent_param which,
                            struct span value)
{
    buf_clear(&p->values[which]);
    buf_add(&p->values[which], value);
    p->given[which] = true;
    return !p->values[which].bad;
}

static int too_long(const char **why)
{
    *why = "a parameter is too long";
    return ERR_LIMIT;
}

/* The bytes of a file that came as a text. A .torrent has colons in it, and base64 has none. */
static bool decode_file(struct resttorrent_params *p)
{
    struct buf *file = &p->values[REST_FILE];
    struct buf bytes;
    buf_init(&bytes, REST_FILE_MAX);
    if (base64_add_decoded(&bytes, span_trim(buf_span(file)))) {
        buf_release(file);
        *file = bytes;
    } else {
        buf_release(&bytes);
    }
    return !file->bad;
}

/* ---- forms --------------------------------------------------------------------------------- */

static int add_field(struct resttorrent_params *p, const struct form_field *field, const char **why)
{
    enum resttorrent_param which = param_of(field->name);
    if (which == REST_N_PARAMS) {
        return 0;
    }
    buf_clear(&p->values[which]);
    p->given[which] = true;
    if (!form_add_value(&p->values[which], field)) {
        *why = "a parameter is too long or has a broken %-escape";
        return ERR_MALFORMED;
    }
    if (which == REST_FILE && !field->encoded && ++p->n_files > 1) {
        *why = "more than one file";
        return ERR_MALFORMED;
    }
    return which == REST_FILE && field->encoded && !decode_file(p) ? too_long(why) : 0;
}

static int add_form(struct resttorrent_params *p, struct form *form, const char **why)
{
    struct form_field field;
    int status;
    while ((status = form_next(form, &field, why)) == 1) {
        status = add_field(p, &field, why);
        if (status < 0) {
            break;
        }
    }
    return status;
}

int resttorrent_params_add_query(struct resttorrent_params *p, struct span query, const char **why)
{
    struct form form;
    int status = form_begin(&form, SPAN("application/x-www-form-urlencoded"), query, why);
    return status < 0 ? status : add_form(p, &form, why);
}

static bool is_json_type(struct span content_type)
{
    static const char json[] = "application/json";
    struct span type = span_trim(span_cut(content_type, ';', NULL));
    return type.n == sizeof json - 1 && strncasecmp((const char *)type.p, json, type.n) == 0;
}

int resttorrent_params_add_body(struct resttorrent_params *p, struct span content_type,
                                struct span body, const char **why)
{
    struct form form;
    struct span text = span_trim(body);
    bool object = text.n > 0 && text.p[0] == '{';
    if (text.n == 0) {
        return 0;
    }
    int status = form_begin(&form, content_type, body, why);
    if (status < 0) {
        return status;
    }
    /* curl -d calls everything a form. */
    if (is_json_type(content_type) || (object && form.kind != FORM_MULTIPART)) {
        return resttorrent_params_add_json(p, body, why);
    }
    return add_form(p, &form, why);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* What stands in an array of numbers or plain strings: "6881, 6891" of ["6881", 6891]. */
static void add_items(struct buf *out, struct span array)
{
    bool first = true;
    struct span rest = span_sub(array, 1, array.n - 2);
    while (rest.n > 0) {
        struct span item = span_trim(span_cut(rest, ',', &rest));
        if (item.n > 1 && item.p[0] == '"' && item.p[item.n - 1] == '"') {
            item = span_sub(item, 1, item.n - 2);
        }
        buf_add_str(out, first ? "" : ",");
        buf_add(out, item);
        first = false;
    }
}

static int add_member(struct resttorrent_params *p, const struct json_field *field,
                      const char **why)
{
    enum resttorrent_param which = param_of(field->name);
    if (which == REST_N_PARAMS || field->kind == JSON_NULL ||
        (which == REST_FILE && field->kind != JSON_STRING)) {
        return 0;
    }
    struct buf *value = &p->values[which];
    buf_clear(value);
    p->given[which] = true;
    switch (field->kind) {
    case JSON_STRING:
        if (!json_string_decode(value, field->value)) {
            return too_long(why);
        }
        break;
    case JSON_NESTED:
        if (field->value.n < 2 || field->value.p[0] != '[') {
            *why = "a parameter is an object";
            return ERR_MALFORMED;
        }
        add_items(value, field->value);
        break;
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        buf_add(value, field->value);
        break;
    }
    if (value->bad || (which == REST_FILE && !decode_file(p))) {
        return too_long(why);
    }
    return 0;
}

int resttorrent_params_add_json(struct resttorrent_params *p, struct span text, const char **why)
{
    struct json_fields fields;
    struct json_field field;
    int status = json_fields_begin(&fields, text, why);
    while (status == 0 && (status = json_fields_next(&fields, &field, why)) == 1) {
        status = add_member(p, &field, why);
    }
    return status;
}

/* ---- values -------------------------------------------------------------------------------- */

bool resttorrent_params_get(const struct resttorrent_params *p, enum resttorrent_param which,
                            struct span *out)
{
    *out = buf_span(&p->values[which]);
    return p->given[which];
}

static bool is_word(struct span text, const char *word)
{
    return text.n == strlen(word) && strncasecmp((const char *)text.p, word, text.n) == 0;
}

bool resttorrent_params_flag(const struct resttorrent_params *p, enum resttorrent_param which,
                             bool fallback, bool *out)
{
    struct span text;
    *out = fallback;
    if (!resttorrent_params_get(p, which, &text)) {
        return true;
    }
    text = span_trim(text);
    *out = is_word(text, "1") || is_word(text, "true");
    return *out || is_word(text, "0") || is_word(text, "false");
}

bool resttorrent_params_ports(const struct resttorrent_params *p, uint16_t *first, uint16_t *last)
{
    struct span text;
    struct span high;
    uint64_t lo = DEFAULT_PORT_FIRST;
    uint64_t hi = DEFAULT_PORT_LAST;
    if (resttorrent_params_get(p, REST_PORT_RANGE, &text) ||
        resttorrent_params_get(p, REST_PORTS, &text)) {
        bool one = span_find(text, ',') == text.n;
        struct span low = span_trim(span_cut(text, ',', &high));
        high = one ? low : span_trim(high);
        if (!parse_u64(&lo, low, UINT16_MAX) || !parse_u64(&hi, high, UINT16_MAX)) {
            return false;
        }
    }
    *first = (uint16_t)lo;
    *last = (uint16_t)hi;
    return lo <= hi && (lo > 0 || hi == 0);
}
