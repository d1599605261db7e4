import { describe, expect, it } from "vitest";
import type { NodeUpdate, PhaseCounts } from "../src/api/types";
import type { Phase } from "../src/model/phase";
import { NONE, shownName, TreeStore } from "../src/model/tree_store";

interface Given {
  phase?: Phase;
  counts?: PhaseCounts;
  meetsFilter?: boolean;
  createdAt?: string;
  endedAt?: string | null;
}

function update(name: string, parent: string | null, given: Given = {}): NodeUpdate {
  return {
    action: {
      name,
      parent,
      phase: given.phase ?? "RUNNING",
      attempt: 1,
      version: 0,
      group: null,
      taskName: null,
      shortName: null,
      createdAt: given.createdAt ?? "2026-01-01T00:00:00.000Z",
      startedAt: null,
      endedAt: given.endedAt ?? null,
      durationMs: null,
      errorInfo: null,
      revision: 1,
    },
    childPhaseCounts: given.counts ?? {},
    meetsFilter: given.meetsFilter ?? true,
  };
}

/** The rows as an outline: "a0 .a1 ..a2". */
function outline(tree: TreeStore): string {
  tree.layout();
  const rows = [...tree.rows.subarray(0, tree.rowCount)];
  return rows.map((node) => ".".repeat(tree.level[node]! - 1) + tree.name[node]).join(" ");
}

function family(): TreeStore {
  const tree = new TreeStore();
  for (const [name, parent] of [
    ["a", null],
    ["b", "a"],
    ["c", "a"],
    ["b1", "b"],
    ["b2", "b"],
    ["c1", "c"],
  ] as const) {
    tree.apply(update(name, parent));
  }
  return tree;
}

describe("applying records", () => {
  it("shows children below their parent in the order in which they came", () => {
    expect(outline(family())).toBe("a .b ..b1 ..b2 .c ..c1");
  });

  it("knows levels, places among siblings and the number of siblings", () => {
    const tree = family();
    tree.layout();
    const node = tree.find("b2");
    expect([tree.level[node], tree.position[node], tree.childCount[tree.find("b")]]).toEqual([
      3, 2, 2,
    ]);
    expect(tree.rowOf[node]).toBe(3);
  });

  it("takes the same record twice without harm", () => {
    const tree = family();
    tree.apply(update("b1", "b"));
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .c ..c1");
    expect(tree.size).toBe(6);
  });

  it("redraws without moving rows", () => {
    const tree = family();
    tree.layout();
    tree.apply(update("b1", "b", { phase: "SUCCEEDED", endedAt: "2026-01-01T00:00:05.000Z" }));
    expect(tree.layout()).toBe(false);
    expect(tree.phaseName(tree.find("b1"))).toBe("SUCCEEDED");
    expect(tree.latest).toBe(Date.parse("2026-01-01T00:00:05.000Z"));
  });

  it("replaces the counts of descendants", () => {
    const tree = new TreeStore();
    tree.apply(update("a", null, { counts: { RUNNING: 2, QUEUED: 1 } }));
    tree.apply(update("a", null, { counts: { SUCCEEDED: 3 } }));
    expect(tree.descendantTotal(0)).toBe(3);
    expect(tree.totals()).toEqual({ RUNNING: 1, SUCCEEDED: 3 });
  });

  it("keeps a child whose parent is not here until it comes", () => {
    const tree = new TreeStore();
    tree.apply(update("b1", "b"));
    tree.apply(update("b", "a"));
    expect(tree.size).toBe(0);
    tree.apply(update("a", null));
    expect(outline(tree)).toBe("a .b ..b1");
  });

  it("forgets a waiting child that is removed", () => {
    const tree = new TreeStore();
    tree.apply(update("b", "a"));
    tree.apply(update("b", "a", { meetsFilter: false }));
    tree.apply(update("a", null));
    expect(outline(tree)).toBe("a");
  });

  it("holds more nodes than it began with", () => {
    const tree = new TreeStore();
    tree.apply(update("a", null));
    for (let index = 0; index < 5000; index++)
      tree.apply(update(`n${index}`, "a", { phase: "QUEUED" }));
    tree.layout();
    expect(tree.rowCount).toBe(5001);
    expect(tree.name[tree.rows[5000]!]).toBe("n4999");
    expect(tree.phaseName(tree.find("n2500"))).toBe("QUEUED");
  });

  it("follows a thousand levels", () => {
    const tree = new TreeStore();
    for (let level = 0; level < 1000; level++)
      tree.apply(update(`n${level}`, level === 0 ? null : `n${level - 1}`));
    tree.layout();
    expect(tree.level[tree.find("n999")]).toBe(1000);
  });
});

