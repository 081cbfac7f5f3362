/* torrent_show.h: `rookery torrent show`: what is in a .torrent, for people or as JSON. */
#ifndef TORRENT_SHOW_H
#define TORRENT_SHOW_H

#include <stdbool.h>

/* Prints the torrent in the file at path, or says on stderr why not.
 * returns  an enum exit_status. */
int torrent_show(const char *path, bool json);

#endif
