#include "api/local_access.h"

#include <strings.h>

#include "base/parse.h"

#include "base/banned.h"

struct authority {
    struct span name; /* without the brackets of an IPv6 address */
    uint64_t port;    /* 0: not said */
};

static bool same_name(struct span a, struct span b)
{
    return a.n == b.n && a.n > 0 && strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0;
}

/* "name", "name:port", "[::1]", "[::1]:port". */
static bool parse_authority(struct span text, struct authority *out)
{
    struct span port = {NULL, 0};
    *out = (struct authority){.port = 0};
    if (text.n > 0 && text.p[0] == '[') {
        out->name = span_cut(span_sub(text, 1, text.n), ']', &port);
        if (out->name.n + 2 > text.n || (port.n > 0 && port.p[0] != ':')) {
            return false;
        }
        bool has_port = port.n > 0;
        port = span_sub(port, 1, port.n);
        return out->name.n > 0 && (!has_port || parse_u64(&out->port, port, UINT16_MAX));
    }
    out->name = span_cut(text, ':', &port);
    bool has_port = out->name.n < text.n;
    return out->name.n > 0 && (!has_port || parse_u64(&out->port, port, UINT16_MAX));
}

bool local_access_is_known_host(struct span host, const struct string_list *hosts,
                                const struct endpoint_list *listen)
{
    struct authority asked;
    struct addr addr;
    if (!parse_authority(host, &asked)) {
        return false;
    }
    for (size_t i = 0; i < hosts->n; i++) {
        struct span name = span_str(hosts->at[i]);
        if (same_name(name, asked.name) || same_name(name, host)) {
            return true;
        }
    }
    if (!addr_parse(&addr, asked.name)) {
        return same_name(asked.name, SPAN("localhost"));
    }
    for (size_t i = 0; i < listen->n; i++) {
        if (!addr_is_unspecified(&addr) && addr_eq(&listen->at[i].addr, &addr)) {
            return true;
        }
    }
    return addr_is_loopback(&addr);
}

/* Another port of the same host is another origin. */
bool local_access_is_same_origin(struct span origin, struct span host)
{
    static const struct {
        struct span prefix;
        uint64_t port;
    } schemes[] = {
        {{(const uint8_t *)"http://", 7}, 80},
        {{(const uint8_t *)"https://", 8}, 443},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct span prefix = schemes[i].prefix;
        struct authority from;
        struct authority to;
        if (same_name(span_sub(origin, 0, prefix.n), prefix) &&
            parse_authority(span_sub(origin, prefix.n, origin.n), &from) &&
            parse_authority(host, &to)) {
            uint64_t from_port = from.port == 0 ? schemes[i].port : from.port;
            uint64_t to_port = to.port == 0 ? schemes[i].port : to.port;
            return same_name(from.name, to.name) && from_port == to_port;
        }
    }
    return false;
}

bool local_access_allows(const struct local_request *r, const struct string_list *hosts,
                         const struct endpoint_list *listen)
{
    return addr_is_loopback(&r->peer) && !r->forwarded &&
           local_access_is_known_host(r->host, hosts, listen) &&
           (r->origin.p == NULL || local_access_is_same_origin(r->origin, r->host));
}
