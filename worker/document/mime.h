/*
 * A mail as it goes over the wire (RFC 5322): text and HTML of the same (multipart/alternative),
 * headers that nothing can be injected into. Whatever is not ASCII becomes encoded words (RFC 2047)
 * and quoted-printable, so that every mail server takes it.
 */
#ifndef PAYLINK_DOCUMENT_MIME_H
#define PAYLINK_DOCUMENT_MIME_H

#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"

/* Names and subject are UTF-8, addresses are ASCII; reply_to may be NULL. */
struct mime_mail {
    const char *from_name, *from, *to_name, *to, *reply_to;
    const char *subject;
    const char *id;   /* unique: left side of the Message-ID; letters, digits and - */
    const char *lang; /* tag */
    const char *text, *html;
    int64_t wall_ms;
};

/*
 * *out is the mail with CRLF line ends, NUL-terminated; the caller frees. RESULT_REJECTED with a
 * sentence when a header would contain a control character (a line end above all), an address is
 * none, or something is not UTF-8.
 */
enum result mime_write(const struct mime_mail *mail, char **out, size_t *len,
                       struct error *err) MUST_CHECK;

#endif
