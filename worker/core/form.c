/* Owns strict decoding of form bodies; knows nothing of which fields are expected. */
#include "form.h"

#include <stdint.h>
#include <string.h>

static int hex_digit(char c)
{
    uint8_t value;
    char pair[2] = {'0', c};

    return hex_parse(pair, 2, &value) == 0 ? value : -1;
}

/* Decodes `*end - text` bytes in place and moves *end back to the decoded end. */
static enum form_status decode(char *text, char **end)
{
    char *out = text;

    for (const char *in = text; in < *end; in++) {
        if (*in == '+') {
            *out++ = ' ';
        } else if (*in == '%') {
            int high, low;

            if (*end - in < 3) {
                return FORM_BAD_ESCAPE;
            }
            high = hex_digit(in[1]);
            low = hex_digit(in[2]);
            if (high < 0 || low < 0) {
                return FORM_BAD_ESCAPE;
            }
            *out++ = (char)(high << 4 | low);
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *end = out;
    return FORM_OK;
}

/* Valid UTF-8 without control characters: C0, DEL, and C1 (U+0080..U+009F). */
static bool text_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c < 0x20 || c == 0x7f) {
            return false;
        }
        if (c == 0xc2 && i + 1 < len && (uint8_t)text[i + 1] < 0xa0) {
            return false;
        }
    }
    return utf8_valid(text, len);
}

static const struct form_field *field_find(const struct form *form, const char *name, size_t len)
{
    for (size_t i = 0; i < form->count; i++) {
        const struct form_field *field = &form->field[i];

        if (field->name_len == len && memcmp(field->name, name, len) == 0) {
            return field;
        }
    }
    return NULL;
}

static enum form_status field_add(struct form *form, char *text, char *end)
{
    struct form_field *field = &form->field[form->count];
    char *equals = memchr(text, '=', (size_t)(end - text));
    char *name_end = equals != NULL ? equals : end;
    char *value = equals != NULL ? equals + 1 : end;
    enum form_status status;

    status = decode(text, &name_end);
    if (status == FORM_OK) {
        status = decode(value, &end);
    }
    if (status != FORM_OK) {
        return status;
    }
    field->name = text;
    field->name_len = (size_t)(name_end - text);
    field->value = value;
    field->value_len = (size_t)(end - value);
    if (field->name_len == 0) {
        return FORM_EMPTY_NAME;
    }
    if (!text_clean(field->name, field->name_len) || !text_clean(field->value, field->value_len)) {
        return FORM_BAD_TEXT;
    }
    if (field_find(form, field->name, field->name_len) != NULL) {
        return FORM_DUPLICATE_FIELD;
    }
    form->count++;
    return FORM_OK;
}

enum form_status form_parse(char *body, size_t len, struct form *form)
{
    char *end;

    form->count = 0;
    if (len > FORM_BYTES_MAX) {
        return FORM_TOO_LARGE;
    }
    if (len == 0) {
        return FORM_OK;
    }
    end = body + len;
    for (;;) {
        char *separator = memchr(body, '&', (size_t)(end - body));
        enum form_status status;

        if (form->count == FORM_FIELDS_MAX) {
            return FORM_TOO_MANY_FIELDS;
        }
        status = field_add(form, body, separator != NULL ? separator : end);
        if (status != FORM_OK) {
            return status;
        }
        if (separator == NULL) {
            return FORM_OK;
        }
        body = separator + 1;
    }
}

const char *form_status_text(enum form_status status)
{
    switch (status) {
    case FORM_OK:
        return "The form is well-formed.";
    case FORM_TOO_LARGE:
        return "The form is larger than 8192 bytes.";
    case FORM_TOO_MANY_FIELDS:
        return "The form has more than 20 fields.";
    case FORM_BAD_ESCAPE:
        return "A percent sign in the form is not followed by two hexadecimal digits.";
    case FORM_BAD_TEXT:
        return "The form contains a control character or text that is not valid UTF-8.";
    case FORM_DUPLICATE_FIELD:
        return "The form contains the same field twice.";
    case FORM_EMPTY_NAME:
        return "The form contains a field without a name.";
    }
    return "The form is not well-formed.";
}

const struct form_field *form_get(const struct form *form, const char *name)
{
    return field_find(form, name, strlen(name));
}

#define CARD_DIGITS_MIN 13
#define CARD_DIGITS_MAX 19

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool luhn_valid(const uint8_t *digits, size_t n)
{
    unsigned sum = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned d = digits[n - 1 - i];

        if (i % 2 == 1) {
            d = d < 5 ? 2 * d : 2 * d - 9;
        }
        sum += d;
    }
    return sum % 10 == 0;
}

/* A number that starts with the group of digits at text[0] and ends with one. */
static bool card_number_at(const char *text, size_t len)
{
    uint8_t digits[CARD_DIGITS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        bool group_end;

        if (!is_digit(text[i])) {
            bool separator = text[i] == ' ' || text[i] == '-';

            if (!separator || i + 1 == len || !is_digit(text[i + 1])) {
                return false;
            }
            continue;
        }
        if (n == CARD_DIGITS_MAX) {
            return false;
        }
        digits[n++] = (uint8_t)(text[i] - '0');
        group_end = i + 1 == len || !is_digit(text[i + 1]);
        if (group_end && n >= CARD_DIGITS_MIN && luhn_valid(digits, n)) {
            return true;
        }
    }
    return false;
}

bool card_number_like(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool group_start = is_digit(text[i]) && (i == 0 || !is_digit(text[i - 1]));

        if (group_start && card_number_at(text + i, len - i)) {
            return true;
        }
    }
    return false;
}
