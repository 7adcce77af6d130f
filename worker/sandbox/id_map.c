/* Owns hashing and growth of the id table; knows nothing of the objects in it. */
#include "id_map.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"

#define ID_MAP_SIZE_MIN 1024

/* FNV-1a with a final mix; ids are random, idempotency keys come from our own callers. */
static uint64_t id_hash(const char *key)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *key != '\0'; key++) {
        hash = (hash ^ (uint8_t)*key) * UINT64_C(1099511628211);
    }
    return hash ^ hash >> 32;
}

static struct id_map_slot *slot_find(const struct id_map *map, uint64_t hash, const char *key)
{
    size_t at = hash & (map->size - 1);

    while (map->slots[at].key != NULL &&
           (map->slots[at].hash != hash || strcmp(map->slots[at].key, key) != 0)) {
        at = (at + 1) & (map->size - 1);
    }
    return &map->slots[at];
}

void *id_map_get(const struct id_map *map, const char *key)
{
    return map->size == 0 ? NULL : slot_find(map, id_hash(key), key)->value;
}

static void map_grow(struct id_map *map)
{
    struct id_map old = *map;

    map->size = old.size == 0 ? ID_MAP_SIZE_MIN : old.size * 2;
    map->slots = mem_alloc(map->size * sizeof(map->slots[0]));
    for (size_t i = 0; i < old.size; i++) {
        if (old.slots[i].key != NULL) {
            *slot_find(map, old.slots[i].hash, old.slots[i].key) = old.slots[i];
        }
    }
    free(old.slots);
}

void id_map_put(struct id_map *map, const char *key, void *value)
{
    uint64_t hash = id_hash(key);
    struct id_map_slot *slot;

    if (map->count * 2 >= map->size) {
        map_grow(map);
    }
    slot = slot_find(map, hash, key);
    map->count += slot->key == NULL;
    *slot = (struct id_map_slot){hash, key, value};
}

void id_map_free(struct id_map *map)
{
    free(map->slots);
    memset(map, 0, sizeof(*map));
}

void id_list_add(struct id_list *list, void *item)
{
    if (list->count == list->size) {
        list->size = list->size == 0 ? 256 : list->size * 2;
        list->items = mem_realloc(list->items, list->size * sizeof(list->items[0]));
    }
    list->items[list->count++] = item;
}

void id_list_free(struct id_list *list)
{
    free(list->items);
    memset(list, 0, sizeof(*list));
}
