#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "client/sendq.h"

#include "base/banned.h"

enum { PARTS_MAX = 64 };

static int start(void **state)
{
    *state = data_pool_new();
    return 0;
}

static int end(void **state)
{
    assert_int_equal(data_pool_used(*state), 0);
    data_pool_free(*state);
    return 0;
}

/* A buffer whose bytes say where they are. */
static struct data_buf *filled(struct data_pool *pool)
{
    struct data_buf *d = data_new(pool, DATA_BLOCK_LEN);
    for (uint32_t i = 0; i < d->cap; i++) {
        d->p[i] = (uint8_t)(i * 7 + i / 256);
    }
    d->len = d->cap;
    return d;
}

static struct wire_block block(uint32_t piece, uint32_t begin, uint32_t len)
{
    return (struct wire_block){.piece = piece, .begin = begin, .len = len};
}

/* All that is given at once, up to limit bytes, to out; its length. */
static size_t look(struct sendq *q, uint8_t *out, size_t cap, size_t limit, size_t *n_parts)
{
    struct iovec parts[PARTS_MAX];
    size_t len = 0;
    assert_in_range(cap, 0, PARTS_MAX);
    *n_parts = sendq_iov(q, parts, cap, limit);
    assert_in_range(*n_parts, 0, cap);
    for (size_t i = 0; i < *n_parts; i++) {
        assert_true(parts[i].iov_len > 0);
        memcpy(out + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    assert_true(len <= limit && len <= q->len);
    return len;
}

static void assert_empty(const struct sendq *q)
{
    assert_int_equal(q->len, 0);
    assert_int_equal(q->payload_len, 0);
    assert_null(q->segments);
    assert_null(q->bytes);
}

static void test_nothing(void **state)
{
    (void)state;
    struct sendq q = {.len = 0};
    uint8_t out[1];
    size_t n_parts;
    assert_int_equal(look(&q, out, PARTS_MAX, 100, &n_parts), 0);
    assert_int_equal(sendq_sent(&q, 0), 0);
    assert_int_equal(sendq_take_back(&q, NULL, NULL, NULL), 0);
    sendq_add(&q, span_of(NULL, 0));
    assert_empty(&q);
    assert_false(sendq_is_over(&q));
    sendq_release(&q);
}

static void test_small_messages_are_one_part(void **state)
{
    (void)state;
    struct sendq q = {.len = 0};
    uint8_t out[64];
    size_t n_parts;
    sendq_add(&q, SPAN("abc"));
    sendq_add(&q, SPAN("de"));
    assert_int_equal(q.len, 5);
    assert_int_equal(look(&q, out, PARTS_MAX, 100, &n_parts), 5);
    assert_int_equal(n_parts, 1);
    assert_memory_equal(out, "abcde", 5);
    assert_int_equal(sendq_sent(&q, 4), 0);
    sendq_add(&q, SPAN("fg"));
    assert_int_equal(look(&q, out, PARTS_MAX, 100, &n_parts), 3);
    assert_int_equal(n_parts, 1);
    assert_memory_equal(out, "efg", 3);
    assert_int_equal(sendq_sent(&q, 3), 0);
    assert_empty(&q);
}

/* Small messages and the head of the block behind them are one part; the block is the buffer's own
 * memory. */
static void test_block_is_not_copied(void **state)
{
    struct sendq q = {.len = 0};
    struct data_buf *d = filled(*state);
    struct iovec parts[PARTS_MAX];
    struct wire_block b = block(1, 2, 1000);
    sendq_add(&q, SPAN("abc"));
    sendq_add_block(&q, &b, d, 24);
    sendq_add(&q, SPAN("de"));
    sendq_add_block(&q, &b, d, 24);
    assert_int_equal(q.len, 3 + 2 + 2 * (13 + 1000));
    assert_int_equal(q.payload_len, 2000);
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, SIZE_MAX), 4);
    assert_int_equal(parts[0].iov_len, 3 + 13);
    assert_memory_equal(parts[0].iov_base, "abc\0\0\3\xf1\7\0\0\0\1\0\0\0\2", 16);
    assert_ptr_equal(parts[1].iov_base, d->p + 24);
    assert_int_equal(parts[1].iov_len, 1000);
    assert_int_equal(parts[2].iov_len, 2 + 13);
    assert_ptr_equal(parts[3].iov_base, d->p + 24);
    data_unref(d);
    sendq_release(&q);
    assert_empty(&q);
}

static void test_parts_and_limit(void **state)
{
    struct sendq q = {.len = 0};
    struct data_buf *d = filled(*state);
    struct iovec parts[PARTS_MAX];
    for (uint32_t i = 0; i < 40; i++) {
        struct wire_block b = block(i, 0, 100);
        sendq_add_block(&q, &b, d, i);
    }
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, SIZE_MAX), 64);
    assert_int_equal(sendq_iov(&q, parts, 3, SIZE_MAX), 3);
    assert_int_equal(sendq_iov(&q, parts, 0, SIZE_MAX), 0);
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, 0), 0);
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, 12), 1);
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, 13), 1);
    assert_int_equal(sendq_iov(&q, parts, PARTS_MAX, 14), 2);
    assert_int_equal(parts[1].iov_len, 1);
    assert_int_equal(sendq_sent(&q, 13 + 40), 40);
    assert_int_equal(q.payload_len, 40 * 100 - 40);
    assert_int_equal(sendq_iov(&q, parts, 1, SIZE_MAX), 1);
    assert_ptr_equal(parts[0].iov_base, d->p + 40);
    assert_int_equal(parts[0].iov_len, 60);
    data_unref(d);
    sendq_release(&q);
}

