/* config_yaml.c: libyaml builds a document (nodes that name each other by number); the walk takes
 * the schema's way through it.
 *
 *   load_document -> walk_section("", root) -> set_key            a key of the schema
 *                                           -> walk_section       "tracker", "tracker.tls"
 *                                           -> a complaint        anything else
 */
#include "base/config_yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "base/config_value.h"

#include "base/banned.h"

enum { KEY_PATH_LEN = 64 + CONFIG_SHOWN_LEN };

struct walk {
    struct config_loader *l;
    yaml_document_t *doc;
    const char *variable; /* not NULL: the text is a variable's, lines mean nothing */
};

static struct config_where where(const struct walk *w, const yaml_node_t *node)
{
    if (w->variable != NULL) {
        return (struct config_where){.variable = w->variable};
    }
    return (struct config_where){.line = (unsigned)node->start_mark.line + 1};
}

static struct span text_of(const yaml_node_t *node)
{
    return span_of(node->data.scalar.value, node->data.scalar.length);
}

static bool is_plain(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Digits with a sign, a point or an exponent, or an octal or hexadecimal number (YAML 1.2, 10.3.2).
 */
static bool looks_like_number(struct span s)
{
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t n_digits = 0;
    bool based = s.n > i + 1 && s.p[i] == '0' && (s.p[i + 1] == 'x' || s.p[i + 1] == 'o');
    for (i += based ? 2 : 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        uint8_t low = c | 0x20;
        bool digit = (c >= '0' && c <= '9') || (based && low >= 'a' && low <= 'f');
        bool exponent = n_digits > 0 && (low == 'e' || c == '-' || c == '+');
        if (!digit && c != '.' && !exponent) {
            return false;
        }
        n_digits += digit;
    }
    /* An address is no number: at most one point. */
    struct span behind;
    (void)span_cut(s, '.', &behind);
    return n_digits > 0 && span_find(behind, '.') == behind.n;
}

static bool is_null(const yaml_node_t *node)
{
    struct span s = is_plain(node) ? text_of(node) : SPAN("no");
    return s.n == 0 || span_eq(s, SPAN("~")) || span_eq(s, SPAN("null"));
}

static enum config_scalar_kind kind_of(const yaml_node_t *node)
{
    struct span s = text_of(node);
    if (!is_plain(node)) {
        return SCALAR_TEXT;
    }
    if (is_null(node)) {
        return SCALAR_NULL;
    }
    if (span_eq(s, SPAN("true")) || span_eq(s, SPAN("false"))) {
        return SCALAR_BOOL;
    }
    return looks_like_number(s) ? SCALAR_NUMBER : SCALAR_TEXT;
}

static const char *shape_of(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE  ? "a list"
           : node->type == YAML_MAPPING_NODE ? "a section"
           : is_null(node)                   ? "nothing"
                                             : "a single value";
}

/* ---- one key ----------------------------------------------------------------------------- */

static void set_list(const struct walk *w, const struct config_key *key, const yaml_node_t *node)
{
    struct config_scalar values[CONFIG_LIST_MAX];
    size_t n = 0;
    size_t n_bad = 0;
    const yaml_node_item_t *item = node->data.sequence.items.start;
    if (node->data.sequence.items.top - item > CONFIG_LIST_MAX) {
        config_complain_at(w->l, where(w, node), key->name, "a list has at most %d entries",
                           CONFIG_LIST_MAX);
        return;
    }
    for (; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *entry = yaml_document_get_node(w->doc, *item);
        if (entry->type != YAML_SCALAR_NODE) {
            config_value_refuse(w->l, key, where(w, entry), "a list with more lists in it");
            n_bad++;
            continue;
        }
        values[n++] = (struct config_scalar){text_of(entry), kind_of(entry), where(w, entry)};
    }
    if (n_bad == 0) {
        config_value_set(w->l, key, values, n);
    }
}

static void set_tokens(const struct walk *w, const struct config_key *key, const yaml_node_t *node)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *label = yaml_document_get_node(w->doc, pair->key);
        const yaml_node_t *token = yaml_document_get_node(w->doc, pair->value);
        if (label->type != YAML_SCALAR_NODE || token->type != YAML_SCALAR_NODE) {
            config_value_refuse(w->l, key, where(w, label), "something deeper");
            continue;
        }
        const struct config_scalar value = {text_of(token), kind_of(token), where(w, label)};
        config_token_set(w->l, text_of(label), &value, false);
    }
}

static void set_key(const struct walk *w, const struct config_key *key, struct config_where at,
                    const yaml_node_t *value)
{
    bool list = config_key_is_list(key);
    bool tokens = key->type == CONFIG_TOKENS;
    if (list && value->type == YAML_SEQUENCE_NODE) {
        set_list(w, key, value);
    } else if (tokens && value->type == YAML_MAPPING_NODE) {
        set_tokens(w, key, value);
    } else if (tokens && is_null(value)) {
        return; /* "tokens:" with every label commented out */
    } else if (!list && !tokens && value->type == YAML_SCALAR_NODE) {
        const struct config_scalar scalar = {text_of(value), kind_of(value), at};
        config_value_set(w->l, key, &scalar, 1);
    } else {
        config_value_refuse(w->l, key, at, shape_of(value));
    }
}

