/* migrations_embedded.h: the files of migrations/, built into the program (made at build time).
 *
 * Order   by name, which starts with a four-digit number.
 * Texts   NUL-terminated; sql_len does not count the NUL. They live as long as the program.
 */
#ifndef STORE_MIGRATIONS_EMBEDDED_H
#define STORE_MIGRATIONS_EMBEDDED_H

#include <stddef.h>

struct migration {
    const char *name; /* "0001_tracker" */
    const char *sql;
    size_t sql_len;
};

extern const struct migration migrations_embedded[];
extern const size_t migrations_embedded_count;

#endif
