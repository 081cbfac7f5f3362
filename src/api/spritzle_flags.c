#include "api/spritzle_flags.h"

#include <stdio.h>
#include <string.h>

#include <cJSON.h>

#include "api/spritzle_args.h"
#include "api/spritzle_json.h"
#include "base/err.h"
#include "client/engine.h"

#include "base/banned.h"

static const struct {
    const char *name;
    unsigned flag;
} flags_known[] = {
    {"paused", TORRENT_PAUSED},
    {"auto_managed", TORRENT_AUTO_MANAGED},
    {"sequential_download", TORRENT_SEQUENTIAL},
    {"seed_mode", TORRENT_SEED_MODE},
    {"upload_mode", TORRENT_UPLOAD_ONLY},
    {"share_mode", TORRENT_SHARE_MODE},
    {"super_seeding", TORRENT_SUPER_SEEDING},
};
enum { N_FLAGS = sizeof flags_known / sizeof flags_known[0] };

unsigned spritzle_flag_of(const char *name)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        if (strcmp(flags_known[i].name, name) == 0) {
            return flags_known[i].flag;
        }
    }
    return 0;
}

unsigned spritzle_flags_shown(unsigned flags)
{
    return (flags & TORRENT_SHARE_MODE) != 0 ? flags & ~(unsigned)TORRENT_UPLOAD_ONLY : flags;
}

unsigned spritzle_flags_meant(unsigned shown, unsigned others)
{
    unsigned known = 0;
    for (size_t i = 0; i < N_FLAGS; i++) {
        known |= flags_known[i].flag;
    }
    if ((shown & TORRENT_SHARE_MODE) != 0) {
        shown |= TORRENT_UPLOAD_ONLY;
    }
    return (shown & known) | (others & ~known);
}

void spritzle_flags_add(struct buf *out, unsigned flags)
{
    unsigned shown = spritzle_flags_shown(flags);
    buf_add_byte(out, '{');
    for (size_t i = 0; i < N_FLAGS; i++) {
        spritzle_json_bool(out, flags_known[i].name, (shown & flags_known[i].flag) != 0);
    }
    buf_add_byte(out, '}');
}

static int change(unsigned *shown, const cJSON *object, char why[static SPRITZLE_WHY_MAX])
{
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        unsigned flag = spritzle_flag_of(item->string);
        if (flag == 0) {
            (void)snprintf(why, SPRITZLE_WHY_MAX, "unknown flag: %s", item->string);
            return ERR_MALFORMED;
        }
        if (!cJSON_IsBool(item)) {
            (void)snprintf(why, SPRITZLE_WHY_MAX, "%s must be true or false", item->string);
            return ERR_MALFORMED;
        }
        *shown = cJSON_IsTrue(item) ? *shown | flag : *shown & ~flag;
    }
    return 0;
}

int spritzle_flags_change(unsigned *flags, struct span json, char why[static SPRITZLE_WHY_MAX])
{
    unsigned shown = spritzle_flags_shown(*flags);
    cJSON *object = spritzle_json_object(json);
    if (object == NULL) {
        (void)snprintf(why, SPRITZLE_WHY_MAX, "not a JSON object");
        return ERR_MALFORMED;
    }
    int status = change(&shown, object, why);
    cJSON_Delete(object);
    if (status == 0 && ((*flags ^ shown) & TORRENT_SEED_MODE) != 0) {
        (void)snprintf(why, SPRITZLE_WHY_MAX, "seed_mode is for adding only");
        status = ERR_MALFORMED;
    }
    if (status == 0) {
        *flags = spritzle_flags_meant(shown, *flags);
    }
    return status;
}
