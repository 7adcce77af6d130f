/* Owns the fault switches; knows nothing of how a reply is delayed or a connection dropped. */
#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../io/json.h"

#define LOG_AREA "faults"
#include "../base/log.h"

#define DELAY_MS_MAX 600000

static const char *const kinds[] = {
    [FAULT_NONE] = "",
    [FAULT_DELAY] = "delay",
    [FAULT_DELAY_AFTER] = "delay_after",
    [FAULT_DROP_BEFORE] = "drop_before",
    [FAULT_DROP_AFTER] = "drop_after",
    [FAULT_STATUS] = "status",
    [FAULT_STATUS_AFTER] = "status_after",
    [FAULT_DECLINE] = "decline",
};

/* One field of the request, from the form or the JSON object, as text in `out`. */
static const char *field(const struct call *call, const json_t *json, const char *name,
                         const char *standard, char out[512])
{
    const char *text = json != NULL ? json_get_text(json, name) : params_get(&call->form, name);
    int64_t number;

    if (text == NULL && json != NULL && json_get_int(json, name, &number)) {
        snprintf(out, 512, "%lld", (long long)number);
        return out;
    }
    snprintf(out, 512, "%s", text != NULL ? text : standard);
    return out;
}

static bool number_field(struct call *call, const json_t *json, const char *name,
                         const char *standard, int64_t min, int64_t max, int64_t *out)
{
    char text[512];

    if (!params_int(field(call, json, name, standard, text), out) || *out < min || *out > max) {
        call_error(call, 400, TYPE_INVALID, NULL, name, "%s must be a number from %lld to %lld",
                   name, (long long)min, (long long)max);
        return false;
    }
    return true;
}

