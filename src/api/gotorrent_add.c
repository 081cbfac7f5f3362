/* Happy path   the body is read -> torrent_ops_add -> answered after the commit.
 * Body         what begins with a '{' is JSON, whatever its type says, and so is all else but a .torrent
 *              that says so: this is taken as it is, with its parameters in the query.
 * Failures     400 for what is not JSON, 422 for what is and will not do; nothing is added.
 */
#include <string.h>
#include <strings.h>

#include "api/gotorrent_impl.h"
#include "api/gotorrent_params.h"
#include "api/torrent_ops.h"

#include "base/banned.h"

static int status_of(enum add_fault fault)
{
    switch (fault) {
    case ADD_OK:
        return 200;
    case ADD_BAD_TORRENT:
    case ADD_BAD_PATH:
    case ADD_BAD_URL:
    case ADD_UNREACHABLE:
    case ADD_NOT_THERE:
        return 422;
    case ADD_URL_DENIED:
    case ADD_PATH_DENIED:
        return 403;
    case ADD_AWAY:
        return 503;
    case ADD_NO_SESSION: /* the one that is always there */
    case ADD_BROKEN:
        break;
    }
    return 500;
}

static void on_added(void *exchange, const struct torrent_result *r)
{
    if (r->fault != ADD_OK) {
        gotorrent_fail(exchange, status_of(r->fault), span_str(r->why));
    } else if (r->existed) {
        gotorrent_fail(exchange, 409, SPAN("Session already exists"));
    } else {
        gotorrent_answer_done(exchange);
    }
}

static void add(struct call *c, const struct torrent_request *request)
{
    struct torrent_result refused;
    if (torrent_ops_add(&c->env->parts, request, on_added, c->x, &refused) < 0) {
        on_added(c->x, &refused);
    }
}

/* False when the call was answered; a is to be released in any case. */
static bool read_body(struct call *c, struct gotorrent_add *a, const char *source, size_t max_len)
{
    const char *why = NULL;
    int status = gotorrent_add_parse(a, c->req->body, source, max_len, &why);
    if (status < 0) {
        call_fail(c, status == ERR_INVALID ? 422 : 400, "%s", why);
    }
    return status == 0;
}

static struct torrent_request request_of(const struct gotorrent_add *a)
{
    return (struct torrent_request){
        .options.save_path = buf_span(&a->targetdir),
        .options.max_down_bps = a->max_down_bps,
        .options.max_up_bps = a->max_up_bps,
    };
}

void gotorrent_post_magnet(struct call *c)
{
    static const char scheme[] = "magnet:";
    struct gotorrent_add a;
    if (!gotorrent_check_forged(c) || !gotorrent_has_client(c)) {
        return;
    }
    if (read_body(c, &a, "url", GOTORRENT_TEXT_MAX)) {
        struct torrent_request request = request_of(&a);
        request.url = buf_span(&a.source);
        if (request.url.n >= strlen(scheme) &&
            strncasecmp((const char *)request.url.p, scheme, strlen(scheme)) == 0) {
            add(c, &request);
        } else {
            call_fail(c, 422, "url is not a magnet link");
        }
    }
    gotorrent_add_release(&a);
}

static void add_file(struct call *c, const struct gotorrent_add *a)
{
    struct torrent_request request = request_of(a);
    struct buf metainfo;
    const char *why = NULL;
    buf_init(&metainfo, a->source.len + 1);
    if (gotorrent_metainfo(&metainfo, buf_span(&a->source), &why)) {
        request.metainfo = buf_span(&metainfo);
        add(c, &request);
    } else {
        call_fail(c, 422, "file is not a torrent: %s", why);
    }
    buf_release(&metainfo);
}

/* What the query says of the body, which is the file itself. False when the call was answered. */
static bool read_query(struct call *c, struct torrent_request *request, struct gotorrent_param *dir)
{
    static const char *const rates[] = {"maxdown", "maxup"};
    uint64_t *const bps[] = {&request->options.max_down_bps, &request->options.max_up_bps};
    struct gotorrent_param p;
    bool start = true;
    if ((!gotorrent_find_param(c, "targetdir", false, dir) &&
         !gotorrent_find_param(c, "path", false, dir)) ||
        dir->value.n == 0) {
        call_fail(c, 422, "targetdir missing, or too long");
        return false;
    }
    if (!gotorrent_is_text(dir->value)) {
        call_fail(c, 422, "targetdir is not UTF-8 text");
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        if (gotorrent_find_param(c, rates[i], false, &p) &&
            !gotorrent_rate_parse(bps[i], p.value)) {
            call_fail(c, 422, "%s is not a rate", rates[i]);
            return false;
        }
    }
    if (gotorrent_find_param(c, "start", false, &p) && !gotorrent_bool_parse(&start, p.value)) {
        call_fail(c, 422, "start is not one of true, false, 1, 0, yes, no");
        return false;
    }
    request->options.save_path = dir->value;
    request->options.flags = start ? 0 : TORRENT_PAUSED;
    return true;
}

static void add_raw(struct call *c)
{
    struct torrent_request request = {.metainfo = c->req->body};
    struct gotorrent_param dir;
    if (read_query(c, &request, &dir)) {
        add(c, &request);
    }
}

static bool is_word(struct span s, const char *word)
{
    return s.n == strlen(word) && strncasecmp((const char *)s.p, word, s.n) == 0;
}

static bool is_raw_file(const struct call *c)
{
    struct span type = {NULL, 0};
    struct span body = span_trim(c->req->body);
    (void)http_header(c->req, "content-type", &type);
    type = span_trim(span_cut(type, ';', NULL));
    return (is_word(type, "application/x-bittorrent") ||
            is_word(type, "application/octet-stream")) &&
           (body.n == 0 || body.p[0] != '{');
}

void gotorrent_post_file(struct call *c)
{
    struct gotorrent_add a;
    if (!gotorrent_check_forged(c) || !gotorrent_has_client(c)) {
        return;
    }
    if (is_raw_file(c)) {
        add_raw(c);
        return;
    }
    if (read_body(c, &a, "file", c->req->body.n + 1)) {
        add_file(c, &a);
    }
    gotorrent_add_release(&a);
}
