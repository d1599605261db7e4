#include "server/client_count.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct client_count {
    UT_hash_handle hh;
    size_t count;
    char client[]; /* the hash key */
};

struct client_count *client_count_join(struct client_count **table, const char *client)
{
    size_t length = strlen(client);
    struct client_count *found;

    HASH_FIND(hh, *table, client, length, found);
    if (found == NULL) {
        found = calloc(1, sizeof *found + length + 1);
        if (found == NULL)
            return NULL;
        memcpy(found->client, client, length);
        HASH_ADD_KEYPTR(hh, *table, found->client, length, found);
    }
    found->count++;
    return found;
}

void client_count_leave(struct client_count **table, struct client_count *count)
{
    if (count == NULL || --count->count > 0)
        return;
    HASH_DEL(*table, count);
    free(count);
}

size_t client_count_of(struct client_count *table, const char *client)
{
    size_t length = strlen(client);
    struct client_count *found;

    HASH_FIND(hh, table, client, length, found);
    return found == NULL ? 0 : found->count;
}
