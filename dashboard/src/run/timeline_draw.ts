import type { ScaleLinear } from "d3-scale";
import { isTerminalNumber, phaseNumber, phaseSlug, PHASES } from "../model/phase";
import { NONE, type TreeStore } from "../model/tree_store";
import { formatDuration } from "../model/format";
import type { Insight } from "./insight";
import type { AttemptBar } from "./attempt_details";
import { ROW_HEIGHT } from "../ui/virtual_rows";

export type TimeScale = ScaleLinear<number, number>;

/** The page's colours, for the canvas, which knows no style sheet. */
export interface TimelineColors {
  /** By phase number. */
  fill: string[];
  grid: string;
  text: string;
  now: string;
  line: string;
  critical: string;
  font: string;
}

export function readColors(element: Element): TimelineColors {
  const style = getComputedStyle(element);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  return {
    fill: ["", ...PHASES.map((phase) => color(`--fill-${phaseSlug(phase)}`))],
    grid: color("--grid-line"),
    text: color("--text-dim"),
    now: color("--accent"),
    line: color("--text-faint"),
    critical: color("--text"),
    font: `11px ${style.fontFamily}`,
  };
}

export interface TimelineFrame {
  context: CanvasRenderingContext2D;
  width: number;
  tree: TreeStore;
  /** The rows to draw: rows[first] to rows[last - 1]. */
  first: number;
  last: number;
  scale: TimeScale;
  ticks: Date[];
  nowMs: number;
  colors: TimelineColors;
  /** What is known of a node's attempts beyond the tree's records, or null. */
  attempts: (node: number) => readonly AttemptBar[] | null;
  insight: Insight;
}

const BAR_HEIGHT = 12;
const GROUP_HEIGHT = 5;
const CAP_WIDTH = 2;
const CAP_HEIGHT = 10;
const WAIT_HEIGHT = 3;
const BAR_WIDTH_MIN = 2;
const LABEL_GAP = 6;
const LABEL_WIDTH = 48;
const ARROW_PX = 8;
const EARLIER_HEIGHT = 22;
const EARLIER_ALPHA = 0.16;
const UNKNOWN_ALPHA = 0.3;
const CRITICAL_WIDTH = 2;
const CRITICAL_INSET = 6;
const QUEUED = phaseNumber("QUEUED");
const RUNNING = phaseNumber("RUNNING");

/** Draws the bars of the rows of one frame, the lines of the ticks behind them, and the line for now. */
export function drawTimeline(frame: TimelineFrame): void {
  const { context, width, first, last, scale, ticks, colors, tree } = frame;
  const height = (last - first) * ROW_HEIGHT;
  context.clearRect(0, 0, width, height);
  context.fillStyle = colors.grid;
  for (const tick of ticks) context.fillRect(Math.round(scale(tick)), 0, 1, height);
  context.font = colors.font;
  context.textBaseline = "middle";
  for (let row = first; row < last; row++) {
    const node = tree.rows[row]!;
    const middle = (row - first) * ROW_HEIGHT + ROW_HEIGHT / 2;
    if (drawElsewhere(frame, node, middle)) continue;
    drawEarlier(frame, node, middle);
    if (tree.childCount[node]! > 0) drawGroup(frame, node, middle);
    else drawAction(frame, node, middle);
  }
  drawCritical(frame);
  const now = scale(frame.nowMs);
  if (now >= 0 && now <= width) {
    context.fillStyle = colors.now;
    context.fillRect(Math.round(now), 0, 1, height);
  }
}

function bar(
  frame: TimelineFrame,
  from: number,
  to: number,
  middle: number,
  height: number,
  color: string,
): void {
  const { context, width, scale } = frame;
  const left = Math.max(-8, scale(from));
  const right = Math.min(width + 8, Math.max(scale(to), scale(from) + BAR_WIDTH_MIN));
  if (right < 0 || left > width) return;
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(left, middle - height / 2, right - left, height, Math.min(3, height / 2));
  context.fill();
}

/** How long it took in the earlier run, as a pale bar behind its own, from the same start. */
function drawEarlier(frame: TimelineFrame, node: number, middle: number): void {
  const { tree, colors, insight, context } = frame;
  const earlierMs = insight.earlierMs(node);
  if (!(earlierMs > 0)) return;
  const started = tree.startedAt[node]!;
  const from = Number.isNaN(started) ? tree.createdAt[node]! : started;
  context.globalAlpha = EARLIER_ALPHA;
  bar(frame, from, from + earlierMs, middle, EARLIER_HEIGHT, colors.text);
  context.globalAlpha = 1;
}

/** A line below each bar of the critical path, and in the tree from the end of one to the next. */
function drawCritical(frame: TimelineFrame): void {
  const { tree, scale, context, colors, insight, first, last } = frame;
  context.fillStyle = colors.critical;
  let before = NaN;
  for (const node of insight.critical) {
    let shown = node;
    while (shown !== NONE && tree.rowOf[shown] === NONE) shown = tree.parent[shown]!;
    if (shown === NONE) continue;
    const y = (tree.rowOf[shown]! - first + 1) * ROW_HEIGHT - CRITICAL_INSET;
    const isLinked = tree.view.sort === null && !Number.isNaN(before);
    const [top, bottom] = isLinked ? [Math.min(before, y), Math.max(before, y)] : [y, y];
    before = y;
    if (bottom < 0 || top > (last - first) * ROW_HEIGHT) continue;
    const from = scale(tree.createdAt[node]!);
    const to = Math.max(from + BAR_WIDTH_MIN, scale(endOf(frame, node)));
    context.fillRect(from, y, to - from, CRITICAL_WIDTH);
    if (isLinked) context.fillRect(from, top, CRITICAL_WIDTH, bottom - top);
  }
}

