
/*
 * Paying a part: which invoices of a link, and how much of them, where their
 * merchant lets payers choose.  What a payer has chosen stands in the page's
 * address, "?i1=1&i3=1&amount=50", so that it works without a script, too.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_CHOICE_TYPED    32
#define NGX_HTTP_PAYLINK_CHOICE_TEXT     128

/* a row of a link's table in Redis, and what is added to it here */

#define NGX_HTTP_PAYLINK_ROW_DUE         5
#define NGX_HTTP_PAYLINK_ROW_FIELDS      6
#define NGX_HTTP_PAYLINK_ROW_CHOSEN      6
#define NGX_HTTP_PAYLINK_ROW_POSITION    7
#define NGX_HTTP_PAYLINK_ROW_SIZE        8


typedef struct {
    struct record_field             field[NGX_HTTP_PAYLINK_ROW_FIELDS];
    int64_t                         due_minor;
    unsigned                        chosen:1;
} ngx_http_paylink_choice_row_t;


typedef struct {
    ngx_http_paylink_choice_row_t   row[NGX_HTTP_PAYLINK_INVOICES];
    ngx_uint_t                      nrows;
    ngx_uint_t                      open;       /* with something due */
    ngx_uint_t                      asked;      /* the address names invoices */
    ngx_uint_t                      chosen;
    int64_t                         chosen_minor;
    int64_t                         least_minor;
    int64_t                         amount_minor;
    int                             exponent;
    ngx_str_t                       typed;      /* as in the address */
    u_char                          typed_buf[NGX_HTTP_PAYLINK_CHOICE_TYPED];
    const char                     *problem;
} ngx_http_paylink_choice_t;


static ngx_int_t ngx_http_paylink_choice_rows(
    ngx_http_paylink_choice_t *choice, struct template_value *rows);
static void ngx_http_paylink_choice_args(ngx_http_paylink_choice_t *choice,
    ngx_str_t args, ngx_uint_t choose);
static void ngx_http_paylink_choice_typed(ngx_http_paylink_choice_t *choice,
    u_char *p, u_char *last);
static void ngx_http_paylink_choice_sum(ngx_http_paylink_choice_t *choice);
static void ngx_http_paylink_choice_amount(ngx_http_paylink_choice_t *choice,
    ngx_str_t *least);
static ngx_int_t ngx_http_paylink_choice_values(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values,
    ngx_http_paylink_judged_t *judged);
static ngx_int_t ngx_http_paylink_choice_text(ngx_http_request_t *r,
    struct template_value *value, ngx_str_t *style, int64_t amount_minor,
    int exponent);
static ngx_int_t ngx_http_paylink_choice_table(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values);
static ngx_int_t ngx_http_paylink_choice_address(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values);


/* makes the page one of what was chosen; the link is active */

