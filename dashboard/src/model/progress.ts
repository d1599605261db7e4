import type { PhaseCounts } from "../api/types";
import { formatCount } from "./format";
import { isTerminal, isTerminalNumber, type Phase } from "./phase";
import type { TreeStore } from "./tree_store";

export interface GroupFacts {
  total: number;
  done: number;
  /** Of those that have ended; NaN without any. */
  meanMs: number;
  slowestMs: number;
}

/** What the actions right in a group, and in the groups in it, come to. */
export function groupFacts(tree: TreeStore, group: number, nowMs: number): GroupFacts {
  const facts = { total: 0, done: 0, sumMs: 0, timed: 0, slowestMs: NaN };
  const add = (node: number): void => {
    for (const child of tree.children(node)) {
      if (tree.isGroup(child)) {
        add(child);
        continue;
      }
      facts.total++;
      if (!isTerminalNumber(tree.phase[child]!)) continue;
      facts.done++;
      const elapsed = tree.elapsedMs(child, nowMs);
      if (Number.isNaN(elapsed)) continue;
      facts.timed++;
      facts.sumMs += elapsed;
      if (!(elapsed <= facts.slowestMs)) facts.slowestMs = elapsed;
    }
  };
  add(group);
  const { total, done, slowestMs } = facts;
  return { total, done, slowestMs, meanMs: facts.sumMs / facts.timed };
}

export interface Progress {
  total: number;
  done: number;
  failed: number;
}

/** How far a run is, by its counts. */
export function progressOf(counts: PhaseCounts): Progress {
  const progress = { total: 0, done: 0, failed: 0 };
  for (const [phase, count] of Object.entries(counts)) {
    progress.total += count;
    if (isTerminal(phase)) progress.done += count;
    if (phase === "FAILED" || phase === "TIMED_OUT") progress.failed += count;
  }
  return progress;
}

/** "812 of 1,007 done, 4 failed"; of a run that is over "1,007 actions, 4 failed". */
export function progressText({ total, done, failed }: Progress): string {
  const actions = total === 1 ? "1 action" : `${formatCount(total)} actions`;
  const far = done < total ? `${formatCount(done)} of ${formatCount(total)} done` : actions;
  return failed > 0 ? `${far}, ${formatCount(failed)} failed` : far;
}

const FURTHEST: readonly Phase[] = ["PAUSED", "INITIALIZING", "WAITING_FOR_RESOURCES", "QUEUED"];
const ENDS: readonly Phase[] = [
  "FAILED",
  "TIMED_OUT",
  "ABORTED",
  "SUCCEEDED",
  "RECOVERED",
  "SKIPPED",
];

/** How a run stands, by all of its roots, as the service says it of the run (docs/model.md). */
export function runPhase(tree: TreeStore): Phase | null {
  const phases = new Set<Phase>();
  for (const root of tree.rootActions()) phases.add(tree.phaseName(root));
  if (phases.size === 0) return null;
  const all = [...phases];
  if (all.every(isTerminal)) return ENDS.find((phase) => phases.has(phase)) ?? all[0]!;
  if (phases.has("RUNNING") || all.some(isTerminal)) return "RUNNING";
  return FURTHEST.find((phase) => phases.has(phase)) ?? all[0]!;
}
