import { getJson } from "../api/client";
import type { RunSummary, Runs, RunUpdate } from "../api/types";
import { clock } from "../model/clock";
import { parseTime } from "../model/format";
import { PHASES_BY_URGENCY } from "../model/phase";
import { ALL_RUNS, type RunsRoute, type RunsSort } from "../model/route";
import { naturalKey } from "../model/tree_store";
import { subscribe, type Subscription } from "../stream/client";
import { NextFrame } from "../ui/frame";
import { CONNECTING, type FeedMessage, type StreamState, type Topic } from "../stream/protocol";

/** The watch starts with so many of the newest runs. */
export const WATCHED_RUNS = 200;

export function keyOf(run: { project: string; domain: string; runName: string }): string {
  return [run.project, run.domain, run.runName].join("\u001f");
}

/** The query of a filter, for the list as for its watch. */
export function runsQuery(route: RunsRoute, limit: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(limit) });
  if (route.project) query.set("project", route.project);
  if (route.domain) query.set("domain", route.domain);
  if (route.phases.length > 0) query.set("phase", route.phases.join(","));
  if (route.name) query.set("name", route.name);
  for (const label of route.labels) query.append("label", label);
  return query;
}

/** The newest runs that a filter has. */
export function listTopic(route: RunsRoute): Topic {
  const { project, domain, phases, name, labels } = route;
  const part = (text: string): string => (text ? encodeURIComponent(text) : "*");
  const filter = [
    ...(phases.length > 0 ? [`phase=${phases.join(",")}`] : []),
    ...(name ? [`name=${encodeURIComponent(name)}`] : []),
    ...labels.map((label) => `label=${encodeURIComponent(label)}`),
    `limit=${WATCHED_RUNS}`,
  ];
  return { kind: "list", value: [`${part(project)}/${part(domain)}`, ...filter].join(";") };
}

/** When the run began, as the list shows and sorts it. */
export function begunAt(run: RunSummary): string {
  return run.createdAt ?? run.firstSeenAt;
}

/** From the start, or else the creation, to the end or to now, in milliseconds; NaN where it ended without having
 *  run. */
export function runElapsedMs(run: RunSummary, nowMs: number): number {
  if (run.durationMs !== null) return run.durationMs;
  if (run.endedAt !== null) return NaN;
  return nowMs - parseTime(run.startedAt ?? begunAt(run));
}

/** The newest first by the time that is shown; of the same millisecond, by name. */
export function newestFirst(a: RunSummary, b: RunSummary): number {
  if (begunAt(a) !== begunAt(b)) return begunAt(a) < begunAt(b) ? 1 : -1;
  return keyOf(a) < keyOf(b) ? 1 : -1;
}

/** The order of a column; what has no value comes last, whichever way. */
export function runsOrder(
  sort: RunsSort | "",
  isDescending: boolean,
  nowMs: number,
): (a: RunSummary, b: RunSummary) => number {
  if (sort === "") return newestFirst;
  const sign = isDescending ? -1 : 1;
  const value = (run: RunSummary): number | string => {
    switch (sort) {
      case "name":
        return naturalKey(run.runName);
      case "phase":
        return run.phase === null ? NaN : PHASES_BY_URGENCY.indexOf(run.phase);
      case "actions":
        return run.actionCount;
      case "begun":
        return parseTime(begunAt(run));
      case "duration":
        return runElapsedMs(run, nowMs);
    }
  };
  return (a, b) => {
    const [left, right] = [value(a), value(b)];
    const order = Number(Number.isNaN(left)) - Number(Number.isNaN(right));
    if (order !== 0) return order;
    if (left < right) return -sign;
    return left > right ? sign : newestFirst(a, b);
  };
}

/** "Cell 2 is away: its runs are missing or old." */
export function awayText(away: readonly string[]): string {
  const isOne = away.length === 1;
  return `${isOne ? "Cell" : "Cells"} ${away.join(", ")} ${isOne ? "is" : "are"} away: ${isOne ? "its" : "their"} runs are missing or old.`;
}

/** Takes one record of the list's stream. A run that has moved out of the filter goes. */
export function applyRunUpdate(
  runs: Map<string, RunSummary>,
  update: RunUpdate,
  route: RunsRoute,
): void {
  const key = keyOf(update);
  const { phases } = route;
  if ("deleted" in update) {
    // It may have been made anew in another cell; what a page of the list told has none.
    const cell = runs.get(key)?.cell;
    if (cell === undefined || cell === update.cell) runs.delete(key);
  } else if (phases.length > 0 && (update.phase === null || !phases.includes(update.phase)))
    runs.delete(key);
  else runs.set(key, update);
}

/** What a list had when the reader left it, to find it so when coming back. */
interface Left {
  query: string;
  known: Map<string, RunSummary>;
  cursor: string | undefined;
  hasOlder: boolean;
  scrollTop: number;
}

let left: Left | null = null;

/** The list on the page, and the stream that feeds it. */
export class RunsModel {
  runs: RunSummary[] = [];
  state: StreamState = CONNECTING;
  isComplete = false;
  /** The cells that cannot be read now. */
  away: string[] = [];
  /** Whether there may be runs older than those shown. */
  hasOlder = false;

  /** How far the reader has scrolled, in pixels. */
  scrollTop = 0;

