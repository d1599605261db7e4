import type { VirtualItem } from "@tanstack/virtual-core";
import { formatCount, formatDuration, formatTicking } from "../model/format";
import { PHASES_BY_URGENCY, phaseNumber, phaseTitle } from "../model/phase";
import { NONE, type TreeStore } from "../model/tree_store";
import { PhaseLabel } from "../ui/icons";
import { ROW_HEIGHT } from "./virtual_rows";

const BAR_PHASES = PHASES_BY_URGENCY.map((phase) => ({ phase, number: phaseNumber(phase) }));
/** Rows deeper than this are not indented any further; 1,000 levels would leave the screen. */
const INDENT_LEVELS_MAX = 24;
const INDENT_PX = 16;

interface TreeRowProps {
  tree: TreeStore;
  item: VirtualItem;
  isCurrent: boolean;
  isOpen: boolean;
  nowMs: number;
}

/** How long the action ran, or has been at it since its start or else its creation; NaN if it ended without
 *  having run. */
export function elapsedMs(tree: TreeStore, node: number, nowMs: number): number {
  const start = tree.startedAt[node]!;
  const end = tree.endedAt[node]!;
  if (!Number.isNaN(end)) return end - start;
  return nowMs - (Number.isNaN(start) ? tree.createdAt[node]! : start);
}

/** The action's name beside its label: without the parent's name before it, and nothing if that says no more. */
export function shortId(name: string, label: string, parentName: string): string {
  const hasPrefix =
    parentName !== "" &&
    name.startsWith(parentName) &&
    /^[._:-]/.test(name.slice(parentName.length));
  const id = hasPrefix ? name.slice(parentName.length + 1) : name;
  return id === label ? "" : id;
}

function DescendantsBar({ tree, node }: { tree: TreeStore; node: number }) {
  const present = BAR_PHASES.filter(({ number }) => tree.descendants(node, number) > 0);
  const text = present
    .map(
      ({ phase, number }) =>
        `${formatCount(tree.descendants(node, number))} ${phaseTitle(phase).toLowerCase()}`,
    )
    .join(", ");
  return (
    <span class="phase-bar" role="img" aria-label={text} title={text}>
      {present.map(({ phase, number }) => (
        <i
          key={phase}
          class={`fill-${phase}`}
          style={{ flexGrow: tree.descendants(node, number) }}
        />
      ))}
    </span>
  );
}

/** One row of the tree. Its clicks are handled by the grid, which finds the row by `data-row`. */
export function TreeRow({ tree, item, isCurrent, isOpen, nowMs }: TreeRowProps) {
  const node = tree.rows[item.index]!;
  const name = tree.name[node]!;
  const label = tree.label[node]!;
  const level = tree.level[node]!;
  const indent = Math.min(level - 1, INDENT_LEVELS_MAX) * INDENT_PX;
  const parent = tree.parent[node]!;
  const id = shortId(name, label, parent === NONE ? "" : tree.name[parent]!);
  const total = tree.descendantTotal(node);
  const hasChildren = tree.childCount[node]! > 0;
  const attempt = tree.attempt[node]!;
  const isLive = tree.isLive(node);
  const elapsed = elapsedMs(tree, node, nowMs);
  return (
    <div
      id={`row-${item.index}`}
      class={`row${isCurrent ? " current" : ""}${isOpen ? " open" : ""}`}
      role="row"
      aria-level={level}
      aria-setsize={parent === NONE ? tree.rootCount : tree.childCount[parent]!}
      aria-posinset={tree.position[node]!}
      aria-rowindex={item.index + 2}
      aria-selected={isCurrent}
      aria-expanded={hasChildren ? tree.isExpanded(node) : undefined}
      data-row={item.index}
      data-name={name}
      style={{ height: `${ROW_HEIGHT}px`, transform: `translateY(${item.start}px)` }}
    >
      <div
        class="cell cell-name"
        role="gridcell"
        style={{ paddingLeft: `${8 + indent}px`, backgroundSize: `${indent}px 100%` }}
      >
        <span class={`twisty${hasChildren ? "" : " none"}`} aria-hidden="true">
          {hasChildren && (
            <svg class="icon">
              <use href="#icon-chevron" />
            </svg>
          )}
        </span>
        <span class="label" title={tree.taskName[node] ?? name}>
          {label}
        </span>
        {tree.group[node] && <span class="tag">{tree.group[node]}</span>}
        {id && (
          <span class="id" title={name}>
            {id}
          </span>
        )}
      </div>
      <div class="cell cell-phase" role="gridcell">
        <PhaseLabel phase={tree.phaseName(node)} />
      </div>
      <div class="cell cell-attempt" role="gridcell">
        {attempt > 1 ? (
          <span class="retry" title={`Attempt ${attempt}`}>{`×${attempt}`}</span>
        ) : (
          <span class="first">1</span>
        )}
      </div>
      <div class="cell cell-duration" role="gridcell">
        {isLive ? formatTicking(elapsed) : formatDuration(elapsed)}
      </div>
      <div class="cell cell-descendants" role="gridcell">
        {total > 0 && (
          <>
            <DescendantsBar tree={tree} node={node} />
            <span class="count">{formatCount(total)}</span>
          </>
        )}
      </div>
    </div>
  );
}
