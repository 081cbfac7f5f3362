/* peer_client.h: which program a peer id says it is. Pure.
 *
 * Source   BEP 20: Azureus style "-XXvvvv-", Mainline's "M4-3-6--"; aria2's manual for
 * "A2-1-36-0-".
 */
#ifndef API_PEER_CLIENT_H
#define API_PEER_CLIENT_H

#include "base/ids.h"

/* Static text, or NULL when the id tells nothing that is known here. */
const char *peer_client_name(const struct peer_id *id);

#endif
