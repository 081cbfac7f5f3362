#include "process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

enum { PATH_LEN = 64, TEXT_LEN = 256, NS_PER_S = 1000000000 };

static uint64_t read_clock_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;

    return clock_getcpuclockid(pid, &clock) == 0 ? read_clock_ns(clock) : 0;
}

uint64_t thread_cpu_ns(void)
{
    return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t process_resident_bytes(pid_t pid)
{
    char path[PATH_LEN];
    char text[TEXT_LEN];
    uint64_t pages = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%*u %" SCNu64, &pages) != 1) {
        return 0;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t clock_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
    return read_clock_ns(CLOCK_REALTIME);
}
