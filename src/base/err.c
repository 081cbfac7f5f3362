#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

const char *err_text(int code)
{
    switch (code) {
#define ERR_CASE(name, number, text)                                                               \
    case name:                                                                                     \
        return text;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error";
    }
}

int err_from_errno(int errno_value)
{
    switch (errno_value) {
    case EADDRINUSE:
        return ERR_IN_USE;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EINVAL:
        return ERR_INVALID;
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERR_UNAVAILABLE;
    case ECONNRESET:
    case EPIPE:
        return ERR_CLOSED;
    default:
        return ERR_SYSTEM;
    }
}

int err_from_socket(int errno_value)
{
    static const struct {
        int errno_value;
        int code;
    } ends[] = {
        {ECONNRESET, ERR_RESET},        {ECONNREFUSED, ERR_REFUSED},
        {ECONNABORTED, ERR_ABORTED},    {EPIPE, ERR_BROKEN_PIPE},
        {ENOTCONN, ERR_NOT_CONNECTED},  {EHOSTUNREACH, ERR_UNREACHABLE},
        {ENETUNREACH, ERR_UNREACHABLE}, {ENETDOWN, ERR_UNREACHABLE},
        {EHOSTDOWN, ERR_UNREACHABLE},   {ENOBUFS, ERR_NO_BUFFERS},
        {ENOMEM, ERR_NO_MEMORY},        {EPERM, ERR_NO_PRIVILEGE},
        {ECANCELED, ERR_CANCELED},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends[i].errno_value == errno_value) {
            return ends[i].code;
        }
    }
    return err_from_errno(errno_value);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e != NULL) {
        va_list ap;
        va_start(ap, fmt);
        e->code = code;
        (void)vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

int err_set_errno(struct err *e, int errno_value, const char *fmt, ...)
{
    int code = err_from_errno(errno_value);
    if (e != NULL) {
        char text[sizeof e->msg];
        char reason[64];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        return err_set(e, code, "%s: %s", text, strerror_r(errno_value, reason, sizeof reason));
    }
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    struct err before = *e;
    char text[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, before.code, "%s: %s", text, before.msg);
}
