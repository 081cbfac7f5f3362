/* data_dir.h: the folder that the server writes to: made, locked, and the API token in it.
 *
 * One server a folder: the lock file is held for the life of the process and dies with it.
 */
#ifndef DATA_DIR_H
#define DATA_DIR_H

#include "base/assert.h"
#include "base/err.h"

enum { GENERATED_TOKEN_LEN = 32 };

/* Make the folder (and its parents) if needed and lock it. returns the lock's descriptor, kept
 * open as long as the server runs; ERR_IN_USE when another server has it. */
MUST_CHECK int data_dir_open(const char *path, struct err *e);

/* The token in PATH/api-token, made at first use (mode 0600). *token is the caller's (free()). */
MUST_CHECK int data_dir_token(const char *path, char **token, struct err *e);

#endif
