#include "adapters/table.h"

#include <string.h>

#include "adapters/tools.h"

static const char *const cloudevents_headers[] = {"ce-specversion", "ce-time", NULL};

static const char *const github_headers[] = {"X-GitHub-Event", NULL};

const struct adapter_tool adapter_tools[] = {
    {"cloudevents", adapt_cloudevents, cloudevents_headers, false},
    {"github", adapt_github, github_headers, true},
    {"nextflow", adapt_nextflow, NULL, false},
    {"openlineage", adapt_openlineage, NULL, false},
    {"ray", adapt_ray, NULL, false},
    {"snakemake", adapt_snakemake, NULL, false},
    {0},
};

const struct adapter_tool *adapter_find(const char *name)
{
    for (const struct adapter_tool *tool = adapter_tools; tool->name; tool++)
        if (strcmp(tool->name, name) == 0)
            return tool;
    return NULL;
}
