/*
 * Form bodies: what is accepted keeps every rule, and encoded again it reads the same.
 * The card-number check is compared with a slow one that follows its definition.
 */
#include "fuzz.h"

#include "../../worker/core/form.h"

static void check_text(const char *text, size_t len)
{
    CHECK(utf8_valid(text, len));
    for (size_t i = 0; i < len; i++) {
        CHECK((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
        CHECK((uint8_t)text[i] != 0xc2 || (uint8_t)text[i + 1] >= 0xa0);
    }
}

static size_t encode(const char *text, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        *out++ = '%';
        hex_format((const uint8_t *)text + i, 1, out);
        out += 2;
    }
    return 3 * len;
}

/* Every byte as an escape: three times the size, so only what still fits under the limit. */
static void check_round_trip(const struct form *form)
{
    static char body[3 * FORM_BYTES_MAX + 64];
    struct form again;
    size_t len = 0;

    for (size_t i = 0; i < form->count; i++) {
        const struct form_field *field = &form->field[i];

        if (i > 0) {
            body[len++] = '&';
        }
        len += encode(field->name, field->name_len, body + len);
        body[len++] = '=';
        len += encode(field->value, field->value_len, body + len);
    }
    if (len > FORM_BYTES_MAX) {
        CHECK(form_parse(body, len, &again) == FORM_TOO_LARGE);
        return;
    }
    CHECK(form_parse(body, len, &again) == FORM_OK);
    CHECK(again.count == form->count);
    for (size_t i = 0; i < form->count; i++) {
        const struct form_field *a = &form->field[i], *b = &again.field[i];

        CHECK(a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0);
        CHECK(a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0);
    }
}

static void check_form(const char *body, size_t size, const struct form *form)
{
    CHECK(form->count <= FORM_FIELDS_MAX);
    for (size_t i = 0; i < form->count; i++) {
        const struct form_field *field = &form->field[i];

        CHECK(field->name_len > 0);
        CHECK(field->name >= body && field->name + field->name_len <= body + size);
        CHECK(field->value >= body && field->value + field->value_len <= body + size);
        check_text(field->name, field->name_len);
        check_text(field->value, field->value_len);
        for (size_t j = 0; j < i; j++) {
            CHECK(form->field[j].name_len != field->name_len ||
                  memcmp(form->field[j].name, field->name, field->name_len) != 0);
        }
    }
    check_round_trip(form);
}

static int digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True if text[from..to) is whole groups joined by single blanks or dashes, 13..19 digits, Luhn. */
static int slow_card_number(const char *text, size_t len, size_t from, size_t to)
{
    unsigned count = 0, sum = 0;

    if (!digit(text[from]) || !digit(text[to - 1]) || (from > 0 && digit(text[from - 1])) ||
        (to < len && digit(text[to]))) {
        return 0;
    }
    for (size_t i = to; i-- > from;) {
        if (digit(text[i])) {
            unsigned d = (unsigned)(text[i] - '0') * (count % 2 + 1);

            sum += d / 10 + d % 10;
            count++;
        } else if ((text[i] != ' ' && text[i] != '-') || !digit(text[i - 1])) {
            return 0;
        }
    }
    return count >= 13 && count <= 19 && sum % 10 == 0;
}

static void check_card_number(const char *text, size_t len)
{
    int found = 0;

    len = len < 80 ? len : 80;
    for (size_t from = 0; from < len; from++) {
        for (size_t to = from + 13; to <= len; to++) {
            found |= slow_card_number(text, len, from, to);
        }
    }
    CHECK(card_number_like(text, len) == (found != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *body = exact_copy(data, size);
    struct form form;
    enum form_status status;

    check_card_number(body, size);
    status = form_parse(body, size, &form);
    CHECK(strlen(form_status_text(status)) > 0);
    CHECK((status == FORM_TOO_LARGE) == (size > FORM_BYTES_MAX));
    if (status == FORM_OK) {
        check_form(body, size, &form);
    }
    free(body);
    return 0;
}
