/* What names a link on the command line (id, token, address), and the address of a link. */
#ifndef PAYLINK_CLI_LINK_REF_H
#define PAYLINK_CLI_LINK_REF_H

#include "../core/token.h"
#include "command.h"

#define LINK_HEX_SIZE (2 * TOKEN_ID_SIZE)

/* The settings' key file; token_keys_free() it. */
enum result link_keys(const struct call *call, struct token_keys *keys,
                      struct error *err) MUST_CHECK;

/* The id, as lower-case digits, of the link that option `name` names. A token must be one of ours.
 */
enum result link_hex(const struct call *call, const char *name, char out[LINK_HEX_SIZE + 1],
                     struct error *err) MUST_CHECK;

/* Adds "token" and "url" to a link object with "id" and "kid": null when that key is not live. */
void link_add_token(const struct call *call, const struct token_keys *keys, json_t *object);

#endif
