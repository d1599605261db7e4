import { NONE, type TreeStore } from "../model/tree_store";

export type Move =
  { type: "select"; row: number } | { type: "open" } | { type: "toggle"; node: number };

/** What a key means on a row of a tree grid (WAI-ARIA practices: treegrid); null for nothing. */
export function moveInTree(
  key: string,
  tree: TreeStore,
  row: number,
  pageSize: number,
): Move | null {
  const last = tree.rowCount - 1;
  const node = tree.rows[row];
  if (row < 0 || last < 0 || node === undefined) return null;
  const select = (to: number): Move => ({ type: "select", row: Math.min(last, Math.max(0, to)) });
  switch (key) {
    case "ArrowDown":
    case "j":
      return select(row + 1);
    case "ArrowUp":
    case "k":
      return select(row - 1);
    case "PageDown":
      return select(row + pageSize);
    case "PageUp":
      return select(row - pageSize);
    case "Home":
      return select(0);
    case "End":
      return select(last);
    case "Enter":
      return { type: "open" };
    case " ":
      return tree.childCount[node]! > 0 ? { type: "toggle", node } : { type: "open" };
    case "ArrowRight":
      if (tree.childCount[node] === 0) return null;
      return tree.isExpanded(node) ? select(row + 1) : { type: "toggle", node };
    case "ArrowLeft": {
      if (tree.childCount[node]! > 0 && tree.isExpanded(node)) return { type: "toggle", node };
      const parent = tree.parent[node]!;
      return parent === NONE ? null : select(tree.rowOf[parent]!);
    }
    default:
      return null;
  }
}
