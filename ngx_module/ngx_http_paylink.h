
/*
 * Paylink's edge: what the files of the module share.  Nothing here knows
 * PostgreSQL, gateways or mail.
 */


#ifndef _NGX_HTTP_PAYLINK_H_INCLUDED_
#define _NGX_HTTP_PAYLINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <hiredis/hiredis.h>
#include <hiredis/async.h>

#include "../worker/core/encoding.h"
#include "../worker/core/form.h"
#include "../worker/core/language.h"
#include "../worker/core/messages.h"
#include "../worker/core/money.h"
#include "../worker/core/record.h"
#include "../worker/core/template.h"
#include "../worker/core/token.h"


#define NGX_HTTP_PAYLINK_SHARDS               16
#define NGX_HTTP_PAYLINK_CHANNELS             (NGX_HTTP_PAYLINK_SHARDS + 2)
#define NGX_HTTP_PAYLINK_HEX                  (2 * TOKEN_ID_SIZE)

#define NGX_HTTP_PAYLINK_BODY_MAX             FORM_BYTES_MAX
#define NGX_HTTP_PAYLINK_BODY_TIMEOUT         5000
#define NGX_HTTP_PAYLINK_METHOD_MAX           255
#define NGX_HTTP_PAYLINK_INVOICES             100

/* one is sent when the last is older, ms */

#define NGX_HTTP_PAYLINK_MARKER_GAP           200

#define NGX_HTTP_PAYLINK_OPEN_HUMAN           0
#define NGX_HTTP_PAYLINK_OPEN_VIEW            1


#ifndef NGX_HTTP_GONE
#define NGX_HTTP_GONE                         410
#endif


/* page templates */

enum {
    NGX_HTTP_PAYLINK_PAY = 0,
    NGX_HTTP_PAYLINK_PAID,
    NGX_HTTP_PAYLINK_EXPIRED,
    NGX_HTTP_PAYLINK_RENEWED,
    NGX_HTTP_PAYLINK_CLOSED,
    NGX_HTTP_PAYLINK_UNKNOWN,
    NGX_HTTP_PAYLINK_BUSY,
    NGX_HTTP_PAYLINK_RESULT,
    NGX_HTTP_PAYLINK_PROBLEM,
    NGX_HTTP_PAYLINK_MAINTENANCE,
    NGX_HTTP_PAYLINK_BUTTON,
    NGX_HTTP_PAYLINK_BUTTON_LOOK,
    NGX_HTTP_PAYLINK_PAGES
};


/* names in the templates, see ngx_http_paylink_page_names[] */

enum {
    NGX_HTTP_PAYLINK_V_STATE = 0,
    NGX_HTTP_PAYLINK_V_VERSION,
    NGX_HTTP_PAYLINK_V_ATTEMPT,
    NGX_HTTP_PAYLINK_V_DUE_MINOR,
    NGX_HTTP_PAYLINK_V_DUE_TEXT,
    NGX_HTTP_PAYLINK_V_CURRENCY,
    NGX_HTTP_PAYLINK_V_MERCHANT,
    NGX_HTTP_PAYLINK_V_CUSTOMER,
    NGX_HTTP_PAYLINK_V_TITLE,
    NGX_HTTP_PAYLINK_V_DUE_DATE,
    NGX_HTTP_PAYLINK_V_ROWS,
    NGX_HTTP_PAYLINK_V_OPENED,
    NGX_HTTP_PAYLINK_V_EXPIRES_TEXT,
    NGX_HTTP_PAYLINK_V_LANG,
    NGX_HTTP_PAYLINK_V_DIR,
    NGX_HTTP_PAYLINK_V_TOKEN_PATH,
    NGX_HTTP_PAYLINK_V_PAY_URL,
    NGX_HTTP_PAYLINK_V_OPEN_URL,
    NGX_HTTP_PAYLINK_V_RESULT_URL,
    NGX_HTTP_PAYLINK_V_GATEWAY_URL,
    NGX_HTTP_PAYLINK_V_FIELDS_URL,
    NGX_HTTP_PAYLINK_V_HOSTED_URL,
    NGX_HTTP_PAYLINK_V_ACCOUNT,
    NGX_HTTP_PAYLINK_V_PAYMENT_METHOD,
    NGX_HTTP_PAYLINK_V_CSS_URL,
    NGX_HTTP_PAYLINK_V_CSS_INTEGRITY,
    NGX_HTTP_PAYLINK_V_JS_URL,
    NGX_HTTP_PAYLINK_V_JS_INTEGRITY,
    NGX_HTTP_PAYLINK_V_ICON_URL,
    NGX_HTTP_PAYLINK_V_PROBLEM,
    NGX_HTTP_PAYLINK_V_REASON,
    NGX_HTTP_PAYLINK_V_AMOUNT_TEXT,
    NGX_HTTP_PAYLINK_V_ACTION_URL,
    NGX_HTTP_PAYLINK_V_RECEIPT_NUMBER,
    NGX_HTTP_PAYLINK_V_PAID_TEXT,
    NGX_HTTP_PAYLINK_V_PAID_AT_TEXT,
    NGX_HTTP_PAYLINK_V_PAID_METHOD,
    NGX_HTTP_PAYLINK_V_CARD,
    NGX_HTTP_PAYLINK_V_OVERPAID_TEXT,
    NGX_HTTP_PAYLINK_V_STALE,
    NGX_HTTP_PAYLINK_V_RETRY_URL,
    NGX_HTTP_PAYLINK_V_REFRESH,
    NGX_HTTP_PAYLINK_V_BRAND_CSS,
    NGX_HTTP_PAYLINK_V_BRAND_INTEGRITY,
    NGX_HTTP_PAYLINK_V_BRAND_LOGO,
    NGX_HTTP_PAYLINK_V_EVENTS_URL,
    NGX_HTTP_PAYLINK_V_PAYING,
    NGX_HTTP_PAYLINK_V_PAGE_URL,
    NGX_HTTP_PAYLINK_V_CHOOSE,
    NGX_HTTP_PAYLINK_V_PARTIAL,
    NGX_HTTP_PAYLINK_V_CHOSEN,
    NGX_HTTP_PAYLINK_V_AMOUNT_TYPED,
    NGX_HTTP_PAYLINK_V_LEAST_TEXT,
    NGX_HTTP_PAYLINK_V_MOST_TEXT,
    NGX_HTTP_PAYLINK_V_CHOICE_PROBLEM,
    NGX_HTTP_PAYLINK_V_LEFT_TEXT,
    NGX_HTTP_PAYLINK_V_AMOUNT,
    NGX_HTTP_PAYLINK_V_LABEL,
    NGX_HTTP_PAYLINK_V_WIDTH,
    NGX_HTTP_PAYLINK_V_HEIGHT,
    NGX_HTTP_PAYLINK_V_FONT_SIZE,
    NGX_HTTP_PAYLINK_V_THEME,
    NGX_HTTP_PAYLINK_V_GROUND,
    NGX_HTTP_PAYLINK_V_INK,
    NGX_HTTP_PAYLINK_V_EMAIL,
    NGX_HTTP_PAYLINK_V_RENEW_URL,
    NGX_HTTP_PAYLINK_VALUES
};


