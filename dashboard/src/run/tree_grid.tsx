import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { NONE, type TreeStore } from "../model/tree_store";
import type { AttemptDetails } from "./attempt_details";
import { Timeline, TimelineAxis, timelineDomain, timelineScale, timelineTicks } from "./timeline";
import { useTimelineZoom, type TimelineZoom } from "./timeline_zoom";
import { TreeRow } from "./tree_row";
import { HEADING_HEIGHT, useVirtualRows } from "./virtual_rows";
import { Icon } from "../ui/icons";
import { Splitter } from "../ui/splitter";

export interface TreeGridHandle {
  zoom: TimelineZoom;
  pageSize: number;
}

interface TreeGridProps {
  scroller: RefObject<HTMLDivElement | null>;
  tree: TreeStore;
  /** The row that the keyboard is on. */
  currentRow: number;
  /** The name of the action whose panel is open. */
  openAction: string;
  isTimelineShown: boolean;
  /** The part of the width that the tree has beside the timeline, in per cent. */
  splitPercent: number;
  isLive: boolean;
  nowMs: number;
  attempts: AttemptDetails;
  handle: RefObject<TreeGridHandle | null>;
  onKeyDown: (event: KeyboardEvent) => void;
  onSelect: (row: number) => void;
  onOpen: (row: number) => void;
  onToggle: (node: number) => void;
  onSplit: (percent: number) => void;
}

export function TreeGrid(props: TreeGridProps) {
  const { scroller, tree, currentRow, isTimelineShown, nowMs, isLive } = props;
  const rows = useVirtualRows(scroller, tree.rowCount);
  const surface = useRef<HTMLCanvasElement>(null);
  const axisCell = useRef<HTMLDivElement>(null);
  const { left, width } = useBox(axisCell, scroller, isTimelineShown);
  const zoom = useTimelineZoom(surface, width, isTimelineShown && width > 0);
  props.handle.current = { zoom, pageSize: rows.pageSize };

  const domain = useStableDomain(timelineDomain(tree, isLive, nowMs), zoom.transform.k === 1);
  const scale = timelineScale(domain, width, zoom.transform);
  const ticks = timelineTicks(scale, width);
  const base = (timeMs: number): number => ((timeMs - domain[0]) / (domain[1] - domain[0])) * width;

  const followed = useRef(NONE);
  useEffect(() => {
    if (currentRow === followed.current || currentRow < 0) return;
    followed.current = currentRow;
    rows.scrollToRow(currentRow);
  }, [currentRow]);

  // As many elements as rows at once: scrolling gives an element another row instead of making a new one.
  const pool = useRef(1);
  pool.current = Math.max(pool.current, rows.items.length);
  const isRendered = rows.items.some((item) => item.index === currentRow);
  const click = (event: MouseEvent): void => {
    const target = event.target as Element;
    const row = Number(target.closest<HTMLElement>("[data-row]")?.dataset["row"] ?? NONE);
    if (row < 0 || row >= tree.rowCount) return;
    props.onSelect(row);
    if (target.closest(".twisty")) props.onToggle(tree.rows[row]!);
    else props.onOpen(row);
  };
  return (
    <div
      class={`tree-area${isTimelineShown ? " with-timeline" : ""}`}
      style={{ "--split": `${props.splitPercent}%`, "--split-ratio": props.splitPercent / 100 }}
    >
      <div
        ref={scroller}
        class="tree"
        role="treegrid"
        aria-label="Actions of the run"
        aria-rowcount={tree.rowCount + 1}
        aria-activedescendant={isRendered ? `row-${currentRow}` : undefined}
        tabIndex={0}
        onKeyDown={props.onKeyDown}
        onClick={click}
      >
        <div class="heading" role="row" aria-rowindex={1} style={{ height: `${HEADING_HEIGHT}px` }}>
          <div class="cells" role="presentation">
            <div class="cell cell-name" role="columnheader">
              Action
            </div>
            <div class="cell cell-phase" role="columnheader">
              Phase
            </div>
            <div class="cell cell-attempt" role="columnheader">
              <abbr title="Attempt">Try</abbr>
            </div>
            <div class="cell cell-duration" role="columnheader">
              Duration
            </div>
            <div class="cell cell-descendants" role="columnheader">
              Below
            </div>
          </div>
          {isTimelineShown && (
            <div ref={axisCell} class="axis-cell" role="presentation">
              <TimelineAxis
                scale={scale}
                ticks={ticks}
                width={width}
                nowMs={isLive ? nowMs : null}
              />
            </div>
          )}
        </div>
        <div
          class="rows"
          role="rowgroup"
          style={{ height: `${rows.totalHeight - HEADING_HEIGHT}px` }}
        >
          <div class="rows-origin" role="presentation" style={{ top: `${-HEADING_HEIGHT}px` }}>
            {rows.items.map((item) =>
              item.index < tree.rowCount ? (
                <TreeRow
                  key={item.index % pool.current}
                  tree={tree}
                  item={item}
                  isCurrent={item.index === currentRow}
                  isOpen={
                    props.openAction !== "" &&
                    tree.name[tree.rows[item.index]!] === props.openAction
                  }
                  nowMs={nowMs}
                />
              ) : null,
            )}
            {isTimelineShown && width > 0 && (
              <Timeline
                surface={surface}
                tree={tree}
                items={rows.items}
                left={left}
                width={width}
                scale={scale}
                ticks={ticks}
                nowMs={isLive ? nowMs : Infinity}
                attempts={props.attempts}
                onSelect={props.onSelect}
                onZoomTo={(from, to) => zoom.zoomTo(base(from), base(to))}
              />
            )}
          </div>
        </div>
      </div>
      {isTimelineShown && (
        <Splitter container={scroller} percent={props.splitPercent} onChange={props.onSplit} />
      )}
      {isTimelineShown && zoom.transform.k > 1 && (
        <button type="button" class="button small fit" onClick={zoom.fit}>
          <Icon name="fit" />
          Fit
        </button>
      )}
    </div>
  );
}

/** While the timeline is zoomed its axis stands still, although the run goes on. */
function useStableDomain(current: [number, number], isFitting: boolean): [number, number] {
  const kept = useRef(current);
  if (isFitting) kept.current = current;
  return kept.current;
}

/** Where an element lies in the scroller, and how wide it is, whenever that changes. */
function useBox(
  element: RefObject<HTMLElement | null>,
  scroller: RefObject<HTMLElement | null>,
  isShown: boolean,
) {
  const [box, setBox] = useState({ left: 0, width: 0 });
  useLayoutEffect(() => {
    const measure = (): void => {
      const left = element.current?.offsetLeft ?? 0;
      const width = element.current?.clientWidth ?? 0;
      setBox((old) => (old.left === left && old.width === width ? old : { left, width }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    if (scroller.current) observer.observe(scroller.current);
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, scroller, isShown]);
  return box;
}
