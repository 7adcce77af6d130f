/* Owns decoding of bracketed form parameters; knows no endpoint and no parameter's meaning. */
#include "params.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "../core/encoding.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; NULL for a damaged escape, a NUL byte or text that is not UTF-8. */
static char *params_decode(char *text, char *end)
{
    char *out = text;

    for (char *in = text; in < end; in++) {
        char c = *in;

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = end - in >= 3 ? hex_value(in[1]) : -1;
            int low = end - in >= 3 ? hex_value(in[2]) : -1;

            if (high < 0 || low < 0) {
                return NULL;
            }
            c = (char)(high << 4 | low);
            in += 2;
        }
        if (c == '\0') {
            return NULL;
        }
        *out++ = c;
    }
    *out = '\0';
    return utf8_valid(text, (size_t)(out - text)) ? text : NULL;
}

const char *params_parse(char *text, size_t len, struct params *params)
{
    char *end = text + len;

    params->count = 0;
    while (text < end) {
        char *next = memchr(text, '&', (size_t)(end - text));
        char *stop = next != NULL ? next : end;
        char *equals = memchr(text, '=', (size_t)(stop - text));
        struct param *param = &params->item[params->count];

        next = stop + 1;
        if (stop > text) {
            if (params->count == PARAMS_MAX) {
                return "The request has too many parameters.";
            }
            if (equals == NULL) {
                param->value = "";
            } else {
                param->value = params_decode(equals + 1, stop);
                stop = equals;
            }
            param->name = params_decode(text, stop);
            if (param->name == NULL || param->value == NULL) {
                return "Invalid request: the parameters are not valid form-encoded UTF-8 text.";
            }
            params->count++;
        }
        text = next;
    }
    return NULL;
}

const char *params_get(const struct params *params, const char *name)
{
    for (size_t i = params->count; i-- > 0;) {
        if (strcmp(params->item[i].name, name) == 0) {
            return params->item[i].value;
        }
    }
    return NULL;
}

const char *params_key(const struct param *param, const char *name, size_t *len)
{
    size_t name_len = strlen(name);
    const char *close;

    if (strncmp(param->name, name, name_len) != 0 || param->name[name_len] != '[') {
        return NULL;
    }
    close = strchr(param->name + name_len, ']');
    if (close == NULL || close[1] != '\0') {
        return NULL;
    }
    *len = (size_t)(close - param->name) - name_len - 1;
    return param->name + name_len + 1;
}

static bool key_is_index(const char *key, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (key[i] < '0' || key[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool name_known(const struct param *param, const char *known)
{
    size_t base = strlen(known);
    char name[64];
    const char *key;
    size_t len;

    if (strcmp(param->name, known) == 0) {
        return true;
    }
    if (known[base - 1] != ']' || base >= sizeof(name)) {
        return false;
    }
    base = (size_t)(strchr(known, '[') - known);
    memcpy(name, known, base);
    name[base] = '\0';
    key = params_key(param, name, &len);
    if (key == NULL) {
        return false;
    }
    return strcmp(known + base, "[*]") == 0
               ? len > 0
               : strcmp(known + base, "[]") == 0 && key_is_index(key, len);
}

const struct param *params_unknown(const struct params *params, const char *const *known)
{
    for (size_t i = 0; i < params->count; i++) {
        const char *const *entry = known;

        while (*entry != NULL && !name_known(&params->item[i], *entry)) {
            entry++;
        }
        if (*entry == NULL) {
            return &params->item[i];
        }
    }
    return NULL;
}

bool params_list_has(const struct params *params, const char *name, const char *value)
{
    for (size_t i = 0; i < params->count; i++) {
        size_t len;
        const char *key = params_key(&params->item[i], name, &len);

        if (key != NULL && key_is_index(key, len) && strcmp(params->item[i].value, value) == 0) {
            return true;
        }
    }
    return false;
}

bool params_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    int64_t value = 0;
    size_t digits = 0;

    text += negative;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits == 18) {
            return false;
        }
        value = value * 10 + (text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0') {
        return false;
    }
    *out = negative ? -value : value;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct param *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    /* Of one name, as they came: they point into one text. */
    return order != 0 ? order : (left->name > right->name) - (left->name < right->name);
}

void params_digest(const struct params *params, char out[33])
{
    struct param sorted[PARAMS_MAX];
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    memcpy(sorted, params->item, params->count * sizeof(sorted[0]));
    qsort(sorted, params->count, sizeof(sorted[0]), by_name);
    EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    for (size_t i = 0; i < params->count; i++) {
        const char *value = sorted[i].value;
        size_t len = strlen(value);

        if (strcmp(sorted[i].name, "card[cvc]") == 0) {
            continue;
        }
        if (strcmp(sorted[i].name, "card[number]") == 0 && len > 4) {
            value += len - 4;
        }
        EVP_DigestUpdate(md, sorted[i].name, strlen(sorted[i].name) + 1);
        EVP_DigestUpdate(md, value, strlen(value) + 1);
    }
    EVP_DigestFinal_ex(md, digest, NULL);
    EVP_MD_CTX_free(md);
    hex_format(digest, 16, out);
    out[32] = '\0';
}
