/* config_yaml.h: configuration from YAML text. Inside of base/config only.
 *
 * The walk goes where the schema goes, three levels deep at most, so that anchors and aliases,
 * cycles included, cost nothing: an alias is what it names, and a section is walked once.
 */
#ifndef BASE_CONFIG_YAML_H
#define BASE_CONFIG_YAML_H

#include "base/config_loader.h"
#include "base/span.h"

/* Set every key of the text; complaints carry the line. */
void config_yaml_load(struct config_loader *l, struct span text);

/* Set one list key from a value in YAML, as an environment variable may give it: "[a, b]". */
void config_yaml_set(struct config_loader *l, const struct config_key *key, struct span text,
                     struct config_where at);

#endif
