/* Owns turning an HTTP request into a call and a call's reply into HTTP; knows no endpoint. */
#include "exchange.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/mem.h"
#include "render.h"
#include "server.h"

#define LOG_AREA "sandbox"
#include "../base/log.h"

struct exchange *exchange_new(const char *uri)
{
    struct exchange *ex = mem_alloc(sizeof(*ex));

    ex->uri = mem_strdup(uri);
    memcpy(ex->call.request, "req_", 4);
    store_random(ex->call.request + 4, sizeof(ex->call.request) - 5);
    return ex;
}

void exchange_free(struct exchange *ex, struct idempotency_running **running)
{
    idempotency_end(running, &ex->running);
    saved_reply_free(ex->call.save);
    if (ex->timer != NULL) {
        loop_timer_free(ex->timer);
    }
    /* A body may hold a test card's number. */
    if (ex->body.data != NULL) {
        explicit_bzero(ex->body.data, ex->body.size);
    }
    writer_free(&ex->body);
    writer_free(&ex->call.reply);
    free(ex->call.location);
    free(ex->call.content_security);
    free(ex->uri);
    free(ex);
}

static const char *header(const struct exchange *ex, const char *name)
{
    return MHD_lookup_connection_value(ex->connection, MHD_HEADER_KIND, name);
}

static bool body_parse(struct exchange *ex)
{
    struct call *call = &ex->call;
    const char *type = header(ex, MHD_HTTP_HEADER_CONTENT_TYPE), *problem;

    if (ex->too_large) {
        call_error(call, 413, TYPE_INVALID, NULL, NULL, "The request is larger than %d bytes.",
                   SERVER_BODY_BYTES_MAX);
        return false;
    }
    writer_bytes(&ex->body, "", 0);
    call->body = ex->body.data;
    call->body_len = ex->body.len;
    if (type != NULL && strncasecmp(type, "application/json", 16) == 0 && !route_is_api(call)) {
        call->form_json = true;
        return true;
    }
    if (ex->body.len > 0 && type != NULL &&
        strncasecmp(type, MHD_HTTP_POST_ENCODING_FORM_URLENCODED,
                    strlen(MHD_HTTP_POST_ENCODING_FORM_URLENCODED)) != 0) {
        call_error(call, 400, TYPE_INVALID, NULL, NULL,
                   "Invalid request: the body must be form-encoded "
                   "(Content-Type: application/x-www-form-urlencoded).");
        return false;
    }
    problem = params_parse(ex->body.data, ex->body.len, &call->form);
    if (problem != NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, NULL, "%s", problem);
    }
    return problem == NULL;
}

static bool query_parse(struct exchange *ex)
{
    char *query = strchr(ex->uri, '?');
    const char *problem = NULL;

    if (query != NULL) {
        *query++ = '\0';
        problem = params_parse(query, strlen(query), &ex->call.query);
    }
    ex->call.path = ex->uri;
    if (problem != NULL) {
        call_error(&ex->call, 400, TYPE_INVALID, NULL, NULL, "%s", problem);
    }
    return problem == NULL;
}

/* "2022-11-15" or "2025-03-31.basil". */
static bool version_valid(struct exchange *ex)
{
    const char *version = header(ex, "Stripe-Version");
    static const char shape[] = "dddd-dd-dd";

    for (size_t i = 0; version != NULL && shape[i] != '\0'; i++) {
        bool digit = version[i] >= '0' && version[i] <= '9';

        if (shape[i] == 'd' ? !digit : version[i] != '-') {
            call_error(&ex->call, 400, TYPE_INVALID, NULL, NULL,
                       "Invalid Stripe API version: %.40s", version);
            return false;
        }
    }
    return true;
}

/* Pages of other sites may not press our buttons: neither the bank's nor the fault switches. */
static bool same_site(struct exchange *ex)
{
    const char *site = header(ex, "Sec-Fetch-Site");

    if (strcmp(ex->call.method, "GET") == 0 || site == NULL || strcmp(site, "cross-site") != 0) {
        return true;
    }
    call_error(&ex->call, 403, TYPE_INVALID, NULL, NULL,
               "This request comes from a page of another site.");
    return false;
}

