import { expect, it } from "vitest";
import type { ActionDetails } from "../src/api/types";
import { attemptBars } from "../src/run/attempt_details";

const at = (seconds: number): string => new Date(seconds * 1000).toISOString();

function details(
  ...transitions: [phase: string, from: number, to: number | null][]
): ActionDetails {
  const phaseTransitions = transitions.map(([phase, from, to]) => ({
    phase,
    startTime: at(from),
    endTime: to === null ? null : at(to),
  }));
  const attempts = [{ attempt: 2, phase: transitions.at(-1)![0], phaseTransitions }];
  return { attempts } as unknown as ActionDetails;
}

it("has a part for each phase, and the last one open", () => {
  const [bar] = attemptBars(details(["QUEUED", 0, 2], ["RUNNING", 2, null]));
  expect(bar).toEqual({
    number: 2,
    outcome: 4,
    parts: [
      { phase: 1, from: 0, to: 2000 },
      { phase: 4, from: 2000, to: NaN },
    ],
  });
});

it("goes on with a phase that is reported again", () => {
  const [bar] = attemptBars(details(["RUNNING", 0, 2], ["RUNNING", 2, 5], ["SUCCEEDED", 5, null]));
  expect(bar!.parts[0]).toEqual({ phase: 4, from: 0, to: 5000 });
  expect(bar!.parts).toHaveLength(2);
});
