/* Mail, from the mail outbox to the mail server: new links and receipts. */
#ifndef PAYLINK_OUTBOX_MAIL_H
#define PAYLINK_OUTBOX_MAIL_H

#include <stdbool.h>

#include "../base/settings.h"
#include "../core/token.h"
#include "../document/letter.h"
#include "../document/words.h"
#include "../io/loop.h"
#include "../io/pg.h"

struct mail;

/* All borrowed. */
struct mail_options {
    const struct settings *settings; /* with mail_url */
    const char *password;            /* of the mail server, or NULL */
    const struct token_keys *keys;
    const struct words *words;
    const struct translated *letters;
    struct pg *pg;
};

struct mail *mail_new(struct loop *loop, const struct mail_options *options);
/* There may be something to send. */
void mail_kick(struct mail *m);
/* Nothing new is taken. */
void mail_stop(struct mail *m);
/* Nothing is on its way, and what came of it is in the books. */
bool mail_idle(const struct mail *m);
void mail_free(struct mail *m);

#endif
