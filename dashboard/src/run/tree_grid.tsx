import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { NONE, type SortKey, type TreeStore } from "../model/tree_store";
import type { AttemptSource } from "./attempt_details";
import type { Insight } from "./insight";
import { Timeline, TimelineAxis, timelineScale, timelineTicks } from "./timeline";
import { useTimelineZoom, type TimelineZoom } from "./timeline_zoom";
import { TreeRow } from "./tree_row";
import { HEADING_HEIGHT, ROW_HEIGHT, useVirtualRows } from "../ui/virtual_rows";
import { Icon } from "../ui/icons";
import { Splitter } from "../ui/splitter";

/** Zooming is told on after this pause. */
const ZOOM_PAUSE_MS = 300;
/** The lines that lead the eye from level to level are for trees of so many at most. */
const GUIDED_DEPTH = 16;

export interface TreeGridHandle {
  zoom: TimelineZoom;
  pageSize: number;
}

interface TreeGridProps {
  scroller: RefObject<HTMLDivElement | null>;
  tree: TreeStore;
  /** The row that the keyboard is on, and the name of the node chosen, which may be folded away in it. */
  currentRow: number;
  currentName: string;
  /** The name of the action whose panel is open. */
  openAction: string;
  isTimelineShown: boolean;
  /** The part of the width that the tree has beside the timeline, in per cent. */
  splitPercent: number;
  /** The stretch of time that the whole timeline shows. */
  domain: [number, number];
  isLive: boolean;
  nowMs: number;
  /** What is written at the line for `nowMs`. */
  nowLabel: string;
  attempts: AttemptSource;
  insight: Insight;
  /** What is searched for. */
  mark: string;
  /** The stretch of time that the timeline is to show, in milliseconds since 1970; null: all. */
  zoomTo: [number, number] | null;
  /** The reader has zoomed to a stretch. */
  onZoom: (zoom: [number, number] | null) => void;
  onSort: (sort: SortKey) => void;
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

  const domain = useStableDomain(props.domain, zoom.transform.k === 1);
  const scale = timelineScale(domain, width, zoom.transform);
  const ticks = timelineTicks(scale, width);
  useZoomInAddress(props, zoom, domain, width);
  const base = (timeMs: number): number => ((timeMs - domain[0]) / (domain[1] - domain[0])) * width;

  useAnchor(scroller, tree);
  // What is chosen comes into view when it is chosen, not when rows come and go above it.
  const isThere = currentRow >= 0 && tree.find(props.currentName) !== NONE;
  useEffect(() => {
    if (isThere) rows.scrollToRow(currentRow);
  }, [props.currentName, isThere]);

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
      class={`tree-area${isTimelineShown ? " with-timeline" : ""}${tree.depth > GUIDED_DEPTH ? " deep" : ""}`}
      style={{
        "--split-ratio": props.splitPercent / 100,
        "--deepest": Math.max(1, tree.depth - 1),
      }}
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
            <SortHeader sort="name" title="Action" class="cell-name" {...props} />
            <SortHeader sort="phase" title="Phase" class="cell-phase" {...props} />
            <div class="cell cell-attempt" role="columnheader">
              <abbr title="Attempt">Try</abbr>
            </div>
            <SortHeader sort="duration" title="Duration" class="cell-duration" {...props} />
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
                nowLabel={props.nowLabel}
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
                  mark={props.mark}
                  insight={props.insight}
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
                insight={props.insight}
                onOpen={props.onOpen}
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

interface SortHeaderProps {
  tree: TreeStore;
  sort: SortKey;
  title: string;
  class: string;
  onSort: (sort: SortKey) => void;
}

/** A column's head; in the table it says and changes the order. */
function SortHeader({ tree, sort, title, class: className, onSort }: SortHeaderProps) {
  const { view } = tree;
  const order =
    view.sort !== sort ? undefined : view.isDescending ? "descending" : ("ascending" as const);
  return (
    <div class={`cell ${className}`} role="columnheader" aria-sort={order}>
      {view.sort === null ? (
        title
      ) : (
        <button type="button" class="sort" onClick={() => onSort(sort)}>
          {title}
          {order && <span aria-hidden="true">{order === "descending" ? " ↓" : " ↑"}</span>}
        </button>
      )}
    </div>
  );
}

/** Rows that come or go above what is read move the rows, not the reader's view: the first one on the screen
 *  stays where it is. */
function useAnchor(scroller: RefObject<HTMLElement | null>, tree: TreeStore): void {
  const anchor = useRef({ view: tree.view, name: "", row: NONE });
  const note = (): void => {
    const top = Math.floor((scroller.current?.scrollTop ?? 0) / ROW_HEIGHT);
    const row = Math.min(tree.rowCount - 1, top);
    anchor.current = { view: tree.view, name: row < 0 ? "" : tree.name[tree.rows[row]!]!, row };
  };
  useLayoutEffect(() => {
    const { view, name, row } = anchor.current;
    const node = tree.find(name);
    const now = node === NONE ? NONE : tree.rowOf[node]!;
    const element = scroller.current;
    if (element && element.scrollTop > 0 && view === tree.view && now !== NONE && now !== row)
      element.scrollTop += (now - row) * ROW_HEIGHT;
    note();
  });
  useEffect(() => {
    const element = scroller.current;
    element?.addEventListener("scroll", note, { passive: true });
    return () => element?.removeEventListener("scroll", note);
  }, [tree]);
}

/** Zooms to what the address says, and says there what the reader zooms to. */
function useZoomInAddress(
  { zoomTo, onZoom }: TreeGridProps,
  zoom: TimelineZoom,
  domain: [number, number],
  width: number,
): void {
  const [from, to] = domain;
  const pixel = (timeMs: number): number => ((timeMs - from) / (to - from)) * width;
  const told = useRef("null");
  const wanted = JSON.stringify(zoomTo);
  useEffect(() => {
    if (width <= 0 || wanted === told.current) return;
    told.current = wanted;
    if (zoomTo) zoom.zoomTo(pixel(zoomTo[0]), pixel(zoomTo[1]));
    else zoom.fit();
  }, [wanted, width > 0]);
  const { k, x } = zoom.transform;
  useEffect(() => {
    if (width <= 0) return;
    const timer = setTimeout(() => {
      const time = (at: number): number =>
        Math.round(from + (((at - x) / k) * (to - from)) / width);
      const shown: [number, number] | null = k > 1 ? [time(0), time(width)] : null;
      if (shown === null && told.current === "null") return;
      if (zoomTo && shown && Math.abs(shown[0] - zoomTo[0]) * k < 0.01 * (to - from)) return;
      told.current = JSON.stringify(shown);
      onZoom(shown);
    }, ZOOM_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [k, x]);
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
