
/*
 * The edge closed for a while: the directive, and whether it is.  The page
 * itself is one of the rendered ones.
 */


#include "ngx_http_paylink.h"


/* the file is looked for once a second at most: that is a system call */

ngx_uint_t
ngx_http_paylink_in_maintenance(ngx_http_request_t *r)
{
    ngx_file_info_t                  fi;
    ngx_http_paylink_loc_conf_t     *plcf;
    ngx_http_paylink_maintenance_t  *m;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_paylink_module);

    m = plcf->maintenance;

    if (m == NULL) {
        return 0;
    }

    if (m->file.len && m->checked != ngx_time()) {
        m->checked = ngx_time();
        m->on = (ngx_file_info(m->file.data, &fi) != NGX_FILE_ERROR);
    }

    return m->on;
}


char *
ngx_http_paylink_set_maintenance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_paylink_loc_conf_t *plcf = conf;

    ngx_str_t                       *value;
    ngx_http_paylink_maintenance_t  *m;

    if (plcf->maintenance != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        plcf->maintenance = NULL;
        return NGX_CONF_OK;
    }

    m = ngx_pcalloc(cf->pool, sizeof(ngx_http_paylink_maintenance_t));
    if (m == NULL) {
        return NGX_CONF_ERROR;
    }

    plcf->maintenance = m;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        m->on = 1;
        return NGX_CONF_OK;
    }

    m->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &m->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
