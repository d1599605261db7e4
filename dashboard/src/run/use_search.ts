import { useEffect, useMemo } from "preact/hooks";
import { Search } from "../model/search";
import type { TreeStore } from "../model/tree_store";
import { NextFrame } from "../ui/frame";

/** What a text finds in the tree that is shown, a frame's worth at a time until all of it has been looked at. */
export function useSearch(tree: TreeStore, text: string, redraw: () => void): Search {
  const search = useMemo(() => new Search(), []);
  const frame = useMemo(() => new NextFrame(redraw), []);
  search.find(tree, text);
  useEffect(() => {
    if (!search.isComplete) frame.request();
  });
  useEffect(() => () => frame.cancel(), []);
  return search;
}
