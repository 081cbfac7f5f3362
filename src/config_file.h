/* config_file.h: the configuration from its file and the environment, complaints on stderr. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "base/assert.h"
#include "base/config.h"

enum { CONFIG_FILE_MAX = 1024 * 1024 };

/* path NULL: defaults and environment only. 0, or a negative code after every complaint was
 * printed; *out must be released in both cases. */
MUST_CHECK int config_file_load(struct config *out, const char *path);

#endif
