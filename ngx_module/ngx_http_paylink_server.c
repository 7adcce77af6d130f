
/*
 * Where Redis is and how the edge gets in, as the directives say it.  Nothing
 * here connects to it.
 */


#include "ngx_http_paylink.h"


#define NGX_HTTP_PAYLINK_PASSWORD_MAX   512


static char *ngx_http_paylink_server_address(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_paylink_server_t *server);
static char *ngx_http_paylink_server_password(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password);
static char *ngx_http_paylink_server_time(ngx_conf_t *cf, ngx_str_t *parameter,
    size_t skip, ngx_msec_t *msec);
static void ngx_http_paylink_server_forget(void *data);


/*
 * "paylink_redis unix:PATH | HOST:PORT [user=] [password_file=] [timeout=]
 * [connect_timeout=]"
 */

char *
ngx_http_paylink_server_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    char                       *rv;
    ngx_str_t                  *value, path;
    ngx_uint_t                  i;
    ngx_http_paylink_server_t  *server;

    server = &pmcf->redis[NGX_HTTP_PAYLINK_PRIMARY];

    if (server->name.len) {
        return "is duplicate";
    }

    server->timeout = NGX_CONF_UNSET_MSEC;
    server->connect_timeout = NGX_CONF_UNSET_MSEC;

    value = cf->args->elts;

    rv = ngx_http_paylink_server_address(cf, &value[1], server);

    for (i = 2; i < cf->args->nelts && rv == NGX_CONF_OK; i++) {

        if (ngx_strncmp(value[i].data, "user=", 5) == 0) {
            server->user.data = value[i].data + 5;
            server->user.len = value[i].len - 5;

        } else if (ngx_strncmp(value[i].data, "password_file=", 14) == 0) {
            path.data = value[i].data + 14;
            path.len = value[i].len - 14;

            rv = ngx_http_paylink_server_password(cf, &path,
                                                  &server->password);

        } else if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            rv = ngx_http_paylink_server_time(cf, &value[i], 8,
                                              &server->timeout);

        } else if (ngx_strncmp(value[i].data, "connect_timeout=", 16) == 0) {
            rv = ngx_http_paylink_server_time(cf, &value[i], 16,
                                              &server->connect_timeout);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            rv = NGX_CONF_ERROR;
        }
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (server->user.len && server->password.len == 0) {
        return "has a user but no \"password_file\"";
    }

    ngx_conf_init_msec_value(server->timeout, 500);
    ngx_conf_init_msec_value(server->connect_timeout, 1000);

    return NGX_CONF_OK;
}


/* "paylink_redis_replica unix:PATH | HOST:PORT" */

char *
ngx_http_paylink_server_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_paylink_main_conf_t *pmcf = conf;

    ngx_str_t                  *value;
    ngx_http_paylink_server_t  *server;

    server = &pmcf->redis[NGX_HTTP_PAYLINK_REPLICA];

    if (server->name.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    return ngx_http_paylink_server_address(cf, &value[1], server);
}


/* names are resolved here: hiredis would block */

static char *
ngx_http_paylink_server_address(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_paylink_server_t *server)
{
    u_char     *p;
    ngx_url_t   u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.default_port = 6379;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in redis address \"%V\"",
                           u.err ? u.err : "error", value);
        return NGX_CONF_ERROR;
    }

    server->name = *value;

    if (u.family == AF_UNIX) {
        server->path = (char *) value->data + sizeof("unix:") - 1;
        return NGX_CONF_OK;
    }

    p = ngx_pnalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    p[ngx_sock_ntop(u.addrs[0].sockaddr, u.addrs[0].socklen, p,
                    NGX_SOCKADDR_STRLEN, 0)]
        = '\0';

    server->ip = (char *) p;
    server->port = ngx_inet_get_port(u.addrs[0].sockaddr);

    if (p[0] == '[') {
        server->ip++;
        p[ngx_strlen(p) - 1] = '\0';
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_paylink_server_time(ngx_conf_t *cf, ngx_str_t *parameter, size_t skip,
    ngx_msec_t *msec)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = parameter->data + skip;
    s.len = parameter->len - skip;

    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"",
                           parameter);
        return NGX_CONF_ERROR;
    }

    *msec = (ngx_msec_t) n;

    return NGX_CONF_OK;
}


/* the first line of a file that others may not read */

static char *
ngx_http_paylink_server_password(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password)
{
    u_char              *p;
    ssize_t              n;
    ngx_fd_t             fd;
    ngx_file_info_t      fi;
    ngx_pool_cleanup_t  *cln;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    p = ngx_palloc(cf->pool, NGX_HTTP_PAYLINK_PASSWORD_MAX);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (p == NULL || cln == NULL) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_CONF_ERROR;
    }

    n = -1;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR && ngx_is_file(&fi)) {
        n = ngx_read_fd(fd, p, NGX_HTTP_PAYLINK_PASSWORD_MAX);
    }

    (void) ngx_close_file(fd);

    if (n <= 0 || n == NGX_HTTP_PAYLINK_PASSWORD_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a file with a password in it", path);
        return NGX_CONF_ERROR;
    }

    if (ngx_file_access(&fi) & 07) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "others may access \"%V\", run chmod o= on it",
                           path);
        return NGX_CONF_ERROR;
    }

    password->data = p;
    password->len = 0;

    while (password->len < (size_t) n && p[password->len] > ' ') {
        password->len++;
    }

    cln->handler = ngx_http_paylink_server_forget;
    cln->data = password;

    if (password->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a file with a password in it", path);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_paylink_server_forget(void *data)
{
    ngx_str_t  *secret = data;

    ngx_explicit_memzero(secret->data, secret->len);
}
