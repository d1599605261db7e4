import type { ErrorInfo, NodeUpdate, PhaseCounts } from "../api/types";
import { parseTime } from "./format";
import { isTerminalNumber, phaseNumber, phaseOf, PHASE_SLOTS, type Phase } from "./phase";

/** No node. */
export const NONE = -1;

const FIRST_CAPACITY = 1024;
const SUCCEEDED = phaseNumber("SUCCEEDED");
const RECOVERED = phaseNumber("RECOVERED");
const FAILED = phaseNumber("FAILED");
const TIMED_OUT = phaseNumber("TIMED_OUT");

function grown<T extends Int32Array | Uint32Array | Uint8Array | Float64Array>(
  old: T,
  length: number,
): T {
  const bigger = new (old.constructor as new (length: number) => T)(length);
  bigger.set(old);
  return bigger;
}

/**
 * One run's tree as the page knows it, in flat arrays indexed by node: 100,000 nodes are a few
 * megabytes, and a walk over them takes a millisecond or two. Children are in the order in which they came,
 * which is the order of the tree.
 *
 * `rows` is what is shown: the nodes whose ancestors are all expanded, in tree order. It is brought up
 * to date by layout(), once per animation frame, however many updates came in between.
 */
export class TreeStore {
  /** Number of nodes. */
  size = 0;
  /** Counts changes; a view that has drawn this version is up to date. */
  version = 0;
  /** Nodes shown, in order; the first `rowCount` elements. */
  rows = new Int32Array(FIRST_CAPACITY);
  rowCount = 0;

  name: string[] = [];
  label: string[] = [];
  taskName: (string | null)[] = [];
  group: (string | null)[] = [];
  parent = new Int32Array(FIRST_CAPACITY);
  childCount = new Int32Array(FIRST_CAPACITY);
  phase = new Uint8Array(FIRST_CAPACITY);
  attempt = new Int32Array(FIRST_CAPACITY);
  actionVersion = new Int32Array(FIRST_CAPACITY);
  revision = new Float64Array(FIRST_CAPACITY);
  /** Milliseconds since 1970; NaN for none. */
  createdAt = new Float64Array(FIRST_CAPACITY);
  startedAt = new Float64Array(FIRST_CAPACITY);
  endedAt = new Float64Array(FIRST_CAPACITY);
  /** Depth, counted from 1, and place among the siblings, counted from 1. Valid after layout(). */
  level = new Int32Array(FIRST_CAPACITY);
  position = new Int32Array(FIRST_CAPACITY);
  /** Place in `rows`, or NONE while an ancestor is collapsed. Valid after layout(). */
  rowOf = new Int32Array(FIRST_CAPACITY);

  #counts = new Uint32Array(FIRST_CAPACITY * PHASE_SLOTS);
  #collapsed = new Uint8Array(FIRST_CAPACITY);
  #firstChild = new Int32Array(FIRST_CAPACITY);
  #lastChild = new Int32Array(FIRST_CAPACITY);
  #nextSibling = new Int32Array(FIRST_CAPACITY);
  #previousSibling = new Int32Array(FIRST_CAPACITY);
  #firstRoot = NONE;
  #lastRoot = NONE;
  #rootCount = 0;
  #used = 0;
  #free: number[] = [];
  #index = new Map<string, number>();
  #errors = new Map<number, ErrorInfo>();
  #collapsedNames: Set<string>;
  #orphans = new Map<string, Map<string, NodeUpdate>>();
  #rowsAreStale = false;
  #earliest = Infinity;
  #latest = -Infinity;

  /** An empty tree; nodes with one of these names start collapsed. */
  constructor(collapsedNames: Iterable<string> = []) {
    this.#collapsedNames = new Set(collapsedNames);
  }

  /** The names that are collapsed, also of nodes that are not here at the moment. */
  get collapsedNames(): ReadonlySet<string> {
    return this.#collapsedNames;
  }

