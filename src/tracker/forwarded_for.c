#include "tracker/forwarded_for.h"

#include "base/banned.h"

bool forwarded_for_trusts(const struct cidr_list *trusted, const struct addr *proxy)
{
    for (size_t i = 0; i < trusted->n; i++) {
        if (cidr_contains(&trusted->at[i], proxy)) {
            return true;
        }
    }
    return false;
}

static struct span trim(struct span s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = span_sub(s, 1, s.n);
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Cuts the last entry off a comma-separated list; false when none is left. */
static bool take_last(struct span *list, struct span *entry)
{
    if (list->p == NULL) {
        return false;
    }
    size_t at = list->n;
    while (at > 0 && list->p[at - 1] != ',') {
        at--;
    }
    *entry = trim(span_sub(*list, at, list->n));
    *list = at > 0 ? span_sub(*list, 0, at - 1) : span_of(NULL, 0);
    return true;
}

struct addr forwarded_for_client(const struct http1_request *req, const struct cidr_list *trusted,
                                 const struct addr *proxy)
{
    struct span fields[HTTP1_FIELDS_MAX];
    struct span entry;
    struct addr found;
    size_t n = 0;
    size_t at = 0;
    while (n < HTTP1_FIELDS_MAX && http1_next_value(req, "x-forwarded-for", &at, &fields[n])) {
        n++;
    }
    while (n > 0) {
        if (!take_last(&fields[n - 1], &entry)) {
            n--;
            continue;
        }
        if (!addr_parse(&found, entry)) {
            return *proxy;
        }
        if (!forwarded_for_trusts(trusted, &found)) {
            return found;
        }
    }
    return *proxy;
}
