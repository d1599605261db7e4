import { formatDuration } from "./format";
import { tookMs, type Match } from "./match";
import { NONE, type TreeStore } from "./tree_store";

/** A rate is over the last minute, or over as long as so many actions took to end. */
const RATE_SPAN_MS = 60_000;
const RATE_ENDS = 8;

/** How many actions end in a millisecond, lately; 0 if none has ended. It falls while none ends. */
export function rateOf(tree: TreeStore, nowMs: number): number {
  const [beganAt] = tree.rootSpan(nowMs);
  const last = new Float64Array(RATE_ENDS).fill(-Infinity);
  let [all, lately] = [0, 0];
  for (let node = tree.next(NONE); node !== NONE; node = tree.next(node)) {
    const ended = tree.endedAt[node]!;
    if (tree.isGroup(node) || Number.isNaN(ended)) continue;
    all++;
    if (ended > nowMs - RATE_SPAN_MS) lately++;
    if (!(ended > last[0]!)) continue;
    let at = 0;
    for (; at + 1 < RATE_ENDS && last[at + 1]! < ended; at++) last[at] = last[at + 1]!;
    last[at] = ended;
  }
  const elapsed = Math.max(1000, nowMs - beganAt);
  if (all < RATE_ENDS) return all / elapsed;
  const span = Math.min(elapsed, Math.max(RATE_SPAN_MS, nowMs - last[0]!));
  return Math.max(lately, RATE_ENDS) / span;
}

const UNITS: readonly [ms: number, name: string][] = [
  [1000, "s"],
  [60_000, "min"],
  [3_600_000, "h"],
  [86_400_000, "d"],
];

/** "3.4/s", "120/min", "2/h"; "" for none, or less than one in ten days. */
export function formatRate(perMs: number): string {
  if (!(perMs > 0)) return "";
  const [ms, name] = UNITS.find(([unit]) => perMs * unit >= 1) ?? UNITS.at(-1)!;
  const rate = perMs * ms;
  if (rate < 0.1) return "";
  return `${rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)}/${name}`;
}

function isLeaf(tree: TreeStore, node: number): boolean {
  return !tree.isGroup(node) && tree.childCount[node] === 0;
}

/**
 * How long a run will go on, in milliseconds, by how long an earlier one took: of the work that the earlier one had,
 * the part that is left, at a pace between the two runs' that leans to this one's the more of it is done. 0 when
 * all of it is done; NaN where the earlier one tells nothing.
 */
export function remainingMs(now: TreeStore, then: TreeStore, match: Match, nowMs: number): number {
  let work = 0;
  for (let node = then.next(NONE); node !== NONE; node = then.next(node))
    if (isLeaf(then, node)) work += tookMs(then, node, NaN) || 0;
  let done = 0;
  for (const [our, their] of match) {
    if (!isLeaf(now, our) || !isLeaf(then, their)) continue;
    const took = tookMs(then, their, NaN) || 0;
    done += now.isLive(our) ? Math.min(took, tookMs(now, our, nowMs) || 0) : took;
  }
  const [thenFrom, thenTo] = then.rootSpan(-Infinity);
  const [from] = now.rootSpan(nowMs);
  if (!(work > 0) || !(thenTo > thenFrom)) return NaN;
  const left = 1 - Math.min(1, done / work);
  return left * (nowMs - from + left * (thenTo - thenFrom));
}

const STEPS_MS = [1000, 5000, 10_000, 60_000, 300_000, 3_600_000];

/** "about 4 m left": no more exact than it is; `ms` as remainingMs() has it. */
export function formatRemaining(ms: number): string {
  if (Number.isNaN(ms)) return "";
  if (ms <= 0) return "longer than last time";
  const step = STEPS_MS.findLast((each) => ms >= each * 6) ?? STEPS_MS[0]!;
  const rounded = Math.max(step, Math.round(ms / step) * step);
  return `about ${formatDuration(rounded).replace(/ 00 [sm]$|\.0(?= s)/, "")} left`;
}
