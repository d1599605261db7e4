import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ActionPanel } from "../action/action_panel";
import { causesOf, type Cause } from "../model/failures";
import { formatClock, setTimeStyle, TIME_STYLES, type TimeStyle } from "../model/format";
import { phaseTitle } from "../model/phase";
import { progressOf, runPhase } from "../model/progress";
import { parseRoute, type RunRoute } from "../model/route";
import { NONE, WHOLE_TREE, type SortKey, type TreeStore, type TreeView } from "../model/tree_store";
import { HelpDialog } from "../ui/help_dialog";
import {
  useMedia,
  useNow,
  useRedraw,
  useSettled,
  useStored,
  useTitle,
  useWhileSeen,
} from "../ui/hooks";
import { closePanel, navigate, openPanel } from "../ui/router";
import { AttemptDetails } from "./attempt_details";
import { CompareView } from "./compare_view";
import { PREVIOUS } from "./earlier_run";
import { EmptyTree } from "./empty_tree";
import type { Replay } from "./replay";
import { ReplayBar } from "./replay_bar";
import { RunFacts } from "./run_facts";
import { RunHeader, type Shown } from "./run_header";
import { RunModel } from "./run_model";
import { RunToolbar } from "./run_toolbar";
import { useShortcuts } from "./shortcuts";
import { timelineDomain } from "./timeline";
import { TreeGrid, type TreeGridHandle } from "./tree_grid";
import { useEarlier, useInsight, usePace } from "./use_insight";
import { useReplay } from "./use_replay";
import { useSearch } from "./use_search";
import { useCursor } from "./use_cursor";
import { useNotice, useFavicon } from "./use_notice";
import { useRunRecord } from "./use_run_record";
import { WhySection } from "./why_section";

const SPLIT_PERCENT = 54;
const PAGE_SIZE = 10;

