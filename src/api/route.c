#include "api/route.h"

#include "base/parse.h"

#include "base/banned.h"

bool route_path_split(struct route_path *out, struct span path)
{
    size_t used = 0;
    out->n_segments = 0;
    if (path.n == 0 || path.p[0] != '/') {
        return false;
    }
    struct span rest = span_sub(path, 1, path.n);
    for (bool more = true; more;) {
        more = span_find(rest, '/') < rest.n;
        struct span segment = span_cut(rest, '/', &rest);
        if (out->n_segments == ROUTE_SEGMENTS_MAX) {
            return false;
        }
        long n = percent_decode(out->text + used, sizeof out->text - used, segment);
        if (n < 0) {
            if (segment.n > sizeof out->text - used) {
                return false;
            }
            memcpy(out->text + used, segment.p, segment.n);
            n = (long)segment.n;
        }
        out->segments[out->n_segments++] = span_of(out->text + used, (size_t)n);
        used += (size_t)n;
    }
    return true;
}

/* Does the template fit? *literals gets a bit for each literal segment, the first one highest. */
static bool fits(const char *template, const struct route_path *path, size_t n_segments,
                 struct route_match *m, uint32_t *literals)
{
    struct span rest = span_str(template + 1);
    size_t n_params = 0;
    *literals = 0;
    for (size_t i = 0; i < n_segments; i++) {
        bool last = span_find(rest, '/') == rest.n;
        struct span want = span_cut(rest, '/', &rest);
        struct span have = path->segments[i];
        if (last != (i + 1 == n_segments)) {
            return false;
        }
        if (want.n > 0 && want.p[0] == ':') {
            if (have.n == 0) {
                return false;
            }
            m->params[n_params++] = have;
        } else if (span_eq(want, have)) {
            *literals |= UINT32_C(1) << (ROUTE_SEGMENTS_MAX - i);
        } else {
            return false;
        }
    }
    return true;
}

enum route_result route_find(struct route_match *out, const struct route *routes, size_t n,
                             enum http_method method, const struct route_path *path)
{
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    size_t n_segments = path->n_segments;
    bool slash = n_segments > 1 && path->segments[n_segments - 1].n == 0;
    uint32_t best = 0;
    *out = (struct route_match){.route = NULL};
    for (size_t i = 0; i < n; i++) {
        struct route_match m = {.route = &routes[i]};
        uint32_t literals;
        bool reads = routes[i].method == HTTP_GET && routes[i].auth != ROUTE_ACT;
        bool tolerant = slash && wanted == HTTP_GET && reads;
        if (!fits(routes[i].path, path, n_segments - tolerant, &m, &literals)) {
            continue;
        }
        out->allowed |= UINT32_C(1) << routes[i].method | (reads ? UINT32_C(1) << HTTP_HEAD : 0);
        bool serves = routes[i].method == (reads ? wanted : method);
        if (serves && (out->route == NULL || literals > best)) {
            m.allowed = out->allowed;
            *out = m;
            best = literals;
        }
    }
    return out->route != NULL ? ROUTE_FOUND : out->allowed != 0 ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}

void route_allow_text(char out[static ROUTE_ALLOW_LEN], uint32_t allowed)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
    };
    size_t n = 0;
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((allowed & UINT32_C(1) << i) == 0) {
            continue;
        }
        if (n > 0) {
            memcpy(out + n, ", ", 2);
            n += 2;
        }
        memcpy(out + n, names[i], strlen(names[i]));
        n += strlen(names[i]);
    }
    out[n] = '\0';
}
