import { describe, expect, it } from "vitest";
import { criticalPath } from "../src/model/critical_path";
import { matchTrees } from "../src/model/match";
import { Outliers } from "../src/model/outliers";
import { formatRate, formatRemaining, rateOf, remainingMs } from "../src/model/pace";
import { NONE, type TreeStore } from "../src/model/tree_store";
import { record, treeOf } from "./records";

const T0 = Date.parse("2026-01-01T00:00:00Z");

function pairs(now: TreeStore, then: TreeStore): string[] {
  return [...matchTrees(now, then)]
    .filter(([node]) => !now.isGroup(node))
    .map(([ours, theirs]) => `${now.name[ours]} ${then.name[theirs]}`)
    .sort();
}

describe("matchTrees", () => {
  it("pairs the same names below the same parents, wherever they stand", () => {
    const now = treeOf(record("r", null), record("b", "r"), record("a", "r"), record("a1", "a"));
    const then = treeOf(record("r", null), record("a", "r"), record("b", "r"), record("a1", "b"));
    expect(pairs(now, then)).toEqual(["a a", "b b", "r r"]);
  });

  it("pairs names that are made anew by task and place, in groups too", () => {
    const now = treeOf(
      record("x0", null, { task: "main" }),
      record("x1", "x0", { task: "load" }),
      record("x2", "x0", { task: "fit", group: "g" }),
      record("x3", "x0", { task: "fit", group: "g" }),
      record("x4", "x0", { task: "new" }),
    );
    const then = treeOf(
      record("y0", null, { task: "main" }),
      record("y2", "y0", { task: "fit", group: "g" }),
      record("y3", "y0", { task: "fit", group: "g" }),
      record("y1", "y0", { task: "load" }),
    );
    expect(pairs(now, then)).toEqual(["x0 y0", "x1 y1", "x2 y2", "x3 y3"]);
  });

  it("gives nothing twice", () => {
    const now = treeOf(record("r", null, { task: "t" }), record("s", null, { task: "t" }));
    const then = treeOf(record("q", null, { task: "t" }));
    expect(pairs(now, then)).toEqual(["r q"]);
  });
});

describe("rate", () => {
  it("is that of the last minute, of as long as eight took where fewer ended in it, of all where there are fewer", () => {
    const ends = (...times: number[]): TreeStore =>
      treeOf(
        record("r", null, { at: [0, 0, NaN] }),
        ...times.map((end, index) => record(`a${index}`, "r", { at: [0, 0, end] })),
      );
    const now = 3_600_000;
    const late = Array.from({ length: 10 }, (_, second) => now - second * 1000);
    expect(rateOf(ends(...late, 5), T0 + now) * 60_000).toBeCloseTo(10);
    const early = [9, 2, 7, 4, 5, 6, 3, 8, 1].map((minute) => now - minute * 120_000);
    expect(rateOf(ends(...early), T0 + now) * 960_000).toBeCloseTo(8);
    expect(rateOf(ends(1, 2), T0 + now) * now).toBeCloseTo(2);
    expect(rateOf(ends(), T0 + now)).toBe(0);
    const stalled = [0, 10, 50, 61, 120, 3600].map((s) =>
      rateOf(ends(...late), T0 + now + s * 1000),
    );
    expect(stalled).toEqual([...stalled].sort((a, b) => b - a));
  });

  it("is told in the unit in which there is one at least", () => {
    expect([0.0034, 2 / 60_000, 0.5 / 3_600_000, 0.05 / 86_400_000, 0].map(formatRate)).toEqual([
      "3.4/s",
      "2/min",
      "12/d",
      "",
      "",
    ]);
  });
});