void exchange_begin(struct exchange *ex, struct route_table *table,
                    struct idempotency_running **running)
{
    struct call *call = &ex->call;
    const char *key;

    call->accept_language = header(ex, MHD_HTTP_HEADER_ACCEPT_LANGUAGE);
    if (!query_parse(ex) || !body_parse(ex) || !same_site(ex) || !route_is_api(call)) {
        return;
    }
    if (!route_authorized(table, call, header(ex, MHD_HTTP_HEADER_AUTHORIZATION)) ||
        !version_valid(ex)) {
        return;
    }
    ex->fault = faults_take(&table->faults, call);
    if (ex->fault.kind == FAULT_STATUS) {
        fault_reply(call, ex->fault.status);
        return;
    }
    if (ex->fault.kind == FAULT_DROP_BEFORE) {
        ex->drop = true;
        return;
    }
    call->fault = ex->fault.kind == FAULT_DECLINE ? ex->fault.decline : NULL;
    key = header(ex, "Idempotency-Key");
    if (key != NULL && strcmp(call->method, "POST") == 0) {
        idempotency_begin(call, table->store, key, running, &ex->running);
    }
}

void exchange_work(struct exchange *ex, struct route_table *table,
                   struct idempotency_running **running)
{
    struct call *call = &ex->call;

    if (call->status == 0 && !ex->drop) {
        idempotency_end(running, &ex->running);
        route_call(table, call);
        if (ex->fault.kind == FAULT_DROP_AFTER) {
            ex->drop = true;
        } else if (ex->fault.kind == FAULT_STATUS_AFTER) {
            fault_reply(call, ex->fault.status);
        }
    }
    ex->stage = EXCHANGE_WORKED;
}

static struct MHD_Response *log_response(const struct charge_log *log)
{
    int fd = fcntl(charge_log_fd(log), F_DUPFD_CLOEXEC, 0);
    struct MHD_Response *response;

    if (fd < 0) {
        return NULL;
    }
    response = MHD_create_response_from_fd_at_offset64((uint64_t)charge_log_size(log), fd, 0);
    if (response == NULL) {
        close(fd);
    }
    return response;
}

static void page_headers(const struct call *call, struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (call->content_security != NULL) {
        MHD_add_response_header(response, "Content-Security-Policy", call->content_security);
    }
    if (call->location != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, call->location);
    }
    if (call->allow != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, call->allow);
    }
}

static void api_headers(const struct exchange *ex, struct MHD_Response *response)
{
    const struct call *call = &ex->call;
    const char *key = header(ex, "Idempotency-Key"), *version = header(ex, "Stripe-Version");

    MHD_add_response_header(response, "Request-Id", call->request);
    MHD_add_response_header(response, "Stripe-Version",
                            version != NULL ? version : RENDER_API_VERSION);
    if (key != NULL) {
        MHD_add_response_header(response, "Idempotency-Key", key);
        MHD_add_response_header(response, "Original-Request",
                                call->replayed_from != NULL ? call->replayed_from : call->request);
    }
    if (call->replayed_from != NULL) {
        MHD_add_response_header(response, "Idempotent-Replayed", "true");
    }
}

enum MHD_Result exchange_reply(struct exchange *ex, const struct charge_log *log)
{
    struct call *call = &ex->call;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (ex->drop) {
        log_debug("%s %s: dropped", call->request, call->method);
        return MHD_NO;
    }
    log_debug("%s %s %s: %d", call->request, call->method, call->path, call->status);
    if (call->send_log) {
        response = log_response(log);
    } else {
        size_t len = call->reply.len;

        response =
            MHD_create_response_from_buffer(len, writer_take(&call->reply), MHD_RESPMEM_MUST_FREE);
    }
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            call->content_type != NULL ? call->content_type : "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                            call->immutable ? "public, max-age=31536000, immutable"
                                            : "no-cache, no-store");
    if (route_is_api(call)) {
        api_headers(ex, response);
    } else {
        page_headers(call, response);
    }
    result = MHD_queue_response(ex->connection, (unsigned)call->status, response);
    MHD_destroy_response(response);
    return result;
}
