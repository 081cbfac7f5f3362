/* Torrents and peers that keep to no manners, or to all of them: each message played by hand. */
#include "unit/client/torrent_fixture.h"

#include "base/err.h"
#include "proto/ext.h"

#include "base/banned.h"

enum {
    PER_PIECE = PIECE_LEN / WIRE_BLOCK_LEN,
    UT_METADATA_ID = 7, /* ours, as we say in our handshake */
};

/* ---- a peer by hand */

static void raw_send(struct raw *r, struct span bytes)
{
    if (!r->closed) {
        engine_on_bytes(r->n->e, r->conn, bytes, r->n->w->now_ms);
    }
}

static void raw_msg(struct raw *r, const struct peer_wire_msg *msg)
{
    uint8_t bytes[256];
    struct wr w = wr_over(bytes, sizeof bytes);
    peer_wire_encode(&w, msg);
    assert_false(w.bad);
    raw_send(r, wr_span(&w));
}

static void raw_say(struct raw *r, enum wire_type type)
{
    raw_msg(r, &(struct peer_wire_msg){.type = type});
}

static void raw_request(struct raw *r, uint32_t piece, uint32_t block)
{
    raw_msg(r, &(struct peer_wire_msg){
                   .type = WIRE_REQUEST,
                   .block = {piece, block * WIRE_BLOCK_LEN, WIRE_BLOCK_LEN},
               });
}

static void raw_piece(struct raw *r, const struct wire_block *b, const uint8_t *data)
{
    raw_msg(r, &(struct peer_wire_msg){.type = WIRE_PIECE, .block = *b});
    raw_send(r, span_of(data, b->len));
}

/* Connects and shakes hands. */
static struct raw *raw_connect(struct node *n, uint8_t who, unsigned features)
{
    struct raw *r = raw_of(n, 0);
    assert_non_null(r);
    struct endpoint from = {.port = 5000};
    from.addr.b[0] = 10;
    from.addr.b[1] = 1;
    from.addr.b[3] = who;
    r->n = n;
    r->conn = engine_on_accept(n->e, 0, &from, n->w->now_ms);
    assert_true(r->conn != 0);
    uint8_t bytes[WIRE_HANDSHAKE_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct peer_wire_handshake h = {.features = features, .info_hash = n->s->hash};
    memset(h.peer_id.b, 'R' + who, sizeof h.peer_id.b);
    peer_wire_handshake_encode(&w, &h);
    raw_send(r, wr_span(&w));
    world_settle(n->w);
    assert_false(r->closed);
    assert_true(r->len >= WIRE_HANDSHAKE_LEN);
    r->at = WIRE_HANDSHAKE_LEN;
    return r;
}

/* The next message that was sent to it. False: no more. */
static bool raw_next(struct raw *r, struct peer_wire_msg *msg, const uint8_t **data)
{
    static const struct peer_wire_limits lim = {
        .bitfield_max = 1000, .block_max = WIRE_BLOCK_LEN, .extended_max = 1 << 17};
    const char *why;
    world_settle(r->n->w);
    ssize_t n = peer_wire_decode(msg, span_of(r->bytes + r->at, r->len - r->at), &lim, &why);
    assert_true(n >= 0);
    if (n == 0) {
        return false;
    }
    r->at += (size_t)n;
    *data = r->bytes + r->at;
    if (msg->type == WIRE_PIECE) {
        assert_true(r->len - r->at >= msg->block.len);
        r->at += msg->block.len;
    }
    return true;
}

/* How many of that kind it has been sent since the last look. */
static size_t raw_count(struct raw *r, enum wire_type type)
{
    struct peer_wire_msg msg;
    const uint8_t *data;
    size_t n = 0;
    while (raw_next(r, &msg, &data)) {
        n += msg.type == type;
    }
    return n;
}

/* The requests that it has been sent since the last look. */
static size_t raw_asked(struct raw *r, struct wire_block *out, size_t cap)
{
    struct peer_wire_msg msg;
    const uint8_t *data;
    size_t n = 0;
    while (raw_next(r, &msg, &data)) {
        if (msg.type == WIRE_REQUEST) {
            assert_true(n < cap);
            out[n++] = msg.block;
        }
    }
    return n;
}

/* A seed that lets us have everything. */
static struct raw *raw_generous(struct node *n, uint8_t who, unsigned features)
{
    struct raw *r = raw_connect(n, who, features);
    if (features & WIRE_FAST) {
        raw_say(r, WIRE_HAVE_ALL);
    } else {
        uint8_t all[64];
        uint32_t n_pieces = n->s->n_pieces;
        memset(all, 0xff, sizeof all);
        all[n_pieces / 8] = (uint8_t)(0xff00 >> n_pieces % 8);
        raw_msg(r, &(struct peer_wire_msg){
                       .type = WIRE_BITFIELD,
                       .payload = span_of(all, peer_wire_bitfield_len(n_pieces)),
                   });
    }
    raw_say(r, WIRE_UNCHOKE);
    return r;
}

static struct engine_totals totals_of(const struct node *n)
{
    struct engine_totals totals;
    engine_totals(n->e, &totals);
    return totals;
}

/* ---- downloading */

static void test_unasked_blocks(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_leech(x);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST);
    size_t sent = 0;
    for (; sent < 2000 && !r->closed; sent++) {
        struct wire_block b = {(uint32_t)(sent % 20), 0, WIRE_BLOCK_LEN};
        raw_piece(r, &b, x->s.content + (size_t)b.piece * PIECE_LEN);
        world_settle(&x->w);
    }
    assert_true(r->closed);
    assert_in_range(sent, 100, 600);
    struct torrent_status st = node_status(n);
    assert_int_equal(st.n_pieces_have, 0);
    assert_int_equal(st.done_len, 0);
    assert_int_equal(st.total_down, 0);
    assert_int_equal(st.session_down, 0);
    assert_int_equal(st.wasted, sent * WIRE_BLOCK_LEN);
    assert_int_equal(totals_of(n).wasted, sent * WIRE_BLOCK_LEN);
    scene_free(x);
}

