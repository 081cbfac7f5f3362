/* banned.h: calls that do not compile in this project. Included last by every source file.
 *
 * Each has a bounded or thread-safe replacement: buf, snprintf, strtoul-like parsers in
 * base/parse.h, gmtime_r, digest_random. Source of the idea: git's banned.h.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#define BANNED(fn) sorry_##fn##_is_banned_here

#undef strcpy
#define strcpy(a, b) BANNED(strcpy)
#undef strcat
#define strcat(a, b) BANNED(strcat)
#undef strncpy
#define strncpy(a, b, n) BANNED(strncpy)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef strtok
#define strtok(a, b) BANNED(strtok)
#undef gmtime
#define gmtime(t) BANNED(gmtime)
#undef localtime
#define localtime(t) BANNED(localtime)
#undef atoi
#define atoi(s) BANNED(atoi)
#undef alloca
#define alloca(n) BANNED(alloca)
#undef rand
#define rand() BANNED(rand)
#undef signal
#define signal(n, f) BANNED(signal)

#endif