/* the reply of a function begins with a word */

#define ngx_http_paylink_answered(reply)                                      \
    ((reply) && (reply)->type == REDIS_REPLY_ARRAY && (reply)->elements >= 1  \
     && (reply)->element[0]->type == REDIS_REPLY_STRING)

#define ngx_http_paylink_says(reply, text)                                    \
    ((reply)->element[0]->len == sizeof(text) - 1                             \
     && ngx_memcmp((reply)->element[0]->str, text, sizeof(text) - 1) == 0)


/* ngx_str_t and a constant */

#define ngx_http_paylink_starts(s, text)                                      \
    ((s)->len >= sizeof(text) - 1                                             \
     && ngx_strncmp((s)->data, text, sizeof(text) - 1) == 0)

#define ngx_http_paylink_equals(s, text)                                      \
    ((s)->len == sizeof(text) - 1                                             \
     && ngx_strncmp((s)->data, text, sizeof(text) - 1) == 0)


/* fields of Redis that are judged, not shown */

enum {
    NGX_HTTP_PAYLINK_F_EXPIRES = 0,
    NGX_HTTP_PAYLINK_F_CEILING,
    NGX_HTTP_PAYLINK_F_PAYING,
    NGX_HTTP_PAYLINK_F_LANG,
    NGX_HTTP_PAYLINK_F_LANG_SET,
    NGX_HTTP_PAYLINK_F_TEXT,
    NGX_HTTP_PAYLINK_F_CHOOSE,
    NGX_HTTP_PAYLINK_F_PARTIAL_MIN,
    NGX_HTTP_PAYLINK_F_MONEY,
    NGX_HTTP_PAYLINK_F_LINK,
    NGX_HTTP_PAYLINK_F_TYPE,
    NGX_HTTP_PAYLINK_F_BODY,
    NGX_HTTP_PAYLINK_FIELDS
};


typedef struct {
    ngx_str_t                       field[NGX_HTTP_PAYLINK_FIELDS];
} ngx_http_paylink_judged_t;


