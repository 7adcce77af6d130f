
/*
 * Directives and configuration, start and end of a worker process.  What the
 * directives are for is said in README.md.
 */


#include "ngx_http_paylink.h"


static void *ngx_http_paylink_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_paylink_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_paylink_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_paylink_complete(ngx_conf_t *cf,
    ngx_http_paylink_loc_conf_t *plcf);
static ngx_int_t ngx_http_paylink_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_paylink_init_process(ngx_cycle_t *cycle);
static void ngx_http_paylink_exit_process(ngx_cycle_t *cycle);
static char *ngx_http_paylink_set_enable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_paylink_set_keys(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_paylink_set_pages(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_paylink_set_url(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_paylink_escape(ngx_conf_t *cf, ngx_str_t *src,
    const char *tail, ngx_str_t *dst);
static void ngx_http_paylink_forget_keys(void *data);


static ngx_conf_enum_t  ngx_http_paylink_open_by[] = {
    { ngx_string("human"), NGX_HTTP_PAYLINK_OPEN_HUMAN },
    { ngx_string("view"), NGX_HTTP_PAYLINK_OPEN_VIEW },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_paylink_commands[] = {

    { ngx_string("paylink"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_paylink_set_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_paylink_loc_conf_t, enable),
      NULL },

    { ngx_string("paylink_open"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_paylink_loc_conf_t, open),
      &ngx_http_paylink_open_by },

    { ngx_string("paylink_result_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_paylink_loc_conf_t, result_wait),
      NULL },

    { ngx_string("paylink_hydrate_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_paylink_loc_conf_t, hydrate_wait),
      NULL },

    { ngx_string("paylink_maintenance"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_set_maintenance,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_guard"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_paylink_guard_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_paylink_server_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_redis_replica"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_server_replica,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_set_keys,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_pages"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_set_pages,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_gateway"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_set_url,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_paylink_main_conf_t, gateway),
      NULL },

    { ngx_string("paylink_base_url"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_set_url,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_paylink_main_conf_t, base),
      NULL },

    { ngx_string("paylink_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_cache_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_paylink_metrics_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("paylink_live"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_paylink_live_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_paylink_module_ctx = {
    ngx_http_paylink_add_variables,        /* preconfiguration */
    ngx_http_paylink_init,                 /* postconfiguration */

    ngx_http_paylink_create_main_conf,     /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_paylink_create_loc_conf,      /* create location configuration */
    ngx_http_paylink_merge_loc_conf        /* merge location configuration */
};


ngx_module_t  ngx_http_paylink_module = {
    NGX_MODULE_V1,
    &ngx_http_paylink_module_ctx,          /* module context */
    ngx_http_paylink_commands,             /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_paylink_init_process,         /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_paylink_exit_process,         /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_paylink_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_paylink_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    pmcf->cache = NGX_CONF_UNSET_SIZE;
    pmcf->live.total = NGX_CONF_UNSET_UINT;
    pmcf->live.per_link = NGX_CONF_UNSET_UINT;
    pmcf->live.heartbeat = NGX_CONF_UNSET_UINT;

    return pmcf;
}


static void *
ngx_http_paylink_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_paylink_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_paylink_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    plcf->enable = NGX_CONF_UNSET;
    plcf->open = NGX_CONF_UNSET_UINT;
    plcf->result_wait = NGX_CONF_UNSET_MSEC;
    plcf->hydrate_wait = NGX_CONF_UNSET_MSEC;
    plcf->maintenance = NGX_CONF_UNSET_PTR;
    ngx_http_paylink_guard_create(&plcf->guard);

    return plcf;
}


static char *
ngx_http_paylink_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_paylink_loc_conf_t  *prev = parent;
    ngx_http_paylink_loc_conf_t  *conf = child;

    ngx_conf_merge_uint_value(conf->open, prev->open,
                              NGX_HTTP_PAYLINK_OPEN_HUMAN);
    ngx_conf_merge_msec_value(conf->result_wait, prev->result_wait, 10000);
    ngx_conf_merge_msec_value(conf->hydrate_wait, prev->hydrate_wait, 2000);
    ngx_conf_merge_ptr_value(conf->maintenance, prev->maintenance, NULL);
    ngx_http_paylink_guard_merge(&conf->guard, &prev->guard);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* in other locations, too: their requests may name a token as well */

    if (ngx_http_paylink_log_guard(cf, clcf->error_log) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* not inherited, as any content handler */

    if (conf->enable == NGX_CONF_UNSET || !conf->enable) {
        conf->enable = 0;
        return NGX_CONF_OK;
    }

    if (ngx_http_paylink_complete(cf, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* bodies are limited by the module, whose refusal is a page of its own */

    clcf->client_max_body_size = 0;
    clcf->client_body_buffer_size = ngx_max(clcf->client_body_buffer_size,
                                            2 * NGX_HTTP_PAYLINK_BODY_MAX);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_paylink_complete(ngx_conf_t *cf, ngx_http_paylink_loc_conf_t *plcf)
{
    const char                    *missing;
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_paylink_module);

    if (pmcf->redis[NGX_HTTP_PAYLINK_PRIMARY].name.len == 0) {
        missing = "paylink_redis";

    } else if (pmcf->key_file.len == 0) {
        missing = "paylink_key_file";

    } else if (pmcf->pages_dir.len == 0) {
        missing = "paylink_pages";

    } else if (pmcf->gateway.url.len == 0) {
        missing = "paylink_gateway";

    } else if (pmcf->base.url.len == 0) {
        missing = "paylink_base_url";

    } else {
        pmcf->used = 1;
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"paylink on\" needs \"%s\" in http in %s:%ui",
                  missing, plcf->file, plcf->line);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_paylink_init(ngx_conf_t *cf)
{
    ngx_http_paylink_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_paylink_module);

    if (!pmcf->used) {
        return NGX_OK;
    }

    ngx_http_paylink_cache_default(pmcf);
    ngx_http_paylink_live_default(pmcf);

    if (ngx_http_paylink_metrics_init(cf) != NGX_OK
        || ngx_http_paylink_replica_init(cf, pmcf) != NGX_OK
        || ngx_http_paylink_headers_init(cf, pmcf) != NGX_OK
        || ngx_http_paylink_languages_prepare(cf, pmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_paylink_log_init(cf);
}


/* cache helpers call this, too */

static ngx_int_t
ngx_http_paylink_init_process(ngx_cycle_t *cycle)
{
    ngx_http_paylink_main_conf_t  *pmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_paylink_module);

    if (pmcf == NULL || !pmcf->used) {
        return NGX_OK;
    }

    ngx_http_paylink_metrics_start();
    ngx_http_paylink_command_init();
    ngx_http_paylink_replica_start(cycle, pmcf);
    ngx_http_paylink_cache_init(cycle, pmcf);
    ngx_http_paylink_redis_init(cycle, pmcf);
    ngx_http_paylink_watch_init(cycle);
    ngx_http_paylink_live_init(cycle, pmcf);
    ngx_http_paylink_events_init(cycle, pmcf);
    ngx_http_paylink_depth_init(cycle);

    return NGX_OK;
}


static void
ngx_http_paylink_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_paylink_main_conf_t  *pmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_paylink_module);

    if (pmcf && pmcf->used) {
        ngx_http_paylink_replica_exit();
        ngx_http_paylink_redis_exit();
        ngx_http_paylink_events_exit();
        ngx_http_paylink_live_exit();
    }
}


static char *
ngx_http_paylink_set_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_loc_conf_t *plcf = conf;

    char                      *rv;
    ngx_http_core_loc_conf_t  *clcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (plcf->enable) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
        clcf->handler = ngx_http_paylink_handler;

        plcf->file = cf->conf_file->file.name.data;
        plcf->line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_paylink_set_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    char                 err[512];
    ngx_str_t           *value;
    ngx_pool_cleanup_t  *cln;

    if (pmcf->key_file.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    pmcf->key_file = value[1];

    if (ngx_conf_full_name(cf->cycle, &pmcf->key_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    if (token_keys_load((char *) pmcf->key_file.data, &pmcf->keys, err,
                        sizeof(err))
        != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "key file: %s", err);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_paylink_forget_keys;
    cln->data = &pmcf->keys;

    return NGX_CONF_OK;
}


static void
ngx_http_paylink_forget_keys(void *data)
{
    token_keys_free(data);
}


static char *
ngx_http_paylink_set_pages(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    char       *rv;
    ngx_str_t  *value;

    if (pmcf->pages_dir.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    pmcf->pages_dir = value[1];

    if (ngx_conf_full_name(cf->cycle, &pmcf->pages_dir, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_paylink_languages_init(cf, pmcf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_paylink_assets_init(cf, pmcf);
}


/*
 * A URL that goes into pages and headers: scheme, host, port, and a path
 * without arguments.
 */

static char *
ngx_http_paylink_set_url(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                  *p, *last, *host;
    ngx_str_t               *value;
    ngx_http_paylink_url_t  *url;

    url = (ngx_http_paylink_url_t *) ((u_char *) conf + cmd->offset);

    if (url->url.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    url->url = value[1];

    p = url->url.data;
    last = p + url->url.len;

    if (url->url.len > 8 && ngx_strncmp(p, "https://", 8) == 0) {
        host = p + 8;

    } else if (url->url.len > 7 && ngx_strncmp(p, "http://", 7) == 0) {
        host = p + 7;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must start with \"https://\" or "
                           "\"http://\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (p = host; p < last; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
              || (*p >= '0' && *p <= '9')
              || ngx_strchr("-._~:/[]%", *p)))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid character \"%c\" in URL \"%V\"",
                               *p, &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    if (host == last || *host == '/' || *host == ':') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no host in URL \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    while (last[-1] == '/') {
        last--;
    }

    url->url.len = last - url->url.data;

    p = ngx_strlchr(host, last, '/');

    url->origin.data = url->url.data;
    url->origin.len = (p ? p : last) - url->url.data;

    if (ngx_http_paylink_escape(cf, &url->origin, "", &url->origin_escaped)
        != NGX_OK
        || ngx_http_paylink_escape(cf, &url->url, "%2Fp%2F",
                                   &url->return_escaped)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_paylink_escape(ngx_conf_t *cf, ngx_str_t *src, const char *tail,
    ngx_str_t *dst)
{
    u_char  *p;

    dst->data = ngx_pnalloc(cf->pool, 3 * src->len + ngx_strlen(tail));
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) ngx_escape_uri(dst->data, src->data, src->len,
                                  NGX_ESCAPE_URI_COMPONENT);
    p = ngx_cpymem(p, tail, ngx_strlen(tail));

    dst->len = p - dst->data;

    return NGX_OK;
}
