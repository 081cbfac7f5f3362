/* process.h: what another process has used, as the kernel accounts for it.
 *
 * CPU     time on a processor, user and system, of all threads of the process since its start: the
 *         sum that /proc/PID/stat shows in clock ticks, read through the process's CPU clock in
 *         nanoseconds, so that a run of one second is not rounded by a percent. On loopback it
 *         includes the kernel's work for what the process sends, up to the receiver's queue.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* CPU time, ns; 0 when there is no such process. */
uint64_t process_cpu_ns(pid_t pid);

/* CPU time of the calling thread. */
uint64_t thread_cpu_ns(void);

/* Resident memory, bytes; 0 when there is no such process. */
uint64_t process_resident_bytes(pid_t pid);

/* Monotonic time, ns. */
uint64_t clock_ns(void);

/* The wall clock, by which the kernel stamps what comes in. */
uint64_t clock_real_ns(void);

#endif
