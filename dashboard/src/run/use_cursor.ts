import { useRef, useState } from "preact/hooks";
import type { RunRoute } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";
import { navigate } from "../ui/router";
import { moveInTree } from "./tree_keys";

export interface Cursor {
  /** The row that the keyboard is on; NONE without rows. */
  row: number;
  select: (row: number) => void;
  /** Selects the row and shows its action. */
  open: (row: number) => void;
  toggle: (node: number) => void;
  goToFailure: (step: 1 | -1) => void;
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
 * Where the keyboard is in the tree, kept by the action's name, so that it stays while rows come and go; and what
 * moves it. While an action's panel is open, it follows. Lays the tree out.
 */
export function useCursor(tree: TreeStore, route: RunRoute, redraw: () => void): Cursor {
  const [name, setName] = useState(route.action);
  const revealed = useRef("");
  const linked = tree.find(route.action);
  if (route.action !== revealed.current && linked !== NONE) {
    revealed.current = route.action;
    tree.reveal(linked);
    if (name !== route.action) setName(route.action);
  }
  tree.layout();
  const row = rowFor(tree, name);

  const nameAt = (at: number): string | undefined =>
    at >= 0 && at < tree.rowCount ? tree.name[tree.rows[at]!] : undefined;
  const show = (action: string, how: "push" | "replace"): void =>
    navigate({ ...route, action }, how);
  const select = (to: number): void => {
    const next = nameAt(to);
    if (next === undefined) return;
    setName(next);
    if (route.action) show(next, "replace");
  };
  const open = (to: number): void => {
    const next = nameAt(to);
    if (next === undefined) return;
    setName(next);
    show(next, route.action ? "replace" : "push");
  };
  const toggle = (node: number): void => {
    if (tree.setExpanded(node, !tree.isExpanded(node))) redraw();
  };
  const goToFailure = (step: 1 | -1): void => {
    const node = tree.nextFailure(row, step);
    if (node !== NONE) select(tree.rowOf[node]!);
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
  return { row, select, open, toggle, goToFailure, press };
}
