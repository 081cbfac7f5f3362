/* torrust.h: the Torrust tracker's admin API in its two published forms.
 *
 * torrust     /api/...     the first document: JSON failures with real status codes.
 * torrust_v1  /api/v1/...  version 3: texts and status codes as its clients match on them, and what
 *                          its users asked for beyond it.
 */
#ifndef API_TORRUST_H
#define API_TORRUST_H

#include "api/call.h"

extern const struct dialect torrust_dialect;
extern const struct dialect torrust_v1_dialect;

#endif