  /** The node with this name, or NONE. */
  find(name: string): number {
    return this.#index.get(name) ?? NONE;
  }

  get rootCount(): number {
    return this.#rootCount;
  }

  /** The first root, or NONE. */
  get root(): number {
    return this.#firstRoot;
  }

  error(node: number): ErrorInfo | null {
    return this.#errors.get(node) ?? null;
  }

  phaseName(node: number): Phase {
    return phaseOf(this.phase[node]!);
  }

  /** How many descendants are in the phase with this number. */
  descendants(node: number, phase: number): number {
    return this.#counts[node * PHASE_SLOTS + phase]!;
  }

  /** How many descendants there are; element 0 of the counts keeps the sum. */
  descendantTotal(node: number): number {
    return this.#counts[node * PHASE_SLOTS]!;
  }

  isExpanded(node: number): boolean {
    return this.#collapsed[node] === 0;
  }

  isLive(node: number): boolean {
    return !isTerminalNumber(this.phase[node]!);
  }

  /** When the run's first action was created and its last ended, as far as known; NaN without nodes. */
  get earliest(): number {
    return this.size > 0 ? this.#earliest : NaN;
  }

  get latest(): number {
    return this.size > 0 ? this.#latest : NaN;
  }

  /** Nodes of the whole run by phase, whatever the filter hides: the roots and their descendants. */
  totals(): PhaseCounts {
    const sums = new Float64Array(PHASE_SLOTS);
    for (let root = this.#firstRoot; root !== NONE; root = this.#nextSibling[root]!) {
      sums[this.phase[root]!]! += 1;
      for (let phase = 1; phase < PHASE_SLOTS; phase++)
        sums[phase]! += this.descendants(root, phase);
    }
    const counts: PhaseCounts = {};
    for (let phase = 1; phase < PHASE_SLOTS; phase++) {
      if (sums[phase]! > 0) counts[phaseOf(phase)] = sums[phase]!;
    }
    return counts;
  }