/* ---- sections ---------------------------------------------------------------------------- */

static void walk_section(const struct walk *w, struct span path, const yaml_node_t *node);

/* Complains and returns false when a key or a section was there before. */
static bool is_first(const struct walk *w, const char *path, unsigned before, unsigned line)
{
    if (before == 0) {
        return true;
    }
    config_complain_at(w->l, (struct config_where){.line = line}, path,
                       "is given twice; the first is in line %u", before);
    return false;
}

static void walk_pair(const struct walk *w, const char *path, const yaml_node_t *key,
                      const yaml_node_t *value)
{
    struct config_where at = where(w, key);
    size_t i;
    if (config_schema_find(span_str(path), &i)) {
        if (is_first(w, path, w->l->key_at[i].line, at.line)) {
            w->l->key_at[i] = at;
            set_key(w, config_schema_at(i), at, value);
        }
    } else if (!config_schema_find_section(span_str(path), &i)) {
        config_complain_at(w->l, at, path,
                           "is not a key; config/production.yaml lists all of them");
    } else if (is_first(w, path, w->l->section_line[i], at.line)) {
        w->l->section_line[i] = at.line;
        if (value->type == YAML_MAPPING_NODE) {
            walk_section(w, span_str(path), value);
        } else if (!is_null(value)) {
            config_complain_at(w->l, at, path, "must be a section with keys under it, not %s",
                               shape_of(value));
        }
    }
}

static void walk_section(const struct walk *w, struct span path, const yaml_node_t *node)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(w->doc, pair->key);
        char full[KEY_PATH_LEN];
        char shown[CONFIG_SHOWN_LEN];
        if (key->type != YAML_SCALAR_NODE) {
            config_complain_at(w->l, where(w, key), "", "a key must be a name, not %s",
                               shape_of(key));
            continue;
        }
        if (span_find(text_of(key), '.') < text_of(key).n) {
            config_complain_at(
                w->l, where(w, key), config_shown(shown, text_of(key)),
                "is not a key; \"a.b: c\" is written as a section a with b: c in it");
            continue;
        }
        /* Escaped first: a NUL or a line break in it must not make it another key. */
        (void)snprintf(full, sizeof full, "%.*s%s%s", (int)path.n, (const char *)path.p,
                       path.n == 0 ? "" : ".", config_shown(shown, text_of(key)));
        walk_pair(w, full, key, yaml_document_get_node(w->doc, pair->value));
    }
}

/* ---- the document ------------------------------------------------------------------------ */

static void complain_syntax(struct config_loader *l, const yaml_parser_t *parser, struct span text,
                            const char *variable)
{
    size_t line = parser->problem_mark.line;
    if (parser->error == YAML_READER_ERROR) {
        line = 0; /* the reader knows its offset only */
        for (size_t i = 0; i < text.n && i < parser->problem_offset; i++) {
            line += text.p[i] == '\n';
        }
    }
    config_complain_at(l, (struct config_where){(unsigned)line + 1, variable}, "",
                       "is not valid YAML: %s",
                       parser->problem == NULL ? "no memory" : parser->problem);
}

/* Everything that is asked of a document's root, the first (or only) one of the text. */
typedef void (*use_root)(const struct walk *w, const yaml_node_t *root, const void *ctx);

static bool next_document(struct config_loader *l, yaml_parser_t *parser, yaml_document_t *doc,
                          struct span text, const char *variable)
{
    if (yaml_parser_load(parser, doc)) {
        return true;
    }
    complain_syntax(l, parser, text, variable);
    return false;
}

static void with_document(struct config_loader *l, struct span text, const char *variable,
                          use_root use, const void *ctx)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    struct walk w = {l, &doc, variable};
    ASSERT(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, text.n == 0 ? (const uint8_t *)"" : text.p, text.n);
    if (!next_document(l, &parser, &doc, text, variable)) {
        goto out;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&doc);
    if (root != NULL) {
        use(&w, root, ctx);
    }
    yaml_document_delete(&doc);
    if (root == NULL || !next_document(l, &parser, &doc, text, variable)) {
        goto out;
    }
    root = yaml_document_get_root_node(&doc);
    if (root != NULL) {
        config_complain_at(l, where(&w, root), "", "a second YAML document; only one is read");
    }
    yaml_document_delete(&doc);
out:
    yaml_parser_delete(&parser);
}

static void use_file(const struct walk *w, const yaml_node_t *root, const void *ctx)
{
    (void)ctx;
    if (root->type == YAML_MAPPING_NODE) {
        walk_section(w, SPAN(""), root);
    } else if (!is_null(root)) {
        config_complain_at(w->l, where(w, root), "",
                           "the file must be made of lines of key: value, it is %s",
                           shape_of(root));
    }
}

static void use_value(const struct walk *w, const yaml_node_t *root, const void *ctx)
{
    set_key(w, ctx, where(w, root), root);
}

void config_yaml_load(struct config_loader *l, struct span text)
{
    with_document(l, text, NULL, use_file, NULL);
}

void config_yaml_set(struct config_loader *l, const struct config_key *key, struct span text,
                     struct config_where at)
{
    with_document(l, text, at.variable, use_value, key);
}
