/* socketio_push.h: tells subscribers what happens to torrents: looks at all of them every
 * SIO_PUSH_MS, while there is a subscriber.
 *
 * Limits   SIO_PUSH_SLICE torrents a turn of the loop, and a pause behind a turn that had something
 *          to tell: when ten thousand are removed at once, a subscriber is told in three seconds and
 *          not dropped for a full queue.
 */
#ifndef API_SOCKETIO_PUSH_H
#define API_SOCKETIO_PUSH_H

#include <stdint.h>

#include "api/socketio.h"
#include "client/client.h"

enum { SIO_PUSH_MS = 500, SIO_PUSH_SLICE = 64, SIO_PUSH_PAUSE_MS = 20 };

struct sio_push;

/* client may be NULL: nothing ever happens then. Both outlive it. */
struct sio_push *sio_push_new(struct sio *sio, struct client *client);
void sio_push_free(struct sio_push *p);
uint64_t sio_push_next_deadline_ms(const struct sio_push *p);
void sio_push_on_deadline(struct sio_push *p, uint64_t now_ms);

#endif
