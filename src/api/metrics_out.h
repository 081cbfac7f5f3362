/* metrics_out.h: metrics in two notations. Pure.
 *
 * Text   Prometheus exposition format 0.0.4.
 * JSON   {"metrics":[{"kind","name","samples":[{"value","labels":[{"name","value"}]}]}]}, as
 * version 3 of the Torrust API has it. A histogram's samples say which "part" they are. Use
 * metrics_begin, then metric_head before the samples of each metric, then metrics_end.
 */
#ifndef API_METRICS_OUT_H
#define API_METRICS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Texts without quotes, backslashes or line breaks. */
struct metric_label {
    const char *name;
    const char *value;
};

enum { METRIC_LABELS_MAX = 3 };

/* Unused labels have no name. */
struct metric_labels {
    struct metric_label at[METRIC_LABELS_MAX];
};

struct metrics_out {
    struct buf *b;
    bool json;
    /* private */
    const char *name;
    bool any_metric;
    bool any_sample;
};

void metrics_begin(struct metrics_out *o, struct buf *b, bool json);
void metrics_end(struct metrics_out *o);

/* kind: "counter", "gauge" or "histogram". All three are borrowed until the next head. */
void metric_head(struct metrics_out *o, const char *name, const char *kind, const char *help);

void metric_u64(struct metrics_out *o, const struct metric_labels *labels, uint64_t value);
void metric_f64(struct metrics_out *o, const struct metric_labels *labels, double value);
/* A histogram's sample: part is "bucket", "sum" or "count"; value as text. */
void metric_part(struct metrics_out *o, const char *part, const struct metric_labels *labels,
                 const char *value);

#endif
