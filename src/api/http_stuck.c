/* Behind a read error of a TLS connection, h2o says goodbye before it closes it. But libuv takes no
 * write any more then: it says so at once, h2o does not look, and waits for the end of that write for
 * ever. The connection would count against max_connections, and keep the server from closing.
 *
 * Stuck      h2o is writing and libuv is not, nor will be. In two ticks one behind the other: between
 *            them libuv has told h2o of every write that had an end.
 * The cure   closing again: h2o drops the write that is under way, and frees the socket.
 */
#include "api/http_impl.h"

#include "base/mem.h"

#include "base/banned.h"

static bool is_stuck(const struct http_conn *conn)
{
    const uv_stream_t *stream = (const uv_stream_t *)&conn->tcp;
    return !uv_is_closing((const uv_handle_t *)&conn->tcp) && !uv_is_writable(stream) &&
           uv_stream_get_write_queue_size(stream) == 0 && h2o_socket_is_writing(conn->sock);
}

void http_conns_unstick(struct http_server *s)
{
    LIST_FOREACH_SAFE (node, &s->conns) {
        struct http_conn *conn = container_of(node, struct http_conn, link);
        bool again = conn->stuck;
        conn->stuck = is_stuck(conn);
        if (again && conn->stuck) {
            h2o_socket_close(conn->sock);
        }
    }
}
