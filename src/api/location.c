#include "api/location.h"

#include "api/local_access.h"

#include "base/banned.h"

/* A wildcard is reached by loopback, if only from here. */
static void add_address(struct buf *out, const struct endpoint_list *listen)
{
    struct endpoint at = {.port = 0};
    char text[ENDPOINT_TEXT_LEN];
    if (listen->n > 0) {
        at = listen->at[0];
    }
    if (addr_is_unspecified(&at.addr)) {
        at.addr = at.addr.v6 ? (struct addr){.b = {[15] = 1}, .v6 = true}
                             : (struct addr){.b = {127, 0, 0, 1}};
    }
    buf_add_str(out, endpoint_format(text, &at));
}

void location_add_base(struct buf *out, bool tls, struct span host, const struct string_list *hosts,
                       const struct endpoint_list *listen)
{
    buf_add_str(out, tls ? "https://" : "http://");
    if (local_access_is_known_host(host, hosts, listen)) {
        buf_add(out, host);
    } else {
        add_address(out, listen);
    }
}
