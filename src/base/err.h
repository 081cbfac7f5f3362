/* err.h: the error codes of the whole program and the text that explains one.
 *
 * Codes    negative ints; 0 or positive is success. errno, UV_* and SQLSTATE never cross a folder:
 *          map once (err_from_errno here, err_from_uv in net/, err_from_pg in store/).
 * Classes  bug: ASSERT. Environment: code + struct err filled by the callee, prefixed by callers,
 *          logged once at the top. Input from outside: code + static "why", no formatting.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

/* X(name, number, text) */
#define ERR_LIST(X)                                                                                \
    X(ERR_MALFORMED, -1, "malformed input")                                                        \
    X(ERR_LIMIT, -2, "limit reached")                                                              \
    X(ERR_NOT_FOUND, -3, "not found")                                                              \
    X(ERR_EXISTS, -4, "exists already")                                                            \
    X(ERR_DENIED, -5, "not permitted")                                                             \
    X(ERR_INVALID, -6, "invalid value")                                                            \
    X(ERR_UNAVAILABLE, -7, "not available now")                                                    \
    X(ERR_TIMEOUT, -8, "timed out")                                                                \
    X(ERR_CANCELED, -9, "canceled")                                                                \
    X(ERR_CLOSED, -10, "connection closed")                                                        \
    X(ERR_IN_USE, -11, "in use already")                                                           \
    X(ERR_NO_SPACE, -12, "no space left on device")                                                \
    X(ERR_SYSTEM, -13, "system error")                                                             \
    X(ERR_DATABASE, -14, "database error")                                                         \
    X(ERR_RESET, -15, "connection reset")                                                          \
    X(ERR_REFUSED, -16, "connection refused")                                                      \
    X(ERR_UNREACHABLE, -17, "no way to get there")                                                 \
    X(ERR_ABORTED, -18, "connection aborted")                                                      \
    X(ERR_BROKEN_PIPE, -19, "broken pipe")                                                         \
    X(ERR_NOT_CONNECTED, -20, "not connected")                                                     \
    X(ERR_NO_BUFFERS, -21, "no buffer space left")                                                 \
    X(ERR_NO_MEMORY, -22, "out of memory")                                                         \
    X(ERR_NO_PRIVILEGE, -23, "not permitted by the system")

enum err_code {
#define ERR_ENUM(name, number, text) name = number,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* How many there are: they are -1 to -ERR_N. */
#define ERR_ONE(name, number, text) +1
enum { ERR_N = 0 ERR_LIST(ERR_ONE) };
#undef ERR_ONE

struct err {
    int code;
    char msg[192];
};

/* The text of a code; "unknown error" for a number that is none. Static. */
const char *err_text(int code);

/* The code for an errno value (EADDRINUSE gives ERR_IN_USE, ENOSPC ERR_NO_SPACE, ...). */
int err_from_errno(int errno_value);

/* The same for a connection to a peer, with a code for each way in which one can end. */
int err_from_socket(int errno_value);

/* Fill e (which may be NULL) and return code, so that `return err_set(e, ...)` reads well.
 * A text that does not fit is cut. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* err_set with ": <strerror>" behind the text; the code comes from errno_value. */
int err_set_errno(struct err *e, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "<text>: " in front of what e says already; returns e->code. e must be filled. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
