/* Any text is a configuration or a list of complaints: loading ends, and twice gives the same. */
#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *ctx, const char *text)
{
    size_t *n = ctx;
    ASSERT(text[0] != '\0' && strchr(text, '\n') == NULL);
    (*n)++;
}

/* How many complaints the text gets: as a file, and as the value of a variable. */
static size_t complaints(struct span text, const char *const *environment)
{
    struct config c;
    size_t n = 0;
    int status = config_load(&c, "fuzz.yaml", text, environment, count, &n);
    ASSERT((status == 0) == (n == 0));
    ASSERT(status == 0 || status == ERR_INVALID);
    ASSERT(c.data_dir != NULL && c.data_dir[0] != '\0' && c.tracker.tls_key != NULL);
    ASSERT(c.tracker.min_announce_interval_s <= c.tracker.announce_interval_s || n > 0);
    config_release(&c);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char variable[512] = "ROOKERY_";
    size_t room = sizeof variable - 1 - strlen(variable);
    if (size > 0) {
        memcpy(variable + strlen(variable), data, size < room ? size : room);
    }
    const char *const environment[] = {variable, NULL};
    struct span text = span_of(data, size);
    ASSERT(complaints(text, NULL) == complaints(text, NULL));
    (void)complaints(SPAN(""), environment);
    return 0;
}
