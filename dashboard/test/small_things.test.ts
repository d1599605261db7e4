import { describe, expect, it } from "vitest";
import { curlPost, firstRunCommands, shellQuote } from "../src/model/curl";
import { formatAge, formatDuration, formatTicking } from "../src/model/format";
import { isTerminal, PHASES, phaseNumber, phaseOf } from "../src/model/phase";
import {
  ALL_RUNS,
  formatRoute,
  parseRoute,
  runRoute,
  type Route,
  type RunsRoute,
} from "../src/model/route";
import { sampleRun } from "../src/model/sample_run";
import { moveInTree } from "../src/run/tree_keys";
import { shortId } from "../src/run/tree_row";
import { cutAt } from "../src/ui/cut_text";
import { TreeStore } from "../src/model/tree_store";
import { applyRunUpdate, awayText, keyOf, newestFirst, runsOrder } from "../src/runs/runs_model";
import type { RunSummary } from "../src/api/types";

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1.0 s"],
    [59_999, "59.9 s"],
    [60_000, "1 m 00 s"],
    [3_599_999, "59 m 59 s"],
    [3_600_000, "1 h 00 m"],
    [86_400_000 + 3_600_000, "1 d 01 h"],
    [-5, "0 ms"],
    [NaN, "–"],
  ])("%d ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

  it("ticks in whole seconds", () =>
    expect([formatTicking(400), formatTicking(61_400)]).toEqual(["0 s", "1 m 01 s"]));
  it("tells an age", () =>
    expect([formatAge(1000), formatAge(61_000), formatAge(7_200_000)]).toEqual([
      "just now",
      "1 m ago",
      "2 h ago",
    ]));
});

