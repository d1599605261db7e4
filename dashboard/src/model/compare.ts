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

/** A difference that is less than both is none. */
const DIFFERENCE_PART = 0.1;
const DIFFERENCE_MIN_MS = 100;

/**
 * The actions of a run beside those of another, what has failed only now first, then what takes longer, by how much,
 * what is new, what is gone, and the rest.
 */
export function compareTrees(
  now: TreeStore,
  then: TreeStore,
  match: Match,
  nowMs: number,
): Compared[] {
  const rows: Compared[] = [];
  const matched = new Set(match.values());
  const add = (ours: number, theirs: number): void => {
    const took = ours === NONE ? NaN : tookMs(now, ours, nowMs);
    const thenTook = theirs === NONE ? NaN : tookMs(then, theirs, NaN);
    const row = { now: ours, then: theirs, nowMs: took, thenMs: thenTook };
    const differenceMs = took - thenTook;
    rows.push({ ...row, differenceMs, change: changeOf(now, then, { ...row, differenceMs }) });
  };
  for (let node = now.next(NONE); node !== NONE; node = now.next(node))
    if (!now.isGroup(node)) add(node, match.get(node) ?? NONE);
  for (let node = then.next(NONE); node !== NONE; node = then.next(node))
    if (!then.isGroup(node) && !matched.has(node)) add(NONE, node);
  const size = ({ differenceMs }: Compared): number => Math.abs(differenceMs) || 0;
  return rows
    .map((row, index) => ({ row, index, rank: CHANGES.indexOf(row.change) }))
    .sort((a, b) => a.rank - b.rank || size(b.row) - size(a.row) || a.index - b.index)
    .map(({ row }) => row);
}

function changeOf(now: TreeStore, then: TreeStore, row: Omit<Compared, "change">): Change {
  if (row.now === NONE) return "gone";
  if (now.hasFailed(row.now) && (row.then === NONE || !then.hasFailed(row.then))) return "failed";
  if (row.then === NONE) return "new";
  const least = Math.max(DIFFERENCE_MIN_MS, row.thenMs * DIFFERENCE_PART);
  if (row.differenceMs > least) return "slower";
  // What still runs may yet be slower.
  return row.differenceMs < -least && !now.isLive(row.now) ? "faster" : "same";
}
