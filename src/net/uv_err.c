#include "net/uv_err.h"

#include <uv.h>

#include "base/err.h"

#include "base/banned.h"

int err_from_uv(int uv_status)
{
    if (uv_status >= 0) {
        return uv_status;
    }
    switch (uv_status) {
    case UV_ECANCELED:
    case UV_EAI_CANCELED:
        return ERR_CANCELED;
    case UV_EOF:
        return ERR_CLOSED;
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_ADDRFAMILY:
        return ERR_NOT_FOUND;
    case UV_EAI_AGAIN:
        return ERR_UNAVAILABLE;
    case UV_EAGAIN:
        return ERR_UNAVAILABLE;
    case UV_ECHARSET:
        return ERR_INVALID;
    default:
        /* On Unix the rest are negated errno values; what is not one of them is ERR_SYSTEM. */
        return err_from_errno(-uv_status);
    }
}
