import { getJson, runPath } from "../api/client";
import type { RunSummary } from "../api/types";
import { causeLine } from "../model/failures";
import { parseTime } from "../model/format";
import { isGoodEndNumber, phaseNumber } from "../model/phase";
import { keyOf } from "./runs_model";

/** So many are asked for at a time. */
const AT_ONCE = 2;
/** So many failed actions of a run are looked at. */
const LOOKED_AT = 100;

interface Failed {
  actions: { endedAt: string | null; errorInfo?: { message?: string | null } | null }[];
}

/** Why failed runs failed: the first error's line of those that are asked about, learnt a few at a time. */
export class Reasons {
  #known = new Map<string, string>();
  #wanted = new Map<string, RunSummary>();
  #asking = 0;
  #abort = new AbortController();

  /** `onChange` is called when more is known. */
  constructor(private readonly onChange: () => void) {}

  /** What is known; "" for nothing yet. */
  get(run: RunSummary): string {
    return hasReason(run) ? (this.#known.get(stateOf(run)) ?? "") : "";
  }

  /** Says which runs are in view; what was wanted before no longer is. */
  want(runs: readonly RunSummary[]): void {
    this.#wanted = new Map(
      runs
        .filter((run) => hasReason(run) && !this.#known.has(stateOf(run)))
        .map((run) => [stateOf(run), run]),
    );
    this.#next();
  }

  close(): void {
    this.#wanted.clear();
    this.#abort.abort();
  }

  #next(): void {
    for (const [state, run] of this.#wanted) {
      if (this.#asking >= AT_ONCE) return;
      this.#wanted.delete(state);
      this.#asking++;
      void this.#ask(state, run);
    }
  }

  async #ask(state: string, run: RunSummary): Promise<void> {
    try {
      const path = `${runPath(run)}/actions?phase=FAILED&limit=${LOOKED_AT}`;
      const { actions } = await getJson<Failed>(path, this.#abort.signal);
      const said = actions
        .filter(({ errorInfo }) => errorInfo?.message)
        .sort((a, b) => parseTime(a.endedAt) - parseTime(b.endedAt));
      this.#known.set(state, causeLine(said[0]?.errorInfo?.message ?? ""));
      this.onChange();
    } catch {
      // The run is gone: asked again should it be in view another time.
    } finally {
      this.#asking--;
      this.#next();
    }
  }
}

/** What succeeded all the same needs none. */
function hasReason(run: RunSummary): boolean {
  const isGood = run.phase !== null && isGoodEndNumber(phaseNumber(run.phase));
  return Boolean(run.phaseCounts.FAILED) && !isGood;
}

/** A run's failures are asked for again when there are more of them. */
function stateOf(run: RunSummary): string {
  return `${keyOf(run)} ${run.incarnation} ${run.phaseCounts.FAILED ?? 0}`;
}
