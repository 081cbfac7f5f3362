/* log.h: one line an event, a constant message and key=value fields.
 *
 * Formats  text: "2026-01-02T03:04:05.678Z info tracker: listening address=0.0.0.0:6969"
 *          json:
 * {"time":"...","level":"info","subsystem":"tracker","message":"listening","address":"0.0.0.0:6969"}
 * Sink     one pointer for the whole program, the only process-wide variable in it; NULL logs to
 *          stderr at info in text. A line is written by one write(2), so threads do not mix.
 * Secrets  never; full peer addresses only at debug.
 *
 * log_info(LOG_TRACKER, "listening", KV_STR("address", text), KV_INT("workers", n));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_subsystem { LOG_MAIN, LOG_NET, LOG_STORE, LOG_TRACKER, LOG_API, LOG_CLIENT };

enum kv_kind { KV_KIND_STR, KV_KIND_INT, KV_KIND_HEX };

struct kv {
    const char *name;
    enum kv_kind kind;
    struct span str; /* KV_KIND_STR: any bytes, escaped; KV_KIND_HEX: printed as hex */
    int64_t num;
};

#define KV_STR(key, text)  ((struct kv){(key), KV_KIND_STR, span_str(text), 0})
#define KV_SPAN(key, s)    ((struct kv){(key), KV_KIND_STR, (s), 0})
#define KV_INT(key, value) ((struct kv){(key), KV_KIND_INT, {NULL, 0}, (int64_t)(value)})
#define KV_HASH(key, hash) ((struct kv){(key), KV_KIND_HEX, span_of((hash)->b, 20), 0})

/* Where lines go. write is called once a line (with its newline), from any thread. */
struct log_sink {
    _Atomic int level; /* enum log_level: lines above it are dropped; may be changed at any time */
    bool json;
    void (*write)(void *ctx, struct span line);
    void *ctx;
};

/* The sink stays the caller's and must outlive its use; NULL puts the default back. */
void log_set_sink(struct log_sink *sink);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, enum log_subsystem subsystem, const char *message,
               const struct kv *fields, size_t n_fields);

#define LOG_LINE(level, subsystem, message, ...)                                                   \
    log_write((level), (subsystem), (message),                                                     \
              (const struct kv[]){{.name = NULL}, ##__VA_ARGS__} + 1,                              \
              sizeof((const struct kv[]){{.name = NULL}, ##__VA_ARGS__}) / sizeof(struct kv) - 1)

#define log_error(subsystem, ...) LOG_LINE(LOG_ERROR, subsystem, __VA_ARGS__)
#define log_warn(subsystem, ...)  LOG_LINE(LOG_WARN, subsystem, __VA_ARGS__)
#define log_info(subsystem, ...)  LOG_LINE(LOG_INFO, subsystem, __VA_ARGS__)
#define log_debug(subsystem, ...) LOG_LINE(LOG_DEBUG, subsystem, __VA_ARGS__)

/* "error", "warn", "info", "debug" to a level; false for anything else. */
bool log_level_parse(enum log_level *out, struct span text);

#endif
