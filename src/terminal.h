/* terminal.h: text of somebody else's, made safe to print.
 *
 * A name or a comment may hold escape sequences, line ends, or marks that turn the direction of
 * writing: printed as they are, they would say something that is not so.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include "base/buf.h"
#include "base/span.h"

enum { TERMINAL_GROWTH = 4 }; /* text of n bytes becomes TERMINAL_GROWTH * n at most */

/* Any bytes. Control characters, direction marks and what is not UTF-8 become \xNN, a byte each; a
 * backslash becomes two. */
void terminal_add(struct buf *b, struct span text);

/* One line on stderr: "rookery: PATH: text". */
void terminal_complain(const char *path, const char *text);

/* The text of an errno value. Static. */
const char *terminal_errno_text(int errno_value);

#endif