#define ngx_http_paylink_set(values, name, text, size)                        \
    do {                                                                      \
        (values)[NGX_HTTP_PAYLINK_V_##name].data = (const char *) (text);     \
        (values)[NGX_HTTP_PAYLINK_V_##name].len = (size);                     \
    } while (0)

#define ngx_http_paylink_is(value, text)                                      \
    ((value)->len == sizeof(text) - 1                                         \
     && ngx_memcmp((value)->data, text, sizeof(text) - 1) == 0)


/* where a command goes: reads may go to a replica beside the edge */

typedef enum {
    NGX_HTTP_PAYLINK_PRIMARY = 0,
    NGX_HTTP_PAYLINK_REPLICA,
    NGX_HTTP_PAYLINK_SITES
} ngx_http_paylink_site_e;


/* what is counted, see ngx_http_paylink_metrics.c */

typedef enum {
    NGX_HTTP_PAYLINK_ROUTE_OTHER = 0,
    NGX_HTTP_PAYLINK_ROUTE_PAGE,
    NGX_HTTP_PAYLINK_ROUTE_OPEN,
    NGX_HTTP_PAYLINK_ROUTE_PAY,
    NGX_HTTP_PAYLINK_ROUTE_RENEW,
    NGX_HTTP_PAYLINK_ROUTE_RENEWED,
    NGX_HTTP_PAYLINK_ROUTE_RESULT,
    NGX_HTTP_PAYLINK_ROUTE_EVENTS,
    NGX_HTTP_PAYLINK_ROUTE_BUTTON,
    NGX_HTTP_PAYLINK_ROUTE_RECEIPT,
    NGX_HTTP_PAYLINK_ROUTE_STATIC,
    NGX_HTTP_PAYLINK_ROUTE_PROBE,
    NGX_HTTP_PAYLINK_ROUTES
} ngx_http_paylink_route_e;


typedef enum {
    NGX_HTTP_PAYLINK_OPENED = 0,
    NGX_HTTP_PAYLINK_ACCEPTED,
    NGX_HTTP_PAYLINK_DUPLICATE,
    NGX_HTTP_PAYLINK_STALE,
    NGX_HTTP_PAYLINK_REFUSED,
    NGX_HTTP_PAYLINK_FAILED,
    NGX_HTTP_PAYLINK_REDIS_ERROR,
    NGX_HTTP_PAYLINK_REDIS_TIMEOUT,
    NGX_HTTP_PAYLINK_REDIS_CONNECT,
    NGX_HTTP_PAYLINK_READ,                      /* of the primary */
    NGX_HTTP_PAYLINK_READ_REPLICA,
    NGX_HTTP_PAYLINK_CACHE_HIT,
    NGX_HTTP_PAYLINK_CACHE_MISS,
    NGX_HTTP_PAYLINK_GUARD_BY_DECLINES,
    NGX_HTTP_PAYLINK_GUARD_BY_CARDS,
    NGX_HTTP_PAYLINK_GUARD_BY_ADDRESS,
    NGX_HTTP_PAYLINK_GUARD_HELD,
    NGX_HTTP_PAYLINK_COUNTS
} ngx_http_paylink_count_e;


/* what waits for the worker, and what it gave up on */

typedef enum {
    NGX_HTTP_PAYLINK_STREAM_SUBMIT = 0,
    NGX_HTTP_PAYLINK_STREAM_OPEN,
    NGX_HTTP_PAYLINK_STREAM_WANT,
    NGX_HTTP_PAYLINK_STREAM_RENEW,
    NGX_HTTP_PAYLINK_STREAM_DEAD,
    NGX_HTTP_PAYLINK_STREAMS
} ngx_http_paylink_stream_e;


/* a message file, and the pages that speak it */

typedef struct {
    ngx_str_t                       tag;        /* followed by a zero */
    ngx_str_t                       field;      /* of a link's texts in Redis */
    u_char                         *file;
    struct template                *page[NGX_HTTP_PAYLINK_PAGES];
    ngx_str_t                       unknown;    /* rendered */
    ngx_str_t                       maintenance; /* rendered */
} ngx_http_paylink_language_t;


/* fixed sets of response headers */

typedef enum {
    NGX_HTTP_PAYLINK_HEADERS_PAGE = 0,
    NGX_HTTP_PAYLINK_HEADERS_PAY,
    NGX_HTTP_PAYLINK_HEADERS_ASSET,
    NGX_HTTP_PAYLINK_HEADERS_BUTTON,
    NGX_HTTP_PAYLINK_HEADERS_LIVE_BUTTON,
    NGX_HTTP_PAYLINK_HEADERS_SETS
} ngx_http_paylink_headers_e;


typedef struct {
    ngx_str_t                       path;       /* "/static/NAME.HASH.EXT" */
    ngx_str_t                       type;
    ngx_str_t                       body;
    ngx_str_t                       gzip;       /* empty: not worth it */
    ngx_str_t                       integrity;
} ngx_http_paylink_asset_t;


typedef struct {
    ngx_str_t                       url;        /* no slash at the end */
    ngx_str_t                       origin;
    ngx_str_t                       origin_escaped;
    ngx_str_t                       return_escaped; /* with "/p/" */
} ngx_http_paylink_url_t;


typedef struct {
    ngx_str_t                       name;       /* as configured, for logs */
    char                           *path;       /* of a unix socket, or NULL */
    char                           *ip;
    in_port_t                       port;
    ngx_str_t                       user;
    ngx_str_t                       password;
    ngx_msec_t                      timeout;
    ngx_msec_t                      connect_timeout;
} ngx_http_paylink_server_t;


typedef struct {
    ngx_uint_t                      total;      /* viewers of a worker */
    ngx_uint_t                      per_link;   /* 0: there are no events */
    ngx_uint_t                      heartbeat;  /* ms */
} ngx_http_paylink_live_conf_t;


typedef struct {
    ngx_http_paylink_server_t       redis[NGX_HTTP_PAYLINK_SITES];
    ngx_http_paylink_live_conf_t    live;
    size_t                          cache;      /* 0: off */
    ngx_str_t                       key_file;
    struct token_keys               keys;
    ngx_str_t                       pages_dir;
    ngx_http_paylink_language_t    *languages;  /* the first is English */
    const char                    **tags;       /* of the languages */
    ngx_uint_t                      nlanguages;
    ngx_array_t                     assets;     /* ngx_http_paylink_asset_t */
    ngx_http_paylink_asset_t       *css;
    ngx_http_paylink_asset_t       *js;
    ngx_http_paylink_asset_t       *icon;       /* or NULL */
    ngx_http_paylink_url_t          gateway;
    ngx_http_paylink_url_t          base;
    ngx_array_t                     headers[NGX_HTTP_PAYLINK_HEADERS_SETS];
    ngx_uint_t                      used;       /* a location is on */
} ngx_http_paylink_main_conf_t;


/* "on" has no file; a file counts while it exists */

typedef struct {
    ngx_str_t                       file;
    time_t                          checked;
    ngx_flag_t                      on;
} ngx_http_paylink_maintenance_t;


/* limits of 0 are none */

typedef struct {
    ngx_uint_t                      declines;   /* of a link */
    ngx_uint_t                      cards;      /* of a link */
    ngx_uint_t                      rate;       /* of an address, an hour */
    ngx_msec_t                      delay;      /* from render to submit */
    ngx_str_t                       challenge;  /* named location, or empty */
    ngx_array_t                    *except;     /* ngx_cidr_t, or NULL */
    unsigned                        set:1;
} ngx_http_paylink_guard_conf_t;


typedef struct {
    ngx_flag_t                      enable;
    ngx_uint_t                      open;
    ngx_msec_t                      result_wait;
    ngx_msec_t                      hydrate_wait;
    ngx_http_paylink_maintenance_t *maintenance;
    ngx_http_paylink_guard_conf_t   guard;
    u_char                         *file;       /* of "paylink on" */
    ngx_uint_t                      line;
} ngx_http_paylink_loc_conf_t;


typedef struct ngx_http_paylink_op_s  ngx_http_paylink_op_t;
typedef struct ngx_http_paylink_viewer_s  ngx_http_paylink_viewer_t;


#define NGX_HTTP_PAYLINK_NEWS_SIZE            256

/* the text of an event, while a viewer or the watch needs it */

typedef struct {
    ngx_uint_t                      refs;
    size_t                          len;
    ngx_str_t                       id;
    unsigned                        last:1;     /* nothing can follow */
    u_char                          text[NGX_HTTP_PAYLINK_NEWS_SIZE];
} ngx_http_paylink_news_t;


typedef struct {
    ngx_queue_t                     queue;      /* of its bucket */
    ngx_queue_t                     stale;      /* to be read again */
    ngx_queue_t                     viewers;
    ngx_uint_t                      count;
    u_char                          id[TOKEN_ID_SIZE];
    u_char                          hex[NGX_HTTP_PAYLINK_HEX];
    ngx_http_paylink_op_t          *op;
    ngx_http_paylink_site_e         site;       /* that is asked */
    ngx_event_t                     timer;      /* the link's end */
    ngx_http_paylink_news_t        *news;       /* NULL until it is read */
    unsigned                        is_stale:1;
    unsigned                        again:1;    /* news came while reading */
    unsigned                        primary:1;  /* the replica has failed */
} ngx_http_paylink_watch_t;


/*
 * Handlers of replies and of wake-ups.  NGX_HTTP_PAYLINK_WAIT: the request
 * waits for another reply or wake-up; NGX_HTTP_PAYLINK_CHALLENGE: the guard's
 * location goes on with it; anything else finalizes it, NGX_AGAIN included:
 * that is a page on its way out.  The reply is NULL if none came in time, and
 * lives only as long as the call.
 */

#define NGX_HTTP_PAYLINK_WAIT                 -20
#define NGX_HTTP_PAYLINK_CHALLENGE            -21

typedef ngx_int_t (*ngx_http_paylink_reply_pt)(ngx_http_request_t *r,
    redisReply *reply);
typedef ngx_int_t (*ngx_http_paylink_resume_pt)(ngx_http_request_t *r);
typedef ngx_int_t (*ngx_http_paylink_show_pt)(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
typedef void (*ngx_http_paylink_op_pt)(void *data, redisReply *reply);


typedef struct ngx_http_paylink_button_s  ngx_http_paylink_button_t;


/* what the worker makes on demand */

typedef struct {
    u_char                          id[TOKEN_ID_SIZE];  /* of the words */
    u_char                          hex[NGX_HTTP_PAYLINK_HEX];
    ngx_str_t                       words;      /* what it shows */
    ngx_str_t                      *type;
    ngx_str_t                       disposition;
    ngx_http_paylink_headers_e      headers;
    ngx_http_paylink_resume_pt      resume;
} ngx_http_paylink_document_t;


typedef struct {
    ngx_http_request_t             *request;

    struct token_link               link;
    struct token_attempt            attempt;
    u_char                          link_hex[NGX_HTTP_PAYLINK_HEX];
    u_char                          attempt_hex[NGX_HTTP_PAYLINK_HEX];

    ngx_str_t                       token_path; /* "/p/TOKEN" */
    ngx_str_t                       args;
    ngx_str_t                       attempt_text;
    ngx_str_t                       version;
    ngx_str_t                       amount_minor;
    ngx_str_t                       payment_method;
    ngx_str_t                       chosen;     /* "1,3"; empty: all */

    ngx_http_paylink_guard_conf_t  *guard;      /* of a submission */
    u_char                          client[TOKEN_ID_SIZE];
    u_char                          client_hex[NGX_HTTP_PAYLINK_HEX];

    ngx_http_paylink_op_t          *op;         /* the reply waited for */
    ngx_http_paylink_site_e         site;       /* of a read */
    ngx_http_paylink_reply_pt       reply;
    ngx_http_paylink_show_pt        show;       /* of a link that is read */

    ngx_queue_t                     waiter;
    const u_char                   *awaited;    /* link id or attempt uuid */
    ngx_msec_t                      deadline;
    ngx_event_t                     timer;
    ngx_http_paylink_resume_pt      resume;

    ngx_int_t                       language;   /* of the browser, or -1 */
    ngx_uint_t                      first_state;
    ngx_uint_t                      cache_mark;

    ngx_http_paylink_route_e        route;
    uint64_t                        asked_us;
    uint64_t                        redis_us;   /* waited for Redis */

    ngx_http_paylink_viewer_t      *viewer;     /* of "events" */
    ngx_http_paylink_button_t      *button;
    ngx_http_paylink_document_t    *document;

    unsigned                        waiting:1;
    unsigned                        again:1;
    unsigned                        primary:1;  /* nothing else will do */
    unsigned                        wanted:1;
    unsigned                        text_wanted:1;
    unsigned                        answered:1;
    unsigned                        opened:1;
    unsigned                        refused:1;
    unsigned                        stale:1;
    unsigned                        client_named:1;
} ngx_http_paylink_ctx_t;


typedef struct ngx_http_paylink_conn_s  ngx_http_paylink_conn_t;

struct ngx_http_paylink_conn_s {
    redisAsyncContext              *ac;         /* owns the fd */
    ngx_connection_t               *connection;
    ngx_event_t                     timer;      /* connecting or back-off */
    ngx_uint_t                      state;
    ngx_uint_t                      failures;
    ngx_http_paylink_site_e         site;
    ngx_http_paylink_server_t      *server;
    ngx_log_t                      *log;
    const char                     *name;
    void                          (*init)(redisAsyncContext *ac);
    void                          (*ready)(ngx_http_paylink_conn_t *conn);
    void                          (*lost)(ngx_http_paylink_conn_t *conn);
    unsigned                        writing:1;
    unsigned                        broken:1;
    unsigned                        closing:1;
};


/* handler */

ngx_int_t ngx_http_paylink_handler(ngx_http_request_t *r);
ngx_http_paylink_route_e ngx_http_paylink_route_of(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_next_arg(ngx_str_t *args, ngx_str_t *arg);
ngx_int_t ngx_http_paylink_link_ctx(ngx_http_request_t *r,
    struct token_link *link, ngx_str_t *path, ngx_str_t *args);
void ngx_http_paylink_finish(ngx_http_request_t *r, ngx_int_t rc);
void ngx_http_paylink_continue(ngx_http_request_t *r, ngx_int_t rc);
ngx_int_t ngx_http_paylink_hold(ngx_http_request_t *r);

/* reading a link */

ngx_int_t ngx_http_paylink_link_read(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_link_failed(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_link_texts(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
ngx_int_t ngx_http_paylink_hydrate(ngx_http_request_t *r,
    ngx_http_paylink_resume_pt resume);

/* view, submit, renew, result */

ngx_int_t ngx_http_paylink_view(ngx_http_request_t *r);
int64_t ngx_http_paylink_view_end(struct template_value *values,
    ngx_http_paylink_judged_t *judged);
int64_t ngx_http_paylink_view_paying(ngx_http_paylink_judged_t *judged);
ngx_int_t ngx_http_paylink_open(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_pay(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_result(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_brand(ngx_http_request_t *r, ngx_str_t *name);
ngx_int_t ngx_http_paylink_post(ngx_http_request_t *r, ngx_uint_t form,
    ngx_http_paylink_resume_pt handler);
ngx_int_t ngx_http_paylink_see_other(ngx_http_request_t *r, const char *url,
    size_t len);
ngx_int_t ngx_http_paylink_renew(ngx_http_request_t *r);

/* maintenance */

ngx_uint_t ngx_http_paylink_in_maintenance(ngx_http_request_t *r);
char *ngx_http_paylink_set_maintenance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the card-testing guard */

void ngx_http_paylink_guard_create(ngx_http_paylink_guard_conf_t *guard);
void ngx_http_paylink_guard_merge(ngx_http_paylink_guard_conf_t *conf,
    ngx_http_paylink_guard_conf_t *prev);
char *ngx_http_paylink_guard_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_paylink_guard(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_guard_hold(ngx_http_request_t *r,
    ngx_http_paylink_resume_pt resume);
ngx_uint_t ngx_http_paylink_guard_counts(ngx_http_paylink_ctx_t *ctx);
ngx_int_t ngx_http_paylink_guard_link(ngx_http_request_t *r,
    redisReply *reply);
ngx_int_t ngx_http_paylink_guard_address(ngx_http_request_t *r,
    redisReply *reply);
ngx_int_t ngx_http_paylink_guard_challenge(ngx_http_request_t *r);

/* pages, headers, assets */

ngx_int_t ngx_http_paylink_page_load(ngx_http_paylink_main_conf_t *pmcf,
    ngx_uint_t page, struct messages *messages, struct template **template,
    char *err, size_t size);
void ngx_http_paylink_page_conf_values(ngx_http_paylink_main_conf_t *pmcf,
    struct template_value *values);
ngx_int_t ngx_http_paylink_page(ngx_http_request_t *r, ngx_uint_t page,
    ngx_uint_t status, struct template_value *values);
void ngx_http_paylink_page_values(ngx_http_request_t *r,
    struct template_value *values);
ngx_int_t ngx_http_paylink_page_urls(ngx_http_request_t *r,
    struct template_value *values);
ngx_int_t ngx_http_paylink_page_below(ngx_http_request_t *r,
    struct template_value *value, const char *name);
ngx_int_t ngx_http_paylink_result_url(ngx_http_request_t *r,
    ngx_str_t *url);
const char *ngx_http_paylink_page_name(ngx_uint_t page);
ngx_int_t ngx_http_paylink_unknown(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_maintained(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_busy(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_problem(ngx_http_request_t *r, ngx_uint_t status,
    const char *problem);
ngx_int_t ngx_http_paylink_not_allowed(ngx_http_request_t *r,
    const char *allow);
ngx_int_t ngx_http_paylink_send(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers, ngx_str_t *type, ngx_str_t *body);
ngx_int_t ngx_http_paylink_send_head(ngx_http_request_t *r,
    ngx_http_paylink_headers_e headers, ngx_str_t *type, off_t length);
ngx_int_t ngx_http_paylink_headers_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
ngx_str_t *ngx_http_paylink_header_in(ngx_http_request_t *r,
    const char *key);
ngx_int_t ngx_http_paylink_add_header(ngx_http_request_t *r,
    const char *key, const char *value, size_t len);
char *ngx_http_paylink_assets_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
ngx_int_t ngx_http_paylink_asset(ngx_http_request_t *r, ngx_str_t *path);

/* paying a part */

ngx_int_t ngx_http_paylink_choice(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);

/* documents */

ngx_int_t ngx_http_paylink_receipt(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_document(ngx_http_request_t *r,
    ngx_http_paylink_document_t *document);

/* what partners show */

ngx_int_t ngx_http_paylink_button(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *args);
ngx_int_t ngx_http_paylink_qr_svg(ngx_http_request_t *r);
ngx_int_t ngx_http_paylink_qr_png(ngx_http_request_t *r);

/* languages */

char *ngx_http_paylink_languages_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
ngx_int_t ngx_http_paylink_languages_prepare(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
ngx_int_t ngx_http_paylink_language_accepted(ngx_http_request_t *r);
ngx_http_paylink_language_t *ngx_http_paylink_language_default(
    ngx_http_request_t *r);
ngx_http_paylink_language_t *ngx_http_paylink_language_page(
    ngx_http_paylink_main_conf_t *pmcf, struct template_value *values);
void ngx_http_paylink_language_set(struct template_value *values,
    ngx_str_t *tag);
ngx_int_t ngx_http_paylink_language_link(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
void ngx_http_paylink_language_attempt(ngx_http_request_t *r,
    struct template_value *values, ngx_http_paylink_judged_t *judged);

/* where Redis is */

char *ngx_http_paylink_server_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_paylink_server_replica(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* reading from a replica of it */

ngx_int_t ngx_http_paylink_replica_init(ngx_conf_t *cf,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_replica_start(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_replica_exit(void);
void ngx_http_paylink_replica_back(void);
void ngx_http_paylink_replica_away(void);
ngx_http_paylink_site_e ngx_http_paylink_replica_site(const u_char *id);
void ngx_http_paylink_replica_told(const u_char *id);
ngx_uint_t ngx_http_paylink_replica_failed(ngx_http_paylink_site_e site,
    redisReply *reply);
const char *ngx_http_paylink_replica_line(void);

ngx_uint_t ngx_http_paylink_marker_send(void);
void ngx_http_paylink_marker_due(void);
void ngx_http_paylink_marker_back(ngx_http_paylink_site_e site, u_char *p,
    size_t len);
void ngx_http_paylink_marker_lost(ngx_http_paylink_site_e site);
ngx_uint_t ngx_http_paylink_marker_trust(ngx_http_paylink_site_e site,
    ngx_uint_t since);
ngx_uint_t ngx_http_paylink_marker_after(ngx_http_paylink_site_e site,
    ngx_atomic_uint_t us);

/* connections to Redis */

void ngx_http_paylink_conn_open(ngx_http_paylink_conn_t *conn);
ngx_uint_t ngx_http_paylink_conn_ready(ngx_http_paylink_conn_t *conn);
void ngx_http_paylink_conn_drop(ngx_http_paylink_conn_t *conn);
void ngx_http_paylink_conn_close(ngx_http_paylink_conn_t *conn);
void ngx_http_paylink_reply_arena(redisAsyncContext *ac);
void ngx_http_paylink_reply_release(void);

/* commands and their deadlines */

void ngx_http_paylink_redis_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_redis_exit(void);
ngx_uint_t ngx_http_paylink_redis_up(ngx_http_paylink_site_e site);
ngx_http_paylink_op_t *ngx_http_paylink_redis_ask(
    ngx_http_paylink_site_e site, ngx_str_t *command,
    ngx_http_paylink_op_pt handler, void *data);
void ngx_http_paylink_redis_forget(ngx_http_paylink_op_t *op);
ngx_int_t ngx_http_paylink_redis_send(ngx_http_request_t *r,
    ngx_str_t *command, ngx_http_paylink_reply_pt handler);
ngx_int_t ngx_http_paylink_redis_read(ngx_http_request_t *r,
    ngx_str_t *command, ngx_http_paylink_reply_pt handler);
void ngx_http_paylink_redis_tell(ngx_str_t *command);
void ngx_http_paylink_redis_order(ngx_http_paylink_site_e site,
    ngx_str_t *command, redisCallbackFn *handler, void *data);
void ngx_http_paylink_redis_detach(ngx_http_paylink_ctx_t *ctx);
ngx_int_t ngx_http_paylink_clock_check(void);
void ngx_http_paylink_clock_ask(void);
int64_t ngx_http_paylink_clock_ms(void);

void ngx_http_paylink_command_init(void);
ngx_str_t *ngx_http_paylink_command_link(const u_char *id, const u_char *hex,
    ngx_str_t *texts);
ngx_str_t *ngx_http_paylink_command_attempt(ngx_http_paylink_ctx_t *ctx);
ngx_str_t *ngx_http_paylink_command_open(ngx_http_paylink_ctx_t *ctx,
    const char *source);
ngx_str_t *ngx_http_paylink_command_check(ngx_http_paylink_ctx_t *ctx);
ngx_str_t *ngx_http_paylink_command_velocity(ngx_http_paylink_ctx_t *ctx);
ngx_str_t *ngx_http_paylink_command_submit(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language);
ngx_str_t *ngx_http_paylink_command_renew(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language);
ngx_str_t *ngx_http_paylink_command_want(const u_char *link,
    const u_char *link_hex, const u_char *attempt_hex);
ngx_str_t *ngx_http_paylink_command_want_text(ngx_http_paylink_ctx_t *ctx,
    ngx_str_t *language, struct template_value *version);
ngx_str_t *ngx_http_paylink_command_subscribe(void);
ngx_str_t *ngx_http_paylink_command_brand(ngx_http_paylink_ctx_t *ctx);
ngx_str_t *ngx_http_paylink_command_want_brand(ngx_http_paylink_ctx_t *ctx);
ngx_str_t *ngx_http_paylink_command_depth(ngx_http_paylink_stream_e stream,
    ngx_uint_t shard);
ngx_str_t *ngx_http_paylink_command_document(
    ngx_http_paylink_document_t *document);
ngx_str_t *ngx_http_paylink_command_want_document(
    ngx_http_paylink_document_t *document);
ngx_str_t *ngx_http_paylink_command_time(void);
ngx_str_t *ngx_http_paylink_command_client_id(void);
ngx_str_t *ngx_http_paylink_command_tracking(long long listener);
ngx_str_t *ngx_http_paylink_command_marker(ngx_uint_t mark);
ngx_int_t ngx_http_paylink_link_values(redisReply *reply,
    struct template_value *values, ngx_http_paylink_judged_t *judged);
ngx_int_t ngx_http_paylink_kept_values(redisReply *reply,
    ngx_http_paylink_judged_t *judged);
ngx_int_t ngx_http_paylink_attempt_values(redisReply *reply,
    struct template_value *values, ngx_http_paylink_judged_t *judged);

/* events and waiting */

void ngx_http_paylink_events_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_events_exit(void);
void ngx_http_paylink_events_open(ngx_http_paylink_site_e site);
void ngx_http_paylink_events_close(ngx_http_paylink_site_e site);
void ngx_http_paylink_wait_start(ngx_http_paylink_ctx_t *ctx,
    const u_char *id, ngx_msec_t timeout, ngx_http_paylink_resume_pt resume);
ngx_int_t ngx_http_paylink_wait_more(ngx_http_paylink_ctx_t *ctx);
void ngx_http_paylink_wait_time(ngx_http_paylink_ctx_t *ctx, ngx_msec_t time,
    ngx_http_paylink_resume_pt resume);
void ngx_http_paylink_wait_limit(ngx_http_paylink_ctx_t *ctx,
    ngx_msec_t timeout);
void ngx_http_paylink_wait_stop(ngx_http_paylink_ctx_t *ctx);

/* links that are known without asking */

char *ngx_http_paylink_cache_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_paylink_cache_default(ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_cache_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_cache_clear(void);
void ngx_http_paylink_cache_move(ngx_http_paylink_site_e site);
void ngx_http_paylink_cache_lost(ngx_http_paylink_site_e site);
void ngx_http_paylink_cache_listener(ngx_http_paylink_site_e site,
    long long id);
void ngx_http_paylink_cache_connected(ngx_http_paylink_site_e site);
void ngx_http_paylink_cache_changed(redisReply *keys);
redisReply *ngx_http_paylink_cache_get(ngx_http_paylink_site_e site,
    const u_char *id, ngx_int_t language);
ngx_uint_t ngx_http_paylink_cache_mark(const u_char *id);
void ngx_http_paylink_cache_put(ngx_http_paylink_site_e site,
    const u_char *id, ngx_int_t language, ngx_uint_t mark, redisReply *reply);

/* metrics */

ngx_int_t ngx_http_paylink_metrics_init(ngx_conf_t *cf);
void ngx_http_paylink_metrics_start(void);
char *ngx_http_paylink_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
const char *ngx_http_paylink_route_name(ngx_http_paylink_route_e route);
void ngx_http_paylink_count(ngx_http_paylink_count_e count);
void ngx_http_paylink_count_page(ngx_uint_t page);
void ngx_http_paylink_count_request(ngx_http_paylink_route_e route,
    ngx_uint_t status);
void ngx_http_paylink_count_latency(uint64_t us);
void ngx_http_paylink_gauge_waiting(ngx_uint_t n);
void ngx_http_paylink_gauge_viewers(ngx_uint_t n);
void ngx_http_paylink_gauge_depth(ngx_http_paylink_stream_e stream,
    ngx_uint_t n);
const char *ngx_http_paylink_stream_name(ngx_http_paylink_stream_e stream);
void ngx_http_paylink_depth_init(ngx_cycle_t *cycle);
void ngx_http_paylink_gauge_replica(ngx_uint_t up);
uint64_t ngx_http_paylink_monotonic_us(void);

/* the live page */

void ngx_http_paylink_live_init(ngx_cycle_t *cycle,
    ngx_http_paylink_main_conf_t *pmcf);
void ngx_http_paylink_live_exit(void);
char *ngx_http_paylink_live_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_paylink_live_default(ngx_http_paylink_main_conf_t *pmcf);
ngx_int_t ngx_http_paylink_live(ngx_http_request_t *r);
void ngx_http_paylink_live_leave(ngx_http_paylink_ctx_t *ctx);
void ngx_http_paylink_live_tell(ngx_http_paylink_watch_t *watch);

void ngx_http_paylink_watch_init(ngx_cycle_t *cycle);
ngx_http_paylink_watch_t *ngx_http_paylink_watch_find(const u_char *id);
ngx_http_paylink_watch_t *ngx_http_paylink_watch_create(
    ngx_http_paylink_ctx_t *ctx);
void ngx_http_paylink_watch_free(ngx_http_paylink_watch_t *watch);
void ngx_http_paylink_watch_read(ngx_http_paylink_watch_t *watch);
void ngx_http_paylink_watch_again(void);
void ngx_http_paylink_watch_news(const u_char *id);
void ngx_http_paylink_watch_stale(void);
void ngx_http_paylink_news_release(ngx_http_paylink_news_t *news);

/* logs */

ngx_int_t ngx_http_paylink_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_paylink_log_init(ngx_conf_t *cf);
ngx_int_t ngx_http_paylink_log_guard(ngx_conf_t *cf, ngx_log_t *log);


extern ngx_module_t  ngx_http_paylink_module;


#endif /* _NGX_HTTP_PAYLINK_H_INCLUDED_ */
