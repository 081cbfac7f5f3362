/* http_bind.h: the sockets of an HTTP server.
 */
#ifndef API_HTTP_BIND_H
#define API_HTTP_BIND_H

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"

/* Binds the whole list into fds (room for list->n) and what was really bound into bound->at
 * (likewise), which may be fewer: an address family that this machine does not have is left out.
 * returns how many, or an error with nothing left open. */
MUST_CHECK int http_bind(const struct endpoint_list *list, int *fds, struct endpoint_list *bound,
                         struct err *e);

void http_bind_close(int *fds, size_t n);

#endif
