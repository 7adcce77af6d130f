/*
 * The sandbox's own web pages: card fields in a frame, the hosted card page, the bank's 3-D Secure
 * page.
 *
 * Templates in `sandbox_pages_dir` (syntax: core/template.h):
 *   fields.html        GET /fields?account=PK&origin=ORIGIN, in the edge's frame, needs JavaScript
 *   hosted.html        GET, POST /hosted?account=PK&return_url=URL, works without JavaScript;
 *                      posts account return_url number exp_month exp_year cvc; goes back with
 *                      ?payment_method=pm_…
 *   authenticate.html  GET, POST /authenticate/INTENT; posts `decision` = complete | fail
 *   message.html       why a page cannot be shown
 * Each in every language of `messages/` there: that of the parameter `lang`, or what the browser
 * asks for (Accept-Language), or English.
 * Values: lang dir css_url js_url account origin return_url action error (of a card: the API's
 * code, or cvc_missing; of message.html: account | origin | return | done | over | choose | method
 * | nothing) field (number | exp_month | exp_year | cvc) number exp_month exp_year amount_text
 *   description brand last4. `number` is shown again only if it is a published test number; a CVC
 *   never is.
 * sandbox.css and fields.js of that folder are served at /static/NAME.HASH.EXT.
 *
 * `origin` and the origin of `return_url` must be the edge's (`base_url` in the settings).
 */
#ifndef PAYLINK_SANDBOX_PAGES_H
#define PAYLINK_SANDBOX_PAGES_H

#include "../base/result.h"
#include "../base/settings.h"
#include "call.h"
#include "store.h"

struct pages;

enum result pages_load(const struct settings *settings, struct pages **out,
                       struct error *err) MUST_CHECK;
void pages_free(struct pages *pages);

/* True if the path is a page's or a file's; then the reply is made. */
bool pages_handle(struct pages *pages, struct store *store, struct call *call);

#endif
