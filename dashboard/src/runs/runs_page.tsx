import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { deleteAt, errorText, getJson, runPath } from "../api/client";
import type { Runs, RunSummary } from "../api/types";
import { formatCount } from "../model/format";
import { isTerminal, PHASES } from "../model/phase";
import { ALL_RUNS, formatRoute, runRoute, type RunsRoute, type RunsSort } from "../model/route";
import { useNow, useRedraw, useTitle, useWhileSeen } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { Logo } from "../ui/logo";
import { PhaseFilter } from "../ui/phase_filter";
import { QuestionDialog } from "../ui/question_dialog";
import { navigate } from "../ui/router";
import { SearchBox } from "../ui/search_box";
import { StreamStatus } from "../ui/stream_status";
import { SignOutButton } from "../ui/sign_in";
import { ThemeButton } from "../ui/theme";
import { useVirtualRows } from "../ui/virtual_rows";
import { FirstRun } from "./first_run";
import { ProjectSelect } from "./project_select";
import { Reasons } from "./reasons";
import { RUN_HEIGHTS, RunsTable } from "./runs_table";
import { playSampleRun, sampleKey } from "./sample_player";
import { awayText, keyOf, RunsModel, runsQuery } from "./runs_model";

/** The next page of older runs is asked for when so few are left below the screen. */
const NEAR_END_ROWS = 40;
/** How often it is counted what is in progress, and up to how many. */
const COUNT_MS = 5000;
const COUNT_MAX = 1000;
const LIVE = PHASES.filter((phase) => !isTerminal(phase));

/** How many of the runs that the filter has are in progress: "10", "1,000+"; "" for none or while it is not known. */
function useInProgress(route: RunsRoute, runs: readonly RunSummary[]): string {
  const [count, setCount] = useState("");
  const asked = useRef(0);
  const live = runs.filter((run) => run.phase !== null && !isTerminal(run.phase)).length;
  const filter = runsQuery(route, COUNT_MAX).toString();
  useEffect(() => {
    const abort = new AbortController();
    const wanted = route.phases.filter((phase) => !isTerminal(phase));
    const phases = route.phases.length > 0 ? wanted : LIVE;
    const query = runsQuery({ ...route, phases }, COUNT_MAX);
    const ask = async (): Promise<void> => {
      asked.current = Date.now();
      const page = await getJson<Runs>(`/v1/runs?${query.toString()}`, abort.signal);
      const number = formatCount(page.runs.length);
      setCount(page.runs.length === 0 ? "" : page.nextCursor ? `${number}+` : number);
    };
    const timer = setTimeout(
      () => (phases.length > 0 ? void ask().catch(() => undefined) : setCount("")),
      Math.max(0, asked.current + COUNT_MS - Date.now()),
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [filter, live]);
  return count;
}

/** The rows on the screen, with more loaded before the reader gets to the end, and found again where they were left. */
function useRows(scroller: RefObject<HTMLDivElement | null>, model: RunsModel, load: () => void) {
  const rows = useVirtualRows(scroller, model.runs.length, RUN_HEIGHTS);
  const last = rows.items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (model.hasOlder && model.isComplete && last > model.runs.length - NEAR_END_ROWS) load();
  }, [last, model.runs.length, model.hasOlder, model.isComplete]);
  const isShown = model.runs.length > 0;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element || !isShown) return;
    element.scrollTop = model.scrollTop;
    const note = (): void => {
      model.scrollTop = element.scrollTop;
    };
    element.addEventListener("scroll", note, { passive: true });
    return () => element.removeEventListener("scroll", note);
  }, [isShown]);
  return rows;
}

