/* Links on the command line: their names and their addresses. The only place of cli/ that mints
 * tokens. */
#include "link_ref.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "value.h"

enum result link_keys(const struct call *call, struct token_keys *keys, struct error *err)
{
    char reason[256];

    if (token_keys_load(call->settings->key_file, keys, reason, sizeof(reason)) != 0) {
        return error_set(err, RESULT_FATAL, "configuration", "%s", reason);
    }
    return RESULT_OK;
}

static enum result verified(const struct call *call, const char *token, size_t len,
                            struct token_link *link, struct error *err)
{
    struct token_keys keys;
    enum result r = link_keys(call, &keys, err);

    if (r != RESULT_OK) {
        return r;
    }
    if (token_verify(&keys, token, len, link) != 0) {
        r = error_set(err, RESULT_REJECTED, "not_found", "There is no such link.");
    }
    token_keys_free(&keys);
    return r;
}

enum result link_hex(const struct call *call, const char *name, char out[LINK_HEX_SIZE + 1],
                     struct error *err)
{
    size_t len;
    const char *link_name = value_link_name(args_text(call->args, name), &len);
    struct token_link link;

    if (len != LINK_HEX_SIZE || hex_parse(link_name, len, link.id) != 0) {
        enum result r = verified(call, link_name, len, &link, err);
        if (r != RESULT_OK) {
            return r;
        }
    }
    hex_format(link.id, TOKEN_ID_SIZE, out);
    out[LINK_HEX_SIZE] = '\0';
    return RESULT_OK;
}

void link_add_token(const struct call *call, const struct token_keys *keys, json_t *object)
{
    struct token_link link;
    char token[TOKEN_TEXT_SIZE + 1] = "";
    const char *hex = json_get_text(object, "id");
    int64_t kid;
    char *url = NULL;

    if (hex != NULL && strlen(hex) == LINK_HEX_SIZE &&
        hex_parse(hex, LINK_HEX_SIZE, link.id) == 0 && json_get_int(object, "kid", &kid) &&
        kid >= 0 && kid <= UINT8_MAX) {
        link.kid = (uint8_t)kid;
        if (token_mint(keys, &link, token) == 0) {
            url = mem_printf("%s/p/%s", call->settings->base_url, token);
        }
    }
    json_put_text(object, "token", url == NULL ? NULL : token);
    json_put_text(object, "url", url);
    free(url);
}