static void test_rejects_everything(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_leech(x);
    world_settle(&x->w);
    struct raw *r = raw_generous(n, 1, WIRE_FAST);
    struct wire_block asked[600];
    size_t rejected = 0;
    while (!r->closed) {
        size_t k = raw_asked(r, asked, 600);
        assert_true(k > 0);
        for (size_t i = 0; i < k && !r->closed; i++, rejected++) {
            raw_msg(r, &(struct peer_wire_msg){.type = WIRE_REJECT, .block = asked[i]});
            world_settle(&x->w);
        }
        assert_true(rejected < 5000);
    }
    assert_int_equal(node_status(n).wasted, 0);
    /* Nothing stays asked for: somebody else may give it. */
    struct raw *good = raw_generous(n, 2, WIRE_FAST);
    size_t k;
    while ((k = raw_asked(good, asked, 600)) > 0) {
        for (size_t i = 0; i < k; i++) {
            raw_piece(good, &asked[i],
                      x->s.content + (size_t)asked[i].piece * PIECE_LEN + asked[i].begin);
        }
    }
    assert_has_all(n);
    scene_free(x);
}

static void test_choke_gives_back(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_leech(x);
    world_settle(&x->w);
    struct raw *r = raw_generous(n, 1, 0);
    struct wire_block asked[600], again[600];
    size_t k = raw_asked(r, asked, 600);
    assert_true(k > 0);
    raw_say(r, WIRE_CHOKE); /* without fast all of it comes to nothing */
    assert_int_equal(raw_asked(r, again, 600), 0);
    raw_piece(r, &asked[0], x->s.content + (size_t)asked[0].piece * PIECE_LEN + asked[0].begin);
    assert_int_equal(node_status(n).wasted, WIRE_BLOCK_LEN);
    assert_int_equal(node_status(n).done_len, 0);
    raw_say(r, WIRE_UNCHOKE);
    assert_int_equal(raw_asked(r, again, 600), k);
    assert_false(r->closed);
    scene_free(x);
}

static void test_have_is_told_once_it_is_written(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_leech(x);
    world_settle(&x->w);
    struct raw *watcher = raw_connect(n, 2, WIRE_FAST);
    raw_say(watcher, WIRE_HAVE_NONE);
    assert_int_equal(raw_count(watcher, WIRE_HAVE), 0);
    struct raw *r = raw_generous(n, 1, WIRE_FAST);
    struct wire_block asked[600];
    n->disk.held = true;
    for (size_t k = 0, turns = 0; turns < 4; turns++) {
        k = raw_asked(r, asked, 600);
        for (size_t i = 0; i < k; i++) {
            raw_piece(r, &asked[i],
                      x->s.content + (size_t)asked[i].piece * PIECE_LEN + asked[i].begin);
        }
    }
    assert_true(node_status(n).done_len >= PIECE_LEN);
    assert_int_equal(node_status(n).n_pieces_have, 0);
    assert_int_equal(raw_count(watcher, WIRE_HAVE), 0);
    n->disk.held = false;
    world_settle(&x->w);
    uint32_t have = node_status(n).n_pieces_have;
    assert_true(have > 0);
    assert_int_equal(raw_count(watcher, WIRE_HAVE), have);
    assert_int_equal(raw_count(r, WIRE_HAVE), have); /* it has them, and sees how far we are */
    scene_free(x);
}

/* ---- uploading */