/** What the stream brings of a run, and what is known of its actions' attempts, as long as the page is open. */
function useRun(route: RunRoute, redraw: () => void) {
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

export function RunPage({ route }: { route: RunRoute }) {
  const redraw = useRedraw();
  const { model, attempts } = useRun(route, redraw);
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

  const totals = tree.totals();
  const progress = progressOf(totals);
  const phase = runPhase(tree);
  const isLive = progress.done < progress.total;
  const nowMs = useNow(isLive);
  setTimeStyle(timeStyle, timeStyle === "relative" ? tree.span(-Infinity)[0] : NaN);

  const change = (part: Partial<RunRoute>, how: "push" | "replace" = "replace"): void =>
    navigate(changed(part), how);
  const span = tree.rootSpan(isLive ? nowMs : -Infinity);
  const past = useReplay(route, tree, span, redraw, (at, how) => change({ at }, how));
  const { replay } = past;
  const shown = shownOf(tree, replay, { totals, progress, phase, isLive, nowMs });
  const earlier = useEarlier(route, tree, isLive && model.isComplete, redraw);
  const pace = usePace(tree, earlier, isLive && model.isComplete, nowMs);
  const insight = useInsight(shown.tree, tree, earlier, route.isCritical, shown.nowMs);
  const keepToggled = (): void => change({ toggled: [...shown.tree.toggled] });
  const folds = route.toggled.join("\n");
  useEffect(() => {
    if (folds !== [...shown.tree.toggled].slice(0, route.toggled.length).join("\n"))
      shown.tree.setToggled(route.toggled);
  }, [folds]);
  shown.tree.view = viewOf(route);
  const cursor = useCursor(shown.tree, route, shown.nowMs, (action) => {
    const next = changed({ action: action ?? route.action, toggled: [...shown.tree.toggled] });
    if (action !== null && route.action === "") openPanel(next);
    else navigate(next, "replace");
  });
  const finder = useSearch(shown.tree, route.name, redraw);
  const hasFailed = shown.progress.failed > 0;
  const causes = useSettled<readonly Cause[]>(
    () => (hasFailed ? causesOf(shown.tree) : []),
    [shown.tree, hasFailed],
    shown.tree.version,
  );
  const record = useRunRecord(route, tree.version, model.isAbsent);
  const notice = useNotice(route.runName, phase, progress);
  useFavicon(phase, progress.failed);
  useWhileSeen(model, isLive || !model.isComplete);
  useTitle(`${phase ? `${phaseTitle(phase)} · ` : ""}${route.runName} · runtree`);

  const current = cursor.row === NONE ? NONE : shown.tree.rows[cursor.row]!;
  const goToHit = (step: 1 | -1): void =>
    cursor.goTo(finder.next(shown.tree.find(cursor.name), step));
  const close = (): void => {
    closePanel(changed({ action: "" }));
    scroller.current?.focus({ preventScroll: true });
  };
  const expandAll = (): void => {
    shown.tree.expandAll();
    keepToggled();
  };
  const hideSucceeded = (): void => change({ hidesSucceeded: !route.hidesSucceeded }, "push");
  const sortBy = (sort: SortKey | null): void => {
    const isSame = sort !== null && sort === route.sort;
    const isDescending = isSame ? !route.isDescending : sort === "duration" || sort === "waited";
    change({ sort, isDescending, compare: "" }, "push");
  };
  const toggleTimeline = (): void => setTimeline(timeline === "on" ? "off" : "on");
  const showCritical = (): void => change({ isCritical: !route.isCritical }, "push");
  const compare = (): void => change({ compare: route.compare ? "" : PREVIOUS }, "push");
  const showHelp = (): void => setHelpShown(true);
  const pressInTree = (event: KeyboardEvent): void => {
    if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      grid.current?.zoom.panBy(event.key === "ArrowLeft" ? -1 : 1);
    } else {
      cursor.press(event, grid.current?.pageSize ?? PAGE_SIZE);
      // From here on Tab leads to what is beside the tree, as the panel that was opened.
      if (event.defaultPrevented && event.target === document.body)
        scroller.current?.focus({ preventScroll: true });
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
      r: past.toggle,
      v: compare,
      p: showCritical,
      n: () => cursor.goTo(shown.tree.nextFailure(current, 1)),
      N: () => cursor.goTo(shown.tree.nextFailure(current, -1)),
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
        {...shown}
        pace={past.isOpen ? "" : pace}
        isReplay={past.isOpen}
        state={state}
        title={record?.title ?? ""}
        notice={notice}
        onRetry={() => model.retry()}
      />
      <RunToolbar
        route={route}
        totals={shown.totals}
        search={search}
        hits={finder.count}
        isSearched={finder.isComplete}
        hit={finder.placeOf(current) + 1}
        isTimelineShown={timeline === "on"}
        isReplay={past.isOpen}
        onPhases={(phases) => change({ phases }, "push")}
        onName={(name) => change({ name }, route.name === "" ? "push" : "replace")}
        onNextHit={goToHit}
        onHideSucceeded={hideSucceeded}
        onExpandAll={expandAll}
        onSort={sortBy}
        onToggleTimeline={toggleTimeline}
        onReplay={past.toggle}
        onCritical={showCritical}
        onCompare={compare}
        onHelp={showHelp}
      />
      {past.isOpen && (
        <ReplayBar
          replay={replay}
          span={span}
          isLive={isLive}
          isPanelOpen={route.action !== ""}
          onSeek={past.seek}
          onStep={past.step}
          onPlay={past.playOrPause}
          onSpeed={past.setSpeed}
          onClose={() => {
            past.toggle();
            scroller.current?.focus({ preventScroll: true });
          }}
        />
      )}
      {causes.length > 0 && (
        <WhySection
          tree={shown.tree}
          causes={causes}
          isOver={!shown.isLive}
          isOpen={areCausesOpen}
          onToggle={setCausesOpen}
          onShow={cursor.openNode}
        />
      )}
      {record && <RunFacts record={record} isLive={isLive} nowMs={nowMs} />}
      <main class="run-main">
        {route.compare ? (
          <CompareView
            {...earlier}
            route={route}
            tree={tree}
            nowMs={nowMs}
            onChoose={(name) => change({ compare: name }, "push")}
            onOpen={cursor.openNode}
            onClose={compare}
          />
        ) : shown.tree.rowCount === 0 ? (
          <EmptyTree
            state={state}
            isComplete={model.isComplete}
            isAbsent={model.isAbsent}
            isFiltered={shown.tree.size > 0}
            onClear={() => change({ phases: [], hidesSucceeded: false }, "push")}
          />
        ) : (
          <TreeGrid
            scroller={scroller}
            tree={shown.tree}
            currentRow={cursor.row}
            currentName={cursor.name}
            openAction={route.action}
            isTimelineShown={timeline === "on"}
            splitPercent={Number(split) || SPLIT_PERCENT}
            domain={timelineDomain(tree, isLive, nowMs)}
            isLive={shown.isLive || past.isOpen}
            nowMs={shown.nowMs}
            nowLabel={replay.tree ? formatClock(replay.shownAt) : "now"}
            insight={insight}
            attempts={replay.tree ? attempts.at(replay.shownAt, tree) : attempts}
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

/** What the page shows: the run as it is, or as it was while a replay is open. */
function shownOf(tree: TreeStore, replay: Replay, now: Omit<Shown, "tree">): Shown {
  if (!replay.tree) return { tree, ...now };
  const totals = replay.tree.totals();
  const progress = progressOf(totals);
  return {
    tree: replay.tree,
    totals,
    progress,
    phase: runPhase(replay.tree),
    isLive: progress.done < progress.total,
    nowMs: replay.shownAt,
  };
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
