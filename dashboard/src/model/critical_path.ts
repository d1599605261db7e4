import { NONE, type TreeStore } from "./tree_store";

/**
 * The actions that decided when the run ended, in order of time: from the one that ended last, back to what it
 * depended on (the one of those that ended last), or, where it says nothing, to that beside it which had ended last
 * when it was created. Of an action with others below it, those below stand for it.
 */
export function criticalPath(tree: TreeStore, nowMs: number): number[] {
  return new Walk(tree, nowMs).path();
}

class Walk {
  readonly #seen = new Set<number>();
  readonly #byEnd = new Map<number, number[]>();
  readonly #back: number[] = [];

  constructor(
    private readonly tree: TreeStore,
    private readonly nowMs: number,
  ) {}

  path(): number[] {
    this.#follow(this.#lastOf(this.#sorted(NONE)));
    return this.#back.reverse();
  }

  /** Goes back from an action that counts to the first. */
  #follow(last: number): void {
    for (let node = last; node !== NONE && !this.#seen.has(node); node = this.#before(node)) {
      this.#seen.add(node);
      const below = this.tree.childCount[node]! > 0 ? this.#lastOf(this.#sorted(node)) : NONE;
      if (below === NONE) this.#back.push(node);
      else this.#follow(below);
    }
  }

  #endOf(node: number): number {
    const ended = this.tree.endedAt[node]!;
    return Number.isNaN(ended) ? this.nowMs : ended;
  }

  #lastOf(nodes: readonly number[]): number {
    return nodes.at(-1) ?? NONE;
  }

  /** The actions right below one, those in groups too, in order of their ends. */
  #sorted(parent: number): number[] {
    const known = this.#byEnd.get(parent);
    if (known) return known;
    const found: number[] = [];
    const add = (node: number): void => {
      if (this.tree.isGroup(node)) for (const child of this.tree.children(node)) add(child);
      else found.push(node);
    };
    const right = parent === NONE ? this.tree.rootActions() : this.tree.children(parent);
    for (const node of right) add(node);
    found.sort((a, b) => this.#endOf(a) - this.#endOf(b));
    this.#byEnd.set(parent, found);
    return found;
  }

  #before(node: number): number {
    const { tree } = this;
    let last = NONE;
    for (const name of tree.dependsOn(node)) {
      const other = tree.find(name);
      if (other !== NONE && (last === NONE || this.#endOf(other) > this.#endOf(last))) last = other;
    }
    if (last !== NONE) return last;
    const name = tree.parentAction(node);
    const beside = this.#sorted(name === null ? NONE : tree.find(name));
    let [low, high] = [0, beside.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#endOf(beside[middle]!) <= tree.createdAt[node]!) low = middle + 1;
      else high = middle;
    }
    return low > 0 ? beside[low - 1]! : NONE;
  }
}
