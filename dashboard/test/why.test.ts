import { expect, it, vi } from "vitest";
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

it("does not take one that timed out for one that failed where neither says why", () => {
  const tree = new TreeStore();
  put(tree, "root", null, "FAILED", { at: 9, counts: { FAILED: 2, TIMED_OUT: 1 } });
  put(tree, "a", "root", "FAILED", { at: 1 });
  put(tree, "b", "root", "TIMED_OUT", { at: 2 });
  put(tree, "c", "root", "FAILED", { at: 3 });
  expect(causesOf(tree).map(({ node, count }) => [tree.name[node], count])).toEqual([
    ["a", 2],
    ["b", 1],
  ]);
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
    expect(search.isComplete).toBe(true);
    const found: string[] = [];
    for (let node = tree.next(NONE); node !== NONE; node = tree.next(node)) {
      const place = search.placeOf(node);
      if (place !== NONE) expect(found.push(tree.name[node]!)).toBe(place + 1);
    }
    expect(search.count).toBe(found.length);
    return found;
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
  expect(hits("part")).toEqual(["Part-0133", "part-0134", "part-0135"]);
  search.find(tree, "nothing");
  expect(search.next(tree.find("a0"), 1)).toBe(NONE);
});

it("keeps up with a tree whose actions say something else, go, and leave their place to others", () => {
  const tree = new TreeStore();
  put(tree, "a0", null, "RUNNING");
  for (const name of ["x1", "x2", "x3"]) put(tree, name, "a0", "RUNNING");
  const search = new Search();
  const count = (text: string): number => {
    search.find(tree, text);
    return search.count;
  };
  expect(count("x")).toBe(3);
  put(tree, "x2", "a0", "FAILED", { message: "boom" });
  expect(count("x")).toBe(3);
  expect(count("boom")).toBe(1);
  put(tree, "x2", "a0", "RUNNING");
  expect(count("boom")).toBe(0);
  expect(count("x")).toBe(3);
  const gone = tree.find("x3");
  tree.remove("x3");
  expect(count("x")).toBe(2);
  expect(search.placeOf(gone)).toBe(NONE);
  put(tree, "other", "a0", "RUNNING");
  expect(tree.find("other")).toBe(gone);
  expect(count("x")).toBe(2);
  put(tree, "x4", "a0", "RUNNING");
  expect(count("x")).toBe(3);
  const another = new TreeStore();
  put(another, "x9", null, "RUNNING");
  search.find(another, "x");
  expect(search.count).toBe(1);
});

it("looks at a large tree a moment at a time, and finds the next hit before it is through", () => {
  const tree = new TreeStore();
  put(tree, "a0", null, "RUNNING");
  for (let index = 0; index < 5000; index++) put(tree, `part-${index}`, "a0", "RUNNING");
  const clock = vi.spyOn(performance, "now");
  let now = 0;
  clock.mockImplementation(() => (now += 5));
  const search = new Search();
  search.find(tree, "part-499");
  expect([search.isComplete, search.count]).toEqual([false, 0]);
  expect(search.next(NONE, 1)).toBe(tree.find("part-499"));
  let frames = 1;
  for (; !search.isComplete; frames++) search.find(tree, "part-499");
  expect(frames).toBeGreaterThan(3);
  expect(search.count).toBe(11);
  clock.mockRestore();
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
