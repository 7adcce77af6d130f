/*
 * Everything the sandbox knows: methods, intents with their charges, refunds, and the list of
 * changes that led there. A change is one line of the charge log; applying all of them
 * again gives the same store. Objects live until the process ends.
 */
#ifndef PAYLINK_SANDBOX_STORE_H
#define PAYLINK_SANDBOX_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"
#include "cards.h"
#include "charge_log.h"
#include "id_map.h"
#include "params.h"

/* An id is a prefix ("pi_"), 22 random letters and digits (the core), and two digits: "00", or
 * for what belongs to an intent (its charges, its built-in methods) their number. */
#define ID_CORE_LEN     22
#define ID_SIZE         (3 + ID_CORE_LEN + 2 + 1)
#define REQUEST_ID_SIZE (4 + 14 + 1)
#define ATTEMPTS_MAX    99

struct metadata {
    size_t count;
    struct {
        const char *name, *value;
    } item[];
};

struct method {
    char id[ID_SIZE]; /* "" for the built-in pm_card_… */
    const struct card *card;
    int64_t created; /* seconds, as everywhere in the API */
    int exp_month, exp_year;
    bool cvc_given;
    bool used;  /* by a charge that succeeded: it may not be used again */
    char *name; /* of the holder, or NULL */
};

enum intent_status {
    INTENT_REQUIRES_PAYMENT_METHOD,
    INTENT_REQUIRES_CONFIRMATION,
    INTENT_REQUIRES_ACTION,
    INTENT_SUCCEEDED,
    INTENT_CANCELED
};

struct charge {
    struct intent *intent;
    struct charge *previous;
    const struct method *method;
    const struct decline *decline; /* NULL: captured */
    struct refund *refunds;        /* newest first */
    int64_t created;
    int64_t refunded_minor;
    int number;
    bool authenticated;
};

/* What of an intent can change. Every change keeps its own copy, so that a replayed reply and an
 * event show the intent as it was. */
struct intent_state {
    enum intent_status status;
    const struct method *method;   /* NULL: none */
    const struct decline *failure; /* last_payment_error, or NULL */
    const struct method *failed_method;
    struct charge *charge; /* the latest, or NULL */
    int method_number;     /* names a built-in method */
    int failed_method_number;
    int64_t canceled_at;       /* 0: not canceled */
    const char *cancel_reason; /* constant or NULL */
    const char *return_url;    /* or NULL */
};

struct intent {
    char core[ID_CORE_LEN + 1];
    char secret[25];
    char currency[4];
    int64_t amount;
    int64_t created;
    bool automatic_methods;
    struct metadata *metadata;
    char *description, *receipt_email, *descriptor, *descriptor_suffix; /* or NULL */
    struct intent_state state;
    size_t position; /* in store->intents */
};

enum refund_status { REFUND_PENDING, REFUND_SUCCEEDED, REFUND_FAILED };

struct refund {
    char core[ID_CORE_LEN + 1];
    struct charge *charge;
    struct refund *next; /* of the same charge */
    enum refund_status status;
    bool later; /* will change to `then` */
    enum refund_status then;
    int64_t amount;
    int64_t created;
    const char *reason; /* constant or NULL */
    struct metadata *metadata;
    size_t position; /* in store->refunds */
};

enum change_kind { CHANGE_METHOD, CHANGE_INTENT, CHANGE_REFUND };

struct change {
    int64_t seq; /* 1, 2, … */
    int64_t at_ms;
    enum change_kind kind;
    bool created; /* the object is new */
    union {
        struct method *method;
        struct intent *intent;
        struct refund *refund;
    };
    struct intent_state state; /* CHANGE_INTENT: afterwards */
    enum refund_status refund_status;
    int64_t refunded_minor; /* CHANGE_REFUND: of the charge, afterwards */
    char request[REQUEST_ID_SIZE];
    const char *idempotency_key; /* or NULL */
};

/* What a repeated request with the same key is answered with. */
struct saved_reply {
    char *key;
    char *path;
    char digest[33];
    char request[REQUEST_ID_SIZE];
    int64_t at_ms;
    int status; /* 0: the first request is still running */
    unsigned expand;
    const struct change *change; /* the reply shows this, or … */
    char *body;                  /* … it is this text */
};

struct store {
    const char *public_url; /* for links to our own pages; borrowed */
    struct charge_log *log;
    struct id_map methods, intents, refunds; /* by core */
    struct id_map replies;                   /* by idempotency key */
    struct id_list method_list, intent_list, refund_list, change_list;
    struct id_list reply_list, string_list; /* only to free them */
    struct method *builtin;                 /* one for each card */
    int64_t seq;
    int64_t now_ms;   /* of the newest change: time never runs backwards here */
    char account[11]; /* part of event ids: unlike those of any other data folder */
    int64_t captures;
    uint8_t *delivered; /* one for each event that was delivered, by its number */
    size_t delivered_size;
    void (*on_change)(void *ctx, const struct change *change); /* not during replay */
    void *ctx;
};

enum result store_open(const char *dir, struct store **out, struct error *err) MUST_CHECK;
void store_free(struct store *store);

/* Random letters and digits and a NUL. */
void store_random(char *out, size_t len);
int64_t store_now_ms(struct store *store);

/* Keeps an allocated string as long as the store lives; NULL stays NULL. */
const char *store_keep(struct store *store, char *text_take);

struct metadata *metadata_new(const struct params *params);
const char *metadata_get(const struct metadata *metadata, const char *name);

/* By full id; NULL: no such object. */
const struct method *store_method(struct store *store, const char *id, const struct intent **owner,
                                  int *number);
struct intent *store_intent(const struct store *store, const char *id);
struct charge *store_charge(const struct store *store, const char *id);
struct refund *store_refund(const struct store *store, const char *id);
const struct method *store_builtin(struct store *store, const char *token);

/* Ids as the API shows them. */
void intent_id(const struct intent *intent, char out[ID_SIZE]);
void charge_id(const struct charge *charge, char out[ID_SIZE]);
void refund_id(const struct refund *refund, char out[ID_SIZE]);
/* A built-in method gets an id of its own in every intent, as Stripe's do. */
void method_id(const struct intent *intent, const struct method *method, int number,
               char out[ID_SIZE]);

const char *intent_status_name(enum intent_status status);
const char *refund_status_name(enum refund_status status);
/* The constant of that name, NULL if there is none. */
const char *cancel_reason_find(const char *name);
const char *refund_reason_find(const char *name);

void intent_new_id(struct intent *intent);
void refund_new_id(struct refund *refund);
/* A further charge of the intent, not yet in its state. */
struct charge *charge_new(struct intent *intent, const struct intent_state *state,
                          const struct decline *decline, bool authenticated);

/*
 * Makes `change` (copied; seq and at_ms are set) part of the store and of the log's
 * next sync. New objects in it become the store's. `reply_take` (may be NULL) is saved under its
 * key with it.
 */
const struct change *store_apply(struct store *store, const struct change *change,
                                 struct saved_reply *reply_take);
/* Saves a reply that is only a text: a refusal that must stay the same. */
void store_save_text(struct store *store, struct saved_reply *reply_take);

/* Webhooks: marks the event of that number as delivered. Not money: the mark waits for the next
 * sync. */
void store_delivered(struct store *store, size_t event);
bool store_was_delivered(const struct store *store, size_t event);

/* For line.c, while the log is read again: the same without a new line. */
const struct change *store_replay(struct store *store, const struct change *change,
                                  struct saved_reply *reply_take);
void store_replay_text(struct store *store, struct saved_reply *reply_take);
void store_replay_delivered(struct store *store, size_t event);

#endif
