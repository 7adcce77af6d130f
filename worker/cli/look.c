/* A merchant's accent colour and logo from the command line. Must not know how pages use them. */
#include "look.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/file.h"
#include "../document/brand.h"
#include "../document/png.h"

static void put_hex(json_t *settings, const char *key, const void *bytes, size_t n)
{
    char *hex = mem_alloc(2 * n + 1);

    hex_format(bytes, n, hex);
    hex[2 * n] = '\0';
    json_put_text(settings, key, hex);
    free(hex);
}

static enum result accent_put(const char *text, json_t *settings, struct error *err)
{
    char sheet[BRAND_SHEET_SIZE], name[COLOUR_TEXT_SIZE + 1];
    struct colour accent;

    if (strcmp(text, "none") == 0) {
        json_put_text(settings, "accent", "");
        json_put_text(settings, "brand_css", "");
        return RESULT_OK;
    }
    if (!colour_parse(text, strlen(text), &accent)) {
        return error_set(err, RESULT_REJECTED, "invalid_accent",
                         "--accent is a colour such as #0b6655 (six hexadecimal digits), or none.");
    }
    colour_format(accent, name);
    json_put_text(settings, "accent", name);
    put_hex(settings, "brand_css", sheet, brand_sheet(accent, sheet));
    return RESULT_OK;
}

static enum result logo_put(const char *path, json_t *settings, struct error *err)
{
    char why[256], *content;
    struct png_size size;
    size_t len, kept;
    const char *wrong;

    if (strcmp(path, "none") == 0) {
        json_put_text(settings, "brand_logo", "");
        return RESULT_OK;
    }
    if (file_read(path, FILE_PUBLIC, PNG_BYTES_MAX, &content, &len, why, sizeof why) != 0) {
        return error_set(err, RESULT_REJECTED, "invalid_logo", "--logo %s %s.", path, why);
    }
    uint8_t *out = mem_alloc(PNG_BYTES_MAX);
    wrong = png_reduce((const uint8_t *)content, len, out, &kept, &size);
    if (wrong == NULL) {
        put_hex(settings, "brand_logo", out, kept);
    }
    free(out);
    free(content);
    return wrong == NULL
               ? RESULT_OK
               : error_set(err, RESULT_REJECTED, "invalid_logo", "--logo %s: %s", path, wrong);
}

enum result look_put(const struct call *call, json_t *settings, struct error *err)
{
    const char *accent = args_text(call->args, "accent"), *logo = args_text(call->args, "logo");
    enum result r = accent != NULL ? accent_put(accent, settings, err) : RESULT_OK;

    return r == RESULT_OK && logo != NULL ? logo_put(logo, settings, err) : r;
}
