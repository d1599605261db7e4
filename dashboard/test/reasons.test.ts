import { afterEach, expect, it, vi } from "vitest";
import type { RunSummary } from "../src/api/types";
import { Reasons } from "../src/runs/reasons";

afterEach(() => vi.unstubAllGlobals());

const time = (second: number): string => new Date(1.8e12 + second * 1000).toISOString();

/** A run of which so many actions have failed. */
function run(failed: number, endedAt: string | null = null): RunSummary {
  const key = { project: "p", domain: "d", runName: "r", incarnation: "1" };
  return {
    ...key,
    phase: "FAILED",
    phaseCounts: { FAILED: failed },
    endedAt,
  } as unknown as RunSummary;
}

it("finds what failed first on whatever page it is, and keeps it until a try takes it back or the run ends", async () => {
  let ends = [9, 8, 7, 3, 5];
  let asked = 0;
  vi.stubGlobal("document", { baseURI: "http://localhost/" });
  vi.stubGlobal("fetch", (address: string) => {
    asked++;
    const at = Number(new URL(address).searchParams.get("cursor") ?? 0);
    const actions = ends.slice(at, at + 2).map((end) => ({
      endedAt: time(end),
      errorInfo: { message: `failed at ${end}` },
    }));
    const nextCursor = at + 2 < ends.length ? String(at + 2) : null;
    return Promise.resolve(new Response(JSON.stringify({ actions, nextCursor })));
  });
  const changed = vi.fn();
  const reasons = new Reasons(changed);
  const want = async (wanted: RunSummary, times: number): Promise<string> => {
    reasons.want([wanted]);
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(times));
    return reasons.get(wanted);
  };
  expect(await want(run(5), 1)).toBe("failed at 3");
  expect(asked).toBe(3);
  ends.push(11);
  expect(await want(run(6), 1)).toBe("failed at 3");
  expect(asked).toBe(3);
  ends = ends.filter((end) => end !== 3);
  expect(await want(run(4), 2)).toBe("failed at 5");
  expect(await want(run(4, time(12)), 3)).toBe("failed at 5");
  expect(await want(run(4, time(12)), 3)).toBe("failed at 5");
  reasons.close();
});
