import type { VirtualItem } from "@tanstack/virtual-core";
import { scaleLinear } from "d3-scale";
import { timeTicks } from "d3-time";
import type { ZoomTransform } from "d3-zoom";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatClock, formatDuration } from "../model/format";
import { phaseTitle } from "../model/phase";
import { NONE, type TreeStore } from "../model/tree_store";
import type { AttemptDetails } from "./attempt_details";
import { drawTimeline, readColors, type TimelineColors, type TimeScale } from "./timeline_draw";
import { elapsedMs, shortId } from "./tree_row";
import { ROW_HEIGHT } from "./virtual_rows";

const TICK_WIDTH_PX = 90;
const NOW_LABEL_PX = 40;
/** About how wide a tick's label is, and how little room is none. */
const TICK_LABEL_PX = 56;
const TICK_GAP_PX = 30;
const PADDING_PART = 0.04;
const SPAN_MIN_MS = 1000;

/** The stretch of time that the unzoomed axis shows. */
export function timelineDomain(tree: TreeStore, isLive: boolean, nowMs: number): [number, number] {
  const from = Number.isNaN(tree.earliest) ? nowMs : tree.earliest;
  const to = Math.max(
    Number.isNaN(tree.latest) ? nowMs : tree.latest,
    isLive ? nowMs : -Infinity,
    from + SPAN_MIN_MS,
  );
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
  return timeTicks(new Date(from), new Date(to), Math.max(2, Math.floor(width / TICK_WIDTH_PX)));
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const DAY = { month: "short", day: "numeric" } as const;
const WITH_MILLISECONDS = new Intl.DateTimeFormat(undefined, {
  ...CLOCK,
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const WITH_SECONDS = new Intl.DateTimeFormat(undefined, { ...CLOCK, second: "2-digit" });
const WITH_MINUTES = new Intl.DateTimeFormat(undefined, CLOCK);
const WITH_DAY = new Intl.DateTimeFormat(undefined, { ...DAY, ...CLOCK });
const WITH_DATE = new Intl.DateTimeFormat(undefined, DAY);

/** As much of a time as tells neighbouring ticks apart. */
function tickFormat(scale: TimeScale, ticks: Date[]): Intl.DateTimeFormat {
  const step = ticks.length > 1 ? Number(ticks[1]) - Number(ticks[0]) : 0;
  const [from = 0, to = 0] = scale.domain();
  const isOneDay = new Date(from).toDateString() === new Date(to).toDateString();
  if (step >= 86_400_000) return WITH_DATE;
  if (!isOneDay && step >= 3_600_000) return WITH_DAY;
  if (step >= 60_000) return WITH_MINUTES;
  return step >= 1000 ? WITH_SECONDS : WITH_MILLISECONDS;
}

interface AxisProps {
  scale: TimeScale;
  ticks: Date[];
  width: number;
  /** Null when the run is over. */
  nowMs: number | null;
}

export function TimelineAxis({ scale, ticks, width, nowMs }: AxisProps) {
  const format = tickFormat(scale, ticks);
  const now = nowMs === null ? -1 : scale(nowMs);
  return (
    <div class="axis" aria-hidden="true">
      {ticks.map((tick) => {
        const x = scale(tick);
        const isCovered =
          now >= 0 && x > now - NOW_LABEL_PX - TICK_LABEL_PX && x < now + TICK_GAP_PX;
        return x < 0 || x > width - TICK_GAP_PX || isCovered ? null : (
          <span key={Number(tick)} class="tick" style={{ left: `${x}px` }}>
            {format.format(tick)}
          </span>
        );
      })}
      {now >= 0 && now <= width && (
        <span
          class={`now${now > width - NOW_LABEL_PX ? " to-left" : ""}`}
          style={{ left: `${now}px` }}
        >
          now
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
  attempts: AttemptDetails;
  onSelect: (row: number) => void;
  onZoomTo: (fromMs: number, toMs: number) => void;
}

/**
 * The bars of the rows that are rendered. The canvas lies among the rows and scrolls with them, so that
 * the browser moves both at once; it is drawn anew when other rows come into view.
 */
export function Timeline(props: TimelineProps) {
  const { surface, tree, items, left, width, scale, ticks, nowMs, attempts } = props;
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
    });
  });

  useEffect(() => attempts.want(tree, first, last), [attempts, tree, tree.version, first, last]);

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
        onClick={(event) => isRow(rowAt(event)) && props.onSelect(rowAt(event))}
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
          y={top + (hover.row - first + 1) * ROW_HEIGHT}
          isRight={hover.x > width / 2}
          nowMs={nowMs}
        />
      )}
    </>
  );
}

interface TipProps {
  tree: TreeStore;
  row: number;
  x: number;
  y: number;
  isRight: boolean;
  nowMs: number;
}

function TimelineTip({ tree, row, x, y, isRight, nowMs }: TipProps) {
  const node = tree.rows[row]!;
  const created = tree.createdAt[node]!;
  const started = tree.startedAt[node]!;
  const ended = tree.endedAt[node]!;
  const parent = tree.parent[node]!;
  const id = shortId(
    tree.name[node]!,
    tree.label[node]!,
    parent === NONE ? "" : tree.name[parent]!,
  );
  return (
    <div
      class={`tip${isRight ? " to-left" : ""}`}
      aria-hidden="true"
      style={{ transform: `translate(${x}px, ${y}px)` }}
    >
      <strong>
        {tree.label[node]} {id && <span class="id">{id}</span>}
      </strong>
      <span>
        {phaseTitle(tree.phaseName(node))} · {formatDuration(elapsedMs(tree, node, nowMs))}
        {tree.attempt[node]! > 1 && ` · attempt ${tree.attempt[node]!}`}
      </span>
      <span class="dim">
        {formatClock(Number.isNaN(started) ? created : started)} –{" "}
        {Number.isNaN(ended) ? "now" : formatClock(ended)}
      </span>
      {!Number.isNaN(started) && started - created >= 1 && (
        <span class="dim">waited {formatDuration(started - created)}</span>
      )}
    </div>
  );
}
