import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ActionPanel } from "../action/action_panel";
import { causesOf, type Cause } from "../model/failures";
import { setTimeStyle, TIME_STYLES, type TimeStyle } from "../model/format";
import { phaseTitle } from "../model/phase";
import { progressOf, runPhase } from "../model/progress";
import { parseRoute, type RunRoute } from "../model/route";
import { Search } from "../model/search";
import { NONE, WHOLE_TREE, type SortKey, type TreeStore, type TreeView } from "../model/tree_store";
import { HelpDialog } from "../ui/help_dialog";
import { useMedia, useNow, useRedraw, useStored, useTitle } from "../ui/hooks";
import { closePanel, navigate, openPanel } from "../ui/router";
import { AttemptDetails } from "./attempt_details";
import { EmptyTree } from "./empty_tree";
import { RunHeader } from "./run_header";
import { RunModel } from "./run_model";
import { RunToolbar } from "./run_toolbar";
import { useShortcuts } from "./shortcuts";
import { TreeGrid, type TreeGridHandle } from "./tree_grid";
import { useCursor } from "./use_cursor";
import { WhySection } from "./why_section";

const SPLIT_PERCENT = 54;
const PAGE_SIZE = 10;
const CAUSES_MS = 1000;

/** What the stream brings of a run, and what is known of its actions' attempts, as long as the page is open. */
function useRun(route: RunRoute) {
  const redraw = useRedraw();
  const model = useMemo(() => new RunModel(redraw, route.toggled), []);
  const attempts = useMemo(() => new AttemptDetails(route, redraw), []);
  useEffect(() => model.watch(route), []);
  useEffect(
    () => () => {
      model.close();
      attempts.close();
    },
    [],
  );
  return { model, attempts };
}

/** The causes of the run's failures, worked out again when something may have changed, at most every so often. */
function useCauses(tree: TreeStore, failed: number): readonly Cause[] {
  const known = useRef<{ tree: TreeStore | null; version: number; at: number; causes: Cause[] }>({
    tree: null,
    version: -1,
    at: 0,
    causes: [],
  });
  const { current } = known;
  const isStale = current.tree !== tree || current.version !== tree.version;
  const now = performance.now();
  if (failed === 0) current.causes = [];
  else if (isStale && (current.causes.length === 0 || now - current.at > CAUSES_MS))
    known.current = { tree, version: tree.version, at: now, causes: causesOf(tree) };
  return known.current.causes;
}

