/* openapi.h: what the API's routes are, for programs: src/api/openapi.json, built into this one.
 *
 * Kept by hand; tests hold it against the route tables and against what the server answers.
 */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>
#include <stdint.h>

#include "api/call.h"

extern const uint8_t openapi_json[];
extern const size_t openapi_json_len;

/* Answers with all of it, in slices. */
void openapi_answer(struct call *c);

#endif
