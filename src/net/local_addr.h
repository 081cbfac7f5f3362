/* local_addr.h: the address that this machine talks to the world from. */
#ifndef NET_LOCAL_ADDR_H
#define NET_LOCAL_ADDR_H

#include <stdbool.h>

#include "base/endpoint.h"

/* By asking the routing table: nothing is sent. False: no route of that family to anywhere. */
bool local_addr(bool v6, struct addr *out);

#endif