/* ---- taking back */

struct told {
    struct sendq *q;
    size_t n;
    struct wire_block last;
};

static void on_taken(void *ctx, const struct wire_block *b)
{
    struct told *told = ctx;
    told->n++;
    told->last = *b;
    sendq_add(told->q, SPAN("r"));
}

static void test_take_back_one(void **state)
{
    struct sendq q = {.len = 0};
    struct told told = {.q = &q};
    struct data_buf *d = filled(*state);
    uint8_t out[256];
    size_t n_parts;
    const struct wire_block b1 = block(1, 0, 4), b2 = block(2, 0, 5), other = block(1, 0, 5);
    sendq_add(&q, SPAN("x"));
    sendq_add_block(&q, &b1, d, 0);
    sendq_add(&q, SPAN("y"));
    sendq_add_block(&q, &b2, d, 0);
    sendq_add_block(&q, &b1, d, 0);
    assert_int_equal(sendq_take_back(&q, &other, on_taken, &told), 0);
    assert_int_equal(sendq_take_back(&q, &b1, on_taken, &told), 1); /* one of two */
    assert_int_equal(told.n, 1);
    assert_int_equal(told.last.piece, 1);
    assert_int_equal(look(&q, out, PARTS_MAX, sizeof out, &n_parts), 2 + 13 + 5 + 13 + 4 + 1);
    assert_int_equal(n_parts, 5);
    assert_memory_equal(out, "xy\0\0\0\x0e\7\0\0\0\2", 11);
    assert_int_equal(out[2 + 13 + 5 + 13 + 4], 'r');
    assert_int_equal(q.payload_len, 9);
    data_unref(d);
    sendq_release(&q);
}

static void test_begun_block_stays(void **state)
{
    struct sendq q = {.len = 0};
    struct data_buf *d = filled(*state);
    const struct wire_block b = block(1, 0, 100);
    for (size_t i = 0; i < 3; i++) {
        sendq_add_block(&q, &b, d, 0);
    }
    assert_int_equal(sendq_sent(&q, 1), 0);
    assert_int_equal(sendq_take_back(&q, NULL, NULL, NULL), 2);
    assert_int_equal(q.len, 112);
    assert_int_equal(sendq_take_back(&q, &b, NULL, NULL), 0);
    assert_int_equal(sendq_sent(&q, 112), 100);
    assert_empty(&q);
    sendq_add_block(&q, &b, d, 0);
    assert_int_equal(sendq_take_back(&q, NULL, NULL, NULL), 1);
    assert_empty(&q);
    data_unref(d);
}

/* ---- limits */

static void test_too_many_bytes(void **state)
{
    struct sendq q = {.len = 0};
    struct data_buf *d = filled(*state);
    const struct wire_block b = block(1, 0, 100);
    uint8_t *big = mem_zeroed(SENDQ_BYTES_MAX);
    sendq_add(&q, span_of(big, SENDQ_BYTES_MAX));
    assert_false(sendq_is_over(&q));
    assert_int_equal(q.len, SENDQ_BYTES_MAX);
    sendq_add(&q, SPAN("x"));
    assert_true(sendq_is_over(&q));
    sendq_add_block(&q, &b, d, 0);
    assert_int_equal(q.len, SENDQ_BYTES_MAX);
    assert_int_equal(q.payload_len, 0);
    sendq_release(&q);
    assert_false(sendq_is_over(&q));
    data_unref(d);
    free(big);
}

/* What has gone makes room, however much it is in the end, and the memory does not grow with it. */
static void test_what_has_gone_does_not_count(void **state)
{
    (void)state;
    struct sendq q = {.len = 0};
    uint8_t kilobyte[1024] = {0};
    sendq_add(&q, span_of(kilobyte, 700));
    for (size_t i = 0; i < 4 * SENDQ_BYTES_MAX / sizeof kilobyte; i++) {
        sendq_add(&q, span_of(kilobyte, sizeof kilobyte));
        assert_int_equal(sendq_sent(&q, sizeof kilobyte), 0);
    }
    assert_false(sendq_is_over(&q));
    assert_int_equal(q.len, 700);
    assert_true(q.bytes_cap <= 8192);
    sendq_release(&q);
}

/* ---- property: a queue gives the bytes that a list of its messages would */

enum { MODEL_MAX = 400, MODEL_BYTES = 1 << 20 };

struct model_item {
    uint8_t *p;
    size_t n, sent;
    struct wire_block block; /* len 0: small */
};

