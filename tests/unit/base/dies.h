/* dies.h: does a call abort the program? It runs in a child process, with stderr closed. */
#ifndef UNIT_BASE_DIES_H
#define UNIT_BASE_DIES_H

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool dies(void (*call)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct sigaction by_default = {.sa_handler = SIG_DFL};
        (void)sigaction(SIGABRT, &by_default, NULL); /* the test framework catches it */
        (void)close(STDERR_FILENO);
        call();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}

#endif
