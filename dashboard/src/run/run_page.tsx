import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ActionPanel } from "../action/action_panel";
import { isTerminal, type Phase } from "../model/phase";
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
import { moveInTree } from "./tree_keys";
import { TreeGrid, type TreeGridHandle } from "./tree_grid";

export function RunPage({ route }: { route: RunRoute }) {
  const redraw = useRedraw();
  const model = useMemo(() => new RunModel(redraw), []);
  const attempts = useMemo(() => new AttemptDetails(route, redraw), []);
  const [current, setCurrent] = useState(route.action);
  const [isHelpShown, setHelpShown] = useState(false);
  const isNarrow = useMedia("(max-width: 640px)");
  const [timeline, setTimeline] = useStored<"on" | "off">(
    "runtree.timeline",
    isNarrow ? "off" : "on",
  );
  const [split, setSplit] = useStored<string>("runtree.split", "54");
  const scroller = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const grid = useRef<TreeGridHandle>(null);

  useTitle(`${route.runName} · runtree`);
  const phaseKey = route.phases.join(",");
  useEffect(() => model.watch(route, route), [phaseKey, route.name]);
  useEffect(
    () => () => {
      model.close();
      attempts.close();
    },
    [],
  );

  const { tree } = model;
  const revealed = useRef("");
  if (route.action !== revealed.current && tree.find(route.action) !== NONE) {
    revealed.current = route.action;
    tree.reveal(tree.find(route.action));
    if (current !== route.action) setCurrent(route.action);
  }
  tree.layout();
  const totals = tree.totals();
  const isLive = Object.keys(totals).some((phase) => !isTerminal(phase));
  const nowMs = useNow(isLive);
  const currentNode = tree.find(current);
  const currentRow =
    currentNode === NONE ? (tree.rowCount > 0 ? 0 : NONE) : tree.rowOf[currentNode]!;

  const change = (part: Partial<RunRoute>, how: "push" | "replace" = "replace"): void =>
    navigate({ ...route, ...part }, how);
  const select = (row: number): void => {
    const node = tree.rows[row];
    if (row < 0 || row >= tree.rowCount || node === undefined) return;
    setCurrent(tree.name[node]!);
    if (route.action) change({ action: tree.name[node]! });
  };
  const open = (row: number): void => {
    const node = tree.rows[row];
    if (row < 0 || row >= tree.rowCount || node === undefined) return;
    setCurrent(tree.name[node]!);
    change({ action: tree.name[node]! }, route.action ? "replace" : "push");
  };
  const toggle = (node: number): void => {
    if (tree.setExpanded(node, !tree.isExpanded(node))) redraw();
  };
  const closePanel = (): void => {
    change({ action: "" });
    scroller.current?.focus({ preventScroll: true });
  };
  /** Keeps the cursor on a row that is shown: collapsing may have hidden it. */
  const restructure = (action: () => void): void => {
    action();
    tree.layout();
    let node = tree.find(current);
    while (node !== NONE && tree.rowOf[node] === NONE) node = tree.parent[node]!;
    if (node !== NONE) setCurrent(tree.name[node]!);
    redraw();
  };
  const collapseSucceeded = (): void => restructure(() => tree.collapseSucceeded());
  const expandAll = (): void => restructure(() => tree.expandAll());
  const toggleTimeline = (): void => setTimeline(timeline === "on" ? "off" : "on");
  const goToFailure = (step: 1 | -1): void => {
    const node = tree.nextFailure(currentRow, step);
    if (node !== NONE) select(tree.rowOf[node]!);
  };

  const shortcuts: Record<string, () => void> = {
    "/": () => search.current?.focus(),
    "?": () => setHelpShown(true),
    c: collapseSucceeded,
    e: expandAll,
    t: toggleTimeline,
    n: () => goToFailure(1),
    N: () => goToFailure(-1),
    "+": () => grid.current?.zoom.zoomIn(),
    "=": () => grid.current?.zoom.zoomIn(),
    "-": () => grid.current?.zoom.zoomOut(),
    "0": () => grid.current?.zoom.fit(),
    Escape: () => route.action && closePanel(),
  };
  const latestShortcuts = useRef(shortcuts);
  latestShortcuts.current = shortcuts;
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element;
      if (target.closest("input, textarea, select, dialog")) return;
      const action = latestShortcuts.current[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);

  const pressInTree = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      grid.current?.zoom.panBy(event.key === "ArrowLeft" ? -1 : 1);
      return;
    }
    const move = moveInTree(event.key, tree, currentRow, grid.current?.pageSize ?? 10);
    if (!move) return;
    event.preventDefault();
    if (move.type === "select") select(move.row);
    else if (move.type === "open") open(currentRow);
    else toggle(move.node);
  };

  const isFiltered = route.phases.length > 0 || route.name !== "";
  return (
    <div class="page run-page">
      <RunHeader
        route={route}
        tree={tree}
        totals={totals}
        isLive={isLive}
        nowMs={nowMs}
        state={model.state}
        onRetry={() => model.retry()}
      />
      <RunToolbar
        route={route}
        totals={totals}
        search={search}
        isTimelineShown={timeline === "on"}
        onPhases={(phases: Phase[]) => change({ phases })}
        onName={(name) => change({ name })}
        onCollapseSucceeded={collapseSucceeded}
        onExpandAll={expandAll}
        onToggleTimeline={toggleTimeline}
        onHelp={() => setHelpShown(true)}
      />
      <main class={`run-main${route.action ? " with-panel" : ""}`}>
        {tree.size === 0 ? (
          <EmptyTree
            state={model.state}
            isComplete={model.isComplete}
            isFiltered={isFiltered}
            onClear={() => change({ phases: [], name: "" })}
          />
        ) : (
          <TreeGrid
            scroller={scroller}
            tree={tree}
            currentRow={currentRow}
            openAction={route.action}
            isTimelineShown={timeline === "on"}
            splitPercent={Number(split) || 54}
            isLive={isLive}
            nowMs={nowMs}
            attempts={attempts}
            handle={grid}
            onKeyDown={pressInTree}
            onSelect={select}
            onOpen={open}
            onToggle={toggle}
            onSplit={(percent) => setSplit(String(percent))}
          />
        )}
        {route.action && (
          <ActionPanel
            key={route.action}
            run={route}
            name={route.action}
            treeRevision={
              tree.find(route.action) === NONE ? 0 : tree.revision[tree.find(route.action)]!
            }
            nowMs={nowMs}
            onClose={closePanel}
          />
        )}
      </main>
      {isHelpShown && <HelpDialog onClose={() => setHelpShown(false)} />}
    </div>
  );
}
