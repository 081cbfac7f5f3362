/* assert.h: checks for bugs, active in release builds too.
 *
 * ASSERT(cond) aborts with file, line and the condition. It is for what only a bug of ours can
 * make false; input from outside is refused with an error code instead.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void assert_failed(const char *file, int line, const char *cond);

#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(__FILE__, __LINE__, #cond))

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
