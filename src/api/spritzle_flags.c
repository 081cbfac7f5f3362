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

unsigned spritzle_flags_meant(unsigned asked)
{
    return (asked & TORRENT_SHARE_MODE) != 0 ? asked | TORRENT_UPLOAD_ONLY : asked;
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

static int take(unsigned *set, unsigned *clear, const cJSON *object,
                char why[static SPRITZLE_WHY_MAX])
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
        bool on = cJSON_IsTrue(item);
        *set = on ? *set | flag : *set & ~flag;
        *clear = on ? *clear & ~flag : *clear | flag;
    }
    return 0;
}

int spritzle_flags_parse(unsigned *set, unsigned *clear, unsigned now, struct span json,
                         char why[static SPRITZLE_WHY_MAX])
{
    cJSON *object = spritzle_json_object(json);
    *set = *clear = 0;
    if (object == NULL) {
        (void)snprintf(why, SPRITZLE_WHY_MAX, "not a JSON object");
        return ERR_MALFORMED;
    }
    int status = take(set, clear, object, why);
    cJSON_Delete(object);
    if (status == 0 && (((*set & ~now) | (*clear & now)) & TORRENT_SEED_MODE) != 0) {
        (void)snprintf(why, SPRITZLE_WHY_MAX, "seed_mode is for adding only");
        status = ERR_MALFORMED;
    }
    return status;
}
