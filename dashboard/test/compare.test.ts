import { expect, it } from "vitest";
import { compareTrees } from "../src/model/compare";
import { matchTrees } from "../src/model/match";
import { NONE } from "../src/model/tree_store";
import { record, treeOf } from "./records";

const T0 = Date.parse("2026-01-01T00:00:00Z");

it("puts first what failed only now, then what takes longer, by how much, what is new and gone", () => {
  const now = treeOf(
    record("r", null, { at: [0, 0, NaN] }),
    record("as before", "r", { at: [0, 0, 10_500] }),
    record("faster", "r", { at: [0, 0, 5000] }),
    record("slower", "r", { at: [0, 0, 12_000] }),
    record("much slower", "r", { at: [0, 0, 50_000] }),
    record("failed", "r", { at: [0, 0, 10_000], phase: "FAILED" }),
    record("fails always", "r", { at: [0, 0, 10_000], phase: "TIMED_OUT" }),
    record("at it", "r", { at: [0, 0, NaN] }),
    record("new", "r", { at: [0, 0, 99_000] }),
    record("new and failed", "r", { at: [0, 0, 1000], phase: "FAILED" }),
  );
  const names = ["as before", "faster", "slower", "much slower", "failed", "gone", "at it"];
  const then = treeOf(
    record("r", null, { at: [0, 0, 100_000] }),
    ...names.map((name) => record(name, "r", { at: [0, 0, 10_000] })),
    record("fails always", "r", { at: [0, 0, 10_000], phase: "FAILED" }),
  );
  const rows = compareTrees(now, then, matchTrees(now, then), T0 + 4000);
  expect(
    rows.map(
      (row) => `${row.change}: ${row.now === NONE ? then.name[row.then] : now.name[row.now]}`,
    ),
  ).toEqual([
    "failed: failed",
    "failed: new and failed",
    "slower: much slower",
    "slower: slower",
    "new: new",
    "gone: gone",
    "faster: faster",
    "same: r",
    "same: as before",
    "same: fails always",
    "same: at it",
  ]);
  expect(rows[2]).toMatchObject({ nowMs: 50_000, thenMs: 10_000, differenceMs: 40_000 });
  expect(rows[5]!.nowMs).toBeNaN();
});

it("takes a few milliseconds for nothing", () => {
  const now = treeOf(record("r", null, { at: [0, 0, 90] }));
  const then = treeOf(record("r", null, { at: [0, 0, 5] }));
  expect(compareTrees(now, then, matchTrees(now, then), T0)[0]!.change).toBe("same");
});
