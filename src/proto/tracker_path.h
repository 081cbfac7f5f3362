/* tracker_path.h: the path of a tracker's URL as one or two segments, for access keys.
 *
 * "/announce", "/announce/KEY", "/KEY/announce", "/KEY": which is which, HTTP and BEP 41 decide.
 * One slash at the end changes nothing.
 */
#ifndef PROTO_TRACKER_PATH_H
#define PROTO_TRACKER_PATH_H

#include <stdbool.h>

#include "base/span.h"

struct tracker_path {
    struct span first;
    struct span second; /* empty when there is one segment only */
};

/* False when path does not start with a slash, has an empty segment or more than two. "/" is one
 * empty segment. Borrowed from path; %-encoding is left as it is. */
static inline bool tracker_path_split(struct tracker_path *out, struct span path)
{
    if (path.n == 0 || path.p[0] != '/') {
        return false;
    }
    struct span rest = span_sub(path, 1, path.n);
    if (rest.n > 0 && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    out->first = span_cut(rest, '/', &out->second);
    if (out->first.n == rest.n) {
        return out->first.n > 0 || path.n == 1;
    }
    return out->first.n > 0 && out->second.n > 0 && span_find(out->second, '/') == out->second.n;
}

#endif
