/*
 * The worker's gateway client by itself, for gateway.test.mjs: calls as JSON lines on stdin, all at
 * once, results as JSON lines on stdout, in the order in which they come.
 *
 *   gateway_client URL KEY_FILE TIMEOUT_MS CONNECTIONS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../worker/base/log.h"
#include "../../worker/base/settings.h"
#include "../../worker/gateway/gateway.h"
#include "../../worker/io/json.h"

struct client {
    struct loop *loop;
    struct gateway *gateway;
    int running;
    bool inside; /* a call is being made: no result may come now */
};

struct asked {
    struct client *client;
    int number;
    int results;
};

static void print(json_t *line)
{
    char *text = json_text(line);

    puts(text);
    free(text);
    json_decref(line);
}

static void asked_end(struct asked *asked)
{
    struct client *client = asked->client;

    free(asked);
    if (--client->running == 0)
        loop_stop(client->loop);
}

static json_t *result_json(const struct asked *asked, const struct gateway_result *r)
{
    json_t *line = json_object();

    json_put_int(line, "n", asked->number);
    json_put_text(line, "outcome", gateway_outcome_name(r->outcome));
    json_put_text(line, "id", r->id);
    json_put_text(line, "charge", r->charge_id);
    json_put_int(line, "amount_minor", r->amount_minor);
    json_put_text(line, "currency", r->currency);
    json_put_text(line, "reason", r->reason);
    json_put_text(line, "action_url", r->action_url);
    json_put_text(line, "card_brand", r->card_brand);
    json_put_text(line, "card_last4", r->card_last4);
    json_put_text(line, "attempt", r->attempt);
    json_put_int(line, "retry_after_ms", r->retry_after_ms);
    json_put_int(line, "created_ms", r->created_ms);
    return line;
}

static void on_item(void *ctx, const struct gateway_result *result)
{
    struct asked *asked = ctx;

    if (asked->client->inside)
        fatal("a callback came from inside the call");
    asked->results++;
    print(result_json(asked, result));
}

static void on_result(void *ctx, const struct gateway_result *result)
{
    on_item(ctx, result);
    asked_end(ctx);
}

static void on_done(void *ctx, bool complete)
{
    struct asked *asked = ctx;
    json_t *line = json_object();

    json_put_int(line, "n", asked->number);
    json_put_bool(line, "complete", complete);
    json_put_int(line, "results", asked->results);
    print(line);
    asked_end(asked);
}

static void ask(struct client *client, const json_t *call, struct asked *asked)
{
    const char *name = json_get_text(call, "call"), *id = json_get_text(call, "id");
    int64_t amount_minor = 0, since_ms = 0;

    json_get_int(call, "amount_minor", &amount_minor);
    json_get_int(call, "since_ms", &since_ms);
    if (name == NULL)
        fatal("a line is no call");
    if (strcmp(name, "charge") == 0)
        gateway_charge(client->gateway,
                       &(struct gateway_charge){
                           .attempt = json_get_text(call, "attempt"),
                           .link = json_get_text(call, "link"),
                           .merchant = json_get_text(call, "merchant"),
                           .payment_method = json_get_text(call, "payment_method"),
                           .amount_minor = amount_minor,
                           .currency = json_get_text(call, "currency"),
                           .description = json_get_text(call, "description"),
                           .receipt_number = json_get_text(call, "receipt_number"),
                           .return_url = json_get_text(call, "return_url"),
                       },
                       on_result, asked);
    else if (strcmp(name, "retrieve") == 0)
        gateway_retrieve(client->gateway, id, on_result, asked);
    else if (strcmp(name, "cancel") == 0)
        gateway_cancel(client->gateway, id, on_result, asked);
    else if (strcmp(name, "refund") == 0)
        gateway_refund(client->gateway, id, amount_minor, json_get_text(call, "currency"),
                       json_get_text(call, "key"), on_result, asked);
    else if (strcmp(name, "list") == 0)
        gateway_list(client->gateway, since_ms, on_item, on_done, asked);
    else if (strcmp(name, "list_refunds") == 0)
        gateway_list_refunds(client->gateway, since_ms, on_item, on_done, asked);
    else
        fatal("there is no call %s", name);
}

static void on_stop(void *ctx)
{
    loop_stop(((struct client *)ctx)->loop);
}

int main(int argc, char **argv)
{
    struct client client = {0};
    struct error err;
    char *key = NULL, *line = NULL;
    size_t size = 0;
    ssize_t len;

    log_init("gateway_client", LOG_LEVEL_INFO);
    if (argc != 5 || secret_load(argv[2], &key, &err) != RESULT_OK)
        fatal("usage: gateway_client URL KEY_FILE TIMEOUT_MS CONNECTIONS");
    client.loop = loop_new();
    client.gateway = gateway_new(client.loop, &(struct gateway_options){
                                                  .url = argv[1],
                                                  .secret_key = key,
                                                  .timeout_ms = strtoll(argv[3], NULL, 10),
                                                  .connections = strtoll(argv[4], NULL, 10),
                                              });
    for (int n = 0; (len = getline(&line, &size, stdin)) > 0; n++) {
        struct asked *asked = calloc(1, sizeof(*asked));
        json_t *call = json_parse(line, (size_t)len);

        if (asked == NULL)
            fatal("out of memory");
        asked->client = &client;
        asked->number = n;
        client.running++;
        client.inside = true;
        ask(&client, call, asked);
        client.inside = false;
        json_decref(call);
    }
    free(line);
    if (client.running > 0)
        loop_run(client.loop, on_stop, &client);
    gateway_free(client.gateway);
    loop_free(client.loop);
    secret_free(key);
    return 0;
}
