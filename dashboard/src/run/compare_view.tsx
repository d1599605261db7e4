import { useMemo, useRef, useState } from "preact/hooks";
import { CHANGES, compareTrees, type Change, type Compared } from "../model/compare";
import { formatCount, formatDate, formatDuration, parseTime } from "../model/format";
import { isGoodEndNumber, phaseTitle } from "../model/phase";
import { hasText } from "../model/search";
import type { RunRoute } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";
import { CutText } from "../ui/cut_text";
import { useSettled } from "../ui/hooks";
import { Icon, PhaseIcon } from "../ui/icons";
import { HEADING_HEIGHT, ROW_HEIGHT, useVirtualRows } from "../ui/virtual_rows";
import { PREVIOUS, type EarlierRun } from "./earlier_run";
import { shortId } from "./tree_row";
import type { Earlier } from "./use_insight";

const TITLES: Record<Change, string> = {
  failed: "Failed now",
  slower: "Slower",
  new: "New",
  gone: "Gone",
  faster: "Faster",
  same: "The same",
};

interface CompareViewProps extends Earlier {
  route: RunRoute;
  tree: TreeStore;
  nowMs: number;
  onChoose: (runName: string) => void;
  onOpen: (node: number) => void;
  onClose: () => void;
}

/** The run beside another one, action by action. */
export function CompareView(props: CompareViewProps) {
  const { earlier, match, tree, nowMs } = props;
  const [only, setOnly] = useState<Change | "">("");
  const all = useSettled(
    () => (earlier.tree ? compareTrees(tree, earlier.tree, match, nowMs) : []),
    [tree, earlier.tree, match],
    tree.version,
  );
  const counts = useMemo(() => {
    const found = new Map<Change, number>();
    for (const { change } of all) found.set(change, (found.get(change) ?? 0) + 1);
    return found;
  }, [all]);
  const { phases, hidesSucceeded, name } = props.route;
  const rows = useMemo(
    () =>
      all.filter(
        (row) => (only === "" || row.change === only) && isWanted(row, props, earlier.tree),
      ),
    [all, only, phases.join(), hidesSucceeded, name],
  );
  return (
    <section class="compare" aria-label="Comparison">
      <div class="compare-bar">
        <RunSelect {...props} />
        <div class="phase-filter" role="group" aria-label="What has changed">
          {CHANGES.filter((change) => counts.has(change)).map((change) => (
            <button
              key={change}
              type="button"
              class={`chip change-${change}`}
              aria-pressed={only === change}
              onClick={() => setOnly(only === change ? "" : change)}
            >
              {TITLES[change]}
              <span class="chip-count">{formatCount(counts.get(change)!)}</span>
            </button>
          ))}
        </div>
        <button
          type="button"
          class="button quiet"
          aria-label="Close the comparison"
          title="Close (v)"
          onClick={props.onClose}
        >
          <Icon name="close" />
        </button>
      </div>
      {earlier.tree ? (
        <CompareTable {...props} then={earlier.tree} rows={rows} />
      ) : (
        <div class="empty">
          <p role="status">{earlier.problem || "Loading the other run…"}</p>
        </div>
      )}
    </section>
  );
}

/** Whether the filters above the tree let the action through. */
function isWanted(
  row: Compared,
  { route, tree }: CompareViewProps,
  then: TreeStore | null,
): boolean {
  const [from, node] = row.now === NONE ? [then!, row.then] : [tree, row.now];
  const { phases, name } = route;
  if (phases.length > 0 && !phases.includes(from.phaseName(node))) return false;
  if (route.hidesSucceeded && row.now !== NONE && isGoodEndNumber(tree.phase[node]!)) return false;
  return name === "" || hasText(from, node, name.toLowerCase());
}

function RunSelect({ route, earlier, onChoose }: CompareViewProps) {
  const { runs, alike, name } = earlier;
  const like = runs.filter(({ runName }) => alike.has(runName));
  const rest = runs.filter(({ runName }) => !alike.has(runName));
  const chosen = name || route.compare;
  const isListed = runs.some(({ runName }) => runName === chosen);
  const options = (list: EarlierRun["runs"]) =>
    list.map((run) => (
      <option key={run.runName} value={run.runName}>
        {[
          run.title ?? run.runName,
          run.phase ? phaseTitle(run.phase) : "",
          formatDate(parseTime(run.createdAt ?? run.firstSeenAt)),
        ]
          .filter(Boolean)
          .join(" · ")}
      </option>
    ));
  return (
    <label class="compare-with">
      <span>With</span>
      <select
        class="select"
        aria-label="Compare with"
        value={chosen}
        onChange={({ currentTarget }) => onChoose(currentTarget.value)}
      >
        {!isListed && (
          <option value={chosen}>{chosen === PREVIOUS ? "the run before" : chosen}</option>
        )}
        {like.length > 0 && <optgroup label="The same task or title">{options(like)}</optgroup>}
        {rest.length > 0 && <optgroup label="Other runs">{options(rest)}</optgroup>}
      </select>
    </label>
  );
}

interface CompareTableProps extends CompareViewProps {
  then: TreeStore;
  rows: readonly Compared[];
}

