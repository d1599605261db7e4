#include "sql/pg_conninfo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    CONNECT_TIMEOUT_DEFAULT_MS = 5000,
    WAIT_STEP_MS = 100,
    PARAMETERS_MAX = 96, /* libpq 15 knows 40 */
};

struct host {
    char *name;    /* a name, an address or the path of a socket's folder; "" is libpq's default */
    char *address; /* hostaddr; "" if not given */
    char *port;
};

struct pg_conninfo {
    PQconninfoOption *given;
    PQconninfoOption *defaults; /* the environment's, then libpq's own */
    size_t host_count;
    struct host hosts[PG_CONNINFO_HOSTS_MAX];
};

/* Used where the connection string does not say otherwise. */
static const char *const our_defaults[][2] = {
    {"keepalives", "1"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "10000"},
    /* Its negotiation asks a Kerberos server, and waits for it. */
    {"gssencmode", "disable"},
};

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val;
        }
    }
    return NULL;
}

static const char *value_of(const struct pg_conninfo *info, const char *keyword)
{
    const char *value = option_value(info->given, keyword);
    if (value == NULL) {
        value = option_value(info->defaults, keyword);
    }
    return value != NULL ? value : "";
}

/* 0 for an empty list; an empty item counts, as in libpq. */
static size_t count_items(const char *list)
{
    size_t count = *list != '\0';
    for (; *list != '\0'; list++) {
        count += *list == ',';
    }
    return count;
}

/* A copy of the item; "" past the end of the list. NULL when out of memory. */
static char *copy_item(const char *list, size_t item)
{
    for (; item > 0 && *list != '\0'; item--) {
        list = strchrnul(list, ',');
        list += *list == ',';
    }
    return strndup(list, (size_t)(strchrnul(list, ',') - list));
}

/* libpq would find it out only at the connect; an empty port is the default. */
static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits <= 5 && text[digits] == '\0' && strtol(text, NULL, 10) <= 65535;
}

/* 0; -1 with the reason in `why`. */
static int split_hosts(struct pg_conninfo *info, char why[PG_CONNINFO_WHY_SIZE])
{
    const char *names = value_of(info, "host");
    const char *addresses = value_of(info, "hostaddr");
    const char *ports = value_of(info, "port");
    size_t name_count = count_items(names);
    size_t address_count = count_items(addresses);
    size_t port_count = count_items(ports);

    info->host_count = address_count > 0 ? address_count : name_count;
    if (info->host_count == 0) {
        info->host_count = 1;
    }
    if (info->host_count > PG_CONNINFO_HOSTS_MAX) {
        snprintf(why, PG_CONNINFO_WHY_SIZE, "the database URL names more than %d hosts",
                 PG_CONNINFO_HOSTS_MAX);
        return -1;
    }
    if ((address_count > 0 && name_count > 0 && name_count != address_count) ||
        (port_count > 1 && port_count != info->host_count)) {
        snprintf(why, PG_CONNINFO_WHY_SIZE,
                 "the database URL names %zu hosts, %zu addresses and %zu ports", name_count,
                 address_count, port_count);
        return -1;
    }
    for (size_t i = 0; i < info->host_count; i++) {
        struct host *host = &info->hosts[i];
        host->name = copy_item(names, i);
        host->address = copy_item(addresses, i);
        host->port = copy_item(ports, port_count > 1 ? i : 0);
        if (host->name == NULL || host->address == NULL || host->port == NULL) {
            snprintf(why, PG_CONNINFO_WHY_SIZE, "out of memory");
            return -1;
        }
        if (!is_port(host->port)) {
            snprintf(why, PG_CONNINFO_WHY_SIZE, "the database URL has a port that is no number");
            return -1;
        }
    }
    return 0;
}

struct pg_conninfo *pg_conninfo_parse(const char *url, char why[PG_CONNINFO_WHY_SIZE])
{
    struct pg_conninfo *info = calloc(1, sizeof *info);
    if (info == NULL) {
        goto no_memory;
    }
    char *complaint = NULL;
    info->given = PQconninfoParse(url, &complaint);
    if (info->given == NULL) {
        bool is_memory = complaint == NULL;
        PQfreemem(complaint);
        if (is_memory) {
            goto no_memory;
        }
        snprintf(why, PG_CONNINFO_WHY_SIZE,
                 "the database URL is not a PostgreSQL connection string");
        goto failed;
    }
    info->defaults = PQconndefaults();
    if (info->defaults == NULL) {
        goto no_memory;
    }
    if (split_hosts(info, why) == 0) {
        return info;
    }
    goto failed;

no_memory:
    snprintf(why, PG_CONNINFO_WHY_SIZE, "out of memory");
failed:
    pg_conninfo_free(info);
    return NULL;
}

