#include "api/url_policy.h"

#include <string.h>
#include <strings.h>

#include "base/assert.h"

#include "base/banned.h"

static bool is_in(const char *const *blocks, const struct addr *a)
{
    for (; *blocks != NULL; blocks++) {
        struct cidr block;
        bool good = cidr_parse(&block, span_str(*blocks));
        ASSERT(good);
        if (cidr_contains(&block, a)) {
            return true;
        }
    }
    return false;
}

/* Link-local, metadata services of clouds that stand elsewhere, and what is no host. */
static const char *const never[] = {
    "169.254.0.0/16",  "fe80::/10",   "100.100.100.200",
    "168.63.129.16",   "192.0.0.192", "fd00:ec2::254",
    "fd20:ce::254",    "224.0.0.0/4", "ff00::/8",
    "255.255.255.255", NULL,
};

static const char *const not_public[] = {
    "0.0.0.0/8",      "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "240.0.0.0/4",  "::",           "100::/64",      "2001:db8::/32",
    "64:ff9b:1::/48", "fec0::/10",    NULL,
};

/* The IPv4 address that an IPv6 one stands for; false when it is none of that kind. */
static bool inner_v4(const struct addr *a, struct addr *out)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t compatible[12] = {0};
    if (!a->v6) {
        return false;
    }
    if (memcmp(a->b, nat64, sizeof nat64) == 0 ||
        memcmp(a->b, compatible, sizeof compatible) == 0) {
        *out = addr_from_v4(a->b + 12);
        return true;
    }
    if (a->b[0] == 0x20 && a->b[1] == 0x02) {
        *out = addr_from_v4(a->b + 2);
        return true;
    }
    return false;
}

bool url_policy_allows(enum url_fetch fetch, const struct addr *addr)
{
    struct addr inner;
    if (fetch == URL_FETCH_OFF || is_in(never, addr)) {
        return false;
    }
    if (fetch != URL_FETCH_ANY && (addr_is_private(addr) || is_in(not_public, addr))) {
        return false;
    }
    return addr_is_loopback(addr) || !inner_v4(addr, &inner) || url_policy_allows(fetch, &inner);
}

bool url_policy_is_url(struct span url)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] <= ' ' || url.p[i] == 0x7f) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if (url.n > n && url.n <= URL_MAX && strncasecmp((const char *)url.p, schemes[i], n) == 0) {
            return url.p[n] != '/' && url.p[n] != '?' && url.p[n] != '#';
        }
    }
    return false;
}
