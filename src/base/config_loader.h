/* config_loader.h: one call of config_load under way: where each key was set, and the complaints.
 * Inside of base/config only. */
#ifndef BASE_CONFIG_LOADER_H
#define BASE_CONFIG_LOADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"
#include "base/config_schema.h"
#include "base/span.h"

/* Where a value stands; everything zero: nowhere, it is a default. */
struct config_where {
    unsigned line;        /* in the file, from 1 */
    const char *variable; /* of the environment; "NAME=..." will do */
};

struct config_loader {
    struct config *cfg;
    const char *file;
    config_complain complain;
    void *complain_ctx;
    size_t n_complaints;
    struct config_where key_at[CONFIG_KEYS_MAX];
    unsigned section_line[CONFIG_KEYS_MAX];        /* by the section's first key; 0: not seen */
    bool refused[CONFIG_KEYS_MAX];                 /* given, and not good */
    struct config_where token_at[CONFIG_LIST_MAX]; /* beside cfg->api.tokens */
};

static inline bool config_is_set(struct config_where at)
{
    return at.line > 0 || at.variable != NULL;
}

enum { CONFIG_SHOWN_LEN = 240 }; /* buffer for config_shown */

/* s for a complaint: one line, valid UTF-8, cut when it is long; returns out. */
char *config_shown(char out[static CONFIG_SHOWN_LEN], struct span s);

/* key is "" when the complaint is about no key in particular. */
void config_complain_at(struct config_loader *l, struct config_where at, const char *key,
                        const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