export function RunsPage({ route }: { route: RunsRoute }) {
  const redraw = useRedraw();
  const model = useMemo(() => new RunsModel(redraw), []);
  const reasons = useMemo(() => new Reasons(redraw), []);
  const search = useRef<HTMLInputElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const [problem, setProblem] = useState("");
  const [current, setCurrent] = useState("");
  const [doomed, setDoomed] = useState<RunSummary | null>(null);
  const nowMs = useNow(true);
  useTitle("Runs · runtree");
  useWhileSeen(model, false);

  useEffect(() => model.watch(route), [formatRoute(route)]);
  useEffect(
    () => () => {
      model.close();
      reasons.close();
    },
    [],
  );

  const attempt = async (action: () => Promise<void>): Promise<void> => {
    try {
      setProblem("");
      await action();
    } catch (cause) {
      setProblem(errorText(cause));
    }
  };
  const play = (): Promise<void> =>
    attempt(async () => {
      const run = sampleKey();
      await playSampleRun(run);
      navigate(runRoute(run));
    });

  const { runs, state } = model;
  const rows = useRows(scroller, model, () => void attempt(() => model.loadOlder()));
  const inProgress = useInProgress(route, runs);
  const firstShown = rows.items[0]?.index ?? 0;
  const lastShown = rows.items.at(-1)?.index ?? 0;
  useEffect(
    () => reasons.want(runs.slice(firstShown, lastShown + 1)),
    [runs, firstShown, lastShown],
  );
  const row = runs.findIndex((run) => keyOf(run) === current);
  usePressed(search, (key) => {
    const to = rowOf(key, row, runs.length, rows.pageSize);
    const run = runs[to ?? row];
    if (!run) return false;
    if (key === "Enter") navigate(runRoute(run));
    else if (to !== null) {
      setCurrent(keyOf(run));
      rows.scrollToRow(to);
    } else return false;
    return true;
  });
  const change = (part: Partial<RunsRoute>, how: "push" | "replace" = "push"): void =>
    navigate({ ...route, ...part }, how);
  const sortBy = (sort: RunsSort): void => {
    const isSame = sort === (route.sort || "begun");
    const wasDescending = route.sort === "" || route.isDescending;
    const isDescending = isSame ? !wasDescending : sort !== "name" && sort !== "phase";
    if (sort === "begun" && isDescending) change({ sort: "", isDescending: false });
    else change({ sort, isDescending });
  };

  const isFiltered = formatRoute(route) !== formatRoute(ALL_RUNS);
  return (
    <div class="page runs-page">
      <header class="top">
        <nav class="crumbs" aria-label="Where you are">
          <Logo />
          <h1>Runs</h1>
        </nav>
        <div class="facts">
          {inProgress && <span class="fact">{`${inProgress} in progress`}</span>}
        </div>
        <div class="top-right">
          <StreamStatus state={state} onRetry={() => model.retry()} />
          {runs.length > 0 && (
            <button
              type="button"
              class="button"
              aria-label="Play a sample run"
              onClick={() => void play()}
            >
              <Icon name="play" />
              <span class="wide">Play a sample run</span>
            </button>
          )}
          <SignOutButton />
          <ThemeButton />
        </div>
      </header>
      <div class="toolbar" role="toolbar" aria-label="Which runs are shown">
        <SearchBox
          value={route.name}
          label="Search runs"
          inputRef={search}
          onChange={(name) => change({ name }, route.name === "" ? "push" : "replace")}
        />
        <ProjectSelect route={route} runs={runs} />
        <PhaseFilter selected={route.phases} onChange={(phases) => change({ phases })} />
        {route.labels.map((label) => (
          <button
            key={label}
            type="button"
            class="chip"
            aria-pressed="true"
            title={`Without the label ${label}`}
            onClick={() => change({ labels: route.labels.filter((other) => other !== label) })}
          >
            {label}
            <Icon name="close" />
          </button>
        ))}
      </div>
      <main class="runs-main">
        {problem && (
          <p class="note problem" role="alert">
            {problem}
          </p>
        )}
        {model.away.length > 0 && (
          <p class="note" role="status">
            {awayText(model.away)}
          </p>
        )}
        {runs.length > 0 && (
          <div ref={scroller} class="runs-scroller" tabIndex={0} aria-label="Runs" role="region">
            <RunsTable
              runs={runs}
              rows={rows}
              table={table}
              current={row}
              route={route}
              nowMs={nowMs}
              reason={(run) => reasons.get(run)}
              onSort={sortBy}
              onLabel={(label) =>
                !route.labels.includes(label) && change({ labels: [...route.labels, label] })
              }
              onDelete={setDoomed}
            />
            {model.hasOlder && (
              <p class="note">
                {route.sort
                  ? `Sorted among the ${formatCount(runs.length)} newest; scroll on for older ones.`
                  : "Loading older runs…"}
              </p>
            )}
          </div>
        )}
        {runs.length === 0 && model.isComplete && isFiltered && (
          <div class="empty">
            <h2>No run matches</h2>
            <p>The filter is watched on: what comes to match will show here.</p>
            <button type="button" class="button" onClick={() => navigate(ALL_RUNS)}>
              Clear the filter
            </button>
          </div>
        )}
        {runs.length === 0 && model.isComplete && !isFiltered && (
          <FirstRun onPlay={() => void play()} />
        )}
        {runs.length === 0 && !model.isComplete && (
          <div class="empty loading" aria-busy="true">
            <p>Loading the runs…</p>
          </div>
        )}
      </main>
      {doomed && (
        <QuestionDialog
          title="Delete this run?"
          no="Keep it"
          yes="Delete"
          onClose={() => setDoomed(null)}
          onYes={() =>
            void attempt(async () => {
              await deleteAt(runPath(doomed));
              model.forget(doomed);
            })
          }
        >
          <strong>{doomed.runName}</strong> goes with all of its actions and events, for everybody
          and for good.
        </QuestionDialog>
      )}
    </div>
  );
}

/** The row to which a key leads; null for a key that leads nowhere. */
function rowOf(key: string, row: number, count: number, pageSize: number): number | null {
  const to = (next: number): number => Math.max(0, Math.min(count - 1, next));
  switch (key) {
    case "j":
    case "ArrowDown":
      return to(row + 1);
    case "k":
    case "ArrowUp":
      return to(row - 1);
    case "PageDown":
      return to(row + pageSize);
    case "PageUp":
      return to(row - pageSize);
    case "Home":
      return 0;
    case "End":
      return to(count - 1);
    default:
      return null;
  }
}

/** Keys that are meant for the list: those that no field or button has the focus for. `press` says whether it took
 *  one. */
function usePressed(
  search: RefObject<HTMLInputElement | null>,
  press: (key: string) => boolean,
): void {
  const latest = useRef(press);
  latest.current = press;
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      const isElsewhere = (event.target as Element).closest("input, select, dialog, a, button");
      if (isElsewhere && (event.key === "Enter" || !isElsewhere.matches("a, button"))) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") search.current?.focus();
      else if (!latest.current(event.key)) return;
      event.preventDefault();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}