  *children(node: number): Generator<number> {
    for (let child = this.#firstChild[node]!; child !== NONE; child = this.#nextSibling[child]!)
      yield child;
  }

  firstChild(node: number): number {
    return this.#firstChild[node]!;
  }

  /** Takes one record of the stream: shows, redraws or removes its node. */
  apply(update: NodeUpdate): void {
    const { name, parent } = update.action;
    if (!update.meetsFilter) {
      this.#forgetOrphan(update);
      this.remove(name);
      return;
    }
    let node = this.find(name);
    if (node === NONE) {
      const parentNode = parent === null ? NONE : this.find(parent);
      if (parent !== null && parentNode === NONE) {
        this.#keepOrphan(parent, update);
        return;
      }
      node = this.#allocate(name);
      this.#append(node, parentNode);
      this.#write(node, update);
      this.#adoptOrphans(name);
    } else {
      this.#write(node, update);
    }
    this.version++;
  }

  /** Removes a node and everything below it; an absent one is harmless. */
  remove(name: string): void {
    const node = this.find(name);
    if (node === NONE) return;
    this.#unlink(node);
    const doomed = [node];
    for (let next = doomed.pop(); next !== undefined; next = doomed.pop()) {
      for (const child of this.children(next)) doomed.push(child);
      this.#release(next);
    }
    this.#rowsAreStale = true;
    this.version++;
  }

  /** Expands or collapses a node; true if that changed anything. */
  setExpanded(node: number, expanded: boolean): boolean {
    const collapsed = expanded ? 0 : 1;
    if (this.#collapsed[node] === collapsed || (!expanded && this.childCount[node] === 0))
      return false;
    this.#collapsed[node] = collapsed;
    if (expanded) this.#collapsedNames.delete(this.name[node]!);
    else this.#collapsedNames.add(this.name[node]!);
    this.#rowsAreStale = true;
    this.version++;
    return true;
  }

  expandAll(): void {
    this.#collapsed.fill(0);
    this.#collapsedNames.clear();
    this.#rowsAreStale = true;
    this.version++;
  }

  /** Collapses every node that has children and that, with all below it, has succeeded. */
  collapseSucceeded(): number {
    let collapsed = 0;
    for (const node of this.#index.values()) {
      if (this.childCount[node]! > 0 && this.#hasSucceeded(node) && this.setExpanded(node, false))
        collapsed++;
    }
    return collapsed;
  }

  /** Expands all ancestors of a node, so that it has a row. */
  reveal(node: number): void {
    for (let up = this.parent[node]!; up !== NONE; up = this.parent[up]!)
      this.setExpanded(up, true);
  }

  /** The next failed or timed-out node after `row`, wrapping around; NONE if there is none. Searches rows. */
  nextFailure(row: number, step: 1 | -1 = 1): number {
    for (let offset = 1; offset <= this.rowCount; offset++) {
      const at = (row + step * offset + 2 * this.rowCount) % this.rowCount;
      const phase = this.phase[this.rows[at]!]!;
      if (phase === FAILED || phase === TIMED_OUT) return this.rows[at]!;
    }
    return NONE;
  }

  /** Brings `rows`, levels and positions up to date, if anything moved. True if it did. */
  layout(): boolean {
    if (!this.#rowsAreStale) return false;
    this.#rowsAreStale = false;
    if (this.rows.length < this.size)
      this.rows = new Int32Array(Math.max(this.size, this.rows.length * 2));
    this.rowOf.fill(NONE, 0, this.#used);
    let count = 0;
    let node = this.#firstRoot;
    let level = 1;
    let position = 1;
    while (node !== NONE) {
      this.rows[count] = node;
      this.rowOf[node] = count++;
      this.level[node] = level;
      this.position[node] = position++;
      const child = this.#firstChild[node]!;
      if (child !== NONE && this.#collapsed[node] === 0) {
        node = child;
        level++;
        position = 1;
        continue;
      }
      while (node !== NONE && this.#nextSibling[node] === NONE) {
        node = this.parent[node]!;
        level--;
      }
      if (node !== NONE) {
        position = this.position[node]! + 1;
        node = this.#nextSibling[node]!;
      }
    }
    this.rowCount = count;
    return true;
  }

  #hasSucceeded(node: number): boolean {
    const own = this.phase[node]!;
    if (own !== SUCCEEDED && own !== RECOVERED) return false;
    return (
      this.descendants(node, SUCCEEDED) + this.descendants(node, RECOVERED) ===
      this.descendantTotal(node)
    );
  }

  #allocate(name: string): number {
    const node = this.#free.pop() ?? this.#used++;
    if (node >= this.parent.length) this.#grow();
    this.#index.set(name, node);
    this.name[node] = name;
    this.childCount[node] = 0;
    this.#firstChild[node] = this.#lastChild[node] = NONE;
    this.#collapsed[node] = this.#collapsedNames.has(name) ? 1 : 0;
    this.rowOf[node] = NONE;
    this.size++;
    this.#rowsAreStale = true;
    return node;
  }

  #release(node: number): void {
    this.#index.delete(this.name[node]!);
    this.#errors.delete(node);
    this.name[node] = this.label[node] = "";
    this.taskName[node] = this.group[node] = null;
    this.rowOf[node] = NONE;
    this.#free.push(node);
    this.size--;
  }

  #grow(): void {
    const length = this.parent.length * 2;
    this.parent = grown(this.parent, length);
    this.childCount = grown(this.childCount, length);
    this.phase = grown(this.phase, length);
    this.attempt = grown(this.attempt, length);
    this.actionVersion = grown(this.actionVersion, length);
    this.revision = grown(this.revision, length);
    this.createdAt = grown(this.createdAt, length);
    this.startedAt = grown(this.startedAt, length);
    this.endedAt = grown(this.endedAt, length);
    this.level = grown(this.level, length);
    this.position = grown(this.position, length);
    this.rowOf = grown(this.rowOf, length);
    this.#counts = grown(this.#counts, length * PHASE_SLOTS);
    this.#collapsed = grown(this.#collapsed, length);
    this.#firstChild = grown(this.#firstChild, length);
    this.#lastChild = grown(this.#lastChild, length);
    this.#nextSibling = grown(this.#nextSibling, length);
    this.#previousSibling = grown(this.#previousSibling, length);
  }

  #append(node: number, parent: number): void {
    const last = parent === NONE ? this.#lastRoot : this.#lastChild[parent]!;
    this.parent[node] = parent;
    this.#previousSibling[node] = last;
    this.#nextSibling[node] = NONE;
    if (last !== NONE) this.#nextSibling[last] = node;
    else if (parent === NONE) this.#firstRoot = node;
    else this.#firstChild[parent] = node;
    if (parent === NONE) {
      this.#lastRoot = node;
      this.#rootCount++;
    } else {
      this.#lastChild[parent] = node;
      this.childCount[parent]!++;
    }
  }