static void test_unchoked_at_once_and_served(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_seed(x);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST);
    raw_say(r, WIRE_HAVE_NONE);
    raw_say(r, WIRE_INTERESTED);
    assert_int_equal(raw_count(r, WIRE_UNCHOKE), 1);
    assert_int_equal(node_status(n).n_unchoked, 1);
    for (uint32_t i = 0; i < PER_PIECE; i++) {
        raw_request(r, 3, i);
    }
    struct peer_wire_msg msg;
    const uint8_t *data;
    uint32_t blocks = 0;
    while (raw_next(r, &msg, &data)) {
        if (msg.type == WIRE_PIECE) {
            assert_int_equal(msg.block.begin, blocks * WIRE_BLOCK_LEN);
            assert_memory_equal(data, x->s.content + 3 * PIECE_LEN + msg.block.begin,
                                msg.block.len);
            blocks++;
        }
    }
    assert_int_equal(blocks, PER_PIECE);
    assert_int_equal(n->disk.n_reads, 1); /* neighbours are read together */
    assert_int_equal(node_status(n).total_up, PIECE_LEN);
    raw_say(r, WIRE_NOT_INTERESTED);
    assert_int_equal(raw_count(r, WIRE_CHOKE), 1);
    assert_int_equal(node_status(n).n_unchoked, 0);
    scene_free(x);
}

static void test_request_of_a_piece_we_lack(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_leech(x);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST);
    raw_say(r, WIRE_HAVE_NONE);
    raw_say(r, WIRE_INTERESTED);
    assert_int_equal(raw_count(r, WIRE_UNCHOKE), 1);
    raw_request(r, 3, 0);
    assert_int_equal(raw_count(r, WIRE_REJECT), 1);
    assert_int_equal(totals_of(n).requests_refused, 1);
    assert_int_equal(n->disk.n_reads, 0);
    scene_free(x);
}

static void test_choke_while_it_is_read(void **state)
{
    (void)state;
    for (int fast = 0; fast < 2; fast++) {
        struct scene *x = scene_new(false);
        struct node *n = add_seed(x);
        world_settle(&x->w);
        struct raw *r = raw_connect(n, 1, fast ? WIRE_FAST : 0);
        raw_say(r, WIRE_INTERESTED);
        assert_int_equal(raw_count(r, WIRE_UNCHOKE), 1);
        n->disk.held = true;
        raw_request(r, 20, 0);
        world_settle(&x->w);
        raw_say(r, WIRE_NOT_INTERESTED); /* we choke */
        n->disk.held = false;
        struct peer_wire_msg msg;
        const uint8_t *data;
        int rejects = 0;
        while (raw_next(r, &msg, &data)) {
            assert_int_not_equal(msg.type, WIRE_PIECE);
            rejects += msg.type == WIRE_REJECT;
        }
        assert_int_equal(rejects, fast);
        scene_free(x);
    }
}

static void test_bad_read_is_rejected(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_seed(x);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST);
    raw_say(r, WIRE_HAVE_NONE);
    raw_say(r, WIRE_INTERESTED);
    n->disk.exists[2] = false;
    raw_request(r, 20, 0);
    world_settle(&x->w);
    assert_true(r->closed); /* the torrent stops until its files are back */
    assert_int_equal(node_status(n).fault, FAULT_MISSING);
    assert_int_equal(totals_of(n).n_unchoked, 0);
    scene_free(x);
}

/* Connections are scarce: who wants nothing and has nothing is dropped in the end. */
static void test_mutual_disinterest(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct engine_cfg cfg = engine_cfg_default;
    cfg.max_peers_per_torrent = 1;
    struct node *n = world_add_node(&x->w, &x->s, &cfg);
    node_add_seed(n);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST);
    static const uint8_t keep_alive[4] = {0};
    raw_say(r, WIRE_HAVE_NONE);
    for (int minute = 0; minute < 9; minute++) {
        raw_send(r, span_of(keep_alive, sizeof keep_alive));
        world_run(&x->w, 60000);
        assert_false(r->closed);
    }
    raw_send(r, span_of(keep_alive, sizeof keep_alive));
    world_run(&x->w, 80000);
    assert_true(r->closed);
    scene_free(x);
}

/* ---- metadata */

static void raw_extended(struct raw *r, uint8_t id, struct span payload)
{
    uint8_t bytes[40000];
    struct wr w = wr_over(bytes, sizeof bytes);
    size_t at = peer_wire_extended_begin(&w, id);
    wr_bytes(&w, payload);
    peer_wire_extended_end(&w, at);
    assert_false(w.bad);
    raw_send(r, wr_span(&w));
}

