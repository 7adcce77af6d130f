/* Owns delivering events to the merchant's endpoint; knows nothing of what is in them. */
#include "webhooks.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/mem.h"
#include "../core/encoding.h"
#include "../io/http.h"
#include "line.h"

#define LOG_AREA "webhooks"
#include "../base/log.h"

static const int64_t delays_ms[] = {1000, 5000, 30000, 120000, 600000, 3600000};

/* An event that failed and waits for its next try. */
struct retry {
    size_t number;
    int64_t at_ms; /* monotonic */
    int tries;
};

struct webhooks {
    struct loop *loop;
    struct http *http;
    struct events *events;
    const char *url, *secret;
    struct loop_timer *timer;
    size_t next; /* events before it were tried at least once */
    size_t running;
    struct retry *waiting;
    size_t waiting_count, waiting_size;
    bool closing;
};

struct delivery {
    struct webhooks *webhooks;
    size_t number;
    int tries;
};

void webhook_signature(const char *secret, int64_t at_seconds, const char *body, size_t len,
                       char out[WEBHOOK_SIGNATURE_SIZE])
{
    char *signed_text = mem_alloc(len + 32), hex[65] = "";
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    int head = snprintf(signed_text, 32, "%lld.", (long long)at_seconds);

    memcpy(signed_text + head, body, len);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)signed_text,
         (size_t)head + len, mac, &mac_len);
    hex_format(mac, 32, hex);
    snprintf(out, WEBHOOK_SIGNATURE_SIZE, "t=%lld,v1=%.64s", (long long)at_seconds, hex);
    free(signed_text);
}

static bool event_expired(const struct webhooks *webhooks, size_t number)
{
    return clock_wall_ms() - webhooks->events->items[number].change->at_ms > WEBHOOK_KEPT_MS;
}

static void retry_later(struct webhooks *webhooks, size_t number, int tries)
{
    size_t last = sizeof(delays_ms) / sizeof(delays_ms[0]) - 1;
    int64_t delay_ms = delays_ms[(size_t)tries - 1 < last ? (size_t)tries - 1 : last];

    if (webhooks->waiting_count == WEBHOOK_WAITING_MAX || event_expired(webhooks, number)) {
        log_error("event %zu is given up after %d tries", number + 1, tries);
        return;
    }
    if (webhooks->waiting_count == webhooks->waiting_size) {
        webhooks->waiting_size = webhooks->waiting_size == 0 ? 64 : webhooks->waiting_size * 2;
        webhooks->waiting =
            mem_realloc(webhooks->waiting, webhooks->waiting_size * sizeof(webhooks->waiting[0]));
    }
    webhooks->waiting[webhooks->waiting_count++] =
        (struct retry){number, clock_monotonic_ms() + delay_ms, tries};
}

static void on_reply(void *ctx, const struct http_reply *reply)
{
    struct delivery *delivery = ctx;
    struct webhooks *webhooks = delivery->webhooks;
    struct store *store = webhooks->events->store;

    webhooks->running--;
    if (reply->outcome == HTTP_REPLIED && reply->status >= 200 && reply->status < 300) {
        store_delivered(store, delivery->number);
    } else if (!webhooks->closing) {
        log_warn("event %zu: %s %d", delivery->number + 1,
                 reply->outcome == HTTP_REPLIED ? "status" : "no reply", reply->status);
        retry_later(webhooks, delivery->number, delivery->tries);
    }
    free(delivery);
    if (!webhooks->closing) {
        webhooks_wake(webhooks);
    }
}

static void deliver(struct webhooks *webhooks, size_t number, int tries)
{
    struct delivery *delivery = mem_alloc(sizeof(*delivery));
    char signature[WEBHOOK_SIGNATURE_SIZE] = "", *signed_header;
    struct writer body = {0};
    const char *headers[3] = {"Content-Type: application/json; charset=utf-8", NULL, NULL};

    *delivery = (struct delivery){webhooks, number, tries};
    event_render(&body, webhooks->events, number);
    if (webhooks->secret != NULL) {
        webhook_signature(webhooks->secret, clock_wall_ms() / 1000, body.data, body.len, signature);
    }
    signed_header = mem_printf("Stripe-Signature: %s", signature);
    headers[1] = webhooks->secret != NULL ? signed_header : NULL;
    webhooks->running++;
    http_send(webhooks->http,
              &(struct http_request){.method = "POST",
                                     .url = webhooks->url,
                                     .body = body.data,
                                     .headers = headers,
                                     .timeout_ms = WEBHOOK_TIMEOUT_MS},
              on_reply, delivery);
    free(signed_header);
    writer_free(&body);
}

/* The number of a waiting event whose time has come, removed from the list. */
static bool retry_take(struct webhooks *webhooks, struct retry *out)
{
    int64_t now_ms = clock_monotonic_ms();

    for (size_t i = 0; i < webhooks->waiting_count; i++) {
        if (webhooks->waiting[i].at_ms <= now_ms) {
            *out = webhooks->waiting[i];
            webhooks->waiting[i] = webhooks->waiting[--webhooks->waiting_count];
            return true;
        }
    }
    return false;
}

static void timer_arm(struct webhooks *webhooks)
{
    int64_t earliest_ms = INT64_MAX, now_ms = clock_monotonic_ms();

    for (size_t i = 0; i < webhooks->waiting_count; i++) {
        if (webhooks->waiting[i].at_ms < earliest_ms) {
            earliest_ms = webhooks->waiting[i].at_ms;
        }
    }
    if (earliest_ms != INT64_MAX) {
        loop_timer_arm(webhooks->timer, earliest_ms > now_ms ? earliest_ms - now_ms : 0);
    }
}

/* Starts what may start. Runs from a timer, when the events' changes are already on disk. */
static void on_timer(void *ctx)
{
    struct webhooks *webhooks = ctx;
    struct retry retry;

    while (webhooks->running < WEBHOOK_RUNNING_MAX) {
        if (retry_take(webhooks, &retry)) {
            deliver(webhooks, retry.number, retry.tries + 1);
        } else if (webhooks->next < webhooks->events->count) {
            size_t number = webhooks->next++;

            if (!store_was_delivered(webhooks->events->store, number) &&
                !event_expired(webhooks, number)) {
                deliver(webhooks, number, 1);
            }
        } else {
            break;
        }
    }
    if (webhooks->running < WEBHOOK_RUNNING_MAX) {
        timer_arm(webhooks);
    }
}

void webhooks_wake(struct webhooks *webhooks)
{
    loop_timer_arm(webhooks->timer, 0);
}

struct webhooks *webhooks_new(struct loop *loop, struct events *events, const char *url,
                              const char *secret)
{
    struct webhooks *webhooks = mem_alloc(sizeof(*webhooks));

    webhooks->loop = loop;
    webhooks->events = events;
    webhooks->url = url;
    webhooks->secret = secret;
    webhooks->http = http_new(loop, WEBHOOK_RUNNING_MAX);
    webhooks->timer = loop_timer_new(loop, on_timer, webhooks);
    webhooks_wake(webhooks);
    return webhooks;
}

void webhooks_free(struct webhooks *webhooks)
{
    if (webhooks == NULL) {
        return;
    }
    webhooks->closing = true;
    http_free(webhooks->http);
    loop_timer_free(webhooks->timer);
    free(webhooks->waiting);
    free(webhooks);
}
