const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** A duration in milliseconds for people: "340 ms", "12.4 s", "3 m 05 s", "2 h 14 m", "3 d 04 h". */
export function formatDuration(durationMs: number): string {
  if (!Number.isFinite(durationMs)) return "–";
  const ms = Math.max(0, durationMs);
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  if (ms < HOUR)
    return `${Math.floor(ms / MINUTE)} m ${twoDigits(Math.floor((ms % MINUTE) / SECOND))} s`;
  if (ms < DAY)
    return `${Math.floor(ms / HOUR)} h ${twoDigits(Math.floor((ms % HOUR) / MINUTE))} m`;
  return `${Math.floor(ms / DAY)} d ${twoDigits(Math.floor((ms % DAY) / HOUR))} h`;
}

/** Like formatDuration, in whole seconds: what a running clock shows. */
export function formatTicking(durationMs: number): string {
  if (!Number.isFinite(durationMs)) return "–";
  if (durationMs >= MINUTE) return formatDuration(durationMs);
  return `${Math.max(0, Math.floor(durationMs / SECOND))} s`;
}

/** How long ago: "just now", "42 s ago", "5 m ago", "3 h ago", "2 d ago". */
export function formatAge(ageMs: number): string {
  if (!Number.isFinite(ageMs)) return "–";
  if (ageMs < 5 * SECOND) return "just now";
  if (ageMs < MINUTE) return `${Math.floor(ageMs / SECOND)} s ago`;
  if (ageMs < HOUR) return `${Math.floor(ageMs / MINUTE)} m ago`;
  if (ageMs < DAY) return `${Math.floor(ageMs / HOUR)} h ago`;
  return `${Math.floor(ageMs / DAY)} d ago`;
}

const COUNT = new Intl.NumberFormat("en-US");

/** 12,345 */
export function formatCount(count: number): string {
  return COUNT.format(count);
}

/** How times are told: by the reader's clock, in UTC, or from the beginning of the run. */
export const TIME_STYLES = ["local", "utc", "relative"] as const;
export type TimeStyle = (typeof TIME_STYLES)[number];

let style: TimeStyle = "local";
let originMs = NaN;

/** Sets how all of the functions below tell times; `origin` is the beginning for "relative". */
export function setTimeStyle(next: TimeStyle, origin: number): void {
  style = next;
  originMs = origin;
}

const HOUR_MINUTE = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
const TO_SECOND = { ...HOUR_MINUTE, second: "2-digit" } as const;
const MONTH_DAY = { month: "short", day: "numeric" } as const;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(timeMs: number, options: Intl.DateTimeFormatOptions): string {
  const zoned = style === "utc" ? { ...options, timeZone: "UTC" } : options;
  const key = JSON.stringify(zoned);
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat(undefined, zoned);
    formats.set(key, made);
  }
  return made.format(timeMs);
}

/** "+3 m 05 s" from the beginning of the run. */
function formatOffset(timeMs: number): string {
  const offset = timeMs - originMs;
  return `${offset < 0 ? "−" : "+"}${formatDuration(Math.abs(offset))}`;
}

function isRelative(): boolean {
  return style === "relative" && Number.isFinite(originMs);
}

const MIDNIGHT_MS = Number(new Date(2001, 0, 1));

/** By how much a time is moved so that, read by the reader's clock, it is as round as it is told. */
export function clockShift(timeMs: number): number {
  if (isRelative()) return MIDNIGHT_MS - originMs;
  return style === "utc" ? new Date(timeMs).getTimezoneOffset() * MINUTE : 0;
}

/** The time of day to the millisecond. */
export function formatClock(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return "–";
  if (isRelative()) return formatOffset(timeMs);
  return format(timeMs, { ...TO_SECOND, fractionalSecondDigits: 3 });
}

/** Date, time and zone, whatever the style. */
export function formatDate(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return "–";
  const options = { year: "numeric", ...MONTH_DAY, ...TO_SECOND, timeZoneName: "short" } as const;
  return format(timeMs, options);
}

/** The date with its year and the zone: "Apr 12, 2026, UTC"; in short without the year. */
export function dayOf(timeMs: number, isShort = false): string {
  if (isShort) return format(timeMs, { ...MONTH_DAY, timeZoneName: "short" });
  return format(timeMs, { year: "numeric", ...MONTH_DAY, timeZoneName: "short" });
}

/** A time on an axis with a mark every `stepMs`: as much as tells the marks apart. */
export function formatTick(timeMs: number, stepMs: number, isOneDay: boolean): string {
  if (isRelative()) return formatOffset(timeMs);
  if (stepMs >= DAY) return format(timeMs, MONTH_DAY);
  if (stepMs >= MINUTE)
    return format(timeMs, isOneDay ? HOUR_MINUTE : { ...MONTH_DAY, ...HOUR_MINUTE });
  if (stepMs >= SECOND) return format(timeMs, TO_SECOND);
  const fractionalSecondDigits = stepMs >= 100 ? 1 : stepMs >= 10 ? 2 : 3;
  return format(timeMs, { ...TO_SECOND, fractionalSecondDigits });
}

/** Milliseconds since 1970 of an RFC 3339 time; NaN for none. */
export function parseTime(text: string | null | undefined): number {
  return text ? Date.parse(text) : NaN;
}
