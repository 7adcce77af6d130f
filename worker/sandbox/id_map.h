/* A hash table from text to objects, for look-ups by id. Keys and objects are borrowed. */
#ifndef PAYLINK_SANDBOX_ID_MAP_H
#define PAYLINK_SANDBOX_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

struct id_map_slot {
    uint64_t hash;
    const char *key; /* NULL: free */
    void *value;
};

struct id_map {
    struct id_map_slot *slots;
    size_t count, size; /* size is a power of two, or 0 */
};

void *id_map_get(const struct id_map *map, const char *key);
/* Replaces the value (and the borrowed key) of an equal key. */
void id_map_put(struct id_map *map, const char *key, void *value);
void id_map_free(struct id_map *map);

/* A growing list of borrowed pointers, in order of arrival. */
struct id_list {
    void **items;
    size_t count, size;
};

void id_list_add(struct id_list *list, void *item);
void id_list_free(struct id_list *list);

#endif
