import type { RunSummary } from "../api/types";
import { JsonView } from "../action/json_view";
import { formatCount, formatDuration, parseTime } from "../model/format";
import { ALL_RUNS, formatRoute } from "../model/route";
import { ExternalLink } from "../ui/external_link";
import { Icon } from "../ui/icons";

/** A run that goes on and of which nothing was heard for so long may be forgotten. */
const SILENT_MS = 10 * 60_000;

interface RunFactsProps {
  record: RunSummary;
  isLive: boolean;
  nowMs: number;
}

/** What there is to say of the run beside its tree; nothing for a run of which there is nothing. */
export function RunFacts({ record, isLive, nowMs }: RunFactsProps) {
  const silentMs = nowMs - parseTime(record.lastEventAt);
  const labels = Object.entries(record.labels ?? {});
  const links = record.links ?? [];
  const { waiting, abortRequested, params } = record;
  const isSilent = isLive && silentMs > SILENT_MS;
  if (!isSilent && waiting.count === 0 && !abortRequested && labels.length === 0)
    if (links.length === 0 && !params) return null;
  return (
    <section class="run-facts" aria-label="About the run">
      {abortRequested && (
        <p class="told">
          <Icon name="alert" />
          {`${abortRequested.by ?? "Somebody"} asked for its end`}
          {abortRequested.reason && `: ${abortRequested.reason}`}
        </p>
      )}
      {isSilent && (
        <p class="told">
          <Icon name="alert" />
          {`Nothing heard for ${formatDuration(silentMs)}`}
        </p>
      )}
      {waiting.count > 0 && (
        <p class="told">
          <Icon name="alert" />
          {waitingText(waiting)}
        </p>
      )}
      {links.map(({ name, url }) => (
        <ExternalLink key={url} title={name} address={url} />
      ))}
      {labels.map(([key, value]) => (
        <a
          key={key}
          class="tag label-tag"
          title={`All runs with ${key}: ${value}`}
          href={formatRoute({ ...ALL_RUNS, labels: [`${key}:${value}`] })}
        >
          {`${key}: ${value}`}
        </a>
      ))}
      {params && (
        <details>
          <summary>Parameters</summary>
          <JsonView value={params} />
        </details>
      )}
    </section>
  );
}

/** "2 actions wait for lost, 1 for gone"; more parents than are listed are told as such. */
export function waitingText({ count, for: parents }: RunSummary["waiting"]): string {
  const actions = count === 1 ? "1 action waits" : `${formatCount(count)} actions wait`;
  const [first, ...rest] = parents.map(
    ({ parent, count: many }) => [parent ?? "a parent that is not named", many] as const,
  );
  if (!first) return actions;
  const others = rest.slice(0, 2).map(([parent, many]) => `, ${formatCount(many)} for ${parent}`);
  const more = rest.length > 2 ? " and others" : "";
  const one = rest.length > 0 ? `, ${formatCount(first[1])} for ${first[0]}` : ` for ${first[0]}`;
  return `${actions}${one}${others.join("")}${more}`;
}
