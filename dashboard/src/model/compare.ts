import { tookMs, type Match } from "./match";
import { NONE, type TreeStore } from "./tree_store";

/** In the order of the table: what needs attention first. */
export const CHANGES = ["failed", "slower", "new", "gone", "faster", "same"] as const;
export type Change = (typeof CHANGES)[number];

export interface Compared {
  change: Change;
  /** The nodes in the two trees; NONE where there is none. */
  now: number;
  then: number;
  /** How long it took, or has been at it; NaN if it has not run. */
  nowMs: number;
  thenMs: number;
  differenceMs: number;
}

const BY_SIZE: readonly Change[] = ["failed", "slower", "faster"];

/** A difference that is less than both is none. */
const DIFFERENCE_PART = 0.1;
const DIFFERENCE_MIN_MS = 100;

/**
 * The actions of a run beside those of another: what has failed only now first, then what takes longer, by how much,
 * what is new, what is gone, what is faster, and the rest in tree order.
 */
export function compareTrees(
  now: TreeStore,
  then: TreeStore,
  match: Match,
  nowMs: number,
): Compared[] {
  const matched = new Set(match.values());
  const found = new Map<Change, Compared[]>(CHANGES.map((change) => [change, []]));
  const add = (ours: number, theirs: number): void => {
    const took = ours === NONE ? NaN : tookMs(now, ours, nowMs);
    const thenTook = theirs === NONE ? NaN : tookMs(then, theirs, NaN);
    const differenceMs = took - thenTook;
    const change = changeOf(now, then, ours, theirs, thenTook, differenceMs);
    const row = { change, now: ours, then: theirs, nowMs: took, thenMs: thenTook, differenceMs };
    found.get(change)!.push(row);
  };
  for (let node = now.next(NONE); node !== NONE; node = now.next(node))
    if (!now.isGroup(node)) add(node, match.get(node) ?? NONE);
  for (let node = then.next(NONE); node !== NONE; node = then.next(node))
    if (!then.isGroup(node) && !matched.has(node)) add(NONE, node);
  const size = ({ differenceMs }: Compared): number => Math.abs(differenceMs) || 0;
  for (const change of BY_SIZE) found.get(change)!.sort((a, b) => size(b) - size(a));
  return [...found.values()].flat();
}

function changeOf(
  now: TreeStore,
  then: TreeStore,
  ours: number,
  theirs: number,
  thenMs: number,
  differenceMs: number,
): Change {
  if (ours === NONE) return "gone";
  if (now.hasFailed(ours) && (theirs === NONE || !then.hasFailed(theirs))) return "failed";
  if (theirs === NONE) return "new";
  const least = Math.max(DIFFERENCE_MIN_MS, thenMs * DIFFERENCE_PART);
  if (differenceMs > least) return "slower";
  // What still runs may yet be slower.
  return differenceMs < -least && !now.isLive(ours) ? "faster" : "same";
}
