#include "cli/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/buffer.h"

enum {
    CONNECT_MS = 5000,
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    LINE_SIZE = 8192, /* of a URL or a header */
};

struct http_client {
    CURLM *multi;
    CURL *easy;
    char *url, *token;
    struct curl_slist *headers;
    struct buffer body;
    http_receive *receive; /* of a stream, else NULL */
    void *context;
    bool is_busy;
};

void http_answer_clear(struct http_answer *answer)
{
    free(answer->body);
    *answer = (struct http_answer){0};
}

struct http_client *http_client_new(const char *url, const char *token)
{
    struct http_client *client = calloc(1, sizeof *client);

    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return NULL;
    }
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    client->url = strdup(url);
    client->token = token == NULL ? NULL : strdup(token);
    if (client->multi == NULL || client->easy == NULL || client->url == NULL ||
        (token != NULL && client->token == NULL)) {
        http_client_free(client);
        return NULL;
    }
    while (client->url[0] != '\0' && client->url[strlen(client->url) - 1] == '/')
        client->url[strlen(client->url) - 1] = '\0';
    return client;
}

void http_client_cancel(struct http_client *client)
{
    if (client->is_busy)
        curl_multi_remove_handle(client->multi, client->easy);
    client->is_busy = false;
    curl_slist_free_all(client->headers);
    client->headers = NULL;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    http_client_cancel(client);
    curl_easy_cleanup(client->easy);
    curl_multi_cleanup(client->multi);
    buffer_free(&client->body);
    free(client->url);
    free(client->token);
    free(client);
    curl_global_cleanup();
}

static size_t take_bytes(char *bytes, size_t size, size_t count, void *context)
{
    struct http_client *client = context;
    size_t length = size * count;
    long status = 0;

    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    if (client->receive != NULL && status == 200)
        return client->receive(client->context, bytes, length) ? length : 0;
    if (client->body.length + length > ANSWER_BYTES_MAX)
        return 0;
    buffer_append(&client->body, bytes, length);
    return client->body.failed ? 0 : length;
}

static void add_header(struct http_client *client, const char *name, const char *value)
{
    char line[LINE_SIZE];
    struct curl_slist *more;

    if (snprintf(line, sizeof line, "%s: %s", name, value) >= (int)sizeof line)
        return;
    more = curl_slist_append(client->headers, line);
    if (more != NULL)
        client->headers = more;
}

/* What every request has. */
static int prepare(struct http_client *client, const char *path)
{
    CURL *easy = client->easy;
    char url[LINE_SIZE], bearer[LINE_SIZE];

    if (client->is_busy || snprintf(url, sizeof url, "%s%s", client->url, path) >= (int)sizeof url)
        return -1;
    buffer_free(&client->body);
    client->body = (struct buffer){0};
    client->receive = NULL;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "runtree");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, client);
    add_header(client, "Expect", ""); /* none: no 100-continue before a body */
    if (client->token != NULL && snprintf(bearer, sizeof bearer, "Bearer %s", client->token) > 0)
        add_header(client, "Authorization", bearer);
    return 0;
}

static int start(struct http_client *client)
{
    curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, client->headers);
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK) {
        http_client_cancel(client);
        return -1;
    }
    client->is_busy = true;
    return 0;
}

int http_client_start(struct http_client *client, const char *method, const char *path,
                      const char *body, int64_t timeout_ms)
{
    if (prepare(client, path) < 0)
        return -1;
    curl_easy_setopt(client->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    if (body != NULL) {
        add_header(client, "Content-Type", "application/json");
        curl_easy_setopt(client->easy, CURLOPT_COPYPOSTFIELDS, body);
    }
    return start(client);
}

int http_client_start_stream(struct http_client *client, const char *path,
                             const char *last_event_id, int64_t silence_ms, http_receive *receive,
                             void *context)
{
    if (prepare(client, path) < 0)
        return -1;
    client->receive = receive;
    client->context = context;
    add_header(client, "Accept", "text/event-stream");
    if (last_event_id != NULL)
        add_header(client, "Last-Event-ID", last_event_id);
    curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_TIME, (long)(silence_ms / 1000));
    return start(client);
}

bool http_client_is_busy(const struct http_client *client)
{
    return client->is_busy;
}

void http_client_wait(struct http_client *client, struct pollfd *fds, size_t count,
                      int64_t timeout_ms)
{
    struct curl_waitfd wait_for[HTTP_CLIENT_FDS_MAX];
    int ready, running;

    curl_multi_perform(client->multi, &running);
    if (client->is_busy && running == 0)
        timeout_ms = 0;
    for (size_t i = 0; i < count; i++)
        wait_for[i] = (struct curl_waitfd){
            .fd = fds[i].fd,
            .events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                              (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0)),
        };
    curl_multi_poll(client->multi, wait_for, (unsigned)count, (int)timeout_ms, &ready);
    if (count > 0)
        poll(fds, count, 0); /* libcurl does not tell of a descriptor that was hung up */
    curl_multi_perform(client->multi, &running);
}

bool http_client_take(struct http_client *client, struct http_answer *answer)
{
    CURLMsg *message;
    curl_off_t seconds = 0;
    long status = 0;
    int left;

    message = client->is_busy ? curl_multi_info_read(client->multi, &left) : NULL;
    if (message == NULL || message->msg != CURLMSG_DONE)
        return false;
    *answer = (struct http_answer){.retry_after_ms = -1};
    answer->timed_out = message->data.result == CURLE_OPERATION_TIMEDOUT;
    if (message->data.result == CURLE_OK || client->receive != NULL) {
        curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
        if (curl_easy_getinfo(client->easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK &&
            seconds > 0)
            answer->retry_after_ms = (int64_t)seconds * 1000;
    }
    buffer_append(&client->body, "", 1);
    if (!client->body.failed) {
        answer->status = (int)status;
        answer->length = client->body.length - 1;
        answer->body = client->body.bytes;
        client->body = (struct buffer){0};
    }
    http_client_cancel(client);
    return true;
}

void http_path_append(char *path, size_t size, const char *part)
{
    size_t length = strlen(path);
    char *encoded = curl_easy_escape(NULL, part, 0);

    if (encoded != NULL)
        snprintf(path + length, size - length, "/%s", encoded);
    curl_free(encoded);
}
