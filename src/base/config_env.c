#include "base/config_env.h"

#include "base/config_value.h"
#include "base/config_yaml.h"

#include "base/banned.h"

#define PREFIX       SPAN("ROOKERY_")
#define TOKEN_PREFIX SPAN("ROOKERY_API__TOKENS__")

static struct span trimmed(struct span s)
{
    while (s.n > 0 && s.p[0] == ' ') {
        s = span_sub(s, 1, s.n);
    }
    while (s.n > 0 && s.p[s.n - 1] == ' ') {
        s.n--;
    }
    return s;
}

static void set_list(struct config_loader *l, const struct config_key *key, struct span text,
                     struct config_where at)
{
    struct config_scalar values[CONFIG_LIST_MAX];
    size_t n = 0;
    struct span rest = text;
    bool more = text.n > 0;
    while (more) {
        if (n == CONFIG_LIST_MAX) {
            config_complain_at(l, at, key->name, "a list has at most %d entries", CONFIG_LIST_MAX);
            return;
        }
        more = span_find(rest, ',') < rest.n;
        struct span entry = span_cut(rest, ',', &rest);
        values[n++] = (struct config_scalar){trimmed(entry), SCALAR_ANY, at};
    }
    config_value_set(l, key, values, n);
}

/* "[::1]" alone is an address of a comma-separated list. */
static bool is_yaml_list(struct span text)
{
    struct addr a;
    return text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']' && !addr_parse(&a, text);
}

void config_env_set(struct config_loader *l, const struct config_key *key, struct span text,
                    struct config_where at)
{
    struct span inner = trimmed(text);
    if (key->type == CONFIG_TOKENS) {
        if (inner.n > 0) {
            config_complain_at(l, at, key->name,
                               "one variable for each token: ROOKERY_API__TOKENS__<LABEL>");
        }
    } else if (!config_key_is_list(key)) {
        const struct config_scalar value = {text, SCALAR_ANY, at};
        config_value_set(l, key, &value, 1);
    } else if (is_yaml_list(inner)) {
        config_yaml_set(l, key, inner, at);
    } else {
        set_list(l, key, inner, at);
    }
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* "TRACKER__TLS__KEY" is the name of "tracker.tls.key". */
static bool is_name_of(struct span variable, const char *key)
{
    size_t i = 0;
    for (; *key != '\0'; key++) {
        if (*key == '.') {
            if (!span_eq(span_sub(variable, i, 2), SPAN("__"))) {
                return false;
            }
            i += 2;
        } else if (i < variable.n && lower(variable.p[i]) == (uint8_t)*key &&
                   lower(variable.p[i]) != variable.p[i]) {
            i++;
        } else if (i < variable.n && variable.p[i] == '_' && *key == '_') {
            i++;
        } else {
            return false;
        }
    }
    return i == variable.n;
}

static void set_token(struct config_loader *l, struct span name, struct span value,
                      struct config_where at)
{
    uint8_t label[CONFIG_LABEL_MAX + 1]; /* one byte more than is allowed */
    size_t n = 0;
    for (; n < name.n && n < sizeof label; n++) {
        label[n] = lower(name.p[n]);
    }
    const struct config_scalar token = {value, SCALAR_ANY, at};
    config_token_set(l, span_of(label, n), &token, true);
}

/* Is a variable that names no key a mistake? Yes when it looks like a path, or begins with a
 * section: to pass over ROOKERY_TRACKER_MODE=private would open the tracker to all. Other programs
 * have variables with our prefix too (ROOKERY_SERVICE_HOST is how Kubernetes names a service). */
static bool is_mistake(struct span variable)
{
    for (size_t i = 0; i + 1 < variable.n; i++) {
        if (variable.p[i] == '_' && variable.p[i + 1] == '_') {
            return true;
        }
    }
    for (size_t i = 0; i < config_schema_count(); i++) {
        struct span section = span_cut(span_str(config_schema_at(i)->name), '.', NULL);
        struct span head = span_sub(variable, 0, section.n);
        bool equal = head.n == section.n;
        for (size_t k = 0; equal && k < head.n; k++) {
            equal = lower(head.p[k]) == section.p[k];
        }
        if (equal && (variable.n == head.n || lower(variable.p[head.n]) < 'a' ||
                      lower(variable.p[head.n]) > 'z')) {
            return true;
        }
    }
    return false;
}

static void set_variable(struct config_loader *l, struct span name, struct span value,
                         struct config_where at)
{
    if (span_starts_with(name, TOKEN_PREFIX)) {
        set_token(l, span_sub(name, TOKEN_PREFIX.n, name.n), value, at);
        return;
    }
    for (size_t i = 0; i < config_schema_count(); i++) {
        const struct config_key *key = config_schema_at(i);
        if (is_name_of(span_sub(name, PREFIX.n, name.n), key->name)) {
            l->key_at[i] = at;
            config_env_set(l, key, value, at);
            return;
        }
    }
    if (!is_mistake(span_sub(name, PREFIX.n, name.n))) {
        return;
    }
    config_complain_at(l, at, "",
                       "this variable names no key of the configuration (ROOKERY_ + the key in "
                       "capitals, joined by __); unset it");
}

void config_env_load(struct config_loader *l, const char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        struct span value;
        struct span name = span_cut(span_str(*environment), '=', &value);
        if (span_starts_with(name, PREFIX)) {
            set_variable(l, name, value, (struct config_where){.variable = *environment});
        }
    }
}
