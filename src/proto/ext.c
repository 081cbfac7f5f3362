#include "proto/ext.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/json.h"
#include "proto/announce.h"
#include "proto/bencode.h"

#include "base/banned.h"

/* More than any client sends; the length of the message itself is limited where it is received. */
static const struct bencode_limits payload_limits = {
    .len_max = 1 << 17,
    .string_max = 1 << 16,
    .items_max = 1024,
    .depth_max = 8,
};

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

static ssize_t decode_dict(struct bencode *dict, struct span in, const char **why)
{
    ssize_t n = bencode_decode(dict, in, &payload_limits, why);
    if (n > 0 && bencode_type(*dict) != BENCODE_DICT) {
        return malformed(why, "extended message is not a dictionary");
    }
    return n;
}

/* An integer within 0..max; absent otherwise. */
static bool get_number(struct bencode dict, struct span key, uint32_t max, uint32_t *out)
{
    int64_t v;
    if (!bencode_get_int(dict, key, &v) || v < 0 || v > max) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

/* The keys of "m", sorted as they are written. */
static const struct {
    enum ext_name name;
    const char *key;
} names[EXT_N_NAMES] = {
    {EXT_LT_DONTHAVE, "lt_donthave"},
    {EXT_UPLOAD_ONLY, "upload_only"},
    {EXT_UT_METADATA, "ut_metadata"},
    {EXT_UT_PEX, "ut_pex"},
};

void ext_handshake_init(struct ext_handshake *h)
{
    *h = (struct ext_handshake){.upload_only = EXT_ABSENT};
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        h->id[i] = EXT_ABSENT;
    }
}

/* Whole characters of text, up to EXT_VERSION_MAX bytes; nothing when that is not valid UTF-8. */
static struct span cut_text(struct span text)
{
    size_t n = 0;
    while (n < text.n && n < EXT_VERSION_MAX) {
        size_t len = utf8_sequence_len(span_sub(text, n, text.n));
        if (len == 0) {
            return span_of(NULL, 0);
        }
        if (len > EXT_VERSION_MAX - n) {
            break;
        }
        n += len;
    }
    return span_sub(text, 0, n);
}

static bool get_addr(struct bencode dict, struct span key, struct addr *out)
{
    struct span s;
    if (!bencode_get_string(dict, key, &s) || (s.n != 4 && s.n != 16)) {
        return false;
    }
    *out = s.n == 4 ? addr_from_v4(s.p) : addr_from_v6(s.p);
    return true;
}

static void decode_addrs(struct ext_handshake *out, struct bencode dict)
{
    out->has_yourip = get_addr(dict, SPAN("yourip"), &out->yourip);
    out->has_ipv4 = get_addr(dict, SPAN("ipv4"), &out->ipv4) && !out->ipv4.v6;
    out->has_ipv6 = get_addr(dict, SPAN("ipv6"), &out->ipv6) && out->ipv6.v6;
}

static void decode_metadata_size(struct ext_handshake *out, struct bencode dict, uint32_t max)
{
    int64_t v;
    if (bencode_get_int(dict, SPAN("metadata_size"), &v) && v > 0) {
        out->metadata_too_big = v > max;
        out->metadata_size = v > max ? 0 : (uint32_t)v;
    }
}

ssize_t ext_handshake_decode(struct ext_handshake *out, struct span in, uint32_t metadata_max,
                             const char **why)
{
    struct bencode dict;
    struct span version;
    uint32_t v;
    ext_handshake_init(out);
    ssize_t n = decode_dict(&dict, in, why);
    if (n < 0) {
        return n;
    }
    struct bencode m = bencode_get(dict, SPAN("m"));
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        if (get_number(m, span_str(names[i].key), UINT8_MAX, &v)) {
            out->id[names[i].name] = (int16_t)v;
        }
    }
    if (bencode_get_string(dict, SPAN("v"), &version)) {
        out->version = cut_text(version);
    }
    if (get_number(dict, SPAN("p"), UINT16_MAX, &v)) {
        out->port = (uint16_t)v;
    }
    if (get_number(dict, SPAN("reqq"), UINT32_MAX, &v)) {
        out->reqq = v;
    }
    if (get_number(dict, SPAN("upload_only"), UINT32_MAX, &v)) {
        out->upload_only = v != 0;
    }
    decode_addrs(out, dict);
    decode_metadata_size(out, dict, metadata_max);
    return n;
}

