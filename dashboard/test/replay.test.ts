import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nextChange, paceOf } from "../src/model/replay";
import { formatRoute, parseRoute, runRoute } from "../src/model/route";
import { barsAt } from "../src/run/attempt_details";
import { Replay } from "../src/run/replay";
import { TreeStore } from "../src/model/tree_store";
import { record, treeOf } from "./records";

const RUN = { project: "p", domain: "d", runName: "r" };
const T0 = Date.parse("2026-01-01T00:00:00Z");

function tree(): TreeStore {
  return treeOf(
    record("root", null, { at: [0, 1000, 9000] }),
    record("a", "root", { at: [2000, 3000, 5000], group: "g" }),
    record("b", "root", { at: [2000, NaN, NaN], group: "g" }),
  );
}

describe("nextChange", () => {
  it("goes from one time of an action to the next, both ways, and stops at the ends", () => {
    const there = tree();
    const times: number[] = [];
    for (let at = T0 - 1; !Number.isNaN(at); at = nextChange(there, at, 1)) times.push(at - T0);
    expect(times.slice(1)).toEqual([0, 1000, 2000, 3000, 5000, 9000]);
    expect(nextChange(there, T0 + 5000, -1)).toBe(T0 + 3000);
    expect(nextChange(there, T0, -1)).toBeNaN();
  });
});

it("plays so many times as fast as it was, or all of it in 30 s", () => {
  expect(paceOf("100", 1)).toBe(100);
  expect(paceOf("all", 3_600_000)).toBe(120);
});

it("keeps the time in the address, as one that people can read", () => {
  const route = { ...runRoute(RUN), at: T0 + 42 };
  const hash = formatRoute(route);
  expect(hash).toBe("#/runs/p/d/r?at=2026-01-01T00:00:00.042Z");
  expect(parseRoute(hash)).toEqual(route);
  expect(parseRoute("#/runs/p/d/r?at=tomorrow")).toEqual(runRoute(RUN));
});

it("cuts bars off at the time, and an attempt that had not begun is not there", () => {
  const bars = [
    {
      number: 1,
      outcome: 6,
      parts: [
        { phase: 4, from: 10, to: 20 },
        { phase: 6, from: 20, to: 20 },
      ],
    },
    { number: 2, outcome: 5, parts: [{ phase: 4, from: 30, to: 40 }] },
  ];
  expect(barsAt(bars, 15)).toEqual([
    { number: 1, outcome: 4, parts: [{ phase: 4, from: 10, to: NaN }] },
  ]);
  expect(barsAt(bars, 25)).toEqual([bars[0]]);
});

describe("Replay", () => {
  let asked: { at: string; answer: (status?: number) => Promise<void> }[];
  const changed = vi.fn();
  const ended = vi.fn();

  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    vi.stubGlobal("document", { baseURI: "http://localhost/" });
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("removeEventListener", () => undefined);
    vi.stubGlobal("fetch", (url: string) => {
      const at = new URL(url).searchParams.get("at")!;
      return new Promise<Response>((resolve) => {
        asked.push({
          at,
          answer: async (status = 200) => {
            const nodes = [record(`as of ${at}`, null)];
            const body = status === 200 ? { revision: 1, nodes } : { detail: "too much" };
            resolve(new Response(JSON.stringify(body), { status }));
            await vi.advanceTimersByTimeAsync(0);
          },
        });
      });
    });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.clearAllMocks();
  });

  it("asks for one state at a time, and shows the one that was answered", async () => {
    const replay = new Replay(RUN, changed, ended);
    replay.seek(T0 + 1000, tree());
    replay.seek(T0 + 2000, tree());
    replay.seek(T0 + 3000, tree());
    expect(asked.map(({ at }) => at)).toEqual(["2026-01-01T00:00:01.000Z"]);
    expect(replay.tree).toBeNull();
    await asked[0]!.answer();
    expect(replay.tree!.name[replay.tree!.root]).toBe("as of 2026-01-01T00:00:01.000Z");
    expect([replay.shownAt, replay.at]).toEqual([T0 + 1000, T0 + 3000]);
    await vi.advanceTimersByTimeAsync(150);
    expect(asked.map(({ at }) => at).slice(1)).toEqual(["2026-01-01T00:00:03.000Z"]);
    replay.close();
  });

  it("plays to the end, half of the time without a request, and says so", async () => {
    const replay = new Replay(RUN, changed, ended);
    replay.speed = "1";
    replay.seek(T0 + 9000, tree());
    replay.play(T0, T0 + 9000, tree());
    expect(replay.at).toBe(T0);
    await vi.advanceTimersByTimeAsync(2000);
    expect(replay.at).toBe(T0 + 2000);
    await asked[0]!.answer();
    await vi.advanceTimersByTimeAsync(1500);
    expect(asked.length).toBe(1);
    await vi.advanceTimersByTimeAsync(600);
    expect(asked.length).toBe(2);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(6000);
    expect(ended).toHaveBeenCalledOnce();
    expect(replay.isPlaying).toBe(false);
    replay.close();
  });

  it("stops where the server refuses, says why and asks again by itself, or for where the reader goes", async () => {
    const replay = new Replay(RUN, changed, ended);
    replay.seek(T0 + 9000, tree());
    replay.play(T0, T0 + 9000, tree());
    await asked[0]!.answer(503);
    expect([replay.error, replay.isPlaying]).toEqual(["too much", false]);
    await vi.advanceTimersByTimeAsync(1000);
    await asked[1]!.answer();
    expect([replay.error, replay.shownAt]).toEqual(["", T0 + 9000]);
    replay.seek(T0 + 4000, tree());
    await vi.advanceTimersByTimeAsync(150);
    await asked[2]!.answer(503);
    replay.seek(T0 + 5000, tree());
    expect(replay.error).toBe("");
    expect(asked.map(({ at }) => at).slice(3)).toEqual(["2026-01-01T00:00:05.000Z"]);
    replay.close();
    await asked[3]!.answer();
    expect(replay.tree).toBeNull();
  });

  it("keeps what the reader has folded and filtered from one state to the next", async () => {
    const live = tree();
    live.setExpanded(live.find("root"), false);
    live.view = { phases: ["FAILED"], hidesSucceeded: false, sort: null, isDescending: false };
    const replay = new Replay(RUN, changed, ended);
    replay.seek(T0, live);
    await asked[0]!.answer();
    expect([...replay.tree!.toggled]).toEqual(["root"]);
    expect(replay.tree!.view).toEqual(live.view);
    replay.close();
  });
});
