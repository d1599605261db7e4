#include "handlers/unmapped.h"

void count_unmapped(const struct app *app, const char *tool, enum unmapped_kind kind,
                    uint64_t count, const struct run_key *run, const char *detail)
{
    const char *kind_name = unmapped_kind_name(kind);

    if (count == 0)
        return;
    if (metrics_unmapped(app->shared->metrics, app->shared->metrics_count, tool, kind_name) == 0)
        log_write(app->shared->log, LOG_WARNING, "not mapped", "s:s, s:s, s:s, s:s, s:s", "tool",
                  tool, "kind", kind_name, "project", run->project, "domain", run->domain, "detail",
                  detail);
    metrics_add_unmapped(app->metrics, tool, kind_name, count);
}
