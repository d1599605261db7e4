import { actionPath, errorText, getJson, runPath } from "../api/client";
import { getTree } from "../api/tree";
import type { ActionDetails, RunSummary, Runs } from "../api/types";
import type { RunKey } from "../model/route";
import type { TreeStore } from "../model/tree_store";

/** Stands for the newest earlier run of the same work that succeeded; no run can be called so. */
export const PREVIOUS = ".";
/** What has more actions is fetched only when the reader asks for it. */
export const UNASKED_ACTIONS_MAX = 20_000;

const LISTED_RUNS = 100;
const SOUGHT_RUNS = 20;
/** The roots of so many runs are looked at to find one of the same task. */
const ROOTS_MAX = 10;

/** What the names of runs of the same work have in common: all before the first digit. */
function stemOf(runName: string): string {
  return runName.replace(/\d.*$/, "");
}

/** What makes runs those of the same work. */
interface Identity {
  title: string | null;
  root: string | null;
  task: string | null;
}

/** Another run of the same project and domain, to hold this one against. */
export class EarlierRun {
  /** Its name and tree; null until they are there. */
  name = "";
  tree: TreeStore | null = null;
  /** Those that can be chosen, the newest first; those of the same work are in `alike`. */
  runs: RunSummary[] = [];
  readonly alike = new Set<string>();
  /** Why there is nothing; "" while it is being fetched or is there. */
  problem = "";

  readonly #tell = (problem: string): void => {
    this.problem = problem;
    this.onChange();
  };
  #wanted = "";
  #abort = new AbortController();
  #identity: Promise<Identity & { begunAt: string }> | null = null;
  #isListed = false;

  constructor(
    private readonly run: RunKey,
    private readonly onChange: () => void,
  ) {}

  /** Fetches the run with this name, or PREVIOUS, or forgets what was there with ""; each once. Without
   *  `isAsked` one that is large is left alone. */
  want(name: string, isAsked: boolean): void {
    const wanted = `${name}\n${isAsked}`;
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.problem = "";
    if (name === "") {
      this.name = "";
      this.tree = null;
      return;
    }
    void this.#load(name, isAsked, this.#abort.signal);
  }

  close(): void {
    this.#abort.abort();
  }

  async #load(name: string, isAsked: boolean, signal: AbortSignal): Promise<void> {
    try {
      if (isAsked) await this.#list(signal);
      const found = name === PREVIOUS ? await this.#previous(signal) : name;
      if (found === null || (!isAsked && this.#sizeOf(found) > UNASKED_ACTIONS_MAX)) {
        this.problem = found === null ? "No earlier run of the same task has succeeded." : "";
        this.name = "";
        this.tree = null;
      } else if (found !== this.name || !this.tree) {
        const path = `${runPath({ ...this.run, runName: found })}/tree`;
        const tree = await getTree(path, signal, this.#tell);
        tree.layout();
        this.name = found;
        this.tree = tree;
        this.problem = "";
      } else this.problem = "";
    } catch (cause) {
      if (signal.aborted) return;
      this.problem = errorText(cause);
      this.tree = null;
    }
    if (!signal.aborted) this.onChange();
  }

  #get<T>(path: string, signal: AbortSignal): Promise<T> {
    return getJson<T>(path, signal, this.#tell);
  }

  #sizeOf(name: string): number {
    return this.runs.find(({ runName }) => runName === name)?.actionCount ?? 0;
  }

  async #query(more: Record<string, string>, signal: AbortSignal): Promise<RunSummary[]> {
    const { project, domain, runName } = this.run;
    const query = new URLSearchParams({ project, domain, ...more });
    const { runs } = await this.#get<Runs>(`/v1/runs?${query.toString()}`, signal);
    return runs.filter((run) => run.runName !== runName && run.root !== null);
  }

  #know(runs: readonly RunSummary[]): void {
    const known = new Set(this.runs.map(({ runName }) => runName));
    this.runs = [...this.runs, ...runs.filter(({ runName }) => !known.has(runName))];
  }

  /** All that can be chosen, once. */
  async #list(signal: AbortSignal): Promise<void> {
    if (this.#isListed) return;
    const runs = await this.#query({ limit: String(LISTED_RUNS) }, signal);
    this.#isListed = true;
    const known = this.runs;
    this.runs = runs;
    this.#know(known);
    const identity = await this.#identify(signal);
    for (const run of runs.slice(0, ROOTS_MAX)) await this.#isAlike(run, identity, signal);
  }

  /** The newest that began before this one and succeeded, by its title, else by what its name begins with, else by
   *  all there are. */
  async #previous(signal: AbortSignal): Promise<string | null> {
    const identity = await this.#identify(signal);
    const stem = stemOf(this.run.runName);
    const names = new Set([...(identity.title ? [identity.title] : []), stem, ""]);
    let roots = ROOTS_MAX;
    const looked = new Set<string>();
    for (const name of names) {
      const query = { phase: "SUCCEEDED", limit: String(SOUGHT_RUNS), ...(name ? { name } : {}) };
      const runs = await this.#query(query, signal);
      this.#know(runs);
      for (const run of runs) {
        if ((run.createdAt ?? run.firstSeenAt) >= identity.begunAt || looked.has(run.runName))
          continue;
        if (roots-- <= 0) return null;
        looked.add(run.runName);
        if (await this.#isAlike(run, identity, signal)) return run.runName;
      }
    }
    return null;
  }

  #identify(signal: AbortSignal): Promise<Identity & { begunAt: string }> {
    this.#identity ??= (async () => {
      const run = await this.#get<RunSummary>(runPath(this.run), signal);
      const begunAt = run.createdAt ?? run.firstSeenAt;
      return {
        title: run.title ?? null,
        root: run.root,
        task: run.root === null ? null : await this.#taskOf(this.run, run.root, signal),
        begunAt,
      };
    })();
    this.#identity.catch(() => {
      this.#identity = null;
    });
    return this.#identity;
  }

  async #taskOf(run: RunKey, root: string, signal: AbortSignal): Promise<string | null> {
    const { taskName, title } = await this.#get<ActionDetails>(actionPath(run, root), signal);
    return taskName ?? title ?? null;
  }

  async #isAlike(run: RunSummary, identity: Identity, signal: AbortSignal): Promise<boolean> {
    if (this.alike.has(run.runName)) return true;
    const isAlike =
      (identity.title !== null && run.title === identity.title) ||
      (identity.task === null
        ? run.root === identity.root && stemOf(run.runName) === stemOf(this.run.runName)
        : run.root !== null && (await this.#taskOf(run, run.root, signal)) === identity.task);
    if (isAlike) this.alike.add(run.runName);
    return isAlike;
  }
}
