import { useRef, useState } from "preact/hooks";
import type { RunRoute } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";
import { moveInTree } from "./tree_keys";

export interface Cursor {
  /** The row that the keyboard is on; NONE without rows. */
  row: number;
  /** The name of the node that was chosen; what is above it has the row while it is folded. */
  name: string;
  select: (row: number) => void;
  /** Selects the row and shows its action. */
  open: (row: number) => void;
  toggle: (node: number) => void;
  /** Unfolds what is above the node and selects it. */
  goTo: (node: number) => void;
  /** The same, and shows the action. */
  openNode: (node: number) => void;
  /** Takes a key that means something on a row; `pageSize` rows fit on the screen. */
  press: (event: KeyboardEvent, pageSize: number) => void;
}

/** The row to stand on for a node: its own, or that of the nearest ancestor that has one. */
function rowFor(tree: TreeStore, name: string): number {
  let node = tree.find(name);
  while (node !== NONE && tree.rowOf[node] === NONE) node = tree.parent[node]!;
  if (node !== NONE) return tree.rowOf[node]!;
  return tree.rowCount > 0 ? 0 : NONE;
}

/**
 * Where the keyboard is in the tree, kept by the node's name, so that it stays while rows come and go; and what
 * moves it. While an action's panel is open, it follows. Lays the tree out. `onChange` is told which action's panel
 * to show, null for the one that is open, and that something may have been folded or unfolded.
 */
export function useCursor(
  tree: TreeStore,
  route: RunRoute,
  nowMs: number,
  onChange: (action: string | null) => void,
): Cursor {
  const [name, setName] = useState(route.action);
  const revealed = useRef("");
  const linked = tree.find(route.action);
  if (route.action !== revealed.current && linked !== NONE) {
    revealed.current = route.action;
    tree.reveal(linked);
    if (name !== route.action) setName(route.action);
  }
  tree.layout(nowMs);
  const row = rowFor(tree, name);

  const nodeAt = (at: number): number => (at >= 0 && at < tree.rowCount ? tree.rows[at]! : NONE);
  /** Returns the action whose panel is to be shown now, if that changes. */
  const choose = (node: number, opens: boolean): string | null => {
    const next = tree.name[node]!;
    setName(next);
    return tree.isGroup(node) || (!opens && !route.action) ? null : next;
  };
  const select = (to: number): void => {
    const node = nodeAt(to);
    const action = node === NONE ? null : choose(node, false);
    if (action !== null) onChange(action);
  };
  const toggle = (node: number): void => {
    if (tree.setExpanded(node, !tree.isExpanded(node))) onChange(null);
  };
  const reveal = (node: number, opens: boolean): void => {
    if (node === NONE) return;
    tree.reveal(node);
    onChange(choose(node, opens));
  };
  const open = (to: number): void => {
    const node = nodeAt(to);
    if (node === NONE) return;
    const action = choose(node, true);
    if (tree.isGroup(node)) toggle(node);
    else onChange(action);
  };
  const press = (event: KeyboardEvent, pageSize: number): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const move = moveInTree(event.key, tree, row, pageSize);
    if (!move) return;
    event.preventDefault();
    if (move.type === "select") select(move.row);
    else if (move.type === "open") open(row);
    else toggle(move.node);
  };
  return {
    row,
    name,
    select,
    open,
    toggle,
    goTo: (node) => reveal(node, false),
    openNode: (node) => reveal(node, true),
    press,
  };
}
