#include "base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/parse.h"

#include "base/banned.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct addr addr_from_v4(const uint8_t b[static 4])
{
    struct addr a = {.v6 = false};
    memcpy(a.b, b, 4);
    return a;
}

struct addr addr_from_v6(const uint8_t b[static 16])
{
    if (memcmp(b, mapped_prefix, sizeof mapped_prefix) == 0) {
        return addr_from_v4(b + 12);
    }
    struct addr a = {.v6 = true};
    memcpy(a.b, b, 16);
    return a;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return a->v6 == b->v6 && memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool endpoint_eq(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_eq(&a->addr, &b->addr);
}

bool addr_parse(struct addr *out, struct span text)
{
    char s[ADDR_TEXT_LEN];
    uint8_t raw[16];
    if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
        text = span_sub(text, 1, text.n - 2);
    }
    if (text.n == 0 || text.n >= sizeof s || span_find(text, 0) < text.n) {
        return false;
    }
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    if (inet_pton(AF_INET, s, raw) == 1) {
        *out = addr_from_v4(raw);
        return true;
    }
    if (inet_pton(AF_INET6, s, raw) == 1) {
        *out = addr_from_v6(raw);
        return true;
    }
    return false;
}

bool endpoint_parse(struct endpoint *out, struct span text)
{
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return false;
    }
    struct span host = span_sub(text, 0, colon - 1);
    bool bracketed = host.n > 0 && host.p[0] == '[';
    if (!bracketed && span_find(host, ':') < host.n) {
        return false;
    }
    uint64_t port;
    if (!parse_u64(&port, span_sub(text, colon, text.n), UINT16_MAX) ||
        !addr_parse(&out->addr, host)) {
        return false;
    }
    out->port = (uint16_t)port;
    return true;
}

/* The first bits of a as an address of its own. */
static struct addr masked(const struct addr *a, unsigned bits)
{
    struct addr m = {.v6 = a->v6};
    for (unsigned i = 0; i < addr_len(a) && bits > 0; i++) {
        unsigned here = bits < 8 ? bits : 8;
        m.b[i] = (uint8_t)(a->b[i] & (0xff << (8 - here)));
        bits -= here;
    }
    return m;
}

bool cidr_parse(struct cidr *out, struct span text)
{
    struct span prefix;
    struct span host = span_cut(text, '/', &prefix);
    if (!addr_parse(&out->base, host)) {
        return false;
    }
    uint64_t bits = 8 * addr_len(&out->base);
    if (host.n < text.n && !parse_u64(&bits, prefix, bits)) {
        return false;
    }
    out->prefix_len = (uint8_t)bits;
    struct addr m = masked(&out->base, out->prefix_len);
    return addr_eq(&m, &out->base);
}

char *addr_format(char out[static ADDR_TEXT_LEN], const struct addr *a)
{
    (void)inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->b, out, ADDR_TEXT_LEN);
    return out;
}

char *endpoint_format(char out[static ENDPOINT_TEXT_LEN], const struct endpoint *e)
{
    char host[ADDR_TEXT_LEN];
    (void)snprintf(out, ENDPOINT_TEXT_LEN, e->addr.v6 ? "[%s]:%u" : "%s:%u",
                   addr_format(host, &e->addr), e->port);
    return out;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
    if (c->base.v6 != a->v6) {
        return false;
    }
    struct addr m = masked(a, c->prefix_len);
    return addr_eq(&m, &c->base);
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->v6 ? memcmp(a->b, one, 16) == 0 : a->b[0] == 127;
}

bool addr_is_private(const struct addr *a)
{
    const uint8_t *b = a->b;
    if (addr_is_loopback(a)) {
        return true;
    }
    if (a->v6) {
        return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    }
    return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
           (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xc0) == 64);
}

bool addr_is_unspecified(const struct addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->b, zero, sizeof zero) == 0;
}

bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        uint8_t b[4];
        memcpy(b, &in.sin_addr, 4);
        out->addr = addr_from_v4(b);
        out->port = ntohs(in.sin_port);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        out->addr = addr_from_v6(in6.sin6_addr.s6_addr);
        out->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (e->addr.v6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
        memcpy(&in6.sin6_addr, e->addr.b, 16);
        memcpy(ss, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};
    memcpy(&in.sin_addr, e->addr.b, 4);
    memcpy(ss, &in, sizeof in);
    return sizeof in;
}
