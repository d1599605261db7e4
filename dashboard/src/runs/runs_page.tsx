import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { isTerminal } from "../model/phase";
import { runRoute, type RunsRoute } from "../model/route";
import { useNow, useRedraw, useTitle } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { Logo } from "../ui/logo";
import { PhaseFilter } from "../ui/phase_filter";
import { navigate } from "../ui/router";
import { SearchBox } from "../ui/search_box";
import { StreamStatus } from "../ui/stream_status";
import { SignOutButton } from "../ui/sign_in";
import { ThemeButton } from "../ui/theme";
import { FirstRun } from "./first_run";
import { ProjectSelect } from "./project_select";
import { RunsTable } from "./runs_table";
import { playSampleRun, sampleKey } from "./sample_player";
import { RunsModel } from "./runs_model";

export function RunsPage({ route }: { route: RunsRoute }) {
  const redraw = useRedraw();
  const model = useMemo(() => new RunsModel(redraw), []);
  const search = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const nowMs = useNow(true);
  useTitle("Runs · runtree");

  useEffect(
    () => model.watch(route),
    [route.project, route.domain, route.phases.join(","), route.name],
  );
  useEffect(() => () => model.close(), []);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key !== "/" || (event.target as Element).closest("input, select")) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);

  const attempt = async (action: () => Promise<void>): Promise<void> => {
    try {
      setProblem("");
      await action();
    } catch (cause) {
      setProblem(cause instanceof ApiError ? cause.message : String(cause));
    }
  };
  const play = (): Promise<void> =>
    attempt(async () => {
      const run = sampleKey();
      await playSampleRun(run);
      navigate(runRoute(run));
    });

  const { runs, state } = model;
  const isFiltered = Boolean(route.project || route.domain || route.name || route.phases.length);
  const live = runs.filter((run) => run.phase !== null && !isTerminal(run.phase)).length;
  return (
    <div class="page runs-page">
      <header class="top">
        <nav class="crumbs" aria-label="Where you are">
          <Logo />
          <h1>Runs</h1>
        </nav>
        <div class="facts">{live > 0 && <span class="fact">{`${live} in progress`}</span>}</div>
        <div class="top-right">
          <StreamStatus state={state} onRetry={() => model.retry()} />
          {runs.length > 0 && (
            <button type="button" class="button" onClick={() => void play()}>
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
          onChange={(name) => navigate({ ...route, name }, "replace")}
        />
        <ProjectSelect route={route} runs={runs} />
        <PhaseFilter
          selected={route.phases}
          onChange={(phases) => navigate({ ...route, phases }, "replace")}
        />
      </div>
      <main class="runs-main">
        {problem && (
          <p class="note problem" role="alert">
            {problem}
          </p>
        )}
        {runs.length > 0 && <RunsTable runs={runs} nowMs={nowMs} />}
        {runs.length > 0 && model.hasOlder && (
          <button
            type="button"
            class="button older"
            onClick={() => void attempt(() => model.loadOlder())}
          >
            Older runs
          </button>
        )}
        {runs.length === 0 && model.isComplete && isFiltered && (
          <div class="empty">
            <h2>No run matches</h2>
            <p>The filter is watched on: what comes to match will show here.</p>
            <button
              type="button"
              class="button"
              onClick={() => navigate({ ...route, project: "", domain: "", phases: [], name: "" })}
            >
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
    </div>
  );
}
