/* ready_file.h: tells whoever started the server that it is ready, and where it listens. */
#ifndef READY_FILE_H
#define READY_FILE_H

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"

struct ready_addresses {
    const struct endpoint_list *api;
    const struct endpoint_list *tracker_http;
    const struct endpoint_list *tracker_udp;
    const struct endpoint_list *client; /* of peers; NULL: the client is switched off */
};

/* A file of an earlier run would lie: taken away before the first listener is bound. */
void ready_file_remove(const char *path);

/* JSON, written under another name in the same folder and renamed. */
MUST_CHECK int ready_file_write(const char *path, const struct ready_addresses *addresses,
                                struct err *e);

#endif
