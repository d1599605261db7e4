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

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});
const DATE = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** The time of day to the millisecond, in the reader's time zone. */
export function formatClock(timeMs: number): string {
  return Number.isFinite(timeMs) ? CLOCK.format(timeMs) : "–";
}

/** Date and time in the reader's time zone. */
export function formatDate(timeMs: number): string {
  return Number.isFinite(timeMs) ? DATE.format(timeMs) : "–";
}

/** Milliseconds since 1970 of an RFC 3339 time; NaN for none. */
export function parseTime(text: string | null | undefined): number {
  return text ? Date.parse(text) : NaN;
}
