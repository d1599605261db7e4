/* The tools' adapters, one a file. */
#ifndef RUNTREE_ADAPTERS_TOOLS_H
#define RUNTREE_ADAPTERS_TOOLS_H

#include "adapters/adapter.h"

/* CloudEvents 1.0 that carry events of the contract. */
adapter_fn adapt_cloudevents;

/* GitHub's webhooks of workflows. */
adapter_fn adapt_github;

/* Nextflow's weblog. */
adapter_fn adapt_nextflow;

/* OpenLineage's run events. */
adapter_fn adapt_openlineage;

/* Ray's event export. */
adapter_fn adapt_ray;

/* Snakemake, to a panoptes server. */
adapter_fn adapt_snakemake;

#endif