ngx_int_t
ngx_http_paylink_choice(ngx_http_request_t *r, struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    ngx_str_t                  *choose, *least;
    struct template_value      *currency;
    ngx_http_paylink_ctx_t     *ctx;
    ngx_http_paylink_choice_t  *choice;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    ngx_http_paylink_set(values, PAGE_URL, ctx->token_path.data,
                         ctx->token_path.len);

    choose = &judged->field[NGX_HTTP_PAYLINK_F_CHOOSE];
    least = &judged->field[NGX_HTTP_PAYLINK_F_PARTIAL_MIN];

    if (choose->len == 0 && least->len == 0) {
        return NGX_OK;
    }

    choice = ngx_pcalloc(r->pool, sizeof(ngx_http_paylink_choice_t));
    if (choice == NULL) {
        return NGX_ERROR;
    }

    currency = &values[NGX_HTTP_PAYLINK_V_CURRENCY];

    choice->exponent = money_exponent(currency->data, currency->len);

    /* what cannot be read offers no choice: all can be paid, as ever */

    if (choice->exponent < 0
        || ngx_http_paylink_choice_rows(choice,
                                        &values[NGX_HTTP_PAYLINK_V_ROWS])
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: link in redis has damaged invoices");
        return NGX_OK;
    }

    ngx_http_paylink_choice_args(choice, ctx->args,
                                 choose->len && choice->open > 1);
    ngx_http_paylink_choice_sum(choice);
    ngx_http_paylink_choice_amount(choice, least);

    if (choose->len && choice->open > 1) {
        ngx_http_paylink_set(values, CHOOSE, "1", 1);

        if (ngx_http_paylink_choice_table(r, choice, values) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (least->len == 0) {
        return NGX_OK;
    }

    if (ngx_http_paylink_choice_values(r, choice, values, judged) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_paylink_choice_address(r, choice, values);
}


static ngx_int_t
ngx_http_paylink_choice_rows(ngx_http_paylink_choice_t *choice,
    struct template_value *rows)
{
    int                             rc;
    unsigned                        count;
    struct record_field             field[RECORD_FIELDS_MAX], *due;
    struct record_reader            reader;
    ngx_http_paylink_choice_row_t  *row;

    record_reader_init(&reader, rows->data, rows->len);

    for ( ;; ) {
        rc = record_next(&reader, field, &count);

        if (rc == 0) {
            return choice->nrows ? NGX_OK : NGX_ERROR;
        }

        if (rc < 0 || count < NGX_HTTP_PAYLINK_ROW_FIELDS
            || choice->nrows == NGX_HTTP_PAYLINK_INVOICES)
        {
            return NGX_ERROR;
        }

        row = &choice->row[choice->nrows++];
        due = &field[NGX_HTTP_PAYLINK_ROW_DUE];

        if (!money_parse_minor(due->data, due->len, &row->due_minor)) {
            return NGX_ERROR;
        }

        ngx_memcpy(row->field, field, sizeof(row->field));

        if (row->due_minor) {
            choice->open++;
        }
    }
}


/* other arguments mean nothing here */

static void
ngx_http_paylink_choice_args(ngx_http_paylink_choice_t *choice,
    ngx_str_t args, ngx_uint_t choose)
{
    ngx_int_t  i;
    ngx_str_t  arg;

    while (ngx_http_paylink_next_arg(&args, &arg) == NGX_OK) {

        if (ngx_http_paylink_starts(&arg, "amount=")) {
            ngx_http_paylink_choice_typed(choice, arg.data + 7,
                                          arg.data + arg.len);
            continue;
        }

        /* a form whose boxes are all empty says that it has been one */

        if (ngx_http_paylink_equals(&arg, "choose=1")) {
            choice->asked = choose;
        }

        if (!choose || arg.len < 3 || arg.data[0] != 'i'
            || ngx_strncmp(arg.data + arg.len - 2, "=1", 2) != 0)
        {
            continue;
        }

        choice->asked = 1;

        i = ngx_atoi(arg.data + 1, arg.len - 3);

        if (i >= 1 && i <= (ngx_int_t) choice->nrows
            && choice->row[i - 1].due_minor)
        {
            choice->row[i - 1].chosen = 1;
        }
    }
}


/* as a form sends it: "+" is a blank, "%2C" a comma */

static void
ngx_http_paylink_choice_typed(ngx_http_paylink_choice_t *choice, u_char *p,
    u_char *last)
{
    u_char  *out;

    out = choice->typed_buf;

    for ( /* void */ ; p < last; p++) {

        if (out == choice->typed_buf + sizeof(choice->typed_buf)) {
            out = choice->typed_buf;
            *out++ = '?';
            break;
        }

        if (*p == '+') {
            *out++ = ' ';

        } else if (last - p >= 3 && ngx_strncasecmp(p, (u_char *) "%2c", 3)
                                    == 0)
        {
            *out++ = ',';
            p += 2;

        } else {
            *out++ = *p;
        }
    }

    choice->typed.data = choice->typed_buf;
    choice->typed.len = out - choice->typed_buf;
}


/* what the chosen invoices ask for; without a choice all of them */

static void
ngx_http_paylink_choice_sum(ngx_http_paylink_choice_t *choice)
{
    ngx_uint_t                      i;
    ngx_http_paylink_choice_row_t  *row;

    for (i = 0; i < choice->nrows; i++) {
        choice->chosen += choice->row[i].chosen;
    }

    if (choice->chosen == 0 && choice->asked) {
        choice->problem = "none";
    }

    if (choice->chosen == choice->open) {
        choice->chosen = 0;
    }

    for (i = 0; i < choice->nrows; i++) {
        row = &choice->row[i];

        if (choice->chosen == 0) {
            row->chosen = (row->due_minor != 0);
        }

        /* the sum of all is what the books say is due: it cannot overflow */

        if (row->chosen) {
            choice->chosen_minor += row->due_minor;
        }
    }

    choice->amount_minor = choice->chosen_minor;
}


static void
ngx_http_paylink_choice_amount(ngx_http_paylink_choice_t *choice,
    ngx_str_t *least)
{
    int64_t  amount_minor;

    if (!money_parse_minor((char *) least->data, least->len,
                           &choice->least_minor))
    {
        return;
    }

    choice->least_minor = ngx_min(choice->least_minor, choice->chosen_minor);

    if (choice->typed.len == 0) {
        return;
    }

    if (!money_parse_typed((char *) choice->typed.data, choice->typed.len,
                           choice->exponent, &amount_minor)
        || amount_minor < choice->least_minor
        || amount_minor > choice->chosen_minor)
    {
        choice->problem = "amount";
        return;
    }

    choice->amount_minor = amount_minor;
}


static ngx_int_t
ngx_http_paylink_choice_values(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values,
    ngx_http_paylink_judged_t *judged)
{
    int         exponent, len;
    char       *p, currency[4];
    u_char     *minor;
    ngx_str_t  *style;

    style = &judged->field[NGX_HTTP_PAYLINK_F_MONEY];
    exponent = choice->exponent;

    minor = ngx_pnalloc(r->pool, NGX_INT64_LEN + MONEY_TEXT_SIZE);
    if (minor == NULL) {
        return NGX_ERROR;
    }

    ngx_http_paylink_set(values, DUE_MINOR, minor,
                         ngx_sprintf(minor, "%L", choice->amount_minor)
                         - minor);

    if (ngx_http_paylink_choice_text(r, &values[NGX_HTTP_PAYLINK_V_DUE_TEXT],
                                     style, choice->amount_minor, exponent)
        != NGX_OK
        || ngx_http_paylink_choice_text(r,
                                      &values[NGX_HTTP_PAYLINK_V_MOST_TEXT],
                                      style, choice->chosen_minor, exponent)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (choice->problem) {
        ngx_http_paylink_set(values, CHOICE_PROBLEM, choice->problem,
                             ngx_strlen(choice->problem));
    }

    if (choice->least_minor == 0) {
        return NGX_OK;
    }

    ngx_http_paylink_set(values, PARTIAL, "1", 1);

    ngx_memcpy(currency, values[NGX_HTTP_PAYLINK_V_CURRENCY].data, 3);
    currency[3] = '\0';

    p = (char *) minor + NGX_INT64_LEN;
    len = money_format_plain(choice->amount_minor, currency, p,
                             MONEY_TEXT_SIZE);

    if (choice->amount_minor < choice->chosen_minor) {
        ngx_http_paylink_set(values, AMOUNT_TYPED, p, ngx_max(len, 0));
    }

    return ngx_http_paylink_choice_text(r,
                                      &values[NGX_HTTP_PAYLINK_V_LEAST_TEXT],
                                      style, choice->least_minor, exponent);
}


static ngx_int_t
ngx_http_paylink_choice_text(ngx_http_request_t *r,
    struct template_value *value, ngx_str_t *style, int64_t amount_minor,
    int exponent)
{
    char  *p;

    p = ngx_pnalloc(r->pool, NGX_HTTP_PAYLINK_CHOICE_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;
    value->len = money_write_style((char *) style->data, style->len,
                                   amount_minor, exponent, p,
                                   NGX_HTTP_PAYLINK_CHOICE_TEXT);

    if (value->len == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "paylink: link in redis does not say how amounts are "
                      "written");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the rows once more, each with its box and the state of it */

static ngx_int_t
ngx_http_paylink_choice_table(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values)
{
    u_char                         *p, *digits;
    size_t                          len;
    ngx_uint_t                      i;
    struct record_field             field[NGX_HTTP_PAYLINK_ROW_SIZE];
    ngx_http_paylink_choice_row_t  *row;

    len = values[NGX_HTTP_PAYLINK_V_ROWS].len
          + choice->nrows * (2 * sizeof(uint16_t) + 1 + NGX_INT_T_LEN);

    p = ngx_pnalloc(r->pool, len + choice->nrows * NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    digits = p + len;

    values[NGX_HTTP_PAYLINK_V_ROWS].data = (char *) p;

    for (i = 0; i < choice->nrows; i++, digits += NGX_INT_T_LEN) {
        row = &choice->row[i];

        ngx_memcpy(field, row->field, sizeof(row->field));

        field[NGX_HTTP_PAYLINK_ROW_CHOSEN].data = "1";
        field[NGX_HTTP_PAYLINK_ROW_CHOSEN].len = row->chosen;
        field[NGX_HTTP_PAYLINK_ROW_POSITION].data = (char *) digits;
        field[NGX_HTTP_PAYLINK_ROW_POSITION].len =
                 row->due_minor ? ngx_sprintf(digits, "%ui", i + 1) - digits
                                : 0;

        p += record_row_write(field, NGX_HTTP_PAYLINK_ROW_SIZE, p);
    }

    values[NGX_HTTP_PAYLINK_V_ROWS].len =
                     (char *) p - values[NGX_HTTP_PAYLINK_V_ROWS].data;

    return NGX_OK;
}


/* where this choice is shown again, and what is posted of it: "1,3" */

static ngx_int_t
ngx_http_paylink_choice_address(ngx_http_request_t *r,
    ngx_http_paylink_choice_t *choice, struct template_value *values)
{
    u_char                  *p, *url, *chosen;
    size_t                   len;
    ngx_uint_t               i;
    ngx_http_paylink_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_paylink_module);

    len = choice->chosen * (sizeof("&i=1") - 1 + NGX_INT_T_LEN);

    url = ngx_pnalloc(r->pool, ctx->token_path.len + len
                               + sizeof("&amount=") - 1 + MONEY_TEXT_SIZE
                               + len);
    if (url == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(url, ctx->token_path.data, ctx->token_path.len);

    for (i = 0; choice->chosen && i < choice->nrows; i++) {
        if (choice->row[i].chosen) {
            p = ngx_sprintf(p, "&i%ui=1", i + 1);
        }
    }

    if (choice->amount_minor < choice->chosen_minor) {
        p = ngx_sprintf(p, "&amount=%*s",
                        values[NGX_HTTP_PAYLINK_V_AMOUNT_TYPED].len,
                        values[NGX_HTTP_PAYLINK_V_AMOUNT_TYPED].data);
    }

    if ((size_t) (p - url) > ctx->token_path.len) {
        url[ctx->token_path.len] = '?';
    }

    ngx_http_paylink_set(values, PAGE_URL, url, p - url);

    chosen = p;

    for (i = 0; choice->chosen && i < choice->nrows; i++) {
        if (choice->row[i].chosen) {
            p = ngx_sprintf(p, p == chosen ? "%ui" : ",%ui", i + 1);
        }
    }

    ngx_http_paylink_set(values, CHOSEN, chosen, p - chosen);

    return NGX_OK;
}
