#include "adapters/table.h"

#include <string.h>

#include "adapters/tools.h"

static const char *const cloudevents_headers[] = {"Content-Type", "ce-specversion", "ce-time",
                                                  NULL};

const struct adapter_tool adapter_tools[] = {
    {"cloudevents", adapt_cloudevents, cloudevents_headers},
    {"nextflow", adapt_nextflow, NULL},
    {"openlineage", adapt_openlineage, NULL},
    {0},
};

const struct adapter_tool *adapter_find(const char *name)
{
    for (const struct adapter_tool *tool = adapter_tools; tool->name; tool++)
        if (strcmp(tool->name, name) == 0)
            return tool;
    return NULL;
}