static void raw_extensions(struct raw *r, uint32_t metadata_size)
{
    uint8_t bytes[256];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct ext_handshake h;
    ext_handshake_init(&h);
    h.id[EXT_UT_METADATA] = UT_METADATA_ID;
    h.metadata_size = metadata_size;
    ext_handshake_encode(&w, &h);
    raw_extended(r, EXT_HANDSHAKE_ID, wr_span(&w));
}

/* The id under which the node takes ut_metadata, from its handshake. */
static uint8_t metadata_id(struct raw *r)
{
    struct peer_wire_msg msg;
    const uint8_t *data;
    const char *why;
    struct ext_handshake h;
    while (raw_next(r, &msg, &data)) {
        if (msg.type == WIRE_EXTENDED_MSG && msg.extended_id == EXT_HANDSHAKE_ID) {
            assert_true(ext_handshake_decode(&h, msg.payload, 1 << 20, &why) > 0);
            assert_true(h.id[EXT_UT_METADATA] > 0);
            return (uint8_t)h.id[EXT_UT_METADATA];
        }
    }
    fail();
    return 0;
}

static bool raw_metadata(struct raw *r, struct ext_metadata *out)
{
    struct peer_wire_msg msg;
    const uint8_t *data;
    const char *why;
    while (raw_next(r, &msg, &data)) {
        if (msg.type == WIRE_EXTENDED_MSG && msg.extended_id == UT_METADATA_ID) {
            assert_true(ext_metadata_decode(out, msg.payload, 1 << 20, &why) > 0);
            return true;
        }
    }
    return false;
}

static void raw_send_metadata(struct raw *r, uint8_t id, const struct ext_metadata *m)
{
    uint8_t bytes[20000];
    struct wr w = wr_over(bytes, sizeof bytes);
    ext_metadata_encode(&w, m);
    raw_extended(r, id, wr_span(&w));
}

static void test_metadata_is_served(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_seed(x);
    world_settle(&x->w);
    struct raw *r = raw_connect(n, 1, WIRE_FAST | WIRE_EXTENDED);
    uint8_t id = metadata_id(r);
    raw_extensions(r, 0);
    raw_send_metadata(r, id, &(struct ext_metadata){.type = EXT_METADATA_REQUEST, .piece = 0});
    struct ext_metadata m;
    assert_true(raw_metadata(r, &m));
    assert_int_equal(m.type, EXT_METADATA_DATA);
    assert_true(span_eq(m.data, span_of(x->s.info, x->s.info_len)));
    raw_send_metadata(r, id, &(struct ext_metadata){.type = EXT_METADATA_REQUEST, .piece = 1});
    assert_true(raw_metadata(r, &m));
    assert_int_equal(m.type, EXT_METADATA_REJECT);
    assert_int_equal(m.piece, 1);
    scene_free(x);
}

static void test_metadata_liar(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *n = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash};
    node_add(n, &add);
    struct raw *r = raw_connect(n, 1, WIRE_FAST | WIRE_EXTENDED);
    uint8_t id = metadata_id(r);
    uint8_t wrong[1000];
    memset(wrong, 'x', sizeof wrong);
    raw_extensions(r, sizeof wrong);
    struct ext_metadata m;
    assert_true(raw_metadata(r, &m));
    assert_int_equal(m.type, EXT_METADATA_REQUEST);
    m = (struct ext_metadata){.type = EXT_METADATA_DATA,
                              .total_size = sizeof wrong,
                              .data = span_of(wrong, sizeof wrong)};
    raw_send_metadata(r, id, &m);
    world_settle(&x->w);
    assert_true(r->closed);
    assert_int_equal(n->n_metadata, 0);
    node_meet(n, seed);
    world_run(&x->w, 60000);
    assert_has_all(n);
    scene_free(x);
}

/* One that answers nothing holds nobody up for long. */
static void test_metadata_silence(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *n = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash};
    node_add(n, &add);
    struct raw *r = raw_connect(n, 1, WIRE_FAST | WIRE_EXTENDED);
    raw_extensions(r, (uint32_t)x->s.info_len);
    node_meet(n, seed);
    world_run(&x->w, 60000);
    assert_has_all(n);
    scene_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unasked_blocks),
        cmocka_unit_test(test_rejects_everything),
        cmocka_unit_test(test_choke_gives_back),
        cmocka_unit_test(test_have_is_told_once_it_is_written),
        cmocka_unit_test(test_unchoked_at_once_and_served),
        cmocka_unit_test(test_request_of_a_piece_we_lack),
        cmocka_unit_test(test_choke_while_it_is_read),
        cmocka_unit_test(test_bad_read_is_rejected),
        cmocka_unit_test(test_mutual_disinterest),
        cmocka_unit_test(test_metadata_is_served),
        cmocka_unit_test(test_metadata_liar),
        cmocka_unit_test(test_metadata_silence),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
