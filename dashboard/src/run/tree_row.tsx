import type { VirtualItem } from "@tanstack/virtual-core";
import { formatCount, formatDuration, formatTicking } from "../model/format";
import { PHASES_BY_URGENCY, phaseNumber, phaseTitle } from "../model/phase";
import { causeLine } from "../model/failures";
import type { Outlier } from "../model/outliers";
import { groupFacts } from "../model/progress";
import { NONE, type TreeStore } from "../model/tree_store";
import { CutText, Marked } from "../ui/cut_text";
import { PhaseLabel } from "../ui/icons";
import type { Insight } from "./insight";
import { ROW_HEIGHT } from "../ui/virtual_rows";

const BAR_PHASES = PHASES_BY_URGENCY.map((phase) => ({ phase, number: phaseNumber(phase) }));

interface TreeRowProps {
  tree: TreeStore;
  item: VirtualItem;
  isCurrent: boolean;
  isOpen: boolean;
  nowMs: number;
  /** What is searched for. */
  mark: string;
  insight: Insight;
}

/** The action's name beside its label: without the parent's name and the label before it, and nothing if that says no
 *  more. */
export function shortId(name: string, label: string, parentName: string): string {
  const behindParent = behind(name, parentName);
  return behindParent === label ? "" : behind(behindParent, label);
}

function behind(name: string, prefix: string): string {
  const rest = name.slice(prefix.length);
  return prefix !== "" && name.startsWith(prefix) && /^[._:/ -]./.test(rest) ? rest.slice(1) : name;
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

function hasGroupAbove(tree: TreeStore, node: number): boolean {
  const above = tree.parent[node]!;
  return above !== NONE && tree.rowOf[above] !== NONE && tree.isGroup(above);
}

/** The group's path below the group whose row it is under: that of a group of one is left out. */
function groupLabel(tree: TreeStore, node: number): string {
  const path = tree.group[node]!;
  return hasGroupAbove(tree, node) ? path.slice(tree.group[tree.parent[node]!]!.length + 1) : path;
}

/** What is said of a group behind its name: how many of it are done, how long they take, and the slowest. */
function GroupFacts({ tree, node, nowMs }: { tree: TreeStore; node: number; nowMs: number }) {
  const { total, done, meanMs, slowestMs } = groupFacts(tree, node, nowMs);
  const times = done > 0 ? `mean ${formatDuration(meanMs)}, max ${formatDuration(slowestMs)}` : "";
  return (
    <span class="id group-facts">
      {done < total ? `${formatCount(done)} of ${formatCount(total)}` : formatCount(total)}
      {times && ` · ${times}`}
    </span>
  );
}

/** What the columns say that a phone has no room for. */
function NarrowFacts({ tree, node }: { tree: TreeStore; node: number }) {
  const attempt = tree.attempt[node]!;
  const below = tree.isGroup(node) ? 0 : tree.descendantTotal(node);
  return (
    <span class="narrow-facts" aria-hidden="true">
      {attempt > 1 && <span class="retry">{`×${attempt}`}</span>}
      {below > 0 && formatCount(below)}
    </span>
  );
}

function formatRatio(ratio: number): string {
  return ratio < 10 ? ratio.toFixed(1) : formatCount(Math.round(ratio));
}

function outlierText({ ratio, medianMs, count }: Outlier): string {
  const usual = `the median of ${formatCount(count)} like it, ${formatDuration(medianMs)}`;
  return `${formatRatio(ratio)} times ${usual}`;
}

/** One row of the tree. Its clicks are handled by the grid, which finds the row by `data-row`. */
export function TreeRow({ tree, item, isCurrent, isOpen, nowMs, mark, insight }: TreeRowProps) {
  const node = tree.rows[item.index]!;
  const name = tree.name[node]!;
  const label = tree.isGroup(node) ? groupLabel(tree, node) : tree.label[node]!;
  const level = tree.level[node]!;
  const isTree = tree.view.sort === null;
  const above = tree.parentAction(node) ?? "";
  const id = tree.isGroup(node) ? "" : shortId(name, label, isTree ? above : "");
  const isFolder = isTree && tree.childCount[node]! > 0;
  const isUnderGroup = isTree && hasGroupAbove(tree, node);
  const showsGroup = tree.group[node] !== null && !tree.isGroup(node) && !isUnderGroup;
  const attempt = tree.attempt[node]!;
  const elapsed = tree.elapsedMs(node, nowMs);
  const error = tree.hasFailed(node) ? causeLine(tree.error(node)?.message ?? "") : "";
  const outlier = insight.outlier(node);
  const isTagged = outlier && !error;
  const isCritical = insight.critical.has(node);
  return (
    <div
      id={`row-${item.index}`}
      class={`row${isCurrent ? " current" : ""}${isOpen ? " open" : ""}`}
      role="row"
      aria-level={level}
      aria-setsize={tree.siblings[node]!}
      aria-posinset={tree.position[node]!}
      aria-rowindex={item.index + 2}
      aria-selected={isCurrent}
      aria-expanded={isFolder ? tree.isExpanded(node) : undefined}
      data-row={item.index}
      data-name={name}
      style={{ height: `${ROW_HEIGHT}px`, transform: `translateY(${item.start}px)` }}
    >
      <div class="cell cell-name" role="gridcell" style={{ "--above": level - 1 }}>
        <span class={`twisty${isFolder ? "" : " none"}`} aria-hidden="true">
          {isFolder && (
            <svg class="icon">
              <use href="#icon-chevron" />
            </svg>
          )}
        </span>
        <CutText
          class={tree.isGroup(node) ? "label group-label" : "label"}
          text={label}
          title={tree.isGroup(node) ? tree.group[node]! : (tree.taskName[node] ?? name)}
          mark={mark}
        />
        {tree.isGroup(node) && <GroupFacts tree={tree} node={node} nowMs={nowMs} />}
        {id && <CutText class="id" text={id} title={name} mark={mark} />}
        {!isTree && !name.startsWith(above) && <CutText class="id" text={`in ${above}`} />}
        {showsGroup && <CutText class="tag" text={tree.group[node]!} mark={mark} />}
        <NarrowFacts tree={tree} node={node} />
        {isCritical && (
          <span class="tag critical" title="On the critical path">
            critical
          </span>
        )}
        {isTagged && (
          <span class="tag outlier" title={outlierText(outlier)}>
            <span class="roomy">{`${formatRatio(outlier.ratio)}× as long`}</span>
            <span class="narrow">slow</span>
          </span>
        )}
        {error && (
          <span class="row-error" title={error}>
            <Marked text={error} mark={mark} />
          </span>
        )}
      </div>
      <div class="cell cell-phase" role="gridcell">
        <PhaseLabel phase={tree.phaseName(node)} isAbandoned={tree.isAbandoned(node)} />
      </div>
      <div class="cell cell-attempt" role="gridcell">
        {attempt > 1 ? (
          <span class="retry" title={`Attempt ${attempt}`}>{`×${attempt}`}</span>
        ) : (
          <span class="first">1</span>
        )}
      </div>
      <div
        class={`cell cell-duration${outlier ? " outlier" : ""}`}
        role="gridcell"
        title={outlier ? outlierText(outlier) : undefined}
      >
        {tree.isLive(node) ? formatTicking(elapsed) : formatDuration(elapsed)}
      </div>
      <div class="cell cell-descendants" role="gridcell">
        {tree.descendantTotal(node) > 0 && (
          <>
            <DescendantsBar tree={tree} node={node} />
            <span class="count">{formatCount(tree.descendantTotal(node))}</span>
          </>
        )}
      </div>
    </div>
  );
}
