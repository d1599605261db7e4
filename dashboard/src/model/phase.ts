/** The phases of an action; Flyte's in the order of their numbers in the API, and one of ours behind them. */
export const PHASES = [
  "QUEUED",
  "WAITING_FOR_RESOURCES",
  "INITIALIZING",
  "RUNNING",
  "SUCCEEDED",
  "FAILED",
  "ABORTED",
  "TIMED_OUT",
  "PAUSED",
  "RECOVERED",
  "SKIPPED",
] as const;

export type Phase = (typeof PHASES)[number];

/** Arrays indexed by phase number have this many elements; element 0 stays unused. */
export const PHASE_SLOTS = PHASES.length + 1;

const NUMBERS = new Map<string, number>(PHASES.map((phase, index) => [phase, index + 1]));

/** The phase's place among PHASES, from 1; 0 for a name that is none. */
export function phaseNumber(phase: string): number {
  return NUMBERS.get(phase) ?? 0;
}

/** The phase with this number; QUEUED for a number that is none. */
export function phaseOf(number: number): Phase {
  return PHASES[number - 1] ?? "QUEUED";
}

export function isPhase(text: string): text is Phase {
  return NUMBERS.has(text);
}

const TERMINAL = new Set<string>([
  "SUCCEEDED",
  "FAILED",
  "ABORTED",
  "TIMED_OUT",
  "RECOVERED",
  "SKIPPED",
]);
const TERMINAL_BY_NUMBER = ["", ...PHASES].map((phase) => TERMINAL.has(phase));

export function isTerminal(phase: string): boolean {
  return TERMINAL.has(phase);
}

export function isTerminalNumber(number: number): boolean {
  return TERMINAL_BY_NUMBER[number] ?? false;
}

const GOOD_ENDS = new Set<string>(["SUCCEEDED", "RECOVERED", "SKIPPED"]);
const GOOD_BY_NUMBER = ["", ...PHASES].map((phase) => GOOD_ENDS.has(phase));

/** Whether it has ended, and nobody needs to look at it. */
export function isGoodEndNumber(number: number): boolean {
  return GOOD_BY_NUMBER[number] ?? false;
}

const FAILURE_BY_NUMBER = ["", ...PHASES].map(
  (phase) => phase === "FAILED" || phase === "TIMED_OUT",
);

export function isFailureNumber(number: number): boolean {
  return FAILURE_BY_NUMBER[number] ?? false;
}

const TITLES: Record<Phase, string> = {
  QUEUED: "Queued",
  WAITING_FOR_RESOURCES: "Waiting",
  INITIALIZING: "Initializing",
  RUNNING: "Running",
  SUCCEEDED: "Succeeded",
  FAILED: "Failed",
  ABORTED: "Aborted",
  TIMED_OUT: "Timed out",
  PAUSED: "Paused",
  RECOVERED: "Recovered",
  SKIPPED: "Skipped",
};

/** What people read: "Running". */
export function phaseTitle(phase: Phase): string {
  return TITLES[phase];
}

/** The part of a CSS class or custom property: "timed-out". */
export function phaseSlug(phase: Phase): string {
  return phase.toLowerCase().replaceAll("_", "-");
}

/** From the one that needs attention to the one that is done: the order of bars and filters. */
export const PHASES_BY_URGENCY: readonly Phase[] = [
  "FAILED",
  "TIMED_OUT",
  "ABORTED",
  "PAUSED",
  "RUNNING",
  "INITIALIZING",
  "WAITING_FOR_RESOURCES",
  "QUEUED",
  "RECOVERED",
  "SUCCEEDED",
  "SKIPPED",
];