static void write_number(struct wr *w, struct span key, int64_t v)
{
    bencode_write_string(w, key);
    bencode_write_int(w, v);
}

static void write_addr(struct wr *w, struct span key, const struct addr *a)
{
    bencode_write_string(w, key);
    bencode_write_string(w, span_of(a->b, addr_len(a)));
}

static void write_names(struct wr *w, const struct ext_handshake *h)
{
    bencode_write_string(w, SPAN("m"));
    bencode_write_dict_begin(w);
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        int16_t id = h->id[names[i].name];
        if (id != EXT_ABSENT) {
            write_number(w, span_str(names[i].key), id);
        }
    }
    bencode_write_end(w);
}

void ext_handshake_encode(struct wr *w, const struct ext_handshake *h)
{
    bencode_write_dict_begin(w);
    if (h->has_ipv4) {
        write_addr(w, SPAN("ipv4"), &h->ipv4);
    }
    if (h->has_ipv6) {
        write_addr(w, SPAN("ipv6"), &h->ipv6);
    }
    write_names(w, h);
    if (h->metadata_size > 0) {
        write_number(w, SPAN("metadata_size"), h->metadata_size);
    }
    if (h->port > 0) {
        write_number(w, SPAN("p"), h->port);
    }
    if (h->reqq > 0) {
        write_number(w, SPAN("reqq"), h->reqq);
    }
    if (h->upload_only != EXT_ABSENT) {
        write_number(w, SPAN("upload_only"), h->upload_only);
    }
    if (h->version.n > 0) {
        bencode_write_string(w, SPAN("v"));
        bencode_write_string(w, h->version);
    }
    if (h->has_yourip) {
        write_addr(w, SPAN("yourip"), &h->yourip);
    }
    bencode_write_end(w);
}

uint32_t ext_metadata_piece_len(uint32_t metadata_size, uint32_t piece)
{
    if (piece >= ext_metadata_n_pieces(metadata_size)) {
        return 0;
    }
    uint32_t left = metadata_size - piece * EXT_METADATA_PIECE_LEN;
    return left < EXT_METADATA_PIECE_LEN ? left : EXT_METADATA_PIECE_LEN;
}

static int check_data(const struct ext_metadata *m, uint32_t metadata_max, const char **why)
{
    if (m->total_size > metadata_max) {
        *why = "metadata is larger than the limit";
        return ERR_LIMIT;
    }
    uint32_t len = ext_metadata_piece_len(m->total_size, m->piece);
    if (len == 0) {
        return malformed(why, "metadata has no such piece");
    }
    return m->data.n == len ? 0 : malformed(why, "metadata piece does not have its length");
}

ssize_t ext_metadata_decode(struct ext_metadata *out, struct span in, uint32_t metadata_max,
                            const char **why)
{
    struct bencode dict;
    uint32_t type;
    *out = (struct ext_metadata){.type = EXT_METADATA_UNKNOWN};
    ssize_t n = decode_dict(&dict, in, why);
    if (n < 0) {
        return n;
    }
    if (!get_number(dict, SPAN("msg_type"), UINT32_MAX, &type)) {
        return malformed(why, "metadata message has no type");
    }
    if (type >= EXT_METADATA_UNKNOWN) {
        return n;
    }
    out->type = (enum ext_metadata_type)type;
    if (!get_number(dict, SPAN("piece"), UINT32_MAX, &out->piece)) {
        return malformed(why, "metadata message has no piece");
    }
    if (out->type != EXT_METADATA_DATA) {
        return n;
    }
    if (!get_number(dict, SPAN("total_size"), UINT32_MAX, &out->total_size)) {
        return malformed(why, "metadata message has no total size");
    }
    out->data = span_sub(in, (size_t)n, in.n);
    int rc = check_data(out, metadata_max, why);
    return rc < 0 ? rc : (ssize_t)in.n;
}

