import { actionPath, getJson } from "../api/client";
import type { ActionDetails } from "../api/types";
import { parseTime } from "../model/format";
import { isTerminalNumber, phaseNumber } from "../model/phase";
import type { RunKey } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";

export interface AttemptPart {
  phase: number;
  from: number;
  /** NaN while it lasts. */
  to: number;
}

export interface AttemptBar {
  number: number;
  /** The phase that the attempt is in, or ended in. */
  outcome: number;
  parts: AttemptPart[];
}

const RUNNING = phaseNumber("RUNNING");
const REQUESTS_AT_ONCE = 3;
const KEPT_MAX = 2000;
/** Rows that are only scrolled past are not asked for. */
const SETTLE_MS = 250;

/** The parts of an action's bar, from what the API says of its attempts. A phase that is reported again,
 *  with a higher version, goes on. */
export function attemptBars(details: ActionDetails): AttemptBar[] {
  return details.attempts.map((attempt) => {
    const parts: AttemptPart[] = [];
    for (const transition of attempt.phaseTransitions) {
      const phase = phaseNumber(transition.phase);
      const to = parseTime(transition.endTime);
      const last = parts.at(-1);
      if (last?.phase === phase) last.to = to;
      else parts.push({ phase, from: parseTime(transition.startTime), to });
    }
    return { number: attempt.attempt, outcome: phaseNumber(attempt.phase), parts };
  });
}

/** What was there of it at a time. */
export function barsAt(bars: readonly AttemptBar[], at: number): AttemptBar[] {
  return bars.flatMap(({ number, parts }) => {
    const begun = parts
      .filter(({ from }) => from <= at)
      .map((part) => (part.to > at ? { ...part, to: NaN } : part));
    const last = begun.at(-1);
    return last ? [{ number, outcome: last.phase, parts: begun }] : [];
  });
}

/** Where the timeline has bars with all attempts from. */
export type AttemptSource = Pick<AttemptDetails, "get" | "want">;

/**
 * The attempts and phases of the actions that are on the screen. The stream tells only the current
 * attempt, so the rest is fetched once a row has stayed in view, and kept until the action changes.
 */
export class AttemptDetails {
  #known = new Map<string, { state: string; bars: AttemptBar[] }>();
  #wanted: { name: string; state: string }[] = [];
  #running = 0;
  #settle: ReturnType<typeof setTimeout> | null = null;
  #rows = "";
  #abort = new AbortController();

  constructor(
    private readonly run: RunKey,
    private readonly onChange: () => void,
  ) {}

  /** All attempts; when the current one has gone on since they were fetched, that one as the stream tells it. Null if
   *  they are not known. */
  get(tree: TreeStore, node: number): readonly AttemptBar[] | null {
    const known = this.#known.get(tree.name[node]!);
    if (!known || known.state === stateOf(tree, node)) return known?.bars ?? null;
    const number = tree.attempt[node]!;
    const earlier = known.bars.filter((bar) => bar.number < number);
    const areOver = earlier.every(({ outcome }) => isTerminalNumber(outcome));
    if (number === 1 || earlier.length < number - 1 || !areOver) return null;
    const from = tree.startedAt[node]!;
    const parts = Number.isNaN(from) ? [] : [{ phase: RUNNING, from, to: tree.endedAt[node]! }];
    return [...earlier, { number, outcome: tree.phase[node]!, parts }];
  }

  #isKnown(tree: TreeStore, node: number): boolean {
    return this.#known.get(tree.name[node]!)?.state === stateOf(tree, node);
  }

  /** The same for a replay, whose tree is that of the time `at`. */
  at(at: number, live: TreeStore): AttemptSource {
    return {
      get: (tree, node) => {
        const now = live.find(tree.name[node]!);
        const bars = now === NONE ? null : this.get(live, now);
        return bars && barsAt(bars, at);
      },
      want: (tree, first, last) => this.want(tree, first, last, live),
    };
  }

  /** Says which rows are in view now; what was wanted before no longer is. `live` has the actions as they are now. */
  want(tree: TreeStore, first: number, last: number, live = tree): void {
    this.#wanted = [];
    let retried = 0;
    for (let row = first; row < last; row++) {
      const name = tree.name[tree.rows[row]!]!;
      const node = live.find(name);
      if (node === NONE || live.childCount[node]! > 0 || this.#isKnown(live, node)) continue;
      const wanted = { name, state: stateOf(live, node) };
      // Those of which most is missing come first.
      if (live.attempt[node]! > 1) this.#wanted.splice(retried++, 0, wanted);
      else this.#wanted.push(wanted);
    }
    // Rows that change while they stay in view are not waited for any longer.
    const rows = `${first}-${last}`;
    if (this.#settle !== null && rows === this.#rows) return;
    this.#rows = rows;
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#settle = setTimeout(() => {
      this.#settle = null;
      this.#next();
    }, SETTLE_MS);
  }

  close(): void {
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#wanted = [];
    this.#abort.abort();
  }

  #next(): void {
    while (this.#running < REQUESTS_AT_ONCE) {
      const wanted = this.#wanted.shift();
      if (!wanted) return;
      this.#running++;
      void this.#fetch(wanted.name, wanted.state);
    }
  }

  async #fetch(name: string, state: string): Promise<void> {
    try {
      const detail = await getJson<ActionDetails>(actionPath(this.run, name), this.#abort.signal);
      if (this.#known.size >= KEPT_MAX) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(name, { state, bars: attemptBars(detail) });
      this.onChange();
    } catch {
      // The bar stays as the stream tells it.
    }
    this.#running--;
    this.#next();
  }
}

function stateOf(tree: TreeStore, node: number): string {
  return `${tree.attempt[node]!}.${tree.phase[node]!}.${tree.actionVersion[node]!}`;
}
