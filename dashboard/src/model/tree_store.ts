import type { ErrorInfo, NodeUpdate, PhaseCounts } from "../api/types";
import { parseTime } from "./format";
import {
  isFailureNumber,
  isGoodEndNumber,
  isTerminalNumber,
  PHASES_BY_URGENCY,
  phaseNumber,
  phaseOf,
  PHASE_SLOTS,
  type Phase,
} from "./phase";

/** No node. */
export const NONE = -1;

const FIRST_CAPACITY = 1024;
const PHASE_NUMBERS = Array.from({ length: PHASE_SLOTS - 1 }, (_, index) => index + 1);
const GOOD_ENDS = PHASE_NUMBERS.filter(isGoodEndNumber);
const BY_URGENCY = PHASES_BY_URGENCY.map(phaseNumber);

/** Between a parent's name and the path of a group below it; no name can hold it. */
const GROUP_MARK = "\u001f";
/** Among what is toggled: groups start expanded. */
const ALL_EXPANDED = `${GROUP_MARK}*`;

/** What is further off than so many times the length of the run, and at least so long, does not set its span. */
const OUTLIER_SPANS = 3;
const OUTLIER_MIN_MS = 60_000;

export const SORT_KEYS = ["duration", "started", "ended", "waited", "phase", "name"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

/** What of the tree has rows, and in which order. */
export interface TreeView {
  /** Actions in these phases, with what they are below; none: all. */
  phases: readonly Phase[];
  /** Leaves out what has ended well with all that is below it. */
  hidesSucceeded: boolean;
  /** A flat table in this order; null: the tree. */
  sort: SortKey | null;
  isDescending: boolean;
}

export const WHOLE_TREE: TreeView = {
  phases: [],
  hidesSucceeded: false,
  sort: null,
  isDescending: false,
};

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
 * Children of one parent that say the same `group` are below a node of the group (`a/b` below `a`), which the
 * stream does not know: it starts folded, and its phase, times and counts follow from what is in it.
 *
 * `rows` is what is shown of it in a view: the nodes whose ancestors are all expanded, in tree order, or a
 * sorted table. It is brought up to date by layout(), once per animation frame, however many updates
 * came in between.
 */
export class TreeStore {
  /** Number of actions. */
  size = 0;
  /** Counts changes; a view that has drawn this version is up to date. */
  version = 0;
  /** Nodes shown, in order; the first `rowCount` elements. */
  rows = new Int32Array(FIRST_CAPACITY);
  rowCount = 0;

  name: string[] = [];
  label: string[] = [];
  taskName: (string | null)[] = [];
  /** Of an action, as it says it; of a group's node, its whole path. */
  group: (string | null)[] = [];
  /** The node above, which may be a group's. */
  parent = new Int32Array(FIRST_CAPACITY);
  childCount = new Int32Array(FIRST_CAPACITY);
  phase = new Uint8Array(FIRST_CAPACITY);
  attempt = new Int32Array(FIRST_CAPACITY);
  actionVersion = new Int32Array(FIRST_CAPACITY);
  revision = new Float64Array(FIRST_CAPACITY);
  /** The version in which the node was written, or given up, last. */
  writtenAt = new Int32Array(FIRST_CAPACITY);
  /** Milliseconds since 1970; NaN for none. */
  createdAt = new Float64Array(FIRST_CAPACITY);
  startedAt = new Float64Array(FIRST_CAPACITY);
  endedAt = new Float64Array(FIRST_CAPACITY);
  /** Depth, counted from 1, place among the siblings shown, counted from 1, and their number. Valid
   *  after layout(). */
  level = new Int32Array(FIRST_CAPACITY);
  position = new Int32Array(FIRST_CAPACITY);
  siblings = new Int32Array(FIRST_CAPACITY);
  /** The deepest level of the rows. Valid after layout(). */
  depth = 0;
  /** Place in `rows`, or NONE while an ancestor is collapsed. Valid after layout(). */
  rowOf = new Int32Array(FIRST_CAPACITY);

  #counts = new Uint32Array(FIRST_CAPACITY * PHASE_SLOTS);
  #isGroup = new Uint8Array(FIRST_CAPACITY);
  #firstChild = new Int32Array(FIRST_CAPACITY);
  #lastChild = new Int32Array(FIRST_CAPACITY);
  #nextSibling = new Int32Array(FIRST_CAPACITY);
  #previousSibling = new Int32Array(FIRST_CAPACITY);
  #firstRoot = NONE;
  #lastRoot = NONE;
  #used = 0;
  #free: number[] = [];
  #index = new Map<string, number>();
  #errors = new Map<number, ErrorInfo>();
  #abandoned = new Set<number>();
  #dependsOn = new Map<number, readonly string[]>();
  #orphans = new Map<string, Map<string, NodeUpdate>>();
  #view = WHOLE_TREE;
  #toggled: Set<string>;
  #rowsAreStale = false;
  #staleGroups = new Set<number>();
  /** By label, what it is sorted by. */
  #nameKeys = new Map<string, string>();

  /** An empty tree. Actions start expanded and groups folded, but for those with one of these names. */
  constructor(toggled: Iterable<string> = [], view: TreeView = WHOLE_TREE) {
    this.#toggled = new Set(toggled);
    this.#view = view;
  }

  /** The names of what is not as it starts, also of nodes that are not here at the moment. */
  get toggled(): ReadonlySet<string> {
    return this.#toggled;
  }

  get view(): TreeView {
    return this.#view;
  }

  set view(view: TreeView) {
    if (JSON.stringify(view) === JSON.stringify(this.#view)) return;
    this.#view = view;
    if (view.sort !== "name") this.#nameKeys.clear();
    this.#change();
  }

  /** The action with this name, or NONE. */
  find(name: string): number {
    return this.#index.get(name) ?? NONE;
  }

  /** The first root's node, or NONE. */
  get root(): number {
    return this.#firstRoot;
  }

  isGroup(node: number): boolean {
    return this.#isGroup[node] === 1;
  }

  /** The name of the action that this one is below; null for a root. */
  parentAction(node: number): string | null {
    let up = this.parent[node]!;
    while (up !== NONE && this.isGroup(up)) up = this.parent[up]!;
    return up === NONE ? null : this.name[up]!;
  }

  error(node: number): ErrorInfo | null {
    return this.#errors.get(node) ?? null;
  }

  /** Whether nobody said how the action ended, and the service gave it up. */
  isAbandoned(node: number): boolean {
    return this.#abandoned.has(node);
  }

  /** The names of the actions that this one says it depends on. */
  dependsOn(node: number): readonly string[] {
    return this.#dependsOn.get(node) ?? [];
  }

  phaseName(node: number): Phase {
    return phaseOf(this.phase[node]!);
  }

  /** How many actions below the node are in the phase with this number. Of groups valid after layout(). */
  descendants(node: number, phase: number): number {
    return this.#counts[node * PHASE_SLOTS + phase]!;
  }

  /** How many actions there are below; element 0 of the counts keeps the sum. */
  descendantTotal(node: number): number {
    return this.#counts[node * PHASE_SLOTS]!;
  }

  isExpanded(node: number): boolean {
    const startsExpanded = !this.isGroup(node) || this.#toggled.has(ALL_EXPANDED);
    return startsExpanded !== this.#toggled.has(this.name[node]!);
  }

  isLive(node: number): boolean {
    return !isTerminalNumber(this.phase[node]!);
  }

  hasFailed(node: number): boolean {
    return isFailureNumber(this.phase[node]!);
  }

  /** From when the first root was there to when the last one ended, or to `nowMs` if that is later; NaN without any. */
  rootSpan(nowMs: number): [number, number] {
    let [from, to] = [NaN, nowMs];
    for (const root of this.rootActions()) {
      if (!(this.createdAt[root]! >= from)) from = this.createdAt[root]!;
      to = Math.max(to, this.createdAt[root]!, this.endedAt[root]! || -Infinity);
    }
    return [from, to];
  }

  /** From when to when the run's actions were there, `nowMs` included (-Infinity for a run that is over); NaN without
   *  nodes. What lies much further off than the roots are long is left out: one clock that was wrong, or a
   *  result of last week, would leave nothing to see of the rest. */
  span(nowMs: number): [number, number] {
    let [from, to] = this.rootSpan(nowMs);
    const margin = Math.max(OUTLIER_MIN_MS, OUTLIER_SPANS * (to - from));
    const [earliest, latest] = [from - margin, to + margin];
    for (let node = 0; node < this.#used; node++) {
      if (this.name[node] === "") continue;
      const created = this.createdAt[node]!;
      const last = this.endedAt[node]! || created;
      if (created < from && created >= earliest) from = created;
      if (last > to && last <= latest) to = last;
    }
    return [from, to];
  }

  /** Actions of the whole run by phase, whatever the view hides: the roots and their descendants. */
  totals(): PhaseCounts {
    this.#settleGroups();
    const sums = new Float64Array(PHASE_SLOTS);
    for (let root = this.#firstRoot; root !== NONE; root = this.#nextSibling[root]!)
      this.#addWhole(root, sums);
    const counts: PhaseCounts = {};
    for (const phase of PHASE_NUMBERS) {
      if (sums[phase]! > 0) counts[phaseOf(phase)] = sums[phase]!;
    }
    return counts;
  }

  *children(node: number): Generator<number> {
    for (let child = this.#firstChild[node]!; child !== NONE; child = this.#nextSibling[child]!)
      yield child;
  }

  /** The run's roots, whatever groups they are in. */
  *rootActions(node = this.#firstRoot): Generator<number> {
    for (let root = node; root !== NONE; root = this.#nextSibling[root]!) {
      if (this.isGroup(root)) yield* this.rootActions(this.#firstChild[root]!);
      else yield root;
    }
  }

  /** The one behind it below the same parent, or NONE. */
  nextSibling(node: number): number {
    return this.#nextSibling[node]!;
  }

  firstChild(node: number): number {
    return this.#firstChild[node]!;
  }

  /** The node behind this one in the whole tree, whatever is folded or hidden; the first one behind NONE, NONE
   *  behind the last one. */
  next(node: number): number {
    if (node === NONE) return this.#firstRoot;
    if (this.#firstChild[node] !== NONE) return this.#firstChild[node]!;
    let up = node;
    while (up !== NONE && this.#nextSibling[up] === NONE) up = this.parent[up]!;
    return up === NONE ? NONE : this.#nextSibling[up]!;
  }

  previous(node: number): number {
    let at = node === NONE ? this.#lastRoot : this.#previousSibling[node]!;
    if (at === NONE) return node === NONE ? NONE : this.parent[node]!;
    while (this.#lastChild[at] !== NONE) at = this.#lastChild[at]!;
    return at;
  }

  /** Takes one record of the stream: shows, redraws or removes its action. */
  apply(update: NodeUpdate): void {
    const { name, parent } = update.action;
    if (!update.meetsFilter) {
      this.#forgetOrphan(update);
      this.remove(name);
      return;
    }
    const above = parent === null ? NONE : this.find(parent);
    if (parent !== null && above === NONE) {
      this.#keepOrphan(parent, update);
      return;
    }
    let node = this.find(name);
    const isNew = node === NONE;
    if (isNew) {
      node = this.#allocate(name);
      this.size++;
    }
    const place = this.#place(parent ?? "", above, update.action.group ?? null);
    if (isNew) this.#append(node, place);
    else if (this.parent[node] !== place) {
      this.#unlink(node);
      this.#append(node, place);
    }
    this.#write(node, update);
    if (isNew) this.#adoptOrphans(name);
  }

  /** Removes an action and everything below it; an absent one is harmless. */
  remove(name: string): void {
    const node = this.find(name);
    if (node === NONE) return;
    this.#unlink(node);
    const doomed = [node];
    for (let next = doomed.pop(); next !== undefined; next = doomed.pop()) {
      for (const child of this.children(next)) doomed.push(child);
      this.#release(next);
    }
    this.#change();
  }

  /** Expands or collapses a node; true if that changed anything. */
  setExpanded(node: number, expanded: boolean): boolean {
    if (this.isExpanded(node) === expanded || this.childCount[node] === 0) return false;
    if (!this.#toggled.delete(this.name[node]!)) this.#toggled.add(this.name[node]!);
    this.#change();
    return true;
  }

  expandAll(): void {
    this.setToggled([ALL_EXPANDED]);
  }

  /** Takes over what is folded and unfolded, as `toggled` had it. */
  setToggled(toggled: Iterable<string>): void {
    this.#toggled = new Set(toggled);
    this.#change();
  }

  /** Expands all ancestors of a node, so that it has a row where the view does not hide it. */
  reveal(node: number): void {
    for (let up = this.parent[node]!; up !== NONE; up = this.parent[up]!)
      this.setExpanded(up, true);
  }

  /** The next action behind `node` that has failed or timed out, folded or not, from the last one to the first; NONE
   *  if there is none. */
  nextFailure(node: number, step: 1 | -1 = 1): number {
    let at = node;
    for (let steps = 0; steps <= this.#index.size; steps++) {
      at = step === 1 ? this.next(at) : this.previous(at);
      if (at !== NONE && !this.isGroup(at) && this.hasFailed(at)) return at;
    }
    return NONE;
  }

  /** Brings `rows`, levels and positions up to date, if anything moved; `nowMs` is the time up to which
   *  what runs has run. True if it did. */
  layout(nowMs = 0): boolean {
    this.#settleGroups();
    if (!this.#rowsAreStale) return false;
    this.#rowsAreStale = false;
    if (this.rows.length < this.#index.size)
      this.rows = grown(this.rows, Math.max(this.#index.size, this.rows.length * 2));
    if (this.#view.sort !== null) this.#placeTable(this.#view.sort, nowMs);
    else {
      this.#clearRows();
      this.#placeRows(this.#firstRoot, 1, false);
    }
    return true;
  }

  #clearRows(): void {
    this.rowOf.fill(NONE, 0, this.#used);
    this.rowCount = this.depth = 0;
  }

  /** How long the node ran, or has been at it since its start or else its creation; NaN if it ended without
   *  having run. */
  elapsedMs(node: number, nowMs: number): number {
    const start = this.startedAt[node]!;
    const end = this.endedAt[node]!;
    if (!Number.isNaN(end)) return end - start;
    return nowMs - (Number.isNaN(start) ? this.createdAt[node]! : start);
  }

  #change(): void {
    this.#rowsAreStale = true;
    this.version++;
  }

  /** Those from `first` on that are shown, in order: as they came, but in a group what failed before what is live,
   *  and that before the rest. */
  #shownSiblings(first: number, isInGroup: boolean): number[] {
    const shown: number[] = [];
    const live: number[] = [];
    const rest: number[] = [];
    for (let node = first; node !== NONE; node = this.#nextSibling[node]!) {
      if (!this.#isShown(node)) continue;
      if (!isInGroup || this.hasFailed(node)) shown.push(node);
      else (this.isLive(node) ? live : rest).push(node);
    }
    return isInGroup ? shown.concat(live, rest) : shown;
  }

  #placeRows(first: number, level: number, isInGroup: boolean): void {
    const nodes = this.#shownSiblings(first, isInGroup);
    for (let index = 0; index < nodes.length; index++) {
      let node = nodes[index]!;
      // A group of one needs no row of its own.
      while (this.isGroup(node) && this.childCount[node] === 1) node = this.#firstChild[node]!;
      this.#placeRow(node, level, index + 1, nodes.length);
      if (this.#firstChild[node] !== NONE && this.isExpanded(node))
        this.#placeRows(this.#firstChild[node]!, level + 1, this.isGroup(node));
    }
  }

  #placeRow(node: number, level: number, position: number, siblings: number): void {
    this.rows[this.rowCount] = node;
    this.rowOf[node] = this.rowCount++;
    this.level[node] = level;
    this.depth = Math.max(this.depth, level);
    this.position[node] = position;
    this.siblings[node] = siblings;
  }

  /** All that the view has, sorted from the order that it had before: then what has not moved costs next to
   *  nothing. */
  #placeTable(sort: SortKey, nowMs: number): void {
    const nodes: number[] = [];
    for (let row = 0; row < this.rowCount; row++) {
      const node = this.rows[row]!;
      if (this.rowOf[node] === row && this.#isInTable(node)) nodes.push(node);
    }
    for (let node = 0; node < this.#used; node++)
      if (this.rowOf[node] === NONE && this.#isInTable(node)) nodes.push(node);
    const compare = sort === "name" ? this.#byLabel() : this.#byValue(sort, nowMs);
    nodes.sort((a, b) => compare(a, b) || a - b);
    this.#clearRows();
    nodes.forEach((node, index) => this.#placeRow(node, 1, index + 1, nodes.length));
  }

  #isInTable(node: number): boolean {
    return this.name[node] !== "" && !this.isGroup(node) && this.#matches(node);
  }

  #byLabel(): (a: number, b: number) => number {
    const sign = this.#view.isDescending ? -1 : 1;
    const key = (node: number): string => {
      const label = this.label[node]!;
      let known = this.#nameKeys.get(label);
      if (known === undefined) this.#nameKeys.set(label, (known = naturalKey(label)));
      return known;
    };
    return (a, b) => {
      const [left, right] = [key(a), key(b)];
      return left === right ? 0 : left < right ? -sign : sign;
    };
  }

  /** What has no value comes last, whichever way. */
  #byValue(sort: Exclude<SortKey, "name">, nowMs: number): (a: number, b: number) => number {
    const sign = this.#view.isDescending ? -1 : 1;
    const value = this.#sortKey(sort, nowMs);
    const keys = new Float64Array(this.#used);
    for (let node = 0; node < this.#used; node++) {
      const key = value(node);
      keys[node] = Number.isNaN(key) ? Infinity : sign * key;
    }
    return (a, b) => (keys[a] === keys[b] ? 0 : keys[a]! < keys[b]! ? -1 : 1);
  }

  #sortKey(sort: Exclude<SortKey, "name">, nowMs: number): (node: number) => number {
    switch (sort) {
      case "duration":
        return (node) => (this.endedAt[node]! || nowMs) - this.startedAt[node]!;
      case "waited":
        return (node) => (this.startedAt[node]! || nowMs) - this.createdAt[node]!;
      case "started":
        return (node) => this.startedAt[node]!;
      case "ended":
        return (node) => this.endedAt[node]!;
      case "phase":
        return (node) => BY_URGENCY.indexOf(this.phase[node]!);
    }
  }

  /** Whether the view has the action itself. */
  #matches(node: number): boolean {
    const { phases, hidesSucceeded } = this.#view;
    if (hidesSucceeded && isGoodEndNumber(this.phase[node]!)) return false;
    return phases.length === 0 || phases.includes(this.phaseName(node));
  }

  /** Whether the view has the node or anything below it. */
  #isShown(node: number): boolean {
    const { phases, hidesSucceeded } = this.#view;
    if (!this.isGroup(node) && this.#matches(node)) return true;
    if (phases.length > 0)
      return phases.some((phase) => this.descendants(node, phaseNumber(phase)) > 0);
    if (!hidesSucceeded) return true;
    const good = GOOD_ENDS.reduce((sum, phase) => sum + this.descendants(node, phase), 0);
    return good < this.descendantTotal(node);
  }

  #allocate(name: string): number {
    const node = this.#free.pop() ?? this.#used++;
    if (node >= this.parent.length) this.#grow();
    this.#index.set(name, node);
    this.name[node] = name;
    this.childCount[node] = 0;
    this.#isGroup[node] = 0;
    this.#firstChild[node] = this.#lastChild[node] = NONE;
    this.rowOf[node] = NONE;
    this.#rowsAreStale = true;
    return node;
  }

  #release(node: number): void {
    if (!this.isGroup(node)) this.size--;
    this.#index.delete(this.name[node]!);
    this.#errors.delete(node);
    this.#abandoned.delete(node);
    this.#dependsOn.delete(node);
    this.#staleGroups.delete(node);
    this.name[node] = this.label[node] = "";
    this.taskName[node] = this.group[node] = null;
    this.rowOf[node] = NONE;
    this.writtenAt[node] = ++this.version;
    this.#free.push(node);
  }

  #grow(): void {
    const length = this.parent.length * 2;
    this.parent = grown(this.parent, length);
    this.childCount = grown(this.childCount, length);
    this.phase = grown(this.phase, length);
    this.attempt = grown(this.attempt, length);
    this.actionVersion = grown(this.actionVersion, length);
    this.revision = grown(this.revision, length);
    this.writtenAt = grown(this.writtenAt, length);
    this.createdAt = grown(this.createdAt, length);
    this.startedAt = grown(this.startedAt, length);
    this.endedAt = grown(this.endedAt, length);
    this.level = grown(this.level, length);
    this.position = grown(this.position, length);
    this.siblings = grown(this.siblings, length);
    this.rowOf = grown(this.rowOf, length);
    this.#counts = grown(this.#counts, length * PHASE_SLOTS);
    this.#isGroup = grown(this.#isGroup, length);
    this.#firstChild = grown(this.#firstChild, length);
    this.#lastChild = grown(this.#lastChild, length);
    this.#nextSibling = grown(this.#nextSibling, length);
    this.#previousSibling = grown(this.#previousSibling, length);
  }

  /** Where a child of `above` (named `parent`) with this group belongs: the group's node, made if it is
   *  not there, or `above` itself. */
  #place(parent: string, above: number, group: string | null): number {
    const parts = group?.split("/").filter(Boolean) ?? [];
    let place = above;
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth).join("/");
      const name = parent + GROUP_MARK + path;
      let node = this.find(name);
      if (node === NONE) {
        node = this.#allocate(name);
        this.#isGroup[node] = 1;
        this.label[node] = parts[depth - 1]!;
        this.taskName[node] = null;
        this.group[node] = path;
        this.attempt[node] = 1;
        this.actionVersion[node] = this.revision[node] = 0;
        this.#append(node, place);
      }
      place = node;
    }
    return place;
  }

  #append(node: number, parent: number): void {
    const last = parent === NONE ? this.#lastRoot : this.#lastChild[parent]!;
    this.parent[node] = parent;
    this.#previousSibling[node] = last;
    this.#nextSibling[node] = NONE;
    if (last !== NONE) this.#nextSibling[last] = node;
    else if (parent === NONE) this.#firstRoot = node;
    else this.#firstChild[parent] = node;
    if (parent === NONE) this.#lastRoot = node;
    else {
      this.#lastChild[parent] = node;
      this.childCount[parent]!++;
    }
    this.#rowsAreStale = true;
    this.#groupsChanged(parent);
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
    if (parent === NONE) return;
    this.childCount[parent]!--;
    if (this.childCount[parent] === 0 && this.isGroup(parent)) {
      this.#unlink(parent);
      this.#release(parent);
    } else {
      this.#groupsChanged(parent);
    }
  }

  #write(node: number, { action, childPhaseCounts }: NodeUpdate): void {
    const phase = phaseNumber(action.phase);
    // Which rows there are, and in which order, can follow from phases.
    if (this.phase[node] !== phase && (this.#view !== WHOLE_TREE || this.#isInGroup(node)))
      this.#rowsAreStale = true;
    this.label[node] = shownName(action);
    this.taskName[node] = action.taskName ?? null;
    this.group[node] = action.group ?? null;
    this.phase[node] = phase;
    this.attempt[node] = action.attempt;
    this.actionVersion[node] = action.version;
    this.revision[node] = action.revision;
    this.createdAt[node] = parseTime(action.createdAt);
    this.startedAt[node] = parseTime(action.startedAt);
    this.endedAt[node] = parseTime(action.endedAt);
    if (action.errorInfo) this.#errors.set(node, action.errorInfo);
    else this.#errors.delete(node);
    if (action.abandoned) this.#abandoned.add(node);
    else this.#abandoned.delete(node);
    if (action.dependsOn) this.#dependsOn.set(node, action.dependsOn);
    else this.#dependsOn.delete(node);
    const base = node * PHASE_SLOTS;
    this.#counts.fill(0, base, base + PHASE_SLOTS);
    for (const name in childPhaseCounts) {
      const count = childPhaseCounts[name as Phase] ?? 0;
      this.#counts[base + phaseNumber(name)]! += count;
      this.#counts[base]! += count;
    }
    this.#groupsChanged(this.parent[node]!);
    this.writtenAt[node] = ++this.version;
  }

  #isInGroup(node: number): boolean {
    return this.parent[node] !== NONE && this.isGroup(this.parent[node]!);
  }

  #groupsChanged(node: number): void {
    for (let up = node; up !== NONE && this.isGroup(up); up = this.parent[up]!)
      this.#staleGroups.add(up);
  }

  /** Works out what follows for groups from what is in them. */
  #settleGroups(): void {
    for (const group of this.#staleGroups) this.#settleGroup(group);
  }

  #settleGroup(group: number): void {
    if (!this.#staleGroups.delete(group)) return;
    const base = group * PHASE_SLOTS;
    const counts = this.#counts.subarray(base, base + PHASE_SLOTS);
    counts.fill(0);
    let [created, started, ended] = [Infinity, Infinity, -Infinity];
    for (const child of this.children(group)) {
      if (this.isGroup(child)) this.#settleGroup(child);
      this.#addWhole(child, counts);
      created = Math.min(created, this.createdAt[child]!);
      if (this.startedAt[child]! < started) started = this.startedAt[child]!;
      if (this.endedAt[child]! > ended) ended = this.endedAt[child]!;
    }
    counts[0] = PHASE_NUMBERS.reduce((sum, phase) => sum + counts[phase]!, 0);
    const phase = groupPhase(counts);
    this.#rowsAreStale ||= this.phase[group] !== phase || this.#view !== WHOLE_TREE;
    this.phase[group] = phase;
    this.createdAt[group] = created;
    this.startedAt[group] = Number.isFinite(started) ? started : NaN;
    this.endedAt[group] = isTerminalNumber(phase) && Number.isFinite(ended) ? ended : NaN;
  }

  /** Adds a node and all that is below it to counts by phase number. */
  #addWhole(node: number, counts: Uint32Array | Float64Array): void {
    if (!this.isGroup(node)) counts[this.phase[node]!]! += 1;
    for (const phase of PHASE_NUMBERS) counts[phase]! += this.descendants(node, phase);
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

/** What is said of a group: that it goes on while anything in it does, else the worst that came of it. */
function groupPhase(counts: ArrayLike<number>): number {
  const present = BY_URGENCY.filter((phase) => counts[phase]! > 0);
  const live = present.filter((phase) => !isTerminalNumber(phase));
  if (live.length === 0) return present[0] ?? 0;
  const hasBegun = live.length < present.length;
  return hasBegun ? phaseNumber("RUNNING") : live[0]!;
}

/** A key by which names sort with the numbers in them in their order. */
export function naturalKey(name: string): string {
  return name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
}

/** What an action is called: its title, short name, last part of the task's name, name. */
export function shownName(action: {
  name: string;
  title?: string | null;
  taskName?: string | null;
  shortName?: string | null;
}): string {
  const { name, title, taskName, shortName } = action;
  if (title) return title;
  if (shortName) return shortName;
  if (taskName) return taskName.slice(taskName.lastIndexOf(".") + 1) || taskName;
  return name;
}
