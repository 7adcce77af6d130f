/* Owns the form of a mail. Knows nothing of what it says. */
#include "mime.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/mem.h"
#include "../core/encoding.h"

#define PLAIN_BYTES_MAX   200 /* longer ones become encoded words, which fold */
#define WORD_BYTES_MAX    45  /* of an encoded word: 60 characters in base64, 72 in all */
#define ADDRESS_BYTES_MAX 254
#define LINE_BYTES_MAX    76 /* of quoted-printable */

struct writer {
    char *data;
    size_t len, room;
};

static void put(struct writer *w, const char *data, size_t len)
{
    if (w->len + len + 1 > w->room) {
        w->room = (w->len + len + 1) * 2;
        w->data = mem_realloc(w->data, w->room);
    }
    memcpy(w->data + w->len, data, len);
    w->len += len;
    w->data[w->len] = '\0';
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static bool printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~')
            return false;
    }
    return true;
}

/* --- headers ------------------------------------------------------------------------------------
 */

/* Of any header: UTF-8 without control characters, those of C1 and line separators included. */
static bool header_ok(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    if (text == NULL || !utf8_valid(text, strlen(text)))
        return false;
    for (; *c != '\0'; c++) {
        if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0) ||
            (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)))
            return false;
    }
    return true;
}

static bool address_ok(const char *text)
{
    const char *at = text != NULL ? strchr(text, '@') : NULL;

    return at != NULL && at != text && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
           printable(text) && strpbrk(text, " <>,;:\"\\()[]") == NULL &&
           strlen(text) <= ADDRESS_BYTES_MAX;
}

/* What reads as it is; "=?" would start an encoded word. */
static bool plain_ok(const char *text)
{
    return printable(text) && strstr(text, "=?") == NULL && strlen(text) <= PLAIN_BYTES_MAX;
}

/* How many bytes of `text` fit into a word without cutting a character. */
static size_t word_len(const char *text)
{
    size_t len = strlen(text);

    if (len <= WORD_BYTES_MAX)
        return len;
    len = WORD_BYTES_MAX;
    while (((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void put_words(struct writer *w, const char *text)
{
    const char *before = "=?UTF-8?B?";

    while (*text != '\0') {
        unsigned char base64[4 * (WORD_BYTES_MAX / 3 + 1) + 1];
        size_t len = word_len(text);

        EVP_EncodeBlock(base64, (const unsigned char *)text, (int)len);
        put_text(w, before);
        put_text(w, (const char *)base64);
        put_text(w, "?=");
        text += len;
        before = "\r\n =?UTF-8?B?";
    }
}

/* "name" <address> */
static void put_mailbox(struct writer *w, const char *header, const char *name, const char *address)
{
    put_text(w, header);
    if (plain_ok(name)) {
        put_text(w, "\"");
        for (; *name != '\0'; name++) {
            if (*name == '"' || *name == '\\')
                put_text(w, "\\");
            put(w, name, 1);
        }
        put_text(w, "\"");
    } else {
        put_words(w, name);
    }
    put_text(w, "\r\n <");
    put_text(w, address);
    put_text(w, ">\r\n");
}

static void put_subject(struct writer *w, const char *subject)
{
    put_text(w, "Subject: ");
    if (plain_ok(subject))
        put_text(w, subject);
    else
        put_words(w, subject);
    put_text(w, "\r\n");
}

/* "Fri, 27 Nov 2026 03:41:30 +0000": never in the words of a locale. */
static void put_date(struct writer *w, int64_t wall_ms)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(wall_ms / 1000);
    char text[64];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d +0000\r\n",
             days + (ptrdiff_t)3 * tm.tm_wday, tm.tm_mday, months + (ptrdiff_t)3 * tm.tm_mon,
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    put_text(w, text);
}

/* --- bodies -------------------------------------------------------------------------------------
 */

/* Quoted-printable; '=' never stands before '_' in it, which the boundary relies on. */
static void put_quoted(struct writer *w, const char *text)
{
    size_t column = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool blank_at_end = (c == ' ' || c == '\t') && (text[1] == '\n' || text[1] == '\0');
        char code[4] = {(char)c, '\0'};

        if (c == '\n') {
            put_text(w, "\r\n");
            column = 0;
            continue;
        }
        if (c == '=' || blank_at_end || ((c < ' ' || c > '~') && c != '\t'))
            snprintf(code, sizeof code, "=%02X", c);
        if (column + strlen(code) >= LINE_BYTES_MAX) {
            put_text(w, "=\r\n");
            column = 0;
        }
        put_text(w, code);
        column += strlen(code);
    }
}

static void put_part(struct writer *w, const char *boundary, const char *type, const char *body)
{
    put_text(w, "--");
    put_text(w, boundary);
    put_text(w, "\r\nContent-Type: ");
    put_text(w, type);
    put_text(w, "; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
    put_quoted(w, body);
    put_text(w, "\r\n");
}

static void put_header(struct writer *w, const char *name, const char *before, const char *value,
                       const char *behind)
{
    put_text(w, name);
    put_text(w, ": ");
    put_text(w, before);
    put_text(w, value);
    put_text(w, behind);
    put_text(w, "\r\n");
}

static enum result check(const struct mime_mail *mail, struct error *err)
{
    const char *const headers[] = {mail->from_name, mail->to_name, mail->subject, mail->id,
                                   mail->lang};

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        if (!header_ok(headers[i]))
            return error_set(err, RESULT_REJECTED, "header",
                             "a header of the mail has a control character or is not UTF-8");
    }
    if (!printable(mail->id) || !printable(mail->lang) || !address_ok(mail->from) ||
        !address_ok(mail->to) || (mail->reply_to != NULL && !address_ok(mail->reply_to)))
        return error_set(err, RESULT_REJECTED, "address",
                         "an address of the mail is not one in ASCII");
    if (!utf8_valid(mail->text, strlen(mail->text)) || !utf8_valid(mail->html, strlen(mail->html)))
        return error_set(err, RESULT_REJECTED, "body", "the mail is not UTF-8");
    return RESULT_OK;
}

enum result mime_write(const struct mime_mail *mail, char **out, size_t *len, struct error *err)
{
    struct writer w = {NULL, 0, 0};
    char *boundary;

    if (check(mail, err) != RESULT_OK)
        return RESULT_REJECTED;
    boundary = mem_printf("=_%s", mail->id);
    put_mailbox(&w, "From: ", mail->from_name, mail->from);
    put_mailbox(&w, "To: ", mail->to_name, mail->to);
    if (mail->reply_to != NULL)
        put_header(&w, "Reply-To", "<", mail->reply_to, ">");
    put_subject(&w, mail->subject);
    put_date(&w, mail->wall_ms);
    put_text(&w, "Message-ID: <");
    put_text(&w, mail->id);
    put_text(&w, strchr(mail->from, '@'));
    put_text(&w, ">\r\n");
    put_header(&w, "Content-Language", "", mail->lang, "");
    put_text(&w, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
    put_header(&w, "Content-Type", "multipart/alternative;\r\n boundary=\"", boundary, "\"");
    put_text(&w, "\r\n");
    put_part(&w, boundary, "text/plain", mail->text);
    put_part(&w, boundary, "text/html", mail->html);
    put_text(&w, "--");
    put_text(&w, boundary);
    put_text(&w, "--\r\n");
    free(boundary);
    *out = w.data;
    *len = w.len;
    return RESULT_OK;
}