describe("pruning", () => {
  it("removes a node with everything below it", () => {
    const tree = family();
    tree.apply(update("b", "a", { meetsFilter: false }));
    expect(outline(tree)).toBe("a .c ..c1");
    expect(tree.size).toBe(3);
    expect(tree.find("b1")).toBe(NONE);
  });

  it("does not mind the removal of what is not there", () => {
    const tree = family();
    tree.apply(update("b", "a", { meetsFilter: false }));
    tree.apply(update("b1", "b", { meetsFilter: false }));
    expect(outline(tree)).toBe("a .c ..c1");
  });

  it("uses the place of a removed node again, with nothing left of it", () => {
    const tree = family();
    tree.apply(update("b", "a", { meetsFilter: false }));
    tree.apply(update("d", "a"));
    tree.apply(update("d1", "d"));
    expect(outline(tree)).toBe("a .c ..c1 .d ..d1");
    expect(tree.error(tree.find("d"))).toBeNull();
  });

  it("removes roots and siblings at either end", () => {
    const tree = family();
    tree.apply(update("z", null));
    tree.remove("c");
    tree.apply(update("e", "a"));
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .e z");
    tree.remove("a");
    expect(outline(tree)).toBe("z");
    expect(tree.rootCount).toBe(1);
    tree.remove("z");
    expect([outline(tree), tree.size, tree.root]).toEqual(["", 0, NONE]);
  });
});

describe("expanding and collapsing", () => {
  it("hides what is below a collapsed node", () => {
    const tree = family();
    expect(tree.setExpanded(tree.find("b"), false)).toBe(true);
    expect(outline(tree)).toBe("a .b .c ..c1");
    expect(tree.rowOf[tree.find("b1")]).toBe(NONE);
    tree.setExpanded(tree.find("b"), true);
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .c ..c1");
  });

  it("does not collapse a leaf", () => {
    const tree = family();
    expect(tree.setExpanded(tree.find("b1"), false)).toBe(false);
  });

  it("keeps a node collapsed that goes and comes back, and in the tree that replaces this one", () => {
    const tree = family();
    tree.setExpanded(tree.find("b"), false);
    tree.remove("b");
    const next = new TreeStore(tree.collapsedNames);
    for (const each of [tree, next]) {
      for (const [name, parent] of [
        ["a", null],
        ["b", "a"],
        ["b1", "b"],
      ] as const)
        each.apply(update(name, parent));
    }
    expect(outline(tree)).toBe("a .c ..c1 .b");
    expect(outline(next)).toBe("a .b");
  });

  it("reveals a node behind collapsed ancestors", () => {
    const tree = family();
    tree.setExpanded(tree.find("b"), false);
    tree.setExpanded(tree.find("a"), false);
    expect(outline(tree)).toBe("a");
    tree.reveal(tree.find("b2"));
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .c ..c1");
  });

  it("collapses exactly what succeeded with all below it", () => {
    const tree = new TreeStore();
    tree.apply(update("a", null, { counts: { SUCCEEDED: 5, FAILED: 1 } }));
    tree.apply(update("b", "a", { phase: "SUCCEEDED", counts: { SUCCEEDED: 1, RECOVERED: 1 } }));
    tree.apply(update("b1", "b", { phase: "SUCCEEDED" }));
    tree.apply(update("b2", "b", { phase: "RECOVERED" }));
    tree.apply(update("c", "a", { phase: "SUCCEEDED", counts: { FAILED: 1 } }));
    tree.apply(update("c1", "c", { phase: "FAILED" }));
    expect(tree.collapseSucceeded()).toBe(1);
    expect(outline(tree)).toBe("a .b .c ..c1");
    tree.expandAll();
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .c ..c1");
  });
});

describe("finding", () => {
  it("goes from failure to failure and around", () => {
    const tree = family();
    tree.apply(update("b1", "b", { phase: "FAILED" }));
    tree.apply(update("c1", "c", { phase: "TIMED_OUT" }));
    tree.layout();
    const names = (row: number, step: 1 | -1): string => tree.name[tree.nextFailure(row, step)]!;
    expect([names(0, 1), names(2, 1), names(5, 1), names(0, -1), names(5, -1)]).toEqual([
      "b1",
      "c1",
      "b1",
      "c1",
      "b1",
    ]);
  });

  it("finds none where nothing failed", () => {
    const tree = family();
    tree.layout();
    expect(tree.nextFailure(0)).toBe(NONE);
    expect(new TreeStore().nextFailure(0)).toBe(NONE);
  });

  it("shows the name that the stream's filter looks at", () => {
    expect(shownName("a1", "pkg.train", "t")).toBe("t");
    expect(shownName("a1", "pkg.train", null)).toBe("train");
    expect(shownName("a1", "train", null)).toBe("train");
    expect(shownName("a1", null, null)).toBe("a1");
  });
});
