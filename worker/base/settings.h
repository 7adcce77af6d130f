/*
 * The settings file (INI) of every `paylink` command. One alphabetical table in
 * settings.c says for each key: section, type, default, bounds, help. Optional texts without a
 * default are NULL when absent.
 * An unknown section or key, a bad value or a missing required one is an error
 * that names file, line and what is allowed.
 */
#ifndef PAYLINK_BASE_SETTINGS_H
#define PAYLINK_BASE_SETTINGS_H

#include <stdint.h>

#include "result.h"
#include "secret.h"

struct settings {
    /* [edge] */
    char *base_url;  /* where payers reach the edge, no trailing slash: "https://pay.example" */
    char *pages_dir; /* the edge's page templates: their message files are read */
    /* [gateway] */
    char *gateway_publishable_key; /* optional: of new merchants; public by nature */
    char *gateway_secret_key_file; /* API secret of the gateway account; mode 0600 */
    char *gateway_url;             /* API base, no trailing slash */
    int64_t gateway_connections;   /* concurrent requests, 1..1024 */
    int64_t gateway_timeout_ms;    /* one request, 100..120000 */
    /* [keys] */
    char *key_file; /* token keys, see core/token.h */
    /* [log] */
    char *log_level; /* debug | info | warn | error */
    /* [mail] */
    char *mail_dir;           /* templates and their words */
    char *mail_from;          /* the sender's address; required with mail_url */
    char *mail_password_file; /* optional: one line, mode 0600 */
    char *mail_starttls;      /* "on": nothing goes to an smtp:// server in clear */
    char *mail_url;           /* smtp(s)://host[:port] or file:///folder; NULL: none is sent */
    char *mail_user;          /* optional */
    int64_t mail_connections; /* concurrent mails, 1..64 */
    int64_t mail_retry_ms;    /* wait after the first failure; doubles with each, up to 4 h */
    int64_t mail_timeout_ms;  /* one mail, 1000..600000 */
    /* [postgres] */
    char *pg_conninfo;
    int64_t pg_statement_timeout_ms;
    /* [redis] */
    char *redis_functions_file; /* paylink.lua, loaded by the worker */
    char *redis_password_file;  /* optional: one line, mode 0600 */
    char *redis_socket;         /* path of the unix socket */
    char *redis_user;           /* optional ACL user */
    /* [sandbox] */
    char *sandbox_data_dir;   /* charge log and state */
    char *sandbox_listen;     /* "127.0.0.1:8090" */
    char *sandbox_pages_dir;  /* templates and files of its own pages */
    char *sandbox_public_url; /* what browsers use, no trailing slash */
    char *sandbox_webhook_secret_file;
    char *sandbox_webhook_url; /* optional: where events are delivered */
    /* [worker] */
    int64_t worker_batch_max;     /* stream entries in one batch, 1..1000 */
    int64_t worker_claim_idle_ms; /* entries of other workers older than this are taken over; >
                                     gateway timeout */
    int64_t worker_lease_ms;      /* how long a registered attempt belongs to its worker; > gateway
                                     timeout */
    char *worker_name; /* consumer name; unique per running worker, stable over restarts */
    char *worker_check_delays_ms; /* timetable for unknown attempts, comma-separated, ascending */
    int64_t worker_action_timeout_ms; /* an abandoned 3-D Secure is cancelled after this (30 min) */
    int64_t worker_sweep_ms;          /* how often the gateway's list is compared with the books */
};

/* Reads `path`. On RESULT_OK *out owns its strings: settings_free(). */
enum result settings_load(const char *path, struct settings *out, struct error *err) MUST_CHECK;
void settings_free(struct settings *s);

/* Prints the table as an example file with every key, default and help. */
void settings_print_example(void);

#endif