describe("phases", () => {
  it("have the API's numbers", () => {
    expect(PHASES.map(phaseNumber)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(phaseOf(10)).toBe("RECOVERED");
    expect(PHASES.filter(isTerminal)).toEqual([
      "SUCCEEDED",
      "FAILED",
      "ABORTED",
      "TIMED_OUT",
      "RECOVERED",
      "SKIPPED",
    ]);
  });
});

describe("addresses", () => {
  const routes: Route[] = [
    ALL_RUNS,
    {
      ...ALL_RUNS,
      labels: ["team:ml ops", "a=b:c"],
      sort: "duration",
      isDescending: true,
      project: "ml",
      domain: "production",
      phases: ["RUNNING", "FAILED"],
      name: "a b",
    },
    runRoute({ project: "ml", domain: "d", runName: "r:1" }),
    {
      ...runRoute({
        project: "owner/repo",
        domain: "d",
        runName: "manual__2026-01-01T00:00:00+00:00",
      }),
      phases: ["TIMED_OUT"],
      name: "x&y=1?",
      action: "caller / job (1, 2)",
      hidesSucceeded: true,
      sort: "duration",
      isDescending: true,
      toggled: ["a b", "a\u001fgroup/inner", "100%"],
      zoom: [1767225600000, 1767225601500],
    },
  ];
  it.each(routes)("lead back to the same page: $page $name", (route) => {
    expect(parseRoute(formatRoute(route))).toEqual(route);
  });
  it("that mean nothing lead to the list", () => {
    for (const hash of ["", "#", "#/runs/a", "#/%E0%A4%A", "#/runs/a/b/c/d?phase=NONSENSE"]) {
      expect(parseRoute(hash)).toMatchObject({ page: "runs", phases: [] });
    }
  });
});

describe("commands to paste", () => {
  it("quote what a shell would read", () => {
    expect(shellQuote("http://127.0.0.1:8080/v1/runs")).toBe("http://127.0.0.1:8080/v1/runs");
    expect(shellQuote("it's $HOME")).toBe("'it'\\''s $HOME'");
  });
  it("carry the event", () =>
    expect(curlPost("http://h", { name: "a'b" })).toContain(`-d '{"name":"a'\\''b"}'`));
  it("make a first run of four events", () =>
    expect(firstRunCommands("http://h").match(/^curl/gm)).toHaveLength(4));
});

describe("the sample run", () => {
  const run = { project: "samples", domain: "playground", runName: "s" };
  const steps = sampleRun(run, 7);
  it("names each action's parent first, and tells no parent that is not there before", () => {
    const seen = new Set<string>();
    for (const { event } of steps) {
      if (!seen.has(event.name)) {
        expect(event.parent).not.toBeUndefined();
        if (event.parent) expect(seen).toContain(event.parent);
      }
      seen.add(event.name);
    }
    expect(seen.size).toBeGreaterThan(40);
  });
  it("ends every action, and reports no key twice", () => {
    const last = new Map(steps.map(({ event }) => [event.name, String(event.phase)]));
    expect([...last.values()].every(isTerminal)).toBe(true);
    const keys = steps.map(({ event }) => `${event.name} ${event.attempt ?? 1} ${event.phase}`);
    expect(new Set(keys).size).toBe(keys.length);
  });
  it("takes about a minute, and is the same for the same seed", () => {
    const length = steps.at(-1)!.atMs;
    expect(length).toBeGreaterThan(25_000);
    expect(length).toBeLessThan(90_000);
    expect(sampleRun(run, 7)).toEqual(steps);
  });
});

describe("keys in the tree", () => {
  const tree = new TreeStore();
  for (const [name, parent] of [
    ["a", null],
    ["b", "a"],
    ["c", "a"],
  ] as const) {
    tree.apply({
      action: { name, parent, phase: "RUNNING" },
      childPhaseCounts: {},
      meetsFilter: true,
    } as never);
  }
  tree.layout();
  const move = (key: string, row: number) => moveInTree(key, tree, row, 10);
  it("move and stop at the ends", () => {
    expect(move("ArrowDown", 0)).toEqual({ type: "select", row: 1 });
    expect(move("ArrowDown", 2)).toEqual({ type: "select", row: 2 });
    expect(move("ArrowUp", 0)).toEqual({ type: "select", row: 0 });
    expect(move("PageDown", 0)).toEqual({ type: "select", row: 2 });
    expect(move("End", 0)).toEqual({ type: "select", row: 2 });
  });
  it("collapse a parent, go from a child to it, and open with Enter", () => {
    expect(move("ArrowLeft", 0)).toEqual({ type: "toggle", node: tree.find("a") });
    expect(move("ArrowLeft", 2)).toEqual({ type: "select", row: 0 });
    expect(move("ArrowRight", 0)).toEqual({ type: "select", row: 1 });
    expect(move("ArrowRight", 1)).toBeNull();
    expect(move("Enter", 1)).toEqual({ type: "open" });
    expect(move("x", 1)).toBeNull();
  });
});

describe("the name beside the label", () => {
  it.each([
    ["ingest.sales.fetch-00", "fetch_shard", "ingest.sales", "fetch-00"],
    ["ingest.sales", "sales", "ingest", ""],
    ["a17", "train", "a1", "a17"],
    ["a17", "a17", "", ""],
  ])("of %s, shown as %s below %s, is %s", (name, label, parent, id) =>
    expect(shortId(name, label, parent)).toBe(id),
  );
});

describe("the list of runs", () => {
  const run = (runName: string, phase: string, firstSeenAt = "2026-01-01T00:00:00.000Z") =>
    ({ project: "p", domain: "d", runName, phase, firstSeenAt }) as RunSummary;
  it("lets a run go that leaves the filter or is deleted", () => {
    const runs = new Map<string, RunSummary>();
    const filter: RunsRoute = { ...ALL_RUNS, phases: ["RUNNING"] };
    applyRunUpdate(runs, run("a", "RUNNING"), filter);
    applyRunUpdate(runs, run("b", "RUNNING"), filter);
    applyRunUpdate(runs, run("c", "RUNNING"), filter);
    applyRunUpdate(runs, run("d", "QUEUED"), filter);
    applyRunUpdate(runs, run("a", "SUCCEEDED"), filter);
    applyRunUpdate(runs, { project: "p", domain: "d", runName: "b", deleted: true }, filter);
    expect([...runs.keys()]).toEqual([keyOf(run("c", ""))]);
  });
  it("keeps a run that another cell has lost", () => {
    const gone = { project: "p", domain: "d", runName: "a", deleted: true } as const;
    const runs = new Map([[keyOf(run("a", "")), { ...run("a", "RUNNING"), cell: "2" }]]);
    applyRunUpdate(runs, { ...gone, cell: "1" }, ALL_RUNS);
    expect(runs.size).toBe(1);
    applyRunUpdate(runs, { ...gone, cell: "2" }, ALL_RUNS);
    expect(runs.size).toBe(0);
  });
  it("says which cells are away", () => {
    expect(awayText(["2"])).toBe("Cell 2 is away: its runs are missing or old.");
    expect(awayText(["2", "eu"])).toBe("Cells 2, eu are away: their runs are missing or old.");
  });
  it("begins with the newest", () => {
    const sorted = [run("old", "RUNNING"), run("new", "RUNNING", "2026-01-02T00:00:00.000Z")].sort(
      newestFirst,
    );
    expect(sorted.map(({ runName }) => runName)).toEqual(["new", "old"]);
  });
  it("sorts by any column, either way, what has no value last", () => {
    const runs = [
      { ...run("n10", "SUCCEEDED"), actionCount: 1, durationMs: 5000, endedAt: "x" },
      { ...run("n9", "FAILED"), actionCount: 3, durationMs: 9000, endedAt: "x" },
      { ...run("never-ran", "SKIPPED"), actionCount: 2, durationMs: null, endedAt: "x" },
    ];
    const by = (sort: Parameters<typeof runsOrder>[0], isDescending = false): string =>
      [...runs]
        .sort(runsOrder(sort, isDescending, 0))
        .map(({ runName }) => runName)
        .join(" ");
    expect(by("name")).toBe("n9 n10 never-ran");
    expect(by("phase")).toBe("n9 n10 never-ran");
    expect(by("actions", true)).toBe("n9 never-ran n10");
    expect(by("duration")).toBe("n10 n9 never-ran");
    expect(by("duration", true)).toBe("n9 n10 never-ran");
  });
  it("keeps apart runs of which a name holds a slash", () => {
    const a = { project: "o/r", domain: "d", runName: "x" };
    expect(keyOf(a)).not.toBe(keyOf({ project: "o", domain: "r/d", runName: "x" }));
  });
  it("sorts by the time that it shows", () => {
    const late = { ...run("late", "RUNNING"), createdAt: "2025-12-30T00:00:00.000Z" };
    const unborn = { ...run("unborn", "RUNNING", "2025-12-31T00:00:00.000Z"), createdAt: null };
    expect([late, unborn].sort(newestFirst).map(({ runName }) => runName)).toEqual([
      "unborn",
      "late",
    ]);
  });
});

describe("a name's cut", () => {
  const parts = (text: string): [string, string] => {
    const at = cutAt(text, "");
    return [text.slice(0, at), text.slice(at)];
  };

  it("is in no character, be it made of several", () => {
    const family = "\u{1F469}\u200d\u{1F469}\u200d\u{1F467}";
    for (let before = 0; before < 12; before++) {
      for (const letter of ["\u{1F389}", family, "e\u0301\u0302", "\u{1F44B}\u{1F3FD}"]) {
        const [head, tail] = parts(`${"a".repeat(before)}${letter.repeat(3)}${"b".repeat(12)}`);
        expect(head).toMatch(new RegExp(`^a*(?:${letter})*b*$`, "u"));
        expect(tail).toMatch(new RegExp(`^a*(?:${letter})*b*$`, "u"));
      }
    }
  });

  it("parts no word of letters that are joined", () => {
    const name = "مهمة-تنظيف-البيانات-رقم-واحد";
    expect(parts(name)[0]).toBe("مهمة-");
    expect(parts("مهمة".repeat(8)).join("")).toBe("مهمة".repeat(8));
  });
});
