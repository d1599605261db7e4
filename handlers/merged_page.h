/* A page of a list that is in several cells. Each cell is asked for a page behind the same place;
 * the rows are put in one order, which ends where that of a cell ends whose list goes on: what the
 * cell has behind it is not known yet. A cell that is away is named in the answer; when all are,
 * that is the answer. */
#ifndef RUNTREE_HANDLERS_MERGED_PAGE_H
#define RUNTREE_HANDLERS_MERGED_PAGE_H

#include "handlers/page.h"
#include "server/app.h"

struct merged_row {
    struct page_row place;
    int64_t shown_us; /* of a run */
    int64_t runs;     /* of a project and domain: added up over the cells */
    const char *parts[3];
    const char *text; /* what is written, if it is listed; NULL: from the rest */
};

struct merged_list {
    const char *things;
    /* Negative: `a` comes before `b`; 0: they are the same in two cells. */
    int (*compare)(const struct merged_row *a, const struct merged_row *b);
    void (*write)(struct buffer *out, const struct merged_row *row);
    void (*write_cursor)(struct buffer *out, const struct merged_row *row);
};

/* What is read of one cell. */
struct merged_part;

/* Asks the cell for its page: each row is given to merged_part_add with `part`, the end to
 * merged_part_end, whose `arg` is that. 0, or negative as the repo says. */
typedef int merged_read_fn(struct action_repo *repo, const void *query, struct merged_part *part);

/* Reads a page of at most `limit` rows and answers, or hands it to `taker` (may be NULL). `query`
 * is for `read`, during the call. */
void merged_page_read(const struct app *app, struct http_request *request,
                      const struct merged_list *list, merged_read_fn *read, const void *query,
                      int32_t limit, const struct page_taker *taker);

/* For each row in the order of the list; all that it points at is copied. */
void merged_part_add(struct merged_part *part, const struct merged_row *row);
void merged_part_end(void *arg, enum repo_outcome outcome, const char *message);

#endif
