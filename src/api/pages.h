/* pages.h: what belongs to no dialect: /, /health_check, /metrics. Failures are a line of text. */
#ifndef API_PAGES_H
#define API_PAGES_H

#include "api/call.h"

extern const struct dialect pages_dialect;

#endif
