#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/ids.h"
#include "base/json.h"

#include "base/banned.h"

enum { LINE_CAP = 2048 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const subsystem_names[] = {"main", "net", "store", "tracker", "api", "client"};

static void write_stderr(void *ctx, struct span line)
{
    (void)ctx;
    /* A log line that cannot be written has nowhere to be reported. */
    ssize_t written = write(STDERR_FILENO, line.p, line.n);
    (void)written;
}

static struct log_sink default_sink = {.level = LOG_INFO, .write = write_stderr};
static struct log_sink *current_sink = &default_sink;

void log_set_sink(struct log_sink *sink)
{
    current_sink = sink == NULL ? &default_sink : sink;
    if (current_sink->write == NULL) {
        current_sink->write = write_stderr;
    }
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_sink->level, memory_order_relaxed);
}

static void add_time(struct wr *w)
{
    struct timeval now;
    struct tm tm;
    char text[40];
    (void)gettimeofday(&now, NULL);
    (void)gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    wr_bytes(w, span_of(text, n));
    n = (size_t)snprintf(text, sizeof text, ".%03dZ", (int)(now.tv_usec / 1000));
    wr_bytes(w, span_of(text, n));
}

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.n > 0;
}

static void add_value(struct wr *w, const struct kv *f, bool json)
{
    char number[24];
    switch (f->kind) {
    case KV_KIND_INT:
        (void)snprintf(number, sizeof number, "%lld", (long long)f->num);
        wr_bytes(w, span_str(number));
        break;
    case KV_KIND_HEX: {
        char hex[2 * 32 + 1];
        hex_encode(hex, span_sub(f->str, 0, 32));
        wr_bytes(w, json ? SPAN("\"") : SPAN(""));
        wr_bytes(w, span_str(hex));
        wr_bytes(w, json ? SPAN("\"") : SPAN(""));
        break;
    }
    case KV_KIND_STR:
        if (!json && is_plain(f->str)) {
            wr_bytes(w, f->str);
        } else {
            json_write_string(w, f->str);
        }
        break;
    }
}

static void format_text(struct wr *w, enum log_level level, enum log_subsystem subsystem,
                        const char *message, const struct kv *fields, size_t n_fields)
{
    add_time(w);
    wr_u8(w, ' ');
    wr_bytes(w, span_str(level_names[level]));
    wr_u8(w, ' ');
    wr_bytes(w, span_str(subsystem_names[subsystem]));
    wr_bytes(w, SPAN(": "));
    wr_bytes(w, span_str(message));
    for (size_t i = 0; i < n_fields; i++) {
        wr_u8(w, ' ');
        wr_bytes(w, span_str(fields[i].name));
        wr_u8(w, '=');
        add_value(w, &fields[i], false);
    }
}

static void format_json(struct wr *w, enum log_level level, enum log_subsystem subsystem,
                        const char *message, const struct kv *fields, size_t n_fields)
{
    wr_bytes(w, SPAN("{\"time\":\""));
    add_time(w);
    wr_bytes(w, SPAN("\",\"level\":\""));
    wr_bytes(w, span_str(level_names[level]));
    wr_bytes(w, SPAN("\",\"subsystem\":\""));
    wr_bytes(w, span_str(subsystem_names[subsystem]));
    wr_bytes(w, SPAN("\",\"message\":"));
    json_write_string(w, span_str(message));
    for (size_t i = 0; i < n_fields; i++) {
        wr_u8(w, ',');
        json_write_string(w, span_str(fields[i].name));
        wr_u8(w, ':');
        add_value(w, &fields[i], true);
    }
    wr_u8(w, '}');
}

void log_write(enum log_level level, enum log_subsystem subsystem, const char *message,
               const struct kv *fields, size_t n_fields)
{
    struct log_sink *sink = current_sink;
    uint8_t line[LINE_CAP];
    if (!log_enabled(level)) {
        return;
    }
    /* Fields that do not fit are left out whole, from the last; the line stays well-formed. */
    for (size_t n = n_fields + 1; n-- > 0;) {
        struct wr w = wr_over(line, sizeof line - 1);
        (sink->json ? format_json : format_text)(&w, level, subsystem, message, fields, n);
        if (!w.bad) {
            *w.p++ = '\n';
            sink->write(sink->ctx, span_of(line, (size_t)(w.p - line)));
            return;
        }
    }
}

bool log_level_parse(enum log_level *out, struct span text)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (span_eq(text, span_str(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}
