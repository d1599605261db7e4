import { NONE, type TreeStore } from "./tree_store";

/** So long may it look at a time; the page is drawn in between. */
const SLICE_MS = 6;
/** The clock is read after so many nodes. */
const LOOKS_AT_ONCE = 128;

/**
 * What of a tree a search finds: the actions that have the text, in any case, in their name, label, task, group or
 * error. It keeps up with a tree that changes: only what has been written since is looked at again.
 */
export class Search {
  /** How many actions have the text, of those looked at so far. */
  count = 0;
  /** Whether all of the tree has been looked at. */
  isComplete = true;
  #tree: TreeStore | null = null;
  #text = "";
  #wanted = "";
  #version = -1;
  /** By node: as of which write it was looked at, and whether it has the text. */
  #seen = new Int32Array(0);
  #isHit = new Uint8Array(0);
  #place = { node: NONE, of: "", place: NONE };

  /** Looks at what of the tree it has not seen, for a moment; `isComplete` says whether that was all. */
  find(tree: TreeStore, text: string): void {
    if (tree !== this.#tree || text !== this.#text) {
      this.#tree = tree;
      this.#text = text;
      this.#wanted = text.toLowerCase();
      this.#seen.fill(NONE);
      this.#isHit.fill(0);
      this.count = 0;
    } else if (this.isComplete && this.#version === tree.version) return;
    this.#version = tree.version;
    this.isComplete = text === "" || this.#lookOn(tree);
  }

  #lookOn(tree: TreeStore): boolean {
    const nodes = tree.name.length;
    this.#makeRoom(nodes);
    const until = performance.now() + SLICE_MS;
    let looks = 0;
    for (let node = 0; node < nodes; node++) {
      if (this.#seen[node] === tree.writtenAt[node]) continue;
      if (++looks % LOOKS_AT_ONCE === 0 && performance.now() > until) return false;
      this.#look(tree, node);
    }
    return true;
  }

  #makeRoom(nodes: number): void {
    if (nodes <= this.#seen.length) return;
    const seen = new Int32Array(nodes * 2).fill(NONE);
    seen.set(this.#seen);
    const isHit = new Uint8Array(nodes * 2);
    isHit.set(this.#isHit);
    this.#seen = seen;
    this.#isHit = isHit;
  }

  #look(tree: TreeStore, node: number): boolean {
    if (this.#seen[node] !== tree.writtenAt[node]) {
      const isHit = hasText(tree, node, this.#wanted);
      this.count += Number(isHit) - this.#isHit[node]!;
      this.#isHit[node] = Number(isHit);
      this.#seen[node] = tree.writtenAt[node]!;
    }
    return this.#isHit[node] === 1;
  }

  /** The place of a node among the hits in tree order, from 0; NONE if it is none. */
  placeOf(node: number): number {
    const tree = this.#tree;
    if (!tree || node === NONE || this.count === 0 || this.#isHit[node] !== 1) return NONE;
    const of = `${tree.version} ${this.count} ${this.#text}`;
    if (this.#place.node !== node || this.#place.of !== of) {
      let place = 0;
      for (let at = tree.next(NONE); at !== node && at !== NONE; at = tree.next(at))
        place += this.#isHit[at]!;
      this.#place = { node, of, place };
    }
    return this.#place.place;
  }

  /** The next hit behind a node of the tree, around the end; NONE without any. */
  next(node: number, step: 1 | -1): number {
    const tree = this.#tree;
    if (!tree || this.#text === "" || (this.isComplete && this.count === 0)) return NONE;
    const nodes = tree.name.length;
    this.#makeRoom(nodes);
    let at = node;
    for (let steps = 0; steps <= nodes; steps++) {
      at = step === 1 ? tree.next(at) : tree.previous(at);
      if (at !== NONE && this.#look(tree, at)) return at;
    }
    return NONE;
  }
}

/** Whether an action says a text, given in lower case. */
export function hasText(tree: TreeStore, node: number, wanted: string): boolean {
  if (tree.isGroup(node)) return false;
  const has = (text: string | null | undefined): boolean =>
    Boolean(text?.toLowerCase().includes(wanted));
  return (
    has(tree.name[node]) ||
    has(tree.label[node]) ||
    has(tree.taskName[node]) ||
    has(tree.group[node]) ||
    has(tree.error(node)?.message)
  );
}

/** A text in parts, those that are what is searched for marked. */
export function markHits(text: string, wanted: string): { text: string; isHit: boolean }[] {
  const lower = text.toLowerCase();
  const sought = wanted.toLowerCase();
  // Lower case can be longer than what it stands for; then nothing is marked rather than the wrong place.
  if (sought === "" || lower.length !== text.length) return [{ text, isHit: false }];
  const parts: { text: string; isHit: boolean }[] = [];
  let from = 0;
  for (let at = lower.indexOf(sought); at >= 0; at = lower.indexOf(sought, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), isHit: false });
    parts.push({ text: text.slice(at, at + sought.length), isHit: true });
    from = at + sought.length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), isHit: false });
  return parts;
}
