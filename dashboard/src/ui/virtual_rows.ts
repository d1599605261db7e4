import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualItem,
} from "@tanstack/virtual-core";
import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { useRedraw } from "./hooks";

/** Height of a row, and of the heading that stays on top of them, in CSS pixels. */
export const ROW_HEIGHT = 30;
export const HEADING_HEIGHT = 32;
const OVERSCAN_ROWS = 12;
/** A row that is further away than this comes to the middle of the screen, not to its edge. */
const NEAR_ROWS = 30;

export interface Heights {
  rowHeight: number;
  headingHeight: number;
}

export interface VirtualRows {
  items: VirtualItem[];
  totalHeight: number;
  scrollToRow: (row: number) => void;
  /** How many whole rows fit. */
  pageSize: number;
}

/** The rows that are on the screen or near it, out of `count`, while `scroller` scrolls. */
export function useVirtualRows(
  scroller: RefObject<HTMLElement | null>,
  count: number,
  { rowHeight, headingHeight }: Heights = { rowHeight: ROW_HEIGHT, headingHeight: HEADING_HEIGHT },
): VirtualRows {
  const redraw = useRedraw();
  const [virtualizer] = useState(
    () =>
      new Virtualizer<HTMLElement, HTMLElement>({
        count,
        getScrollElement: () => scroller.current,
        estimateSize: () => rowHeight,
        observeElementRect,
        observeElementOffset,
        scrollToFn: elementScroll,
        overscan: OVERSCAN_ROWS,
        paddingStart: headingHeight,
        scrollPaddingStart: headingHeight,
        onChange: redraw,
      }),
  );
  if (virtualizer.options.count !== count)
    virtualizer.setOptions({ ...virtualizer.options, count });
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer._willUpdate());
  return {
    items: virtualizer.getVirtualItems(),
    totalHeight: virtualizer.getTotalSize(),
    scrollToRow: (row) => {
      const { startIndex, endIndex } = virtualizer.range ?? { startIndex: 0, endIndex: 0 };
      const isFar = row < startIndex - NEAR_ROWS || row > endIndex + NEAR_ROWS;
      virtualizer.scrollToIndex(row, { align: isFar ? "center" : "auto" });
    },
    pageSize: Math.max(
      1,
      Math.floor(((virtualizer.scrollRect?.height ?? 0) - headingHeight) / rowHeight) - 1,
    ),
  };
}
