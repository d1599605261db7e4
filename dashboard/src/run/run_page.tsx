import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ActionPanel } from "../action/action_panel";
import { isTerminal, phaseTitle } from "../model/phase";
import type { RunRoute } from "../model/route";
import { NONE } from "../model/tree_store";
import { HelpDialog } from "../ui/help_dialog";
import { useMedia, useNow, useRedraw, useStored, useTitle } from "../ui/hooks";
import { navigate } from "../ui/router";
import { AttemptDetails } from "./attempt_details";
import { EmptyTree } from "./empty_tree";
import { RunHeader } from "./run_header";
import { RunModel } from "./run_model";
import { RunToolbar } from "./run_toolbar";
import { useShortcuts } from "./shortcuts";
import { TreeGrid, type TreeGridHandle } from "./tree_grid";
import { useCursor } from "./use_cursor";
import { useSummary } from "./use_summary";

const SPLIT_PERCENT = 54;
const PAGE_SIZE = 10;

/** What the stream brings of a run, and what is known of its actions' attempts, as long as the page is open. */
function useRun(route: RunRoute) {
  const redraw = useRedraw();
  const model = useMemo(() => new RunModel(redraw), []);
  const attempts = useMemo(() => new AttemptDetails(route, redraw), []);
  useEffect(() => model.watch(route, route), [route.phases.join(","), route.name]);
  useEffect(
    () => () => {
      model.close();
      attempts.close();
    },
    [],
  );
  return { redraw, model, attempts };
}

export function RunPage({ route }: { route: RunRoute }) {
  const { redraw, model, attempts } = useRun(route);
  const { tree, state } = model;
  const cursor = useCursor(tree, route, redraw);
  const [isHelpShown, setHelpShown] = useState(false);
  const isNarrow = useMedia("(max-width: 640px)");
  const [timeline, setTimeline] = useStored<"on" | "off">(
    "runtree.timeline",
    isNarrow ? "off" : "on",
  );
  const [split, setSplit] = useStored<string>("runtree.split", String(SPLIT_PERCENT));
  const scroller = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const grid = useRef<TreeGridHandle>(null);

  const summary = useSummary(route, model.isComplete && tree.root === NONE);
  const hasRoot = tree.root !== NONE;
  const totals = hasRoot ? tree.totals() : (summary?.phaseCounts ?? {});
  const rootPhase = hasRoot ? tree.phaseName(tree.root) : (summary?.phase ?? null);
  const isLive = Object.keys(totals).some((phase) => !isTerminal(phase));
  const nowMs = useNow(isLive);
  useTitle(`${rootPhase ? `${phaseTitle(rootPhase)} · ` : ""}${route.runName} · runtree`);

  const change = (part: Partial<RunRoute>): void => navigate({ ...route, ...part }, "replace");
  const closePanel = (): void => {
    change({ action: "" });
    scroller.current?.focus({ preventScroll: true });
  };
  const collapseSucceeded = (): void => {
    tree.collapseSucceeded();
    redraw();
  };
  const expandAll = (): void => {
    tree.expandAll();
    redraw();
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
      c: collapseSucceeded,
      e: expandAll,
      t: toggleTimeline,
      n: () => cursor.goToFailure(1),
      N: () => cursor.goToFailure(-1),
      "+": () => grid.current?.zoom.zoomIn(),
      "=": () => grid.current?.zoom.zoomIn(),
      "-": () => grid.current?.zoom.zoomOut(),
      "0": () => grid.current?.zoom.fit(),
      Escape: () => route.action && closePanel(),
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
        rootPhase={rootPhase}
        isLive={isLive}
        nowMs={nowMs}
        state={state}
        onRetry={() => model.retry()}
      />
      <RunToolbar
        route={route}
        totals={totals}
        search={search}
        isTimelineShown={timeline === "on"}
        onPhases={(phases) => change({ phases })}
        onName={(name) => change({ name })}
        onCollapseSucceeded={collapseSucceeded}
        onExpandAll={expandAll}
        onToggleTimeline={toggleTimeline}
        onHelp={showHelp}
      />
      <main class="run-main">
        {tree.size === 0 ? (
          <EmptyTree
            state={state}
            isComplete={model.isComplete}
            isFiltered={route.phases.length > 0 || route.name !== ""}
            onClear={() => change({ phases: [], name: "" })}
          />
        ) : (
          <TreeGrid
            scroller={scroller}
            tree={tree}
            currentRow={cursor.row}
            openAction={route.action}
            isTimelineShown={timeline === "on"}
            splitPercent={Number(split) || SPLIT_PERCENT}
            isLive={isLive}
            nowMs={nowMs}
            attempts={attempts}
            handle={grid}
            onKeyDown={pressInTree}
            onSelect={cursor.select}
            onOpen={cursor.open}
            onToggle={cursor.toggle}
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
            onClose={closePanel}
          />
        )}
      </main>
      {isHelpShown && <HelpDialog onClose={() => setHelpShown(false)} />}
    </div>
  );
}
