import { expect, it } from "vitest";
import type { NodeUpdate } from "../src/api/types";
import { causeLine, causesOf } from "../src/model/failures";
import type { Phase } from "../src/model/phase";
import { progressText, runPhase } from "../src/model/progress";
import { markHits, Search } from "../src/model/search";
import { NONE, TreeStore } from "../src/model/tree_store";

function put(
  tree: TreeStore,
  name: string,
  parent: string | null,
  phase: Phase,
  more: { at?: number; message?: string; counts?: object; task?: string; group?: string } = {},
): void {
  tree.apply({
    action: {
      name,
      parent,
      phase,
      attempt: 1,
      version: 0,
      group: more.group ?? null,
      taskName: more.task ?? null,
      shortName: null,
      createdAt: "2026-01-01T00:00:00.000Z",
      startedAt: null,
      endedAt: more.at === undefined ? null : new Date(more.at * 1000).toISOString(),
      durationMs: null,
      errorInfo: more.message === undefined ? null : { kind: "USER", message: more.message },
      revision: 1,
    },
    childPhaseCounts: more.counts ?? {},
    meetsFilter: true,
  } as NodeUpdate);
}

it("names the line of a trace that says what went wrong", () => {
  const python =
    'Traceback (most recent call last):\n  File "a.py", line 1\n    f()\nValueError: bad shard 133\n';
  expect(causeLine(python)).toBe("ValueError: bad shard 133");
  expect(
    causeLine("java.io.IOException: no\n\tat A.b(A.java:1)\nCaused by: E: disk\n\tat C.d"),
  ).toBe("E: disk");
  expect(causeLine("TypeError: x\n    at f (a.js:1:2)")).toBe("TypeError: x");
  expect(causeLine("\n  exit status 1\n")).toBe("exit status 1");
  expect(causeLine("")).toBe("");
});

it("tells what failed by itself, the first one first, equal ones as one", () => {
  const tree = new TreeStore();
  put(tree, "root", null, "FAILED", { at: 99, message: "stage failed", counts: { FAILED: 4 } });
  put(tree, "stage", "root", "FAILED", { at: 98, message: "3 failed", counts: { FAILED: 3 } });
  put(tree, "late", "stage", "FAILED", { at: 20, message: "evicted" });
  put(tree, "later", "stage", "FAILED", { at: 21, message: "evicted" });
  put(tree, "cause", "stage", "FAILED", { at: 10, message: "ValueError: 133" });
  put(tree, "stopped", "root", "ABORTED", { at: 10, message: "the run has failed" });
  put(tree, "fine", "root", "SUCCEEDED", { at: 1 });
  const told = causesOf(tree).map(({ line, node, count }) => [line, tree.name[node], count]);
  expect(told).toEqual([
    ["ValueError: 133", "cause", 1],
    ["the run has failed", "stopped", 1],
    ["evicted", "late", 2],
  ]);
});

it("finds names, tasks, groups and errors, and goes around from hit to hit", () => {
  const tree = new TreeStore();
  put(tree, "a0", null, "RUNNING", { task: "pkg.main" });
  put(tree, "Part-0133", "a0", "FAILED", { message: "Out of Memory", task: "pkg.shard" });
  put(tree, "part-0134", "a0", "RUNNING", { group: "nightly" });
  const search = new Search();
  const hits = (text: string): string[] => {
    search.find(tree, text);
    return search.hits.map((node) => tree.name[node]!);
  };
  expect(hits("part-01")).toEqual(["Part-0133", "part-0134"]);
  expect(hits("PKG.")).toEqual(["a0", "Part-0133"]);
  expect(hits("memory")).toEqual(["Part-0133"]);
  expect(hits("night")).toEqual(["part-0134"]);
  expect(hits("")).toEqual([]);
  search.find(tree, "part");
  expect(tree.name[search.next(tree.find("a0"), 1)]).toBe("Part-0133");
  expect(tree.name[search.next(tree.find("part-0134"), 1)]).toBe("Part-0133");
  expect(tree.name[search.next(tree.find("a0"), -1)]).toBe("part-0134");
  put(tree, "part-0135", "a0", "RUNNING");
  expect(hits("part")).toHaveLength(3);
  search.find(tree, "nothing");
  expect(search.next(tree.find("a0"), 1)).toBe(NONE);
});

it("marks each hit in a text, in any case", () => {
  expect(
    markHits("Part-part", "part").map(({ text, isHit }) => (isHit ? `[${text}]` : text)),
  ).toEqual(["[Part]", "-", "[part]"]);
  expect(markHits("x", "")).toEqual([{ text: "x", isHit: false }]);
});

it("says how far a run is, and how it stands by all of its roots", () => {
  expect(progressText({ total: 1007, done: 812, failed: 4 })).toBe("812 of 1,007 done, 4 failed");
  expect(progressText({ total: 1, done: 1, failed: 0 })).toBe("1 action");
  const tree = new TreeStore();
  expect(runPhase(tree)).toBeNull();
  put(tree, "build", null, "QUEUED");
  expect(runPhase(tree)).toBe("QUEUED");
  put(tree, "test", null, "FAILED");
  expect(runPhase(tree)).toBe("RUNNING");
  put(tree, "build", null, "SUCCEEDED");
  expect(runPhase(tree)).toBe("FAILED");
});