  #unlink(node: number): void {
    const parent = this.parent[node]!;
    const previous = this.#previousSibling[node]!;
    const next = this.#nextSibling[node]!;
    if (previous !== NONE) this.#nextSibling[previous] = next;
    else if (parent === NONE) this.#firstRoot = next;
    else this.#firstChild[parent] = next;
    if (next !== NONE) this.#previousSibling[next] = previous;
    else if (parent === NONE) this.#lastRoot = previous;
    else this.#lastChild[parent] = previous;
    if (parent === NONE) this.#rootCount--;
    else this.childCount[parent]!--;
  }

  #write(node: number, { action, childPhaseCounts }: NodeUpdate): void {
    this.label[node] = shownName(action.name, action.taskName, action.shortName);
    this.taskName[node] = action.taskName ?? null;
    this.group[node] = action.group ?? null;
    this.phase[node] = phaseNumber(action.phase);
    this.attempt[node] = action.attempt;
    this.actionVersion[node] = action.version;
    this.revision[node] = action.revision;
    this.createdAt[node] = parseTime(action.createdAt);
    this.startedAt[node] = parseTime(action.startedAt);
    this.endedAt[node] = parseTime(action.endedAt);
    if (action.errorInfo) this.#errors.set(node, action.errorInfo);
    else this.#errors.delete(node);
    const created = this.createdAt[node]!;
    if (created < this.#earliest) this.#earliest = created;
    if (created > this.#latest) this.#latest = created;
    if (this.endedAt[node]! > this.#latest) this.#latest = this.endedAt[node]!;
    const base = node * PHASE_SLOTS;
    this.#counts.fill(0, base, base + PHASE_SLOTS);
    for (const phase in childPhaseCounts) {
      const count = childPhaseCounts[phase as Phase] ?? 0;
      this.#counts[base + phaseNumber(phase)]! += count;
      this.#counts[base]! += count;
    }
  }

  /** The stream sends parents first; should one not be here, its children wait instead of being lost. */
  #keepOrphan(parent: string, update: NodeUpdate): void {
    const waiting = this.#orphans.get(parent) ?? new Map<string, NodeUpdate>();
    waiting.set(update.action.name, update);
    this.#orphans.set(parent, waiting);
  }

  #forgetOrphan({ action }: NodeUpdate): void {
    if (action.parent !== null) this.#orphans.get(action.parent)?.delete(action.name);
  }

  #adoptOrphans(parent: string): void {
    const waiting = this.#orphans.get(parent);
    if (!waiting) return;
    this.#orphans.delete(parent);
    for (const update of waiting.values()) this.apply(update);
  }
}

/** The name that the stream's `name` filter looks at: short name, last part of the task's name, name. */
export function shownName(
  name: string,
  taskName?: string | null,
  shortName?: string | null,
): string {
  if (shortName) return shortName;
  if (taskName) return taskName.slice(taskName.lastIndexOf(".") + 1) || taskName;
  return name;
}
