import { NONE, type TreeStore } from "./tree_store";

/** By node of one run's tree, the node of another's that stands for the same work. */
export type Match = ReadonlyMap<number, number>;

/**
 * Pairs what two runs have below the same parent: what has the same name, then, for names that are made anew with
 * each run, what has the same task (or else title) in the same place among those of it that are left.
 */
export function matchTrees(now: TreeStore, then: TreeStore): Match {
  const match = new Map<number, number>();
  const pair = (ours: number[], theirs: number[]): void => {
    const matched = pairSiblings(now, ours, then, theirs);
    for (const [our, their] of matched) {
      match.set(our, their);
      if (now.childCount[our]! > 0 && then.childCount[their]! > 0)
        pair([...now.children(our)], [...then.children(their)]);
    }
  };
  pair(roots(now), roots(then));
  return match;
}

function roots(tree: TreeStore): number[] {
  const found: number[] = [];
  for (let node = tree.root; node !== NONE; node = tree.nextSibling(node)) found.push(node);
  return found;
}

function pairSiblings(
  now: TreeStore,
  ours: number[],
  then: TreeStore,
  theirs: number[],
): [number, number][] {
  const pairs: [number, number][] = [];
  // Mostly the runs are alike.
  let alike = 0;
  for (; alike < Math.min(ours.length, theirs.length); alike++) {
    const [our, their] = [ours[alike]!, theirs[alike]!];
    if (nameOf(now, our) !== nameOf(then, their)) break;
    pairs.push([our, their]);
  }
  const left = new Map(theirs.slice(alike).map((node) => [nameOf(then, node), node]));
  const unnamed: number[] = [];
  for (const node of ours.slice(alike)) {
    const name = nameOf(now, node);
    const their = left.get(name);
    if (their === undefined) unnamed.push(node);
    else {
      pairs.push([node, their]);
      left.delete(name);
    }
  }
  if (unnamed.length === 0 || left.size === 0) return pairs;
  const byTask = new Map<string, number[]>();
  for (const node of left.values()) {
    const task = taskOf(then, node);
    const known = byTask.get(task);
    if (known) known.push(node);
    else byTask.set(task, [node]);
  }
  for (const waiting of byTask.values()) waiting.reverse();
  for (const node of unnamed) {
    const their = byTask.get(taskOf(now, node))?.pop();
    if (their !== undefined) pairs.push([node, their]);
  }
  return pairs;
}

/** A group's name holds that of its parent, which may be another in each run. */
function nameOf(tree: TreeStore, node: number): string {
  return tree.isGroup(node) ? `\u001f${tree.group[node]!}` : tree.name[node]!;
}

function taskOf(tree: TreeStore, node: number): string {
  return tree.isGroup(node) ? nameOf(tree, node) : (tree.taskName[node] ?? tree.label[node]!);
}

/** How long an action took, or has been at it, what ran before it was tried again left out; NaN for nothing. */
export function tookMs(tree: TreeStore, node: number, nowMs: number): number {
  const started = tree.startedAt[node]!;
  if (Number.isNaN(started)) return NaN;
  const ended = tree.endedAt[node]!;
  return (Number.isNaN(ended) ? nowMs : ended) - started;
}
