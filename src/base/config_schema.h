/* config_schema.h: the table of configuration keys. Inside of base/config only. */
#ifndef BASE_CONFIG_SCHEMA_H
#define BASE_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum config_type {
    CONFIG_BOOL,
    CONFIG_NUMBER,     /* min..max */
    CONFIG_CHOICE,     /* stored as the index in choices */
    CONFIG_TEXT,       /* char *, min..max bytes */
    CONFIG_ADDRESS,    /* struct addr; the empty text is the unspecified address */
    CONFIG_ENDPOINTS,  /* struct endpoint_list */
    CONFIG_CIDRS,      /* struct cidr_list */
    CONFIG_TEXTS,      /* struct string_list, min..max bytes each */
    CONFIG_HOST_PORTS, /* struct string_list */
    CONFIG_TOKENS,     /* struct token_list, from a section of label: token */
};

/* The first key of a section is one of its own, not one of a section inside of it. */
struct config_key {
    const char *name;
    enum config_type type;
    const char *initial; /* the default, as an environment variable would give it */
    uint64_t min;
    uint64_t max;
    const char *const *choices; /* NULL-terminated */
    size_t offset;              /* the place in struct config */
    size_t size;                /* of the place; 0: reserved, there is none */
    bool secret;                /* complaints do not show the value */
    const char *help;
};

enum { CONFIG_KEYS_MAX = 80 }; /* how many rows there may be */

size_t config_schema_count(void);

/* The row at i < config_schema_count(). */
const struct config_key *config_schema_at(size_t i);

/* The index of a key, or of the first key inside of a section; false when there is none. */
bool config_schema_find(struct span name, size_t *index);
bool config_schema_find_section(struct span name, size_t *first_inside);

/* True when the value is a list of scalars. */
bool config_key_is_list(const struct config_key *key);

#endif
