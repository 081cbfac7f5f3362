#include "api/metrics_out.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/banned.h"

void metrics_begin(struct metrics_out *o, struct buf *b, bool json)
{
    *o = (struct metrics_out){.b = b, .json = json};
    if (json) {
        buf_add_str(b, "{\"metrics\":[");
    }
}

void metrics_end(struct metrics_out *o)
{
    if (o->json) {
        buf_add_str(o->b, o->any_metric ? "]}]}" : "]}");
    }
}

void metric_head(struct metrics_out *o, const char *name, const char *kind, const char *help)
{
    if (o->json) {
        buf_addf(o->b, "%s{\"kind\":\"%s\",\"name\":\"%s\",\"samples\":[",
                 o->any_metric ? "]}," : "", kind, name);
    } else {
        buf_addf(o->b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    }
    o->name = name;
    o->any_metric = true;
    o->any_sample = false;
}

static void add_json(struct metrics_out *o, const char *part, const struct metric_labels *labels,
                     const char *value)
{
    buf_addf(o->b, "%s{\"value\":%s,", o->any_sample ? "," : "", value);
    if (part != NULL) {
        buf_addf(o->b, "\"part\":\"%s\",", part);
    }
    buf_add_str(o->b, "\"labels\":[");
    for (size_t i = 0; i < METRIC_LABELS_MAX && labels->at[i].name != NULL; i++) {
        buf_addf(o->b, "%s{\"name\":\"%s\",\"value\":\"%s\"}", i == 0 ? "" : ",",
                 labels->at[i].name, labels->at[i].value);
    }
    buf_add_str(o->b, "]}");
}

static void add_text(struct metrics_out *o, const char *part, const struct metric_labels *labels,
                     const char *value)
{
    buf_addf(o->b, "%s%s%s", o->name, part == NULL ? "" : "_", part == NULL ? "" : part);
    for (size_t i = 0; i < METRIC_LABELS_MAX && labels->at[i].name != NULL; i++) {
        buf_addf(o->b, "%s%s=\"%s\"", i == 0 ? "{" : ",", labels->at[i].name, labels->at[i].value);
    }
    buf_addf(o->b, "%s %s\n", labels->at[0].name == NULL ? "" : "}", value);
}

void metric_part(struct metrics_out *o, const char *part, const struct metric_labels *labels,
                 const char *value)
{
    if (o->json) {
        add_json(o, part, labels, value);
    } else {
        add_text(o, part, labels, value);
    }
    o->any_sample = true;
}

void metric_u64(struct metrics_out *o, const struct metric_labels *labels, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    metric_part(o, NULL, labels, text);
}

void metric_f64(struct metrics_out *o, const struct metric_labels *labels, double value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.6f", value);
    metric_part(o, NULL, labels, text);
}