void ext_metadata_encode(struct wr *w, const struct ext_metadata *m)
{
    ASSERT(m->type != EXT_METADATA_UNKNOWN);
    bencode_write_dict_begin(w);
    write_number(w, SPAN("msg_type"), m->type);
    write_number(w, SPAN("piece"), m->piece);
    if (m->type == EXT_METADATA_DATA) {
        write_number(w, SPAN("total_size"), m->total_size);
    }
    bencode_write_end(w);
    if (m->type == EXT_METADATA_DATA) {
        wr_bytes(w, m->data);
    }
}

/* The string at key, at most EXT_PEX_PEERS_MAX whole items of it. */
static struct span get_items(struct bencode dict, struct span key, size_t item_len)
{
    struct span s = span_of(NULL, 0);
    (void)bencode_get_string(dict, key, &s);
    s = span_sub(s, 0, EXT_PEX_PEERS_MAX * item_len);
    return span_sub(s, 0, s.n - s.n % item_len);
}

/* The flags of n_peers peers, or of the first few of them. */
static struct span get_flags(struct bencode dict, struct span key, size_t n_peers)
{
    return span_sub(get_items(dict, key, 1), 0, n_peers);
}

ssize_t ext_pex_decode(struct ext_pex *out, struct span in, const char **why)
{
    struct bencode dict;
    *out = (struct ext_pex){.added = {NULL, 0}};
    ssize_t n = decode_dict(&dict, in, why);
    if (n < 0) {
        return n;
    }
    out->added = get_items(dict, SPAN("added"), COMPACT4_LEN);
    out->added_flags = get_flags(dict, SPAN("added.f"), out->added.n / COMPACT4_LEN);
    out->added6 = get_items(dict, SPAN("added6"), COMPACT6_LEN);
    out->added6_flags = get_flags(dict, SPAN("added6.f"), out->added6.n / COMPACT6_LEN);
    out->dropped = get_items(dict, SPAN("dropped"), COMPACT4_LEN);
    out->dropped6 = get_items(dict, SPAN("dropped6"), COMPACT6_LEN);
    return n;
}

static void write_items(struct wr *w, struct span key, struct span s)
{
    if (s.n > 0) {
        bencode_write_string(w, key);
        bencode_write_string(w, s);
    }
}

void ext_pex_encode(struct wr *w, const struct ext_pex *pex)
{
    bencode_write_dict_begin(w);
    /* One of the lists has to be there. */
    bencode_write_string(w, SPAN("added"));
    bencode_write_string(w, pex->added);
    write_items(w, SPAN("added.f"), pex->added_flags);
    write_items(w, SPAN("added6"), pex->added6);
    write_items(w, SPAN("added6.f"), pex->added6_flags);
    write_items(w, SPAN("dropped"), pex->dropped);
    write_items(w, SPAN("dropped6"), pex->dropped6);
    bencode_write_end(w);
}

ssize_t ext_donthave_decode(uint32_t *piece, struct span in, const char **why)
{
    struct rd r = rd_over(in);
    *piece = rd_u32(&r);
    if (r.bad || rd_left(&r) > 0) {
        return malformed(why, "lt_donthave is not 4 bytes");
    }
    return (ssize_t)in.n;
}

void ext_donthave_encode(struct wr *w, uint32_t piece)
{
    wr_u32(w, piece);
}

ssize_t ext_upload_only_decode(bool *upload_only, struct span in, const char **why)
{
    struct rd r = rd_over(in);
    uint32_t v = in.n == 4 ? rd_u32(&r) : rd_u8(&r);
    *upload_only = v != 0;
    if (r.bad || rd_left(&r) > 0) {
        return malformed(why, "upload_only is not 1 or 4 bytes");
    }
    return (ssize_t)in.n;
}

void ext_upload_only_encode(struct wr *w, bool upload_only)
{
    wr_u8(w, upload_only);
}
