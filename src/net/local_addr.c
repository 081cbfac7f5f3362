#include "net/local_addr.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

bool local_addr(bool v6, struct addr *out)
{
    /* Of the blocks for documentation (RFC 5737, 3849): they go where everything unknown goes. */
    static const struct endpoint far4 = {.addr = {.b = {192, 0, 2, 1}}, .port = 9};
    static const struct endpoint far6 = {
        .addr = {.b = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .v6 = true}, .port = 9};
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct sockaddr_storage to;
    unsigned to_len = endpoint_to_sockaddr(v6 ? &far6 : &far4, &to);
    struct endpoint local;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool found = connect(fd, (const struct sockaddr *)&to, (socklen_t)to_len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
                 endpoint_from_sockaddr(&local, (const struct sockaddr *)&ss);
    (void)close(fd);
    if (found) {
        *out = local.addr;
    }
    return found;
}
