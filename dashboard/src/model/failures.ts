import { phaseNumber } from "./phase";
import { NONE, type TreeStore } from "./tree_store";

/** Failures that say the same, as one. */
export interface Cause {
  /** The line that tells what went wrong; "" where nothing was said. */
  line: string;
  /** The one that ended first. */
  node: number;
  /** When that was; NaN if it is not known. */
  at: number;
  /** How many actions failed with this line. */
  count: number;
  phase: number;
}

const FAILED = phaseNumber("FAILED");
const TIMED_OUT = phaseNumber("TIMED_OUT");
const ABORTED = phaseNumber("ABORTED");

/**
 * The line of an error message that says what went wrong: the last line of a Python traceback, the last
 * "Caused by" of a Java one, else the first line that says anything.
 */
export function causeLine(message: string): string {
  const lines = message.split("\n").filter((line) => line.trim() !== "");
  if (/^Traceback \(most recent call last\)/m.test(message))
    return lines.findLast((line) => !/^\s/.test(line))?.trim() ?? "";
  const causedBy = lines.findLast((line) => line.startsWith("Caused by: "));
  return (causedBy?.slice("Caused by: ".length) ?? lines[0] ?? "").trim();
}

/**
 * What has failed by itself, in order of time, equal lines folded: actions that have failed or timed out with
 * nothing below them that did, and those aborted with a message. What failed only because something below it
 * did is left out; so is, where anything else is known, what says nothing.
 */
export function causesOf(tree: TreeStore): Cause[] {
  const causes = new Map<string, Cause>();
  for (let node = tree.next(NONE); node !== NONE; node = tree.next(node)) {
    if (tree.isGroup(node) || !isCause(tree, node)) continue;
    const line = causeLine(tree.error(node)?.message ?? "");
    const phase = tree.phase[node]!;
    const key = `${line === "" || phase === ABORTED ? phase : ""}\n${line}`;
    const at = tree.endedAt[node]!;
    const known = causes.get(key);
    if (!known) causes.set(key, { line, node, at, count: 1, phase });
    else {
      known.count++;
      if (at < known.at) Object.assign(known, { node, at, phase });
    }
  }
  return [...causes.values()].sort((a, b) => timeOf(a) - timeOf(b) || a.node - b.node);
}

function isCause(tree: TreeStore, node: number): boolean {
  if (tree.phase[node] === ABORTED) return Boolean(tree.error(node)?.message);
  if (!tree.hasFailed(node)) return false;
  return tree.descendants(node, FAILED) + tree.descendants(node, TIMED_OUT) === 0;
}

/** What was aborted at the same moment follows from what failed. */
function timeOf({ at, phase }: Cause): number {
  return (Number.isNaN(at) ? Infinity : at) + (phase === ABORTED ? 0.5 : 0);
}
