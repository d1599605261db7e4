import type { RefObject } from "preact";
import type { RunSummary } from "../api/types";
import {
  formatAge,
  formatCount,
  formatDate,
  formatDuration,
  formatTicking,
  parseTime,
} from "../model/format";
import { formatRoute, runRoute, type RunsRoute, type RunsSort } from "../model/route";
import { CutText } from "../ui/cut_text";
import { Icon, PhaseLabel } from "../ui/icons";
import { PhaseBar } from "../ui/phase_bar";
import type { VirtualRows } from "../ui/virtual_rows";
import { begunAt, keyOf, runElapsedMs } from "./runs_model";

/** In CSS pixels, as styles/runs.css has them. */
export const RUN_HEIGHTS = { rowHeight: 52, headingHeight: 32 };

const SILENT_MS = 10 * 60_000;

interface RunsTableProps {
  runs: readonly RunSummary[];
  rows: VirtualRows;
  table: RefObject<HTMLTableElement | null>;
  current: number;
  route: RunsRoute;
  nowMs: number;
  /** What is known of why failed runs failed, by the key of the run. */
  reason: (run: RunSummary) => string;
  onSort: (sort: RunsSort) => void;
  onLabel: (label: string) => void;
  onDelete: (run: RunSummary) => void;
}

export function RunsTable(props: RunsTableProps) {
  const { runs, rows, current, nowMs } = props;
  const first = rows.items[0]?.index ?? 0;
  const last = rows.items.at(-1)?.index ?? -1;
  const below = runs.length - 1 - last;
  return (
    <table ref={props.table} class="runs" aria-rowcount={runs.length + 1}>
      <thead>
        <tr aria-rowindex={1}>
          <SortHead {...props} sort="name" title="Run" />
          <SortHead {...props} sort="phase" title="Phase" class="col-phase" />
          <th scope="col" class="col-bar">
            Actions by phase
          </th>
          <SortHead {...props} sort="actions" title="Actions" class="number col-actions" />
          <SortHead {...props} sort="begun" title="Begun" class="number col-age" />
          <SortHead {...props} sort="duration" title="Duration" class="number" />
          <th scope="col" class="col-tools">
            <span class="visually-hidden">Tools</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {first > 0 && <Space rows={first} />}
        {rows.items.map(({ index }) => {
          const run = runs[index];
          return run ? (
            <RunRow
              key={keyOf(run)}
              {...props}
              run={run}
              index={index}
              isCurrent={index === current}
              nowMs={nowMs}
            />
          ) : null;
        })}
        {below > 0 && <Space rows={below} />}
      </tbody>
    </table>
  );
}

function Space({ rows }: { rows: number }) {
  return (
    <tr class="space" aria-hidden="true" style={{ height: `${rows * RUN_HEIGHTS.rowHeight}px` }} />
  );
}

interface SortHeadProps extends RunsTableProps {
  sort: RunsSort;
  title: string;
  class?: string;
}

function SortHead({ sort, title, class: className = "", route, onSort }: SortHeadProps) {
  const shown = route.sort || "begun";
  const isDescending = route.sort === "" || route.isDescending;
  const order = shown !== sort ? undefined : isDescending ? "descending" : ("ascending" as const);
  return (
    <th scope="col" class={className} aria-sort={order}>
      <button type="button" class="sort" onClick={() => onSort(sort)}>
        {title}
        {order && <span aria-hidden="true">{order === "descending" ? " ↓" : " ↑"}</span>}
      </button>
    </th>
  );
}

interface RunRowProps extends RunsTableProps {
  run: RunSummary;
  index: number;
  isCurrent: boolean;
}

function RunRow({ run, index, isCurrent, route, nowMs, reason, onLabel, onDelete }: RunRowProps) {
  const beganMs = parseTime(begunAt(run));
  const elapsed = runElapsedMs(run, nowMs);
  const why = reason(run);
  const where = `${run.project} / ${run.domain}`;
  const silentMs = nowMs - parseTime(run.lastEventAt);
  const isSilent = run.endedAt === null && silentMs > SILENT_MS;
  const silent = `silent for ${formatAge(silentMs).replace(" ago", "")}`;
  return (
    <tr
      class={isCurrent ? "current" : ""}
      data-run={index}
      aria-rowindex={index + 2}
      aria-current={isCurrent ? "true" : undefined}
    >
      <th scope="row">
        <a href={formatRoute(runRoute(run))} title={run.runName}>
          <CutText text={run.title ?? run.runName} mark={route.name} />
        </a>
        <span class="where">
          <CutText text={run.title ? `${where} / ${run.runName}` : where} />
          {why && <span class="row-error">{why}</span>}
          {Object.entries(run.labels ?? {}).map(([key, value]) => (
            <button
              key={key}
              type="button"
              class="tag label-tag"
              title={`Only runs with ${key}: ${value}`}
              onClick={() => onLabel(`${key}:${value}`)}
            >
              {`${key}: ${value}`}
            </button>
          ))}
        </span>
      </th>
      <td class="col-phase">
        {run.phase ? <PhaseLabel phase={run.phase} /> : <span class="fact">Waiting</span>}
        {isSilent && <span class="silent">{silent}</span>}
      </td>
      <td class="col-bar">
        <PhaseBar counts={run.phaseCounts} />
      </td>
      <td class="number col-actions">
        {formatCount(run.actionCount)}
        {run.waiting.count > 0 && (
          <span class="silent">{`+ ${formatCount(run.waiting.count)} waiting`}</span>
        )}
      </td>
      <td class="number col-age">
        <time dateTime={new Date(beganMs).toISOString()} title={formatDate(beganMs)}>
          {formatAge(nowMs - beganMs)}
        </time>
      </td>
      <td class="number">
        {run.endedAt === null ? formatTicking(elapsed) : formatDuration(elapsed)}
        <span class="narrow-age">{isSilent ? silent : formatAge(nowMs - beganMs)}</span>
      </td>
      <td class="col-tools">
        <button
          type="button"
          class="button quiet small"
          aria-label={`Delete ${run.runName}`}
          title="Delete this run"
          onClick={() => onDelete(run)}
        >
          <Icon name="trash" />
        </button>
      </td>
    </tr>
  );
}
