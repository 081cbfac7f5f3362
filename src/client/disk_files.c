/* disk_files.c: the table of open files. The loop's thread.
 *
 * A file is in the table from the task that opened it until it is the one unused for longest and
 * room is needed, or until its torrent lets go of all its files. Closing may block (a file system
 * over a network writes back then), so a descriptor that is let go of waits for the next task, which
 * closes it before anything else: the number of open files stays within its limit.
 *
 *             +------- pin ------> in use (refs > 0)
 *   put --> idle <---- unpin ------+   | forget
 *             | reserve, forget        v
 *             +----> closing <--unpin-- stale (not linked)
 */
#include "client/disk_impl.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

static void close_later(struct disk *d, int fd)
{
    if (d->n_closing == d->closing_cap) {
        d->closing_cap = d->closing_cap == 0 ? 16 : d->closing_cap * 2;
        d->closing = mem_resize(d->closing, d->closing_cap, sizeof *d->closing);
    }
    d->closing[d->n_closing++] = fd;
}

static struct disk_file *find(struct disk *d, torrent_id torrent, uint32_t file)
{
    struct disk_key key = {torrent, file};
    struct map_node *node = map_find(&d->files, span_of(&key, sizeof key));
    return node == NULL ? NULL : container_of(node, struct disk_file, node);
}

struct disk_file *disk_files_find(struct disk *d, torrent_id torrent, uint32_t file, bool writable)
{
    struct disk_file *f = find(d, torrent, file);
    return f == NULL || (writable && !f->writable) ? NULL : f;
}

struct disk_file *disk_files_pin(struct disk *d, torrent_id torrent, uint32_t file, bool writable)
{
    struct disk_file *f = disk_files_find(d, torrent, file, writable);
    if (f != NULL && f->refs++ == 0) {
        list_remove(&f->by_age);
    }
    return f;
}

static void destroy(struct disk *d, struct disk_file *f)
{
    close_later(d, f->fd);
    d->n_open--;
    free(f);
}

/* Nobody finds it any more; destroyed unless a task has it. */
static void let_go(struct disk *d, struct disk_file *f)
{
    map_remove(&d->files, &f->node);
    list_remove(&f->of_storage);
    if (f->refs == 0) {
        list_remove(&f->by_age);
        destroy(d, f);
    }
}

void disk_files_unpin(struct disk *d, struct disk_file *f)
{
    ASSERT(f->refs > 0);
    if (--f->refs > 0) {
        return;
    }
    if (map_is_linked(&f->node)) {
        list_add_tail(&d->by_age, &f->by_age);
    } else {
        destroy(d, f);
    }
}

void disk_files_touch(struct disk *d, struct disk_file *f)
{
    if (f->refs == 0) {
        list_remove(&f->by_age);
        list_add_tail(&d->by_age, &f->by_age);
    }
}

uint32_t disk_files_reserve(struct disk *d, uint32_t want)
{
    struct list *oldest;
    while (d->n_open + d->n_reserved + want > DISK_FILES_MAX &&
           (oldest = list_first(&d->by_age)) != NULL) {
        let_go(d, container_of(oldest, struct disk_file, by_age));
    }
    uint32_t room = DISK_FILES_MAX - d->n_open - d->n_reserved;
    uint32_t got = want < room ? want : room;
    d->n_reserved += got;
    return got;
}

void disk_files_put(struct disk *d, struct disk_storage *s, uint32_t file, int fd, bool writable)
{
    struct disk_file *before = find(d, s->id, file);
    if (before != NULL && (before->writable || !writable)) {
        close_later(d, fd); /* another task was faster */
        return;
    }
    if (before != NULL) {
        let_go(d, before);
    }
    struct disk_file *f = mem_new(struct disk_file);
    f->key = (struct disk_key){s->id, file};
    f->fd = fd;
    f->writable = writable;
    map_insert(&d->files, &f->node, span_of(&f->key, sizeof f->key));
    list_add_tail(&s->files, &f->of_storage);
    list_add_tail(&d->by_age, &f->by_age);
    d->n_open++;
}

void disk_files_forget(struct disk *d, struct disk_storage *s)
{
    LIST_FOREACH_SAFE (node, &s->files) {
        let_go(d, container_of(node, struct disk_file, of_storage));
    }
}

void disk_files_close(struct disk *d)
{
    for (size_t i = 0; i < d->n_closing; i++) {
        (void)close(d->closing[i]);
    }
    d->n_closing = 0;
}
