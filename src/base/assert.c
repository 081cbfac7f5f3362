#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

_Noreturn void assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "rookery: bug: %s:%d: %s\n", file, line, cond);
    abort();
}
