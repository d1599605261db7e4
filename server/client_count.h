/* How many of something each client has. */
#ifndef RUNTREE_SERVER_CLIENT_COUNT_H
#define RUNTREE_SERVER_CLIENT_COUNT_H

#include <stddef.h>

/* A client that has at least one; a table of them is a pointer, NULL while it is empty. */
struct client_count;

/* One more for the client (any text): what client_count_leave takes, NULL when out of memory. */
struct client_count *client_count_join(struct client_count **table, const char *client);

/* One less; NULL is fine. */
void client_count_leave(struct client_count **table, struct client_count *count);

size_t client_count_of(struct client_count *table, const char *client);

#endif
