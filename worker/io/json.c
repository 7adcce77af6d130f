/* JSON values: strict parsing and the few accessors that the worker needs, over jansson. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

json_t *json_parse(const char *text, size_t len)
{
    json_error_t error;

    return json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
}

char *json_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text == NULL)
        fatal("a JSON value could not be written");
    return text;
}

const char *json_get_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool json_get_int(const json_t *object, const char *key, int64_t *out)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        return false;
    *out = json_integer_value(value);
    return true;
}

bool json_get_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void put_new(json_t *object, const char *key, json_t *value)
{
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        fatal("JSON member \"%s\" could not be set", key);
}

void json_put_text(json_t *object, const char *key, const char *text)
{
    put_new(object, key, text == NULL ? json_null() : json_string(text));
}

void json_put_int(json_t *object, const char *key, int64_t value)
{
    put_new(object, key, json_integer(value));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
    put_new(object, key, json_boolean(value));
}
