/* One action with its attempts, as a document. */
#ifndef RUNTREE_HANDLERS_ACTION_DOCUMENT_H
#define RUNTREE_HANDLERS_ACTION_DOCUMENT_H

#include "model/buffer.h"
#include "server/app.h"

/* What a reading came to. */
struct action_document {
    int status; /* 0: `text` is there; -ENOENT: no such action; -EIO: `outcome` and `message` say
                   why; else as for reply_unavailable */
    enum repo_outcome outcome;
    const char *message;
    struct buffer text; /* JSON, or what `shape` made of it; may be taken over */
};

/* Who reads it. */
struct action_document_reader {
    struct repo_client client;
    /* Makes something else of the text, from any thread; NULL: it stays JSON. */
    void (*shape)(void *arg, struct buffer *text);
    /* Called once. */
    void (*done)(void *arg, struct action_document *document);
    void *arg;
};

/* `run` and `name` are borrowed until `done`. 0, or a status as above, and `done` is not called. */
int action_document_read(struct cell *cell, const struct run_key *run, const char *name,
                         const struct action_document_reader *reader);

/* Answers for a document that is not there. */
void reply_action_document_failure(struct http_request *request,
                                   const struct action_document *document);

#endif
