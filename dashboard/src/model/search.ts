import { NONE, type TreeStore } from "./tree_store";

/**
 * What of a tree a search finds: the actions that have the text, in any case, in their name, label, task, group or
 * error, in tree order.
 */
export class Search {
  /** The actions found; the tree's nodes. */
  hits: readonly number[] = [];
  #text = "";
  #tree: TreeStore | null = null;
  #version = -1;
  #places = new Map<number, number>();

  /** Brings `hits` up to date with the tree; cheap when nothing has changed. */
  find(tree: TreeStore, text: string): void {
    if (tree === this.#tree && tree.version === this.#version && text === this.#text) return;
    this.#tree = tree;
    this.#version = tree.version;
    this.#text = text;
    const wanted = text.toLowerCase();
    const hits: number[] = [];
    if (wanted !== "") {
      for (let node = tree.next(NONE); node !== NONE; node = tree.next(node))
        if (hasText(tree, node, wanted)) hits.push(node);
    }
    this.hits = hits;
    this.#places = new Map(hits.map((node, index) => [node, index]));
  }

  /** The place of a node among the hits, from 0; NONE if it is none. */
  placeOf(node: number): number {
    return this.#places.get(node) ?? NONE;
  }

  /** The next hit behind a node of the tree, around the end; NONE without any. */
  next(node: number, step: 1 | -1): number {
    const count = this.hits.length;
    if (count === 0 || !this.#tree) return NONE;
    const place = this.placeOf(node);
    if (place !== NONE) return this.hits[(place + step + count) % count]!;
    let at = node;
    for (let steps = 0; at !== NONE && steps <= this.#tree.name.length; steps++) {
      at = step === 1 ? this.#tree.next(at) : this.#tree.previous(at);
      if (at !== NONE && this.#places.has(at)) return at;
    }
    return step === 1 ? this.hits[0]! : this.hits[count - 1]!;
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
