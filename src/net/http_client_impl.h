/* http_client_impl.h: what the parts of http_client share. Private to net/http_client*.c. */
#ifndef NET_HTTP_CLIENT_IMPL_H
#define NET_HTTP_CLIENT_IMPL_H

#include <curl/curl.h>

#include "base/buf.h"
#include "base/list.h"
#include "net/http_client.h"

enum get_state {
    GET_WAITING, /* in line */
    GET_RUNNING, /* in the multi handle */
    GET_ENDED,   /* done is to be called with status */
};

struct http_get {
    struct http_client *client;
    struct list node; /* of the list that is its state */
    enum get_state state;
    CURL *easy; /* while it runs */
    char *url;
    char *user_agent;
    char *source;
    struct http_get_opts opts; /* its texts are the copies */
    uint64_t begin_ms;
    size_t headers_len;
    struct buf body;
    bool denied;   /* allow said no */
    bool too_long; /* body or headers */
    int status;    /* GET_ENDED */
};

/* Options of a handle that is as new, for one request. ERR_*: it cannot be begun. */
MUST_CHECK int http_get_prepare(struct http_get *get, uint32_t timeout_ms);
void http_get_response(const struct http_get *get, CURLcode result, struct http_response *out);

#endif
