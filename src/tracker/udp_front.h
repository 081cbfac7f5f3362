/* udp_front.h: UDP announces and scrapes: a batch of datagrams in, tracker calls, answers out.
 *
 * Silence   whoever has not shown a valid connection id gets no answer but to a connect, which is
 *           answered with as many bytes as it had: nothing here can be used to amplify a flood.
 * Errors    go to sources with a valid id only.
 * Peers     of the family of the asking address, and only as many as fit UDP_REPLY_MAX.
 * Thread    one front a worker, on its thread; the sockets belong to the worker.
 * Source    BEP 15, 41.
 */
#ifndef TRACKER_UDP_FRONT_H
#define TRACKER_UDP_FRONT_H

#include <stddef.h>

#include "net/udp.h"
#include "tracker/connid.h"
#include "tracker/tracker.h"

struct udp_front;

/* tracker, worker and connid are borrowed for the front's life. Never fails. */
struct udp_front *udp_front_new(struct tracker *tracker, struct tracker_worker *worker,
                                const struct connid *connid);
void udp_front_free(struct udp_front *f);

/* Answers up to UDP_BATCH datagrams: fills out and out_len of each. Between tracker_begin, with the
 * same now, and tracker_end. */
void udp_front_answer(struct udp_front *f, struct udp_datagram *datagrams, size_t n,
                      struct tracker_time now);

#endif
