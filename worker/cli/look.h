/* Options of a merchant's look: --accent and --logo, as settings of merchant_change(). */
#ifndef PAYLINK_CLI_LOOK_H
#define PAYLINK_CLI_LOOK_H

#include "command.h"

/* Adds "accent", "brand_css" and "brand_logo" for what was given; the word `none` takes away. */
enum result look_put(const struct call *call, json_t *settings, struct error *err) MUST_CHECK;

#endif
