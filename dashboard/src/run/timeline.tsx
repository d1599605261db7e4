import type { VirtualItem } from "@tanstack/virtual-core";
import { scaleLinear } from "d3-scale";
import { timeTicks } from "d3-time";
import type { ZoomTransform } from "d3-zoom";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { clockShift, dayOf, formatClock, formatDuration, formatTick } from "../model/format";
import { phaseTitle } from "../model/phase";
import type { TreeStore } from "../model/tree_store";
import type { AttemptSource } from "./attempt_details";
import type { Insight } from "./insight";
import { drawTimeline, readColors, type TimelineColors, type TimeScale } from "./timeline_draw";
import { shortId } from "./tree_row";
import { ROW_HEIGHT } from "../ui/virtual_rows";

const TICK_WIDTH_PX = 90;
const TIP_GAP_PX = 6;
const NOW_GAP_PX = 14;
/** On an axis of less than this the day goes without its year. */
const NARROW_PX = 420;
const TICK_LABEL_GAP_PX = 12;
const PADDING_PART = 0.04;
const SPAN_MIN_MS = 1000;

/** The stretch of time that the unzoomed axis shows. */
export function timelineDomain(tree: TreeStore, isLive: boolean, nowMs: number): [number, number] {
  const [first, last] = tree.span(isLive ? nowMs : -Infinity);
  const from = Number.isNaN(first) ? nowMs : first;
  const to = Math.max(last, from + SPAN_MIN_MS);
  return [from, to + (to - from) * PADDING_PART];
}

export function timelineScale(
  domain: [number, number],
  width: number,
  transform: ZoomTransform,
): TimeScale {
  return transform.rescaleX(scaleLinear().domain(domain).range([0, width]));
}

export function timelineTicks(scale: TimeScale, width: number): Date[] {
  const [from = 0, to = 0] = scale.domain();
  const [first, last] = [from, to].map((time) => new Date(time + clockShift(time)));
  const ticks = timeTicks(first!, last!, Math.max(2, Math.floor(width / TICK_WIDTH_PX)));
  return ticks.map((tick) => new Date(Number(tick) - clockShift(Number(tick))));
}

let ruler: CanvasRenderingContext2D | null = null;

/** How wide a label of the axis is. */
function labelWidth(text: string): number {
  ruler ??= document.createElement("canvas").getContext("2d")!;
  ruler.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

/** As much of a time as tells neighbouring ticks apart. */
function tickLabel(ticks: Date[], scale: TimeScale): (tick: Date) => string {
  const stepMs = ticks.length > 1 ? Number(ticks[1]) - Number(ticks[0]) : 0;
  const [from = 0, to = 0] = scale.domain();
  return (tick) => formatTick(Number(tick), stepMs, dayOf(Number(from)) === dayOf(Number(to)));
}

interface AxisProps {
  scale: TimeScale;
  ticks: Date[];
  width: number;
  /** Null when the run is over. */
  nowMs: number | null;
  /** What is written at the line for `nowMs`. */
  nowLabel: string;
}

export function TimelineAxis({ scale, ticks, width, nowMs, nowLabel }: AxisProps) {
  const label = tickLabel(ticks, scale);
  const now = nowMs === null ? -1 : scale(nowMs);
  const nowPx = labelWidth(nowLabel) + NOW_GAP_PX;
  const isToLeft = now > width - nowPx;
  const day = dayOf(Number(scale.domain()[0] ?? 0), width < NARROW_PX);
  // From left to right, each label only where the one before it, the day and "now" leave room.
  const dayEnd = labelWidth(day) + TICK_LABEL_GAP_PX;
  let free = dayEnd;
  const shown: { x: number; text: string }[] = [];
  for (const tick of ticks) {
    const text = label(tick);
    const x = scale(tick);
    const end = x + labelWidth(text) + TICK_LABEL_GAP_PX;
    const meetsNow = now >= 0 && end > now - nowPx && x < now + nowPx;
    if (x < free || end > width || meetsNow) continue;
    shown.push({ x, text });
    free = end;
  }
  return (
    <div class="axis" aria-hidden="true">
      {!(now >= 0 && now < dayEnd && !isToLeft) && <span class="day">{day}</span>}
      {shown.map(({ x, text }) => (
        <span key={x} class="tick" style={{ left: `${x}px` }}>
          {text}
        </span>
      ))}
      {now >= 0 && now <= width && !(isToLeft && now < dayEnd + nowPx) && (
        <span class={`now${isToLeft ? " to-left" : ""}`} style={{ left: `${now}px` }}>
          {nowLabel}
        </span>
      )}
    </div>
  );
}

interface TimelineProps {
  surface: RefObject<HTMLCanvasElement | null>;
  tree: TreeStore;
  items: VirtualItem[];
  left: number;
  width: number;
  scale: TimeScale;
  ticks: Date[];
  nowMs: number;
  attempts: AttemptSource;
  insight: Insight;
  onOpen: (row: number) => void;
  onZoomTo: (fromMs: number, toMs: number) => void;
}

/**
 * The bars of the rows that are rendered. The canvas lies among the rows and scrolls with them, so that
 * the browser moves both at once; it is drawn anew when other rows come into view.
 */
export function Timeline(props: TimelineProps) {
  const { surface, tree, items, left, width, scale, ticks, nowMs, attempts, insight } = props;
  const colors = useRef<TimelineColors | null>(null);
  const [hover, setHover] = useState<{ row: number; x: number } | null>(null);
  const first = items[0]?.index ?? 0;
  const last = Math.min(tree.rowCount, (items.at(-1)?.index ?? -1) + 1);
  const height = (last - first) * ROW_HEIGHT;
  const top = items[0]?.start ?? 0;

  useEffect(() => {
    const forget = (): void => {
      colors.current = null;
    };
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", forget);
    addEventListener("runtree:theme", forget);
    return () => {
      scheme.removeEventListener("change", forget);
      removeEventListener("runtree:theme", forget);
    };
  }, []);

  useLayoutEffect(() => {
    const canvas = surface.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context || width <= 0) return;
    const ratio = devicePixelRatio || 1;
    const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (canvas.width !== pixels.width) canvas.width = pixels.width;
    if (canvas.height !== pixels.height) canvas.height = pixels.height;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    colors.current ??= readColors(canvas);
    drawTimeline({
      context,
      width,
      tree,
      first,
      last,
      scale,
      ticks,
      nowMs,
      colors: colors.current,
      attempts: (node) => attempts.get(tree, node),
      insight,
    });
  });

  useEffect(() => attempts.want(tree, first, last), [tree, tree.version, first, last]);

  const rowAt = (event: MouseEvent): number => first + Math.floor(event.offsetY / ROW_HEIGHT);
  const isRow = (row: number): boolean => row >= first && row < last;
  return (
    <>
      <canvas
        ref={surface}
        class="timeline"
        aria-hidden="true"
        style={{
          left: `${left}px`,
          width: `${width}px`,
          height: `${height}px`,
          transform: `translateY(${top}px)`,
        }}
        onClick={(event) => isRow(rowAt(event)) && props.onOpen(rowAt(event))}
        onDblClick={(event) => {
          const node = tree.rows[rowAt(event)];
          if (node === undefined || !isRow(rowAt(event))) return;
          const from = tree.createdAt[node]!;
          const to = Number.isNaN(tree.endedAt[node]!) ? nowMs : tree.endedAt[node]!;
          const margin = Math.max(100, (to - from) * 0.1);
          props.onZoomTo(from - margin, to + margin);
        }}
        onMouseMove={(event) => setHover({ row: rowAt(event), x: event.offsetX })}
        onMouseLeave={() => setHover(null)}
      />
      {hover && isRow(hover.row) && (
        <TimelineTip
          tree={tree}
          row={hover.row}
          x={left + hover.x}
          y={top + (hover.row - first) * ROW_HEIGHT}
          earlierMs={insight.earlierMs(tree.rows[hover.row]!)}
          nowMs={nowMs}
        />
      )}
    </>
  );
}

