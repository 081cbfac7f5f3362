#include "api/dialects.h"

#include "api/gotorrent.h"
#include "api/pages.h"
#include "api/resttorrent.h"
#include "api/spritzle.h"
#include "api/torrentflow.h"
#include "api/torrust.h"

#include "base/banned.h"

/* The first row that fits counts; the last one fits all. */
static const struct {
    const char *prefix; /* what ends in a '/' as it is, else a whole segment */
    const struct dialect *dialect;
} prefixes[] = {
    {"/api/v1/", &torrust_v1_dialect},   {"/api/", &torrust_dialect},
    {"/torrents", &torrentflow_dialect}, {"/session", &spritzle_dialect},
    {"/torrent", &spritzle_dialect},     {"/v1", &resttorrent_dialect},
    {"/alldata", &gotorrent_dialect},    {"/torrentdata", &gotorrent_dialect},
    {"/addmagnet", &gotorrent_dialect},  {"/addtorrentfile", &gotorrent_dialect},
    {"/pause", &gotorrent_dialect},      {"/resume", &gotorrent_dialect},
    {"/remove", &gotorrent_dialect},     {"/setdownrate", &gotorrent_dialect},
    {"/setuprate", &gotorrent_dialect},  {"", &pages_dialect},
};

static bool begins_with(struct span path, struct span prefix)
{
    return prefix.n == 0 ||
           (span_starts_with(path, prefix) &&
            (prefix.p[prefix.n - 1] == '/' || path.n == prefix.n || path.p[prefix.n] == '/'));
}

const struct dialect *dialect_of(struct span path)
{
    size_t i = 0;
    while (!begins_with(path, span_str(prefixes[i].prefix))) {
        i++;
    }
    return prefixes[i].dialect;
}

const struct dialect *dialect_at(size_t i)
{
    return i < sizeof prefixes / sizeof prefixes[0] ? prefixes[i].dialect : NULL;
}
