import { tookMs } from "./match";
import { NONE, type TreeStore } from "./tree_store";

/** Of fewer there is no telling what is usual. */
const SAMPLE_MIN = 5;
const RATIO_MIN = 3;
const DIFFERENCE_MIN_MS = 1000;
const KEPT_MS = 1000;

export interface Outlier {
  ratio: number;
  medianMs: number;
  /** Of so many. */
  count: number;
}

interface Usual {
  medianMs: number;
  count: number;
  version: number;
  at: number;
}

/** Tells which actions take far longer than those like them: of the same task below the same parent, or of the same
 *  group. What is usual is worked out for those that are asked for, and kept for a second. */
export class Outliers {
  #tree: TreeStore | null = null;
  #usual = new Map<string, Usual>();

  get(tree: TreeStore, node: number, nowMs: number): Outlier | null {
    if (tree.isGroup(node) || tree.parent[node] === NONE) return null;
    const took = tookMs(tree, node, nowMs);
    if (!(took > DIFFERENCE_MIN_MS)) return null;
    const { medianMs, count } = this.#usualOf(tree, node);
    if (count < SAMPLE_MIN || took - medianMs < DIFFERENCE_MIN_MS) return null;
    const ratio = took / medianMs;
    return ratio >= RATIO_MIN ? { ratio, medianMs, count } : null;
  }

  #usualOf(tree: TreeStore, node: number): Usual {
    if (tree !== this.#tree) this.#usual.clear();
    this.#tree = tree;
    const parent = tree.parent[node]!;
    const task = tree.taskName[node] ?? null;
    const key = `${parent}\n${task ?? ""}`;
    const known = this.#usual.get(key);
    const now = performance.now();
    if (known && (known.version === tree.version || now - known.at < KEPT_MS)) return known;
    const times: number[] = [];
    // Without a task only a group says that its members are alike.
    if (task !== null || tree.isGroup(parent)) {
      for (const other of tree.children(parent)) {
        if ((tree.taskName[other] ?? null) !== task || tree.isGroup(other)) continue;
        const took = tookMs(tree, other, NaN);
        if (!Number.isNaN(took)) times.push(took);
      }
    }
    const sorted = Float64Array.from(times).sort();
    const usual = {
      medianMs: sorted[sorted.length >> 1] ?? NaN,
      count: sorted.length,
      version: tree.version,
      at: now,
    };
    this.#usual.set(key, usual);
    return usual;
  }
}