interface TipProps {
  tree: TreeStore;
  row: number;
  /** Of the pointer, and of the row's upper edge, in the scroller's content. */
  x: number;
  y: number;
  /** How long it took in the earlier run; NaN if that is not known. */
  earlierMs: number;
  nowMs: number;
}

/** Puts the tip below the row or, where there is no room, above it, and beside the pointer, all of it on the screen. */
function placeTip(tip: HTMLElement, x: number, y: number): void {
  const { scrollTop, clientHeight, clientWidth } = tip.closest(".tree")!;
  const below = y + ROW_HEIGHT + TIP_GAP_PX;
  const above = y - TIP_GAP_PX - tip.offsetHeight;
  const isBelow = below + tip.offsetHeight <= scrollTop + clientHeight || above < scrollTop;
  const right = x + 2 * TIP_GAP_PX;
  const left = x - 2 * TIP_GAP_PX - tip.offsetWidth;
  const isRight = right + tip.offsetWidth <= clientWidth;
  const xPx = isRight ? right : Math.max(0, left);
  const yPx = Math.min(isBelow ? below : above, scrollTop + clientHeight - tip.offsetHeight);
  tip.style.transform = `translate(${xPx}px, ${yPx}px)`;
}

function TimelineTip({ tree, row, x, y, earlierMs, nowMs }: TipProps) {
  const tip = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => placeTip(tip.current!, x, y));
  const node = tree.rows[row]!;
  const created = tree.createdAt[node]!;
  const started = tree.startedAt[node]!;
  const ended = tree.endedAt[node]!;
  const id = tree.isGroup(node)
    ? ""
    : shortId(tree.name[node]!, tree.label[node]!, tree.parentAction(node) ?? "");
  return (
    <div ref={tip} class="tip" aria-hidden="true">
      <strong>
        {tree.label[node]} {id && <span class="id">{id}</span>}
      </strong>
      <span>
        {phaseTitle(tree.phaseName(node))} · {formatDuration(tree.elapsedMs(node, nowMs))}
        {tree.attempt[node]! > 1 && ` · attempt ${tree.attempt[node]!}`}
      </span>
      <span class="dim">
        {formatClock(Number.isNaN(started) ? created : started)} –{" "}
        {Number.isNaN(ended) ? "now" : formatClock(ended)}
      </span>
      {!Number.isNaN(started) && started - created >= 1 && (
        <span class="dim">waited {formatDuration(started - created)}</span>
      )}
      {!Number.isNaN(earlierMs) && (
        <span class="dim">the run before took {formatDuration(earlierMs)}</span>
      )}
    </div>
  );
}
