/* config_value.h: values as a file or the environment gives them, checked and put in their place.
 * Inside of base/config only. */
#ifndef BASE_CONFIG_VALUE_H
#define BASE_CONFIG_VALUE_H

#include "base/config_loader.h"
#include "base/config_schema.h"

enum { CONFIG_LABEL_MAX = 64 }; /* bytes of a token's label */

/* What YAML makes of a scalar. From the environment everything is SCALAR_ANY: it is what the key
 * asks for. */
enum config_scalar_kind { SCALAR_TEXT, SCALAR_BOOL, SCALAR_NUMBER, SCALAR_NULL, SCALAR_ANY };

struct config_scalar {
    struct span text; /* borrowed */
    enum config_scalar_kind kind;
    struct config_where at;
};

/* Check values against the rule of key, and replace what its place held when all are good; each
 * that is not gets a complaint. n is 1 unless config_key_is_list. Not for CONFIG_TOKENS. */
void config_value_set(struct config_loader *l, const struct config_key *key,
                      const struct config_scalar *values, size_t n);

/* Complain that the key needs something else than what ("a list", "a section") is there. */
void config_value_refuse(struct config_loader *l, const struct config_key *key,
                         struct config_where at, const char *what);

/* Add one token, or replace the one with this label (any case) when replace is true; a second one
 * is refused otherwise. */
void config_token_set(struct config_loader *l, struct span label, const struct config_scalar *token,
                      bool replace);

/* Free what the place of key holds and zero it. */
void config_value_release(struct config *c, const struct config_key *key);

#endif