  #known = new Map<string, RunSummary>();
  #aside: Map<string, RunSummary> | null = null;
  #route: RunsRoute | null = null;
  #query = "";
  #cursor: string | undefined;
  #loading: Promise<void> | null = null;
  #abort = new AbortController();
  #subscription: Subscription | null = null;
  readonly #frame: NextFrame;

  /** `onChange` is called at most once per animation frame. */
  constructor(onChange: () => void) {
    this.#frame = new NextFrame(() => {
      const { sort, isDescending } = this.#route ?? ALL_RUNS;
      this.runs = [...this.#known.values()].sort(runsOrder(sort, isDescending, clock.now()));
      onChange();
    });
  }

  watch(route: RunsRoute): void {
    const query = runsQuery(route, WATCHED_RUNS).toString();
    const isSame = this.#route !== null && query === this.#query;
    this.#route = route;
    this.#frame.request();
    if (isSame) return;
    this.#query = query;
    this.#stopLoading();
    this.#subscription?.close();
    const kept = left?.query === query ? left : null;
    this.#known = new Map(kept?.known);
    this.#aside = new Map();
    this.#cursor = kept?.cursor;
    this.hasOlder = kept?.hasOlder ?? false;
    this.isComplete = kept !== null;
    this.scrollTop = kept?.scrollTop ?? 0;
    this.#subscribe(route);
  }

  /** Watches no longer, until resume(); what is shown stays. */
  pause(): void {
    this.#subscription?.close();
    this.#subscription = null;
  }

  resume(): void {
    if (this.#subscription || !this.#route) return;
    this.#aside = new Map();
    this.#subscribe(this.#route);
  }

  #subscribe(route: RunsRoute): void {
    const query = this.#query;
    this.state = CONNECTING;
    this.#subscription = subscribe(listTopic(route), (message) => {
      if (this.#query === query) this.#take(message);
    });
  }

  retry(): void {
    this.#subscription?.retry();
  }

  close(): void {
    left = {
      query: this.#query,
      known: this.#known,
      cursor: this.#cursor,
      hasOlder: this.hasOlder,
      scrollTop: this.scrollTop,
    };
    this.#route = null;
    this.#query = "";
    this.#stopLoading();
    this.pause();
    this.#frame.cancel();
  }

  /** Adds the next page of older runs; they stand still, only the newest are watched. One at a time: a call while
   *  one is under way waits for that. */
  loadOlder(): Promise<void> {
    if (this.#loading) return this.#loading;
    const { signal } = this.#abort;
    const loading = this.#loadOlder(signal)
      .catch((cause: unknown) => {
        if (!signal.aborted) throw cause;
      })
      .finally(() => {
        if (!signal.aborted) this.#loading = null;
      });
    this.#loading = loading;
    return loading;
  }

  #stopLoading(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#loading = null;
  }

  /** Takes a run out, which has just been deleted. */
  forget(run: RunSummary): void {
    this.#known.delete(keyOf(run));
    this.#frame.request();
  }

  async #loadOlder(signal: AbortSignal): Promise<void> {
    const isFirst = this.#cursor === undefined;
    let page = await this.#list(signal);
    if (isFirst && page.nextCursor) page = await this.#list(signal);
    // A page in which a filter found nothing says only that the list goes on.
    while (page.runs.length === 0 && page.nextCursor) page = await this.#list(signal);
    this.#frame.request();
  }

  async #list(signal: AbortSignal): Promise<Runs> {
    const cursor = this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : "";
    const page = await getJson<Runs>(`/v1/runs?${this.#query}${cursor}`, signal);
    signal.throwIfAborted();
    for (const run of page.runs) {
      const known = this.#known.get(keyOf(run));
      if (!known || known.revision <= run.revision) this.#known.set(keyOf(run), run);
    }
    this.#cursor = page.nextCursor ?? "";
    this.hasOlder = page.nextCursor !== undefined;
    return page;
  }

  /** A snapshot has the newest runs, and older ones that have changed since; of what was known only older ones stay,
   *  which were loaded by pages. */
  #takeOver(snapshot: Map<string, RunSummary>): void {
    const oldest = [...snapshot.values()].sort(newestFirst)[WATCHED_RUNS - 1];
    const older = !oldest
      ? []
      : [...this.#known].filter(([key, run]) => !snapshot.has(key) && newestFirst(run, oldest) > 0);
    if (older.length === 0) {
      this.#cursor = undefined;
      this.hasOlder = oldest !== undefined;
    }
    this.#known = new Map([...snapshot, ...older]);
  }

  #forgetCell(cell: string): void {
    const runs = this.#aside ?? this.#known;
    for (const [key, run] of runs) if (run.cell === cell) runs.delete(key);
  }

  #take(message: FeedMessage): void {
    switch (message.type) {
      case "records": {
        const runs = this.#aside ?? this.#known;
        for (const update of JSON.parse(message.json) as RunUpdate[])
          applyRunUpdate(runs, update, this.#route ?? ALL_RUNS);
        break;
      }
      case "reset":
        if (message.cell === undefined) this.#aside = new Map();
        else this.#forgetCell(message.cell);
        break;
      case "cells":
        this.away = message.away;
        break;
      case "synced":
        if (this.#aside) this.#takeOver(this.#aside);
        this.#aside = null;
        this.isComplete = true;
        break;
      case "state":
        this.state = message.state;
        break;
    }
    this.#frame.request();
  }
}