describe("remainingMs", () => {
  const then = treeOf(
    record("r", null, { at: [0, 0, 100_000] }),
    ...[0, 1, 2, 3].map((index) =>
      record(`a${index}`, "r", { at: [index * 25_000, index * 25_000, (index + 1) * 25_000] }),
    ),
  );
  const at = (done: number, elapsed: number): number => {
    const now = treeOf(
      record("r", null, { at: [0, 0, NaN] }),
      ...Array.from({ length: done }, (_, index) => record(`a${index}`, "r", { at: [0, 0, 1] })),
    );
    return remainingMs(now, then, matchTrees(now, then), T0 + elapsed);
  };

  it("is what was left in the run before when this one keeps its pace", () => {
    expect(at(0, 0)).toBeCloseTo(100_000);
    expect(at(1, 25_000)).toBeCloseTo(75_000);
    expect(at(3, 75_000)).toBeCloseTo(25_000);
  });

  it("leans to this run's pace, and is 0 when all of it is done", () => {
    expect(at(3, 150_000)).toBeGreaterThan(40_000);
    expect(at(3, 150_000)).toBeLessThan(50_000);
    expect(at(4, 100_000)).toBe(0);
  });

  it("counts what runs as done as far as it has come", () => {
    const now = treeOf(
      record("r", null, { at: [0, 0, NaN] }),
      record("a0", "r", { at: [0, 0, NaN] }),
    );
    const left = remainingMs(now, then, matchTrees(now, then), T0 + 12_500);
    expect(left).toBeCloseTo(0.875 * (12_500 + 87_500));
  });

  it("says nothing by a run that tells nothing", () => {
    const empty = treeOf(record("r", null, { at: [0, NaN, NaN] }));
    expect(remainingMs(empty, empty, matchTrees(empty, empty), T0 + 1000)).toBeNaN();
  });

  it("is told no more exactly than it is", () => {
    expect([3200, 47_000, 254_000, 7_980_000, 0, NaN].map(formatRemaining)).toEqual([
      "about 3 s left",
      "about 45 s left",
      "about 4 m 10 s left",
      "about 2 h 15 m left",
      "longer than last time",
      "",
    ]);
  });
});

describe("Outliers", () => {
  const build = (slow: number, more = {}): TreeStore =>
    treeOf(
      record("r", null, { at: [0, 0, NaN] }),
      ...[10, 11, 12, 13, 14].map((seconds) =>
        record(`a${seconds}`, "r", { task: "t", at: [0, 0, seconds * 1000], ...more }),
      ),
      record("slow", "r", { task: "t", at: [0, 0, slow], ...more }),
      record("other", "r", { task: "u", at: [0, 0, 900_000] }),
    );
  const told = (tree: TreeStore, name: string, nowMs = T0) =>
    new Outliers().get(tree, tree.find(name), nowMs);

  it("marks what takes three times as long as those of the same task below the same parent", () => {
    expect(told(build(65_000), "slow")).toEqual({ ratio: 5, medianMs: 13_000, count: 6 });
    expect(told(build(30_000), "slow")).toBeNull();
    expect(told(build(65_000), "other")).toBeNull();
    expect(told(build(65_000), "r")).toBeNull();
  });

  it("marks what is still at it, by those that have ended", () => {
    const tree = build(NaN);
    expect(told(tree, "slow", T0 + 24_000)).toBeNull();
    expect(told(tree, "slow", T0 + 60_000)).toEqual({ ratio: 5, medianMs: 12_000, count: 5 });
  });

  it("takes members of a group for alike, and siblings that say no task for nothing", () => {
    expect(told(build(65_000, { task: undefined, group: "g" }), "slow")?.ratio).toBe(5);
    expect(told(build(65_000, { task: undefined }), "slow")).toBeNull();
  });
});

describe("criticalPath", () => {
  const names = (tree: TreeStore): string[] =>
    criticalPath(tree, T0 + 60_000).map((node) => tree.name[node]!);

  it("is the chain of those that ended last before the next was there", () => {
    const tree = treeOf(
      record("r", null, { at: [0, 0, 50_000] }),
      record("load", "r", { at: [0, 0, 10_000] }),
      record("small", "r", { at: [0, 0, 5000] }),
      record("fit", "r", { at: [10_000, 10_000, 40_000] }),
      record("fit.1", "fit", { at: [10_000, 10_000, 20_000], group: "g" }),
      record("fit.2", "fit", { at: [10_000, 10_000, 39_000], group: "g" }),
      record("save", "r", { at: [40_000, 40_000, 50_000] }),
    );
    expect(names(tree)).toEqual(["load", "fit.2", "save"]);
  });

  it("follows what an action depends on, wherever that is, and ends in circles", () => {
    const tree = treeOf(
      record("r", null, { at: [0, 0, 50_000] }),
      record("a", "r", { at: [0, 0, 10_000] }),
      record("b", "r", { at: [0, 0, 19_000] }),
      record("c", "r", { at: [20_000, 20_000, 50_000], dependsOn: ["a", "gone"] }),
    );
    expect(names(tree)).toEqual(["a", "c"]);
    tree.apply(record("a", "r", { at: [0, 0, 10_000], dependsOn: ["c"] }));
    expect(names(tree)).toEqual(["a", "c"]);
  });

  it("ends at what is still running, and is empty without actions", () => {
    const tree = treeOf(
      record("r", null, { at: [0, 0, NaN] }),
      record("a", "r", { at: [0, 0, 9000] }),
      record("b", "r", { at: [9000, 9000, NaN] }),
    );
    expect(names(tree)).toEqual(["a", "b"]);
    expect(names(treeOf())).toEqual([]);
    expect(treeOf().root).toBe(NONE);
  });
});