void pg_conninfo_free(struct pg_conninfo *info)
{
    if (info == NULL) {
        return;
    }
    for (size_t i = 0; i < PG_CONNINFO_HOSTS_MAX; i++) {
        free(info->hosts[i].name);
        free(info->hosts[i].address);
        free(info->hosts[i].port);
    }
    PQconninfoFree(info->given);
    PQconninfoFree(info->defaults);
    free(info);
}

size_t pg_conninfo_host_count(const struct pg_conninfo *info)
{
    return info->host_count;
}

const char *pg_conninfo_host(const struct pg_conninfo *info, size_t host)
{
    const struct host *at = &info->hosts[host];
    if (at->name[0] != '\0') {
        return at->name;
    }
    return at->address[0] != '\0' ? at->address : "the local socket";
}

const char *pg_conninfo_name_to_look_up(const struct pg_conninfo *info, size_t host)
{
    const char *name = info->hosts[host].name;
    struct in6_addr address;

    if (info->hosts[host].address[0] != '\0' || name[0] == '\0') {
        return NULL;
    }
    if (name[0] == '/' || name[0] == '@') {
        return NULL;
    }
    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1) {
        return NULL;
    }
    return name;
}

uint64_t pg_conninfo_connect_timeout_ms(const struct pg_conninfo *info)
{
    const char *text = value_of(info, "connect_timeout");
    if (text[0] == '\0') {
        return CONNECT_TIMEOUT_DEFAULT_MS;
    }
    long seconds = strtol(text, NULL, 10);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

struct parameters {
    const char *keywords[PARAMETERS_MAX + 1];
    const char *values[PARAMETERS_MAX + 1];
    size_t count;
};

static void put_parameter(struct parameters *parameters, const char *keyword, const char *value)
{
    if (parameters->count < PARAMETERS_MAX) {
        parameters->keywords[parameters->count] = keyword;
        parameters->values[parameters->count] = value;
        parameters->count++;
    }
}

/* What holds for every host; of a keyword that comes twice libpq takes the last. */
static void put_common(struct parameters *parameters, const struct pg_conninfo *info,
                       const char *application_name)
{
    put_parameter(parameters, "application_name", application_name);
    for (size_t i = 0; i < sizeof our_defaults / sizeof our_defaults[0]; i++) {
        put_parameter(parameters, our_defaults[i][0], our_defaults[i][1]);
    }
    /* Of several hosts only the one that can be written to is of use; libpq's own default is "any".
     */
    if (info->host_count > 1 && strcmp(value_of(info, "target_session_attrs"), "any") == 0) {
        put_parameter(parameters, "target_session_attrs", "read-write");
    }
    for (const PQconninfoOption *option = info->given; option->keyword != NULL; option++) {
        if (option->val != NULL) {
            put_parameter(parameters, option->keyword, option->val);
        }
    }
    put_parameter(parameters, "client_encoding", "UTF8");
}

PGconn *pg_conninfo_connect(const struct pg_conninfo *info, size_t host, const char *address,
                            const char *application_name)
{
    struct parameters parameters = {.count = 0};

    put_common(&parameters, info, application_name);
    put_parameter(&parameters, "host", info->hosts[host].name);
    put_parameter(&parameters, "hostaddr", address != NULL ? address : info->hosts[host].address);
    put_parameter(&parameters, "port", info->hosts[host].port);
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

static void drop_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

/* Until `pg` is connected or has failed, or the time is over. */
static void wait_for_connect(PGconn *pg, uint64_t timeout_ms)
{
    uint64_t end_ns = timeout_ms > 0 ? uv_hrtime() + timeout_ms * 1000000 : UINT64_MAX;
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;

    while (wanted == PGRES_POLLING_READING || wanted == PGRES_POLLING_WRITING) {
        struct pollfd socket = {.fd = PQsocket(pg),
                                .events = wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN};
        if (uv_hrtime() >= end_ns) {
            return;
        }
        if (poll(&socket, 1, WAIT_STEP_MS) > 0) {
            wanted = PQconnectPoll(pg);
        }
    }
}

PGconn *pg_conninfo_connect_and_wait(const struct pg_conninfo *info, const char *application_name)
{
    PGconn *pg = NULL;
    for (size_t host = 0; host < info->host_count && PQstatus(pg) != CONNECTION_OK; host++) {
        PQfinish(pg);
        pg = pg_conninfo_connect(info, host, NULL, application_name);
        if (pg != NULL && PQstatus(pg) != CONNECTION_BAD) {
            PQsetNoticeReceiver(pg, drop_notice, NULL);
            wait_for_connect(pg, pg_conninfo_connect_timeout_ms(info));
        }
    }
    return pg;
}
