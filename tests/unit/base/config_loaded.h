/* config_loaded.h: a configuration loaded from text, with its complaints, for tests. */
#ifndef UNIT_BASE_CONFIG_LOADED_H
#define UNIT_BASE_CONFIG_LOADED_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"

struct loaded {
    struct config cfg;
    int status;
    size_t n_complaints;
    char complaints[65536]; /* one a line */
};

static inline void loaded_complain(void *ctx, const char *text)
{
    struct loaded *l = ctx;
    size_t n = strlen(l->complaints);
    (void)snprintf(l->complaints + n, sizeof l->complaints - n, "%s\n", text);
    l->n_complaints++;
}

/* From a file called "t.yaml". Released by the caller: config_release(&l->cfg). */
static inline void loaded_init(struct loaded *l, struct span yaml, const char *const *environment)
{
    l->complaints[0] = '\0';
    l->n_complaints = 0;
    l->status = config_load(&l->cfg, "t.yaml", yaml, environment, loaded_complain, l);
}

#endif
