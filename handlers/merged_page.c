#include "handlers/merged_page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/arena.h"

struct merged_part {
    struct merged_page *merged;
    const struct cell *cell;
    struct merged_row *rows;
    size_t count, room;
    size_t next; /* which row of it comes next */
    bool is_missing;
};

struct merged_page {
    const struct merged_list *list;
    struct page_reply *page;
    int32_t limit;
    struct arena arena; /* of the rows' texts */
    bool failed;        /* out of memory */
    size_t under_way;   /* reads, and the call that begins them */
    int status;         /* of the last read that could not be begun */
    size_t part_count;
    struct merged_part parts[];
};

static void merged_free(struct merged_page *merged)
{
    for (size_t i = 0; i < merged->part_count; i++)
        free(merged->parts[i].rows);
    arena_free(&merged->arena);
    free(merged);
}

/* -------- gathering -------- */

static const char *keep(struct merged_page *merged, const char *text)
{
    const char *kept = text == NULL ? NULL : arena_copy(&merged->arena, text);

    merged->failed |= text != NULL && kept == NULL;
    return kept;
}

void merged_part_add(struct merged_part *part, const struct merged_row *row)
{
    struct merged_page *merged = part->merged;

    if (part->count == part->room) {
        size_t room = part->room == 0 ? 128 : part->room * 2;
        struct merged_row *rows = realloc(part->rows, room * sizeof *rows);

        if (rows == NULL) {
            merged->failed = true;
            return;
        }
        part->rows = rows;
        part->room = room;
    }
    struct merged_row *kept = &part->rows[part->count++];
    *kept = *row;
    for (size_t i = 0; i < sizeof kept->parts / sizeof *kept->parts; i++)
        kept->parts[i] = keep(merged, row->parts[i]);
    kept->text = keep(merged, row->text);
}

/* -------- merging -------- */

static struct merged_row *next_row(const struct merged_part *part)
{
    return !part->is_missing && part->next < part->count ? &part->rows[part->next] : NULL;
}

static struct merged_row *first_row(const struct merged_page *merged)
{
    struct merged_row *first = NULL;

    for (size_t i = 0; i < merged->part_count; i++) {
        struct merged_row *row = next_row(&merged->parts[i]);

        if (row != NULL && (first == NULL || merged->list->compare(row, first) < 0))
            first = row;
    }
    return first;
}

/* Goes behind the row in all cells that have it. Whether one of them has more than was read. */
static bool pass_row(struct merged_page *merged, struct merged_row *row)
{
    bool goes_on = false;

    for (size_t i = 0; i < merged->part_count; i++) {
        struct merged_part *part = &merged->parts[i];
        struct merged_row *same = next_row(part);

        if (same == NULL || merged->list->compare(same, row) != 0)
            continue;
        part->next++;
        goes_on |= part->next == part->count && same->place.goes_on;
        if (same != row)
            row->runs += same->runs;
    }
    return goes_on;
}

static bool is_full(const struct merged_page *merged)
{
    return merged->page->rows == merged->limit || merged->page->body.length >= REPO_PAGE_BYTES;
}

static void write_rows(struct merged_page *merged)
{
    struct page_reply *page = merged->page;
    struct merged_row *row, *last = NULL;
    bool goes_on = false;

    while (!goes_on && (row = first_row(merged)) != NULL) {
        goes_on = is_full(merged);
        if (goes_on)
            break;
        goes_on = pass_row(merged, row);
        if (page_add_row(page, row->place))
            merged->list->write(&page->body, row);
        last = row;
    }
    page->goes_on = goes_on;
    if (goes_on)
        merged->list->write_cursor(&page->next_cursor, last);
}

/* -------- ending -------- */

static void name_missing(const struct merged_page *merged)
{
    struct buffer *also = &merged->page->also;
    const char *before = ",\"unavailableCells\":[";

    for (size_t i = 0; i < merged->part_count; i++) {
        if (!merged->parts[i].is_missing)
            continue;
        buffer_text(also, before);
        buffer_string(also, merged->parts[i].cell->options.name);
        before = ",";
    }
    if (also->length > 0)
        buffer_text(also, "]");
}

static bool has_part(const struct merged_page *merged)
{
    for (size_t i = 0; i < merged->part_count; i++)
        if (!merged->parts[i].is_missing)
            return true;
    return false;
}

/* One read less is under way; the last answers. */
static void finish_one(struct merged_page *merged, enum repo_outcome outcome, const char *message)
{
    struct page_reply *page = merged->page;

    if (--merged->under_way > 0)
        return;
    if (merged->failed) {
        page_fail(page, -ENOMEM);
    } else if (has_part(merged)) {
        write_rows(merged);
        name_missing(merged);
        page_end(page, REPO_OK, NULL);
    } else if (outcome == REPO_OK) {
        page_fail(page, merged->status);
    } else {
        page_end(page, outcome, message);
    }
    merged_free(merged);
}

void merged_part_end(void *arg, enum repo_outcome outcome, const char *message)
{
    struct merged_part *part = arg;
    struct merged_page *merged = part->merged;

    part->is_missing = outcome != REPO_OK;
    if (outcome == REPO_REFUSED && merged->part_count > 1)
        log_write(http_request_app(merged->page->request)->shared->log, LOG_ERROR,
                  "the database refused a read", "s:s, s:s?", "cell", part->cell->options.name,
                  "why", message);
    finish_one(merged, outcome, message);
}

void merged_page_read(const struct app *app, struct http_request *request,
                      const struct merged_list *list, merged_read_fn *read, const void *query,
                      int32_t limit, const struct page_taker *taker)
{
    struct page_reply *page = page_begin(request, list->things, app->cell_count, taker);
    struct merged_page *merged;

    if (page == NULL)
        return;
    merged = calloc(1, sizeof *merged + app->cell_count * sizeof *merged->parts);
    if (merged == NULL) {
        page_fail(page, -ENOMEM);
        return;
    }
    *merged = (struct merged_page){.list = list,
                                   .page = page,
                                   .limit = limit,
                                   .part_count = app->cell_count,
                                   .under_way = app->cell_count + 1};
    for (size_t i = 0; i < merged->part_count; i++) {
        const struct cell *cell = app->cells[i];
        struct merged_part *part = &merged->parts[i];

        *part = (struct merged_part){.merged = merged, .cell = cell};
        int status = cell->has_database ? read(cell->repo, query, part) : -ENOTCONN;
        if (status == 0)
            continue;
        part->is_missing = true;
        merged->status = status;
        merged->under_way--;
    }
    finish_one(merged, REPO_OK, NULL);
}
