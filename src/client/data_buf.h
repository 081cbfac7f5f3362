/* data_buf.h: counted buffers for payload, so that a block goes from a peer to the disk, or from
 * the disk to many peers, without a copy. Client core: no I/O.
 *
 * Sizes    DATA_BLOCK_LEN for what arrives, DATA_READ_LEN for what is read to be sent.
 * Memory   a pool keeps up to DATA_KEEP_LEN bytes of freed buffers; data_pool_used is what is out.
 * Threads  counts change on the loop's thread only; a job in the thread pool works on the bytes of
 *          buffers that the loop's thread holds for it.
 */
#ifndef CLIENT_DATA_BUF_H
#define CLIENT_DATA_BUF_H

#include <stddef.h>
#include <stdint.h>

enum {
    DATA_BLOCK_LEN = 1 << 14,
    DATA_READ_LEN = 1 << 18,
    DATA_KEEP_LEN = 1 << 24,
};

struct data_pool;

struct data_buf {
    uint32_t len; /* bytes that mean something: set by whoever fills it */
    uint32_t cap; /* DATA_BLOCK_LEN or DATA_READ_LEN */
    /* private */
    uint32_t refs;
    struct data_pool *pool;
    struct data_buf *next; /* while it is free */
    uint8_t p[];
};

struct data_pool *data_pool_new(void);
/* Every buffer must be back. */
void data_pool_free(struct data_pool *pool);
/* Bytes of the buffers that are out. */
size_t data_pool_used(const struct data_pool *pool);

/* One reference, the caller's; len is 0. cap is one of the two sizes. */
struct data_buf *data_new(struct data_pool *pool, uint32_t cap);
struct data_buf *data_ref(struct data_buf *d); /* returns d */
void data_unref(struct data_buf *d);           /* NULL: nothing */

#endif
