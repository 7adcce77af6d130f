/* Owns the shape of Stripe's error objects and of common parameters; knows no endpoint. */
#include "call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"

/* A precision in the format may have cut a character of the caller's text in two. */
static void message_clean(char *message)
{
    if (!utf8_valid(message, strlen(message))) {
        for (; *message != '\0'; message++) {
            if ((unsigned char)*message >= 0x80) {
                *message = '?';
            }
        }
    }
}

static void error_write(struct call *call, int status, const char *type, const char *code,
                        const char *param, const char *message)
{
    struct writer *w = &call->reply;

    w->len = 0;
    call->status = status;
    writer_raw(w, "{\"error\":{\"message\":");
    writer_text(w, message);
    if (code != NULL) {
        char url[160];

        snprintf(url, sizeof(url), "https://stripe.com/docs/error-codes/%s", code);
        for (char *at = url; *at != '\0'; at++) {
            if (*at == '_') {
                *at = '-';
            }
        }
        writer_put_text(w, "code", code);
        writer_put_text(w, "doc_url", url);
    }
    if (param != NULL) {
        writer_put_text(w, "param", param);
    }
    writer_put_text(w, "type", type);
    writer_raw(w, "}}\n");
}

void call_error(struct call *call, int status, const char *type, const char *code,
                const char *param, const char *fmt, ...)
{
    char message[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    message_clean(message);
    error_write(call, status, type, code, param, message);
}

void call_refuse(struct call *call, struct store *store, int status, const char *code,
                 const char *param, const char *fmt, ...)
{
    char message[2048];
    struct saved_reply *save = call_save_take(call, status, 0);
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    message_clean(message);
    error_write(call, status, TYPE_INVALID, code, param, message);
    if (save != NULL) {
        save->body = mem_strdup(call->reply.data);
        store_save_text(store, save);
    }
}

void call_missing(struct call *call, int status, const char *what, const char *param,
                  const char *id)
{
    call_error(call, status, TYPE_INVALID, "resource_missing", param, "No such %s: '%.100s'", what,
               id);
}

bool call_known(struct call *call, const struct params *params, const char *const *known)
{
    const struct param *unknown = params_unknown(params, known);

    if (unknown == NULL) {
        return true;
    }
    call_error(call, 400, TYPE_INVALID, "parameter_unknown", unknown->name,
               "Received unknown parameter: %.100s", unknown->name);
    return false;
}

bool call_bool(struct call *call, const char *name, bool *out)
{
    const char *value = params_get(&call->form, name);

    if (value == NULL) {
        return true;
    }
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
        call_error(call, 400, TYPE_INVALID, NULL, name, "Invalid boolean: %.100s", value);
        return false;
    }
    *out = value[0] == 't';
    return true;
}

static unsigned expand_bit(const char *name)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"latest_charge", EXPAND_CHARGE},
        {"charge", EXPAND_CHARGE},
        {"payment_method", EXPAND_METHOD},
        {"payment_intent", EXPAND_INTENT},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].bit;
        }
    }
    return 0;
}

bool call_expand(struct call *call, const struct params *params, const char *prefix,
                 unsigned *expand)
{
    size_t skip = strlen(prefix), len;

    *expand = 0;
    for (size_t i = 0; i < params->count; i++) {
        const char *value = params->item[i].value;
        unsigned bit;

        if (params_key(&params->item[i], "expand", &len) == NULL) {
            continue;
        }
        bit = strncmp(value, prefix, skip) == 0 ? expand_bit(value + skip) : 0;
        if (bit == 0) {
            call_error(call, 400, TYPE_INVALID, NULL, "expand",
                       "This property cannot be expanded (%.100s).", value);
            return false;
        }
        *expand |= bit;
    }
    return true;
}

struct saved_reply *call_save_take(struct call *call, int status, unsigned expand)
{
    struct saved_reply *save = call->save;

    call->save = NULL;
    if (save != NULL) {
        save->status = status;
        save->expand = expand;
        memcpy(save->request, call->request, sizeof(save->request));
    }
    return save;
}