function CompareTable({ tree, then, rows, earlier, route, onOpen }: CompareTableProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualRows(scroller, rows.length);
  const [current, setCurrent] = useState(0);
  const at = Math.min(current, rows.length - 1);
  const open = (row: Compared | undefined): void => {
    if (row && row.now !== NONE) onOpen(row.now);
  };
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      j: at + 1,
      ArrowUp: at - 1,
      k: at - 1,
      PageDown: at + virtual.pageSize,
      PageUp: at - virtual.pageSize,
      Home: 0,
      End: rows.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      const next = Math.max(0, Math.min(rows.length - 1, to));
      setCurrent(next);
      virtual.scrollToRow(next);
    } else if (event.key === "Enter") open(rows[at]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const click = (event: MouseEvent): void => {
    const row = (event.target as Element).closest<HTMLElement>("[data-compared]");
    if (!row) return;
    const index = Number(row.dataset["compared"]);
    setCurrent(index);
    open(rows[index]);
  };
  const isRendered = virtual.items.some(({ index }) => index === at);
  return (
    <div class="compare-area">
      <div
        ref={scroller}
        class="tree"
        role="grid"
        aria-label="Actions of both runs"
        aria-rowcount={rows.length + 1}
        aria-activedescendant={isRendered ? `compared-${at}` : undefined}
        tabIndex={0}
        onKeyDown={press}
        onClick={click}
      >
        <div class="heading" role="row" aria-rowindex={1} style={{ height: `${HEADING_HEIGHT}px` }}>
          <div class="compare-cells" role="presentation">
            <div class="cell" role="columnheader">
              Action
            </div>
            <div class="cell" role="columnheader">
              Change
            </div>
            <div class="cell number" role="columnheader" title={route.runName}>
              This run
            </div>
            <div class="cell number" role="columnheader" title={earlier.name}>
              Other run
            </div>
            <div class="cell number" role="columnheader">
              Difference
            </div>
          </div>
        </div>
        <div
          class="rows"
          role="rowgroup"
          style={{ height: `${virtual.totalHeight - HEADING_HEIGHT}px` }}
        >
          <div class="rows-origin" role="presentation" style={{ top: `${-HEADING_HEIGHT}px` }}>
            {virtual.items.map((item) => {
              const row = rows[item.index];
              return (
                row && (
                  <CompareRow
                    key={item.index}
                    index={item.index}
                    top={item.start}
                    row={row}
                    tree={tree}
                    then={then}
                    isCurrent={item.index === at}
                    isOpen={row.now !== NONE && tree.name[row.now] === route.action}
                  />
                )
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}

interface CompareRowProps {
  index: number;
  top: number;
  row: Compared;
  tree: TreeStore;
  then: TreeStore;
  isCurrent: boolean;
  isOpen: boolean;
}

function CompareRow({ index, top, row, tree, then, isCurrent, isOpen }: CompareRowProps) {
  const [from, node] = row.now === NONE ? [then, row.then] : [tree, row.now];
  const name = from.name[node]!;
  const label = from.label[node]!;
  const id = shortId(name, label, "");
  const parent = from.parentAction(node);
  return (
    <div
      id={`compared-${index}`}
      class={`compare-cells row${isCurrent ? " current" : ""}${isOpen ? " open" : ""}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isCurrent}
      data-compared={index}
      data-compared-name={name}
      style={{ height: `${ROW_HEIGHT}px`, transform: `translateY(${top}px)` }}
    >
      <div class="cell" role="gridcell">
        <CutText class="label" text={label} title={name} />
        {id && <CutText class="id" text={id} title={name} />}
        {parent && !name.startsWith(parent) && <CutText class="id wider" text={`in ${parent}`} />}
      </div>
      <div class={`cell change-${row.change}`} role="gridcell">
        {TITLES[row.change]}
      </div>
      <Took tree={tree} node={row.now} tookMs={row.nowMs} />
      <Took tree={then} node={row.then} tookMs={row.thenMs} />
      <div
        class={`cell number change-${row.change === "failed" ? "same" : row.change}`}
        role="gridcell"
      >
        <Difference {...row} />
      </div>
    </div>
  );
}

function Took({ tree, node, tookMs }: { tree: TreeStore; node: number; tookMs: number }) {
  return (
    <div class="cell number" role="gridcell">
      {node === NONE ? (
        <span class="none">–</span>
      ) : (
        <>
          <span class="visually-hidden">{phaseTitle(tree.phaseName(node))}</span>
          <span class={isGoodEndNumber(tree.phase[node]!) ? "good" : undefined}>
            <PhaseIcon phase={tree.phaseName(node)} />
          </span>
          {formatDuration(tookMs)}
        </>
      )}
    </div>
  );
}

/** "+12.0 s", and how many times as long where that says something. */
function Difference({ differenceMs, nowMs, thenMs }: Compared) {
  if (Number.isNaN(differenceMs) || differenceMs === 0) return null;
  const times = nowMs / thenMs;
  return (
    <>
      {`${differenceMs < 0 ? "−" : "+"}${formatDuration(Math.abs(differenceMs))}`}
      <span class="factor">
        {times >= 1.1 && Number.isFinite(times) ? `×${times.toFixed(1)}` : ""}
      </span>
    </>
  );
}
