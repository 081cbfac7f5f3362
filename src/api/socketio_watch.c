#include "api/socketio_watch.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

/* Entries are in `seen` or in `old`: at the end of a round, what is still old is gone. */
struct watch {
    struct map entries;
    struct list seen;
    struct list old;
    bool learned; /* a round is behind us */
};

struct entry {
    struct map_node node;
    struct list link;
    struct watch_facts facts;
};

struct watch *watch_new(const struct siphash_key *seed)
{
    struct watch *w = mem_new(struct watch);
    map_init(&w->entries, seed);
    list_init(&w->seen);
    list_init(&w->old);
    return w;
}

static void entry_free(struct watch *w, struct entry *e)
{
    map_remove(&w->entries, &e->node);
    list_remove(&e->link);
    free(e);
}

void watch_free(struct watch *w)
{
    struct list *all[] = {&w->seen, &w->old};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        LIST_FOREACH_SAFE (link, all[i]) {
            entry_free(w, container_of(link, struct entry, link));
        }
    }
    map_release(&w->entries);
    free(w);
}

static unsigned events_between(const struct watch_facts *before, const struct watch_facts *now)
{
    unsigned events = 0;
    events |= !before->has_metadata && now->has_metadata ? WATCH_METADATA : 0;
    events |= !before->is_complete && now->is_complete ? WATCH_FINISHED : 0;
    events |= before->state != now->state ? WATCH_STATE : 0;
    return events;
}

unsigned watch_see(struct watch *w, const struct watch_facts *now)
{
    struct span key = span_of(now->info_hash.b, sizeof now->info_hash.b);
    struct map_node *node = map_find(&w->entries, key);
    if (node == NULL) {
        struct entry *e = mem_new(struct entry);
        e->facts = *now;
        map_insert(&w->entries, &e->node,
                   span_of(e->facts.info_hash.b, sizeof e->facts.info_hash.b));
        list_add_tail(&w->seen, &e->link);
        return w->learned ? WATCH_ADDED : 0;
    }
    struct entry *e = container_of(node, struct entry, node);
    unsigned events = events_between(&e->facts, now);
    e->facts = *now;
    list_remove(&e->link);
    list_add_tail(&w->seen, &e->link);
    return events;
}

bool watch_next_gone(struct watch *w, struct watch_facts *out)
{
    struct list *first = list_first(&w->old);
    if (first != NULL) {
        struct entry *e = container_of(first, struct entry, link);
        *out = e->facts;
        entry_free(w, e);
        return true;
    }
    w->learned = true;
    LIST_FOREACH_SAFE (node, &w->seen) {
        list_remove(node);
        list_add_tail(&w->old, node);
    }
    return false;
}
