/* http_reason.h: the words of RFC 9110 for status codes.
 */
#ifndef API_HTTP_REASON_H
#define API_HTTP_REASON_H

/* "Not Found" for 404; "Unknown" for one that no answer of ours has. Static. */
const char *http_reason(int status);

#endif
