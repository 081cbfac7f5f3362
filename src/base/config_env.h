/* config_env.h: configuration from environment variables. Inside of base/config only. */
#ifndef BASE_CONFIG_ENV_H
#define BASE_CONFIG_ENV_H

#include "base/config_loader.h"
#include "base/config_schema.h"
#include "base/span.h"

/* Set what the ROOKERY_* variables of a NULL-terminated "NAME=value" list name; one that names
 * nothing is a complaint. */
void config_env_load(struct config_loader *l, const char *const *environment);

/* Set one key from text: a scalar as it is, a list comma-separated or in YAML, "[a, b]". */
void config_env_set(struct config_loader *l, const struct config_key *key, struct span text,
                    struct config_where at);

#endif
