import { postJson } from "../api/client";
import type { EventResults } from "../api/types";
import { clock } from "../model/clock";
import type { RunKey } from "../model/route";
import { sampleRun } from "../model/sample_run";

/** Due events are reported together, this often. */
const STEP_MS = 150;
const RETRY_MS = 1000;

/** A run of its own for each press of the button. */
export function sampleKey(): RunKey {
  return { project: "samples", domain: "playground", runName: `sample-${Date.now().toString(36)}` };
}

/**
 * Plays a sample run through the public API while this page is open, as an executor would report it. Resolves
 * once the first events are recorded; the rest goes on by itself, and waits where the server is away.
 */
export async function playSampleRun(run: RunKey): Promise<void> {
  const steps = sampleRun(run, Date.now());
  const beganMs = clock.now();
  let next = 0;
  const report = async (): Promise<void> => {
    const due = steps.slice(next).filter((step) => step.atMs <= clock.now() - beganMs);
    if (due.length === 0) return;
    const events = due.map(({ atMs, event }) => ({
      ...event,
      updatedTime: new Date(beganMs + atMs).toISOString(),
    }));
    await postJson<EventResults>("/v1/events", { events });
    next += due.length;
  };
  const goOn = async (): Promise<void> => {
    let waitMs = STEP_MS;
    try {
      await report();
    } catch {
      waitMs = RETRY_MS;
    }
    if (next < steps.length) setTimeout(() => void goOn(), waitMs);
  };
  await report();
  setTimeout(() => void goOn(), STEP_MS);
}
