/* The save path of an add, resolved and made.
 *
 * Happy path  the text is put behind its folder -> a pool thread looks at the folders on the way and
 *             makes what is not there -> done.
 * Failures    a text that is no path is told at once; what the disk objects to comes with done.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "client/client_impl.h"

#include "base/banned.h"

static int take_text(struct path_check *p, struct span given, struct err *e)
{
    const int given_len = given.n < PATH_MAX ? (int)given.n : PATH_MAX;
    const char *text = (const char *)given.p;
    int n;
    if (given.n > 0 && memchr(given.p, '\0', given.n) != NULL) {
        return err_set(e, ERR_INVALID, "save path has a NUL byte");
    }
    if (given.n > 0 && given.p[0] == '/') {
        n = snprintf(p->path, sizeof p->path, "%.*s", given_len, text);
    } else {
        n = snprintf(p->path, sizeof p->path, "%s/%.*s", p->c->download_dir, given_len, text);
    }
    if (n < 0 || (size_t)n >= sizeof p->path) {
        return err_set(e, ERR_INVALID, "save path is too long");
    }
    return 0;
}

static void check(struct job *job)
{
    struct path_check *p = container_of(job, struct path_check, job);
    p->status = disk_check_path(p->path, p->allowed, p->n_allowed, true, p->resolved, &p->err);
}

static void on_checked(struct job *job, int status)
{
    struct path_check *p = container_of(job, struct path_check, job);
    ASSERT(status == 0); /* nobody takes it back */
    if (p->status < 0 && p->status != ERR_DENIED) {
        p->status = p->err.code = ERR_INVALID;
    }
    p->c->n_calls--;
    p->done(p);
}

int path_check_start(struct path_check *p, struct client *c, struct span given,
                     void (*done)(struct path_check *p), struct err *e)
{
    const struct string_list *allowed = &c->opts.cfg->client.allowed_dirs;
    p->c = c;
    p->done = done;
    p->allowed = (const char *const *)allowed->at;
    p->n_allowed = allowed->n;
    if (allowed->n == 0) {
        p->allowed = (const char *const *)&c->download_dir;
        p->n_allowed = 1;
    }
    int status = take_text(p, given, e);
    if (status == 0) {
        ASSERT(job_start(&p->job, c->loop, check, on_checked) == 0); /* libuv refuses no work */
        c->n_calls++;
    }
    return status;
}
