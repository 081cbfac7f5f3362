/* What the API hands to libh2o as a head is one whole head to libh2o's own parser too, neither more
 * nor less, and none of its fields is about a body. */
#include <stddef.h>

#include "base/assert.h"
#include "proto/http1_body.h"

#include "base/banned.h"

/* libh2o exports its parser, and has no header for it. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_request(const char *p, size_t n, const char **method, size_t *method_len,
                      const char **path, size_t *path_len, int *minor, struct phr_header *headers,
                      size_t *n_headers, size_t last_n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http1_request req;
    static struct phr_header headers[HTTP1_FIELDS_MAX];
    static uint8_t head[HTTP1_HEAD_MAX];
    size_t n_headers = HTTP1_FIELDS_MAX;
    size_t method_len;
    size_t path_len;
    const char *method;
    const char *path;
    const char *why;
    int minor;
    size = size < sizeof head ? size : sizeof head;
    if (size == 0) {
        return 0;
    }
    memcpy(head, data, size);
    ssize_t len = http1_request_decode(&req, span_of(head, size), &why);
    if (len <= 0) {
        return 0;
    }
    size_t n_fields = req.n_fields;
    bool has_body = req.has_body;
    size_t n = http1_head_without_body(head, (size_t)len, &req);
    ASSERT(phr_parse_request((const char *)head, n, &method, &method_len, &path, &path_len, &minor,
                             headers, &n_headers, 0) == (int)n);
    ASSERT(n_headers <= n_fields && (!has_body || n_headers < n_fields));
    for (size_t i = 0; i < n_headers; i++) {
        struct http1_field f = {.name = span_of(headers[i].name, headers[i].name_len)};
        ASSERT(f.name.n > 0 && !http1_name_is(&f, "content-length") &&
               !http1_name_is(&f, "transfer-encoding") && !http1_name_is(&f, "expect"));
    }
    return 0;
}