function endOf(frame: TimelineFrame, node: number): number {
  const end = frame.tree.endedAt[node]!;
  return Number.isNaN(end) ? frame.nowMs : end;
}

/** An arrow at the edge behind which the whole bar lies; true if it does. */
function drawElsewhere(frame: TimelineFrame, node: number, middle: number): boolean {
  const { context, scale, width, tree, colors } = frame;
  const isBefore = scale(endOf(frame, node)) < 0;
  if (!isBefore && !(scale(tree.createdAt[node]!) > width)) return false;
  const [edge, tip] = isBefore ? [ARROW_PX + 3, 3] : [width - ARROW_PX - 3, width - 3];
  context.fillStyle = colors.fill[tree.phase[node]!]!;
  context.beginPath();
  context.moveTo(tip, middle);
  context.lineTo(edge, middle - ARROW_PX / 1.6);
  context.lineTo(edge, middle + ARROW_PX / 1.6);
  context.fill();
  return true;
}

/** A slim bracket over everything below the node. */
function drawGroup(frame: TimelineFrame, node: number, middle: number): void {
  const { tree, scale, context, width, colors } = frame;
  const from = tree.createdAt[node]!;
  const to = endOf(frame, node);
  const color = colors.fill[tree.phase[node]!]!;
  bar(frame, from, to, middle, GROUP_HEIGHT, color);
  const caps = tree.isLive(node) ? [scale(from)] : [scale(from), scale(to) - CAP_WIDTH];
  for (const x of caps) {
    if (x >= 0 && x <= width)
      context.fillRect(Math.round(x), middle - CAP_HEIGHT / 2, CAP_WIDTH, CAP_HEIGHT);
  }
  drawLabel(frame, node, to, middle);
}

function drawAction(frame: TimelineFrame, node: number, middle: number): void {
  const { tree, colors } = frame;
  const attempts = frame.attempts(node);
  if (attempts) {
    for (const attempt of attempts) drawAttempt(frame, attempt, attempts.length > 1, middle);
  } else {
    const created = tree.createdAt[node]!;
    const started = tree.startedAt[node]!;
    const end = endOf(frame, node);
    const phase = tree.phase[node]!;
    if (Number.isNaN(started)) {
      if (isTerminalNumber(phase))
        bar(frame, created, end, middle, BAR_HEIGHT, colors.fill[phase]!);
      else bar(frame, created, end, middle, WAIT_HEIGHT, colors.fill[phase]!);
    } else {
      if (tree.attempt[node]! > 1) drawUnknown(frame, created, started, middle);
      else bar(frame, created, started, middle, WAIT_HEIGHT, colors.fill[QUEUED]!);
      bar(frame, started, end, middle, BAR_HEIGHT, colors.fill[phase]!);
    }
  }
  drawLabel(frame, node, endOf(frame, node), middle);
}

/** Attempts of which nothing is known yet but that there were some. */
function drawUnknown(frame: TimelineFrame, from: number, to: number, middle: number): void {
  frame.context.globalAlpha = UNKNOWN_ALPHA;
  bar(frame, from, to, middle, BAR_HEIGHT, frame.colors.line);
  frame.context.globalAlpha = 1;
}

/** One attempt: a thin part for each phase before it ran, a thick one in the colour of how it ended. What
 *  ended without having run is a mark. */
function drawAttempt(
  frame: TimelineFrame,
  attempt: AttemptBar,
  isNumbered: boolean,
  middle: number,
): void {
  const { context, scale, colors } = frame;
  const { parts, outcome } = attempt;
  const running = parts.find((part) => part.phase === RUNNING);
  const hasRun = running !== undefined;
  for (const part of parts) {
    if (isTerminalNumber(part.phase)) {
      if (!hasRun) bar(frame, part.from, part.from, middle, BAR_HEIGHT, colors.fill[outcome]!);
      continue;
    }
    const to = Number.isNaN(part.to) ? frame.nowMs : part.to;
    const isThick = part.phase >= RUNNING;
    const color = part.phase === RUNNING && isTerminalNumber(outcome) ? outcome : part.phase;
    bar(frame, part.from, to, middle, isThick ? BAR_HEIGHT : WAIT_HEIGHT, colors.fill[color]!);
  }
  if (!isNumbered || !running) return;
  const left = scale(running.from);
  const right = scale(Number.isNaN(running.to) ? frame.nowMs : running.to);
  if (right - left < 18) return;
  context.fillStyle = "#fff";
  context.fillText(String(attempt.number), left + 5, middle + 0.5);
}

/** The duration behind the bar, where there is room before the edge and the line for now. */
function drawLabel(frame: TimelineFrame, node: number, end: number, middle: number): void {
  const { context, scale, width, colors, tree, nowMs } = frame;
  const x = scale(end) + LABEL_GAP;
  const now = scale(nowMs);
  const room = now >= x ? Math.min(width, now) : width;
  const elapsed = tree.elapsedMs(node, nowMs);
  if (x < 0 || x > room - LABEL_WIDTH || tree.isLive(node) || Number.isNaN(elapsed)) return;
  context.fillStyle = colors.text;
  context.fillText(formatDuration(elapsed), x, middle + 0.5);
}
