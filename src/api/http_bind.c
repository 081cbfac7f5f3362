#include "api/http_bind.h"

#include <unistd.h>

#include "base/log.h"
#include "net/listen.h"

#include "base/banned.h"

void http_bind_close(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(fds[i]);
    }
}

int http_bind(const struct endpoint_list *list, int *fds, struct endpoint_list *bound,
              struct err *e)
{
    bound->n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct listen_spec spec = listen_spec_for(LISTEN_TCP, list->at, list->n, i);
        spec.reuse_port = false;
        int status = listen_probe(&spec, e);
        if (status == ERR_NOT_FOUND) {
            log_warn(LOG_API, "address skipped", KV_STR("why", e->msg));
            continue;
        }
        if (status >= 0) {
            status = listen_open(&spec, e);
        }
        if (status < 0) {
            http_bind_close(fds, bound->n);
            return status;
        }
        fds[bound->n] = status;
        bound->at[bound->n++] = spec.at;
    }
    return (int)bound->n;
}