export function RunPage({ route }: { route: RunRoute }) {
  const { model, attempts } = useRun(route);
  const { tree, state } = model;
  const [isHelpShown, setHelpShown] = useState(false);
  const [areCausesOpen, setCausesOpen] = useState(false);
  const isNarrow = useMedia("(max-width: 640px)");
  const [timeline, setTimeline] = useStored<"on" | "off">(
    "runtree.timeline",
    isNarrow ? "off" : "on",
  );
  const [split, setSplit] = useStored<string>("runtree.split", String(SPLIT_PERCENT));
  const [timeStyle, setStyle] = useStored<TimeStyle>("runtree.times", "local");
  const scroller = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const grid = useRef<TreeGridHandle>(null);
  const finder = useMemo(() => new Search(), []);

  const totals = tree.totals();
  const progress = progressOf(totals);
  const phase = runPhase(tree);
  const isLive = progress.done < progress.total;
  const nowMs = useNow(isLive);
  setTimeStyle(timeStyle, tree.span(-Infinity)[0]);

  const change = (part: Partial<RunRoute>, how: "push" | "replace" = "replace"): void =>
    navigate(changed(part), how);
  const keepToggled = (): void => change({ toggled: [...tree.toggled] });
  const folds = route.toggled.join("\n");
  useEffect(() => {
    if (folds !== [...tree.toggled].slice(0, route.toggled.length).join("\n"))
      tree.setToggled(route.toggled);
  }, [folds]);
  tree.view = viewOf(route);
  const cursor = useCursor(tree, route, nowMs, (action) => {
    const next = changed({ action: action ?? route.action, toggled: [...tree.toggled] });
    if (action !== null && route.action === "") openPanel(next);
    else navigate(next, "replace");
  });
  finder.find(tree, route.name);
  const causes = useCauses(tree, progress.failed);
  useTitle(`${phase ? `${phaseTitle(phase)} · ` : ""}${route.runName} · runtree`);

  const current = cursor.row === NONE ? NONE : tree.rows[cursor.row]!;
  const goToHit = (step: 1 | -1): void => cursor.goTo(finder.next(tree.find(cursor.name), step));
  const close = (): void => {
    closePanel(changed({ action: "" }));
    scroller.current?.focus({ preventScroll: true });
  };
  const expandAll = (): void => {
    tree.expandAll();
    keepToggled();
  };
  const hideSucceeded = (): void => change({ hidesSucceeded: !route.hidesSucceeded }, "push");
  const sortBy = (sort: SortKey | null): void => {
    const isSame = sort !== null && sort === route.sort;
    const isDescending = isSame ? !route.isDescending : sort === "duration" || sort === "waited";
    change({ sort, isDescending }, "push");
  };
  const toggleTimeline = (): void => setTimeline(timeline === "on" ? "off" : "on");
  const showHelp = (): void => setHelpShown(true);
  const pressInTree = (event: KeyboardEvent): void => {
    if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      grid.current?.zoom.panBy(event.key === "ArrowLeft" ? -1 : 1);
    } else {
      cursor.press(event, grid.current?.pageSize ?? PAGE_SIZE);
    }
  };
  useShortcuts(
    {
      "/": () => search.current?.focus(),
      "?": showHelp,
      c: hideSucceeded,
      e: () => causes[0] && cursor.openNode(causes[0].node),
      x: expandAll,
      t: toggleTimeline,
      z: () => setStyle(TIME_STYLES[(TIME_STYLES.indexOf(timeStyle) + 1) % TIME_STYLES.length]!),
      n: () => cursor.goTo(tree.nextFailure(current, 1)),
      N: () => cursor.goTo(tree.nextFailure(current, -1)),
      "+": () => grid.current?.zoom.zoomIn(),
      "=": () => grid.current?.zoom.zoomIn(),
      "-": () => grid.current?.zoom.zoomOut(),
      "0": () => grid.current?.zoom.fit(),
      Escape: () => route.action && close(),
    },
    pressInTree,
  );

  const openNode = tree.find(route.action);
  return (
    <div class="page run-page">
      <RunHeader
        route={route}
        tree={tree}
        totals={totals}
        progress={progress}
        phase={phase}
        isLive={isLive}
        nowMs={nowMs}
        state={state}
        onRetry={() => model.retry()}
      />
      <RunToolbar
        route={route}
        totals={totals}
        search={search}
        hits={finder.hits.length}
        hit={finder.placeOf(current) + 1}
        isTimelineShown={timeline === "on"}
        onPhases={(phases) => change({ phases }, "push")}
        onName={(name) => change({ name }, route.name === "" ? "push" : "replace")}
        onNextHit={goToHit}
        onHideSucceeded={hideSucceeded}
        onExpandAll={expandAll}
        onSort={sortBy}
        onToggleTimeline={toggleTimeline}
        onHelp={showHelp}
      />
      {causes.length > 0 && (
        <WhySection
          tree={tree}
          causes={causes}
          isOver={!isLive}
          isOpen={areCausesOpen}
          onToggle={setCausesOpen}
          onShow={cursor.openNode}
        />
      )}
      <main class="run-main">
        {tree.rowCount === 0 ? (
          <EmptyTree
            state={state}
            isComplete={model.isComplete}
            isAbsent={model.isAbsent}
            isFiltered={tree.size > 0}
            onClear={() => change({ phases: [], hidesSucceeded: false }, "push")}
          />
        ) : (
          <TreeGrid
            scroller={scroller}
            tree={tree}
            currentRow={cursor.row}
            currentName={cursor.name}
            openAction={route.action}
            isTimelineShown={timeline === "on"}
            splitPercent={Number(split) || SPLIT_PERCENT}
            isLive={isLive}
            nowMs={nowMs}
            attempts={attempts}
            mark={route.name}
            handle={grid}
            zoomTo={model.isComplete ? route.zoom : null}
            onZoom={(zoom) => change({ zoom })}
            onKeyDown={pressInTree}
            onSelect={cursor.select}
            onOpen={cursor.open}
            onToggle={cursor.toggle}
            onSort={sortBy}
            onSplit={(percent) => setSplit(String(percent))}
          />
        )}
        {route.action && (
          <ActionPanel
            key={route.action}
            run={route}
            name={route.action}
            treeRevision={openNode === NONE ? 0 : tree.revision[openNode]!}
            nowMs={nowMs}
            onClose={close}
          />
        )}
      </main>
      {isHelpShown && <HelpDialog onClose={() => setHelpShown(false)} />}
    </div>
  );
}

/** The address as it is, which may have changed since this page was drawn, with another part. */
function changed(part: Partial<RunRoute>): RunRoute {
  return { ...(parseRoute(location.hash) as RunRoute), ...part };
}

function viewOf({ phases, hidesSucceeded, sort, isDescending }: RunRoute): TreeView {
  return phases.length === 0 && !hidesSucceeded && sort === null
    ? WHOLE_TREE
    : { phases, hidesSucceeded, sort, isDescending };
}
