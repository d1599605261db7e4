import { postJson, postLast } from "../api/client";
import type { ActionEvent, EventResults } from "../api/types";
import { clock } from "../model/clock";
import { isTerminal } from "../model/phase";
import type { RunKey } from "../model/route";
import { sampleRun } from "../model/sample_run";

/** Due events are reported together, this often. */
const STEP_MS = 150;
const RETRY_MS = 1000;

/** A run of its own for each press of the button. */
export function sampleKey(): RunKey {
  return { project: "samples", domain: "playground", runName: `sample-${Date.now().toString(36)}` };
}

/** What ends that of a run which has begun: its last words, should the page go. */
export function abortions(reported: readonly ActionEvent[]): ActionEvent[] {
  const last = new Map(reported.map((event) => [event.name, event]));
  return [...last.values()]
    .filter(({ phase }) => !isTerminal(String(phase)))
    .map(({ project, domain, runName, name, attempt }) => ({
      ...{ project, domain, runName, name, phase: "ABORTED" as const },
      ...(attempt ? { attempt } : {}),
      errorInfo: { kind: "USER" as const, message: "The page that played this run was closed" },
    }));
}

/**
 * Plays a sample run through the public API while this page is open, as an executor would report it, and aborts it when
 * the page goes. Resolves once the first events are recorded; the rest goes on by itself, and waits where the
 * server is away.
 */
export async function playSampleRun(run: RunKey): Promise<void> {
  const steps = sampleRun(run, Date.now());
  const beganMs = clock.now();
  let [next, sent] = [0, 0];
  const report = async (): Promise<void> => {
    const due = steps.slice(next).filter((step) => step.atMs <= clock.now() - beganMs);
    if (due.length === 0) return;
    const events = due.map(({ atMs, event }) => ({
      ...event,
      updatedTime: new Date(beganMs + atMs).toISOString(),
    }));
    sent = next + due.length;
    await postJson<EventResults>("/v1/events", { events });
    next = Math.max(next, sent);
  };
  const abort = (): void => {
    const events = abortions(steps.slice(0, sent).map(({ event }) => event));
    next = steps.length;
    if (events.length > 0) postLast("/v1/events", { events });
  };
  const goOn = async (): Promise<void> => {
    let waitMs = STEP_MS;
    try {
      await report();
    } catch {
      waitMs = RETRY_MS;
    }
    if (next < steps.length) setTimeout(() => void goOn(), waitMs);
    else removeEventListener("pagehide", abort);
  };
  await report();
  addEventListener("pagehide", abort);
  setTimeout(() => void goOn(), STEP_MS);
}