/* Copies the field; false after replying when it is none of the words in `allowed`. */
static bool word_field(struct call *call, const json_t *json, const char *name,
                       const char *standard, const char *allowed, char *out, size_t size)
{
    char text[512], around[520], words[256];

    field(call, json, name, standard, text);
    snprintf(around, sizeof(around), " %s ", text);
    snprintf(words, sizeof(words), " %s ", allowed);
    if (text[0] == '\0' || strstr(words, around) == NULL || strlen(text) >= size) {
        call_error(call, 400, TYPE_INVALID, NULL, name, "%s must be one of: %s", name, allowed);
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool names_known(struct call *call, json_t *json)
{
    static const char *const known[] = {"on",   "method", "kind",  "delay_ms", "status",
                                        "code", "count",  "match", NULL};
    const char *name;
    json_t *value;

    if (json == NULL) {
        return call_known(call, &call->form, known);
    }
    json_object_foreach (json, name, value) {
        size_t i = 0;

        while (known[i] != NULL && strcmp(known[i], name) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            call_error(call, 400, TYPE_INVALID, "parameter_unknown", name,
                       "Received unknown parameter: %.100s", name);
            return false;
        }
    }
    return true;
}

static bool fault_read(struct call *call, json_t *json, struct fault *fault)
{
    char kind[20], code[512];

    memset(fault, 0, sizeof(*fault));
    if (!names_known(call, json) ||
        !word_field(call, json, "kind", "",
                    "delay delay_after drop_before drop_after status status_after decline", kind,
                    sizeof(kind)) ||
        !word_field(call, json, "on", "all", "payment_intents refunds payment_methods all",
                    fault->on, sizeof(fault->on)) ||
        !word_field(call, json, "method", "POST", "POST GET any", fault->method,
                    sizeof(fault->method)) ||
        !number_field(call, json, "delay_ms", "0", 0, DELAY_MS_MAX, &fault->delay_ms) ||
        !number_field(call, json, "status", "500", 400, 599, &fault->status) ||
        !number_field(call, json, "count", "0", 0, 1000000000, &fault->count)) {
        return false;
    }
    for (int i = FAULT_DELAY; i <= FAULT_DECLINE; i++) {
        if (strcmp(kinds[i], kind) == 0) {
            fault->kind = (enum fault_kind)i;
        }
    }
    fault->decline = decline_find(field(call, json, "code", "generic_decline", code));
    if (fault->decline == NULL) {
        call_error(call, 400, TYPE_INVALID, NULL, "code", "code must be a decline code");
        return false;
    }
    field(call, json, "match", "", fault->match);
    return true;
}

static void faults_render(struct call *call, const struct faults *faults)
{
    struct writer *w = &call->reply;

    call->status = 200;
    writer_raw(w, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->item[i];

        writer_raw(w, i > 0 ? ",{\"kind\":" : "{\"kind\":");
        writer_text(w, kinds[fault->kind]);
        writer_put_text(w, "on", fault->on);
        writer_put_text(w, "method", fault->method);
        writer_put_text(w, "match", fault->match);
        writer_put_text(w, "code", fault->decline->name);
        writer_put_int(w, "delay_ms", fault->delay_ms);
        writer_put_int(w, "status", fault->status);
        writer_put_int(w, "count", fault->count);
        writer_put_int(w, "hits", fault->hits);
        writer_raw(w, "}");
    }
    writer_raw(w, "]}\n");
}

static void faults_add(struct call *call, struct faults *faults)
{
    json_t *json = NULL;
    struct fault fault;

    if (call->form_json) {
        json = json_parse(call->body, call->body_len);
        if (!json_is_object(json)) {
            json_decref(json);
            call_error(call, 400, TYPE_INVALID, NULL, NULL, "The body is not a JSON object.");
            return;
        }
    }
    if (!fault_read(call, json, &fault)) {
        json_decref(json);
        return;
    }
    json_decref(json);
    if (faults->count == FAULTS_MAX) {
        call_error(call, 400, TYPE_INVALID, NULL, NULL, "There are %d faults already.", FAULTS_MAX);
        return;
    }
    faults->item[faults->count++] = fault;
    log_info("fault set: %s on %s, count %lld", kinds[fault.kind], fault.on,
             (long long)fault.count);
    faults_render(call, faults);
}

void faults_handle(struct call *call, struct faults *faults)
{
    if (strcmp(call->method, "POST") == 0) {
        faults_add(call, faults);
    } else if (strcmp(call->method, "DELETE") == 0) {
        faults->count = 0;
        faults_render(call, faults);
    } else {
        faults_render(call, faults);
    }
}

static bool fault_for(const struct fault *fault, const struct call *call)
{
    size_t len;

    if (fault->count > 0 && fault->hits >= fault->count) {
        return false;
    }
    if (strcmp(fault->method, "any") != 0 && strcmp(fault->method, call->method) != 0) {
        return false;
    }
    if (strcmp(fault->on, "all") != 0 &&
        strncmp(call->path + strlen("/v1/"), fault->on, strlen(fault->on)) != 0) {
        return false;
    }
    for (size_t i = 0; fault->match[0] != '\0' && i < call->form.count; i++) {
        if (params_key(&call->form.item[i], "metadata", &len) != NULL &&
            strcmp(call->form.item[i].value, fault->match) == 0) {
            return true;
        }
    }
    return fault->match[0] == '\0';
}

struct fault faults_take(struct faults *faults, const struct call *call)
{
    for (size_t i = 0; i < faults->count; i++) {
        if (fault_for(&faults->item[i], call)) {
            faults->item[i].hits++;
            return faults->item[i];
        }
    }
    return (struct fault){.kind = FAULT_NONE};
}

void fault_reply(struct call *call, int64_t status)
{
    if (status == 429) {
        call_error(call, 429, TYPE_INVALID, "rate_limit", NULL,
                   "Testing rate limit exceeded. You can learn more about rate limits here "
                   "https://stripe.com/docs/rate-limits.");
    } else if (status == 409) {
        call_error(call, 409, TYPE_INVALID, "lock_timeout", NULL,
                   "This object cannot be accessed right now because another API request or "
                   "Stripe process is currently accessing it. If you see this error "
                   "intermittently, retry the request.");
    } else if (status >= 500) {
        call_error(call, (int)status, TYPE_API, NULL, NULL,
                   "An unknown error occurred (a fault that was asked for).");
    } else {
        call_error(call, (int)status, TYPE_INVALID, NULL, NULL,
                   "The request was refused (a fault that was asked for).");
    }
}
