#include "api/key_body.h"

#include <cJSON.h>

#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

/* The whole text as one JSON value, or NULL. */
static cJSON *parse(struct span text)
{
    const char *end = NULL;
    if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL) {
        return NULL;
    }
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)text.p, text.n, &end, 0);
    if (json == NULL) {
        return NULL;
    }
    size_t used = (size_t)((const uint8_t *)end - text.p);
    if (span_trim(span_sub(text, used, text.n)).n > 0) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

static const char *take_text(const cJSON *json, const char *name, struct span *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    if (cJSON_IsString(item)) {
        *out = span_str(item->valuestring);
    } else if (item != NULL && !cJSON_IsNull(item)) {
        return "expected a string or null";
    }
    return NULL;
}

/* Past the JSON value at the start of s, which is known to be valid JSON. */
static struct span skip_value(struct span s)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
            return span_sub(s, i, s.n);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return span_sub(s, s.n, 0);
}

/* The text of the first member called name of a valid JSON object: cJSON keeps numbers as doubles
 * only, and a number of seconds is compared and repeated as it was written. */
static struct span raw_member(struct span object, struct span quoted_name)
{
    struct span rest = span_sub(object, span_find(object, '{') + 1, object.n);
    while (rest.n > 0) {
        while (rest.n > 0 && (byte_is_space(rest.p[0]) || rest.p[0] == ',')) {
            rest = span_sub(rest, 1, rest.n);
        }
        bool hit = span_starts_with(rest, quoted_name);
        size_t name_len = 1;
        while (name_len < rest.n && rest.p[name_len] != '"') {
            name_len += rest.p[name_len] == '\\' ? 2 : 1;
        }
        rest = span_sub(rest, name_len + 1, rest.n);
        struct span value = span_sub(rest, span_find(rest, ':') + 1, rest.n);
        rest = skip_value(value);
        if (hit) {
            return span_trim(span_sub(value, 0, value.n - rest.n));
        }
    }
    return rest;
}

static const char *take_seconds(const cJSON *json, struct span text, struct key_body *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "seconds_valid");
    if (cJSON_IsNull(item)) {
        out->req.permanent = true;
        return NULL;
    }
    out->seconds = raw_member(text, SPAN("\"seconds_valid\""));
    if (!parse_u64(&out->req.seconds_valid, out->seconds, UINT64_MAX)) {
        return "seconds_valid: invalid type, expected u64 or null";
    }
    return NULL;
}

static const char *check(const cJSON *json, struct span text, struct key_body *out)
{
    /* cJSON ends a string at an escaped NUL, and would hand on the half of it. */
    if (memmem(text.p, text.n, "\\u0000", 6) != NULL) {
        return "a text with a NUL in it";
    }
    if (!cJSON_IsObject(json)) {
        return "expected an object";
    }
    if (cJSON_GetObjectItemCaseSensitive(json, "key") == NULL) {
        return "missing field `key`";
    }
    if (cJSON_GetObjectItemCaseSensitive(json, "seconds_valid") == NULL) {
        return "missing field `seconds_valid`";
    }
    if (take_text(json, "key", &out->req.key) != NULL) {
        return "key: expected a string or null";
    }
    if (take_text(json, "label", &out->req.label) != NULL) {
        return "label: expected a string or null";
    }
    return take_seconds(json, text, out);
}

int key_body_parse(struct key_body *out, struct span text, const char **why)
{
    *out = (struct key_body){.json = parse(text)};
    if (out->json == NULL) {
        *why = "not a JSON text";
        return ERR_MALFORMED;
    }
    *why = check(out->json, text, out);
    if (*why != NULL) {
        key_body_release(out);
        return ERR_INVALID;
    }
    return 0;
}

void key_body_release(struct key_body *b)
{
    cJSON_Delete(b->json);
    b->json = NULL;
}
