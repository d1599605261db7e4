import { getJson, runPath } from "../api/client";
import type { RunSummary } from "../api/types";
import { causeLine } from "../model/failures";
import { parseTime } from "../model/format";
import { isGoodEndNumber, phaseNumber } from "../model/phase";
import { keyOf } from "./runs_model";

/** So many are asked for at a time. */
const AT_ONCE = 2;
/** A run's failed actions are looked at in pages, so many at most. */
const PAGE_LENGTH = 1000;
const PAGES_MAX = 5;

interface Failed {
  actions: { endedAt: string | null; errorInfo?: { message?: string | null } | null }[];
  nextCursor: string | null;
}

interface Reason {
  line: string;
  /** How the run stood when it was asked for. */
  endedAt: string | null;
  failed: number;
}

/** Why failed runs failed: the first error's line of those that are asked about, learnt a few at a time. */
export class Reasons {
  #known = new Map<string, Reason>();
  #wanted = new Map<string, RunSummary>();
  #asking = 0;
  #abort = new AbortController();

  /** `onChange` is called when more is known. */
  constructor(private readonly onChange: () => void) {}

  /** What is known; "" for nothing yet. */
  get(run: RunSummary): string {
    return hasReason(run) ? (this.#known.get(lifeOf(run))?.line ?? "") : "";
  }

  /** Says which runs are in view; what was wanted before no longer is. */
  want(runs: readonly RunSummary[]): void {
    this.#wanted = new Map(
      runs.filter((run) => hasReason(run) && !this.#isKnown(run)).map((run) => [lifeOf(run), run]),
    );
    this.#next();
  }

  close(): void {
    this.#wanted.clear();
    this.#abort.abort();
  }

  /** What failed first stays the first when more fails, until it is tried again or the run has ended. */
  #isKnown(run: RunSummary): boolean {
    const reason = this.#known.get(lifeOf(run));
    if (!reason || (reason.line === "" && failedOf(run) > reason.failed)) return false;
    return failedOf(run) >= reason.failed && run.endedAt === reason.endedAt;
  }

  #next(): void {
    for (const [life, run] of this.#wanted) {
      if (this.#asking >= AT_ONCE) return;
      this.#wanted.delete(life);
      this.#asking++;
      void this.#ask(life, run);
    }
  }

  async #ask(life: string, run: RunSummary): Promise<void> {
    try {
      let first = { endedAt: Infinity, message: "" };
      let cursor: string | null = null;
      for (let page = 0; page < PAGES_MAX && (page === 0 || cursor); page++) {
        const more: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
        const path = `${runPath(run)}/actions?phase=FAILED&limit=${PAGE_LENGTH}${more}`;
        const answer: Failed = await getJson<Failed>(path, this.#abort.signal);
        for (const { endedAt, errorInfo } of answer.actions) {
          const [at, message] = [parseTime(endedAt), errorInfo?.message];
          if (message && at < first.endedAt) first = { endedAt: at, message };
        }
        cursor = answer.nextCursor;
      }
      const line = causeLine(first.message);
      this.#known.set(life, { line, endedAt: run.endedAt, failed: failedOf(run) });
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
  return failedOf(run) > 0 && !isGood;
}

function failedOf(run: RunSummary): number {
  return run.phaseCounts.FAILED ?? 0;
}

/** A run that was deleted and made anew is another one. */
function lifeOf(run: RunSummary): string {
  return `${keyOf(run)} ${run.incarnation}`;
}
