import { getJson } from "../api/client";
import type { RunSummary, Runs, RunUpdate } from "../api/types";
import type { RunsRoute } from "../model/route";
import { subscribe, type Subscription } from "../stream/client";
import { NextFrame } from "../ui/frame";
import { CONNECTING, type FeedMessage, type StreamState } from "../stream/protocol";

/** The watch starts with so many of the newest runs. */
export const WATCHED_RUNS = 200;

export function keyOf(run: { project: string; domain: string; runName: string }): string {
  return `${run.project}/${run.domain}/${run.runName}`;
}

/** The query of a filter, for the list as for its watch. */
export function runsQuery(route: RunsRoute, limit: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(limit) });
  if (route.project) query.set("project", route.project);
  if (route.domain) query.set("domain", route.domain);
  if (route.phases.length > 0) query.set("phase", route.phases.join(","));
  if (route.name) query.set("name", route.name);
  return query;
}

/** The newest first by the time that is shown; of the same millisecond, by name. */
export function newestFirst(a: RunSummary, b: RunSummary): number {
  const shownOfA = a.createdAt ?? a.firstSeenAt;
  const shownOfB = b.createdAt ?? b.firstSeenAt;
  if (shownOfA !== shownOfB) return shownOfA < shownOfB ? 1 : -1;
  return keyOf(a) < keyOf(b) ? 1 : -1;
}

/** Takes one record of the list's stream. A run that has moved out of the filter goes. */
export function applyRunUpdate(
  runs: Map<string, RunSummary>,
  update: RunUpdate,
  route: RunsRoute,
): void {
  const key = keyOf(update);
  const { phases } = route;
  if ("deleted" in update) runs.delete(key);
  else if (phases.length > 0 && (update.phase === null || !phases.includes(update.phase)))
    runs.delete(key);
  else runs.set(key, update);
}

/** The list on the page, and the stream that feeds it. */
export class RunsModel {
  runs: RunSummary[] = [];
  state: StreamState = CONNECTING;
  isComplete = false;
  /** Whether there may be runs older than those shown. */
  hasOlder = false;

  #known = new Map<string, RunSummary>();
  #aside: Map<string, RunSummary> | null = null;
  #route: RunsRoute | null = null;
  #cursor: string | undefined;
  #subscription: Subscription | null = null;
  readonly #frame: NextFrame;

  /** `onChange` is called at most once per animation frame. */
  constructor(onChange: () => void) {
    this.#frame = new NextFrame(() => {
      this.runs = [...this.#known.values()].sort(newestFirst);
      onChange();
    });
  }

  watch(route: RunsRoute): void {
    this.#subscription?.close();
    this.#route = route;
    this.#aside = new Map();
    this.#cursor = undefined;
    this.hasOlder = false;
    this.state = CONNECTING;
    const query = runsQuery(route, WATCHED_RUNS).toString();
    this.#subscription = subscribe(`/v1/runs/watch?${query}`, "runUpdate", (message) => {
      if (this.#route === route) this.#take(message, route);
    });
    this.#frame.request();
  }

  retry(): void {
    this.#subscription?.retry();
  }

  close(): void {
    this.#route = null;
    this.#subscription?.close();
    this.#frame.cancel();
  }

  /** Adds the next page of older runs; they stand still, only the newest are watched. */
  async loadOlder(): Promise<void> {
    const route = this.#route;
    if (!route) return;
    const isFirst = this.#cursor === undefined;
    let page = await this.#list(route);
    if (isFirst && page.nextCursor) page = await this.#list(route);
    // A page in which a filter found nothing says only that the list goes on.
    while (page.runs.length === 0 && page.nextCursor && this.#route === route)
      page = await this.#list(route);
    if (this.#route === route) this.#frame.request();
  }

  async #list(route: RunsRoute): Promise<Runs> {
    const query = runsQuery(route, WATCHED_RUNS);
    if (this.#cursor) query.set("cursor", this.#cursor);
    const page = await getJson<Runs>(`/v1/runs?${query.toString()}`);
    if (this.#route !== route) return page;
    for (const run of page.runs) {
      const known = this.#known.get(keyOf(run));
      if (!known || known.revision <= run.revision) this.#known.set(keyOf(run), run);
    }
    this.#cursor = page.nextCursor ?? "";
    this.hasOlder = page.nextCursor !== undefined;
    return page;
  }

  #take(message: FeedMessage, route: RunsRoute): void {
    switch (message.type) {
      case "records": {
        const runs = this.#aside ?? this.#known;
        for (const update of JSON.parse(message.json) as RunUpdate[])
          applyRunUpdate(runs, update, route);
        break;
      }
      case "reset":
        this.#aside = new Map();
        break;
      case "synced":
        if (this.#aside) {
          this.#known = this.#aside;
          this.hasOlder = this.#known.size >= WATCHED_RUNS;
        }
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