struct model {
    struct model_item items[MODEL_MAX];
    size_t n;
    struct rng rng;
    struct sendq q;
    struct data_buf *d;
    uint32_t next_piece;
};

static void model_remove(struct model *m, size_t i)
{
    free(m->items[i].p);
    m->n--;
    memmove(&m->items[i], &m->items[i + 1], (m->n - i) * sizeof m->items[0]);
}

static void model_add_small(struct model *m)
{
    size_t n = 1 + rng_below(&m->rng, 300);
    struct model_item *item = &m->items[m->n++];
    *item = (struct model_item){.p = mem_array(n, 1), .n = n};
    for (size_t i = 0; i < n; i++) {
        item->p[i] = (uint8_t)rng_next(&m->rng);
    }
    sendq_add(&m->q, span_of(item->p, n));
}

static void model_add_block(struct model *m)
{
    struct wire_block b = block(m->next_piece++, 0, 1 + rng_below(&m->rng, DATA_BLOCK_LEN));
    uint32_t at = rng_below(&m->rng, DATA_BLOCK_LEN - b.len + 1);
    struct model_item *item = &m->items[m->n++];
    *item = (struct model_item){.p = mem_array(13 + b.len, 1), .n = 13 + b.len, .block = b};
    struct wr w = wr_over(item->p, item->n);
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_PIECE, .block = b});
    wr_bytes(&w, span_of(m->d->p + at, b.len));
    sendq_add_block(&m->q, &b, m->d, at);
}

static void model_take_back(struct model *m)
{
    size_t expected = 0;
    bool all = rng_below(&m->rng, 8) == 0;
    size_t at = rng_below(&m->rng, (uint32_t)m->n);
    struct wire_block b = m->items[at].block;
    if (!all && b.len == 0) {
        return;
    }
    for (size_t i = m->n; i-- > 0;) {
        if (m->items[i].block.len > 0 && m->items[i].sent == 0 && (all || i == at)) {
            model_remove(m, i);
            expected++;
        }
    }
    assert_int_equal(sendq_take_back(&m->q, all ? NULL : &b, NULL, NULL), expected);
}

static void model_send(struct model *m, uint8_t *out)
{
    size_t n_parts, at = 0, payload = 0;
    size_t len = look(&m->q, out, 1 + rng_below(&m->rng, PARTS_MAX),
                      rng_below(&m->rng, MODEL_BYTES), &n_parts);
    size_t n = len == 0 ? 0 : rng_below(&m->rng, (uint32_t)len + 1);
    for (size_t i = 0; at < len; i++) { /* what was given is right */
        size_t left = m->items[i].n - m->items[i].sent;
        size_t now = left < len - at ? left : len - at;
        assert_memory_equal(out + at, m->items[i].p + m->items[i].sent, now);
        at += now;
    }
    for (size_t left = n; left > 0;) {
        struct model_item *item = &m->items[0];
        size_t now = item->n - item->sent < left ? item->n - item->sent : left;
        for (size_t i = 0; i < now; i++) {
            payload += item->block.len > 0 && item->sent + i >= 13;
        }
        item->sent += now;
        left -= now;
        if (item->sent == item->n) {
            model_remove(m, 0);
        }
    }
    assert_int_equal(sendq_sent(&m->q, n), payload);
}

static void model_check(const struct model *m)
{
    size_t len = 0, payload = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct model_item *item = &m->items[i];
        len += item->n - item->sent;
        payload += item->block.len == 0 ? 0
                   : item->sent <= 13   ? item->block.len
                                        : item->n - item->sent;
    }
    assert_int_equal(m->q.len, len);
    assert_int_equal(m->q.payload_len, payload);
    assert_true((m->n == 0) == (m->q.bytes == NULL && m->q.segments == NULL));
}

static void test_like_a_list(void **state)
{
    struct model *m = mem_new(struct model);
    uint8_t *out = mem_array(MODEL_BYTES, 1);
    m->rng.state = 4711;
    m->d = filled(*state);
    for (size_t i = 0; i < 6000; i++) {
        uint32_t what = rng_below(&m->rng, 16);
        if (what < 5 && m->n < MODEL_MAX) {
            model_add_small(m);
        } else if (what < 9 && m->n < MODEL_MAX) {
            model_add_block(m);
        } else if (what < 11 && m->n > 0) {
            model_take_back(m);
        } else if (what < 14) {
            model_send(m, out);
        }
        model_check(m);
    }
    while (m->n > 0) {
        model_send(m, out);
    }
    assert_empty(&m->q);
    data_unref(m->d);
    free(out);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_small_messages_are_one_part),
        cmocka_unit_test_setup_teardown(test_block_is_not_copied, start, end),
        cmocka_unit_test_setup_teardown(test_parts_and_limit, start, end),
        cmocka_unit_test_setup_teardown(test_take_back_one, start, end),
        cmocka_unit_test_setup_teardown(test_begun_block_stays, start, end),
        cmocka_unit_test_setup_teardown(test_too_many_bytes, start, end),
        cmocka_unit_test(test_what_has_gone_does_not_count),
        cmocka_unit_test_setup_teardown(test_like_a_list, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
