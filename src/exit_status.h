/* exit_status.h: what the program's exit status means. */
#ifndef EXIT_STATUS_H
#define EXIT_STATUS_H

enum exit_status {
    EXIT_OK = 0,      /* a clean stop */
    EXIT_RUNTIME = 1, /* something is wrong with the machine */
    EXIT_USAGE = 2,   /* something is wrong with the command line or the configuration */
};

#endif
