/* uv_err.h: libuv's error numbers to ours. */
#ifndef NET_UV_ERR_H
#define NET_UV_ERR_H

/* UV_EADDRINUSE gives ERR_IN_USE, UV_ECANCELED ERR_CANCELED, and so on; >= 0 stays. */
int err_from_uv(int uv_status);

#endif
