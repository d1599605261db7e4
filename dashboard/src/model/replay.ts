import { NONE, type TreeStore } from "./tree_store";

/** How fast a replay goes: so many times as it was, or all of it in 30 s. */
export const SPEEDS = ["1", "10", "100", "1000", "all"] as const;
export type Speed = (typeof SPEEDS)[number];

const ALL_IN_MS = 30_000;

/** How much of the run's time goes by in a millisecond of the replay; `spanMs` is how long the run is. */
export function paceOf(speed: Speed, spanMs: number): number {
  return speed === "all" ? spanMs / ALL_IN_MS : Number(speed);
}

/** The next time at which an action was created, started or ended, as far as the tree knows, after `at`, or before it
 *  with a step of -1; NaN if there is none. */
export function nextChange(tree: TreeStore, at: number, step: 1 | -1): number {
  let next = NaN;
  const consider = (time: number): void => {
    if (step * (time - at) > 0 && !(step * (time - next) >= 0)) next = time;
  };
  for (let node = tree.next(NONE); node !== NONE; node = tree.next(node)) {
    if (tree.isGroup(node)) continue;
    consider(tree.createdAt[node]!);
    consider(tree.startedAt[node]!);
    consider(tree.endedAt[node]!);
  }
  return next;
}
