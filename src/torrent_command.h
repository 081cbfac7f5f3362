/* torrent_command.h: `rookery torrent`: its command line. */
#ifndef TORRENT_COMMAND_H
#define TORRENT_COMMAND_H

/* argv[0] is the program's name, argv[1] the command behind "torrent", if any.
 * returns  an enum exit_status. */
int torrent_command(int argc, char **argv);

#endif
