import { describe, expect, it } from "vitest";
import type { NodeUpdate, PhaseCounts } from "../src/api/types";
import type { Phase } from "../src/model/phase";
import { groupFacts } from "../src/model/progress";
import { NONE, shownName, TreeStore, WHOLE_TREE, type TreeView } from "../src/model/tree_store";

interface Given {
  group?: string;
  startedAt?: string | null;
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
      group: given.group ?? null,
      taskName: null,
      shortName: null,
      createdAt: given.createdAt ?? "2026-01-01T00:00:00.000Z",
      startedAt: given.startedAt ?? null,
      endedAt: given.endedAt ?? null,
      durationMs: null,
      errorInfo: null,
      revision: 1,
    },
    childPhaseCounts: given.counts ?? {},
    meetsFilter: given.meetsFilter ?? true,
  };
}

/** The rows as an outline: "a0 .a1 ..a2", groups as "@path". */
function outline(tree: TreeStore): string {
  tree.layout();
  const rows = [...tree.rows.subarray(0, tree.rowCount)];
  const called = (node: number): string =>
    tree.isGroup(node) ? `@${tree.group[node]}` : tree.name[node]!;
  return rows.map((node) => ".".repeat(tree.level[node]! - 1) + called(node)).join(" ");
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

/** Groups g of two, h of one and h/i of two. */
function grouped(): TreeStore {
  const tree = new TreeStore();
  tree.apply(update("a", null));
  for (const [name, group] of [
    ["g1", "g"],
    ["g2", "g"],
    ["i1", "h/i"],
    ["i2", "h/i"],
    ["h1", "h"],
  ] as const)
    tree.apply(update(name, "a", { group }));
  tree.apply(update("b", "a"));
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
    expect([tree.level[node], tree.position[node], tree.siblings[node]]).toEqual([3, 2, 2]);
    expect(tree.rowOf[node]).toBe(3);
  });

  it("takes the same record twice without harm", () => {
    const tree = family();
    tree.apply(update("b1", "b"));
    expect(outline(tree)).toBe("a .b ..b1 ..b2 .c ..c1");
    expect(tree.size).toBe(6);
  });

  it("knows what was abandoned, until somebody says how it ended", () => {
    const tree = family();
    const given = update("b1", "b", { phase: "ABORTED" });
    tree.apply({ ...given, action: { ...given.action, abandoned: true } });
    expect(tree.isAbandoned(tree.find("b1"))).toBe(true);
    expect(tree.isAbandoned(tree.find("b2"))).toBe(false);
    tree.apply(update("b1", "b", { phase: "SUCCEEDED" }));
    expect(tree.isAbandoned(tree.find("b1"))).toBe(false);
  });

  it("redraws without moving rows", () => {
    const tree = family();
    tree.layout();
    tree.apply(update("b1", "b", { phase: "SUCCEEDED", endedAt: "2026-01-01T00:00:05.000Z" }));
    expect(tree.layout()).toBe(false);
    expect(tree.phaseName(tree.find("b1"))).toBe("SUCCEEDED");
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
    expect([tree.level[tree.find("n999")], tree.depth]).toEqual([1000, 1000]);
    tree.setExpanded(tree.find("n4"), false);
    tree.layout();
    expect(tree.depth).toBe(5);
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
    const next = new TreeStore(tree.toggled);
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

  it("expands everything, groups too, and what comes later with it", () => {
    const tree = grouped();
    tree.setExpanded(tree.find("a"), false);
    tree.expandAll();
    expect(outline(tree)).toBe("a .@g ..g1 ..g2 .@h ..@h/i ...i1 ...i2 ..h1 .b");
    tree.apply(update("k1", "b", { group: "k" }));
    tree.apply(update("k2", "b", { group: "k" }));
    expect(outline(tree)).toContain(".b ..@k ...k1 ...k2");
    tree.setExpanded(tree.find("a\u001fg"), false);
    expect(outline(tree)).toContain("a .@g .@h");
  });
});

describe("the view", () => {
  const view = (part: Partial<TreeView>): TreeView => ({ ...WHOLE_TREE, ...part });

  function mixed(): TreeStore {
    const tree = new TreeStore();
    tree.apply(update("a", null, { counts: { SUCCEEDED: 4, FAILED: 1 } }));
    tree.apply(update("b", "a", { phase: "SUCCEEDED", counts: { SUCCEEDED: 1 } }));
    tree.apply(update("b1", "b", { phase: "SUCCEEDED" }));
    tree.apply(update("c", "a", { phase: "SUCCEEDED", counts: { FAILED: 1 } }));
    tree.apply(update("c1", "c", { phase: "FAILED" }));
    tree.apply(update("d", "a", { phase: "SUCCEEDED" }));
    return tree;
  }

  it("hides what succeeded with all below it, leaves too, and goes along with what happens", () => {
    const tree = mixed();
    tree.view = view({ hidesSucceeded: true });
    expect(outline(tree)).toBe("a .c ..c1");
    tree.apply(update("d", "a", { phase: "RUNNING" }));
    expect(outline(tree)).toBe("a .c ..c1 .d");
    tree.view = WHOLE_TREE;
    expect(outline(tree)).toBe("a .b ..b1 .c ..c1 .d");
  });

  it("shows actions in the phases chosen, with what they are below", () => {
    const tree = mixed();
    tree.view = view({ phases: ["FAILED"] });
    expect(outline(tree)).toBe("a .c ..c1");
    tree.apply(update("c1", "c", { phase: "RUNNING" }));
    tree.apply(update("c", "a", { phase: "SUCCEEDED", counts: { RUNNING: 1 } }));
    tree.apply(update("a", null, { counts: { SUCCEEDED: 4, RUNNING: 1 } }));
    expect(outline(tree)).toBe("");
  });

  it("finds what is in a group by its phase", () => {
    const tree = grouped();
    tree.apply(update("i2", "a", { phase: "FAILED", group: "h/i" }));
    tree.apply(update("a", null, { counts: { RUNNING: 5, FAILED: 1 } }));
    tree.view = view({ phases: ["FAILED"] });
    expect(outline(tree)).toBe("a .@h");
  });

  it("is a table: flat, sorted, what has no value last, both ways", () => {
    const tree = new TreeStore();
    const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
    tree.apply(update("a", null, { startedAt: at(0), endedAt: at(100) }));
    tree.apply(update("n10", "a", { startedAt: at(10), endedAt: at(15) }));
    tree.apply(update("n9", "a", { startedAt: at(20), endedAt: at(80) }));
    tree.apply(update("q", "a", { phase: "QUEUED" }));
    const order = (part: Partial<TreeView>): string => {
      tree.view = view(part);
      return outline(tree);
    };
    expect(order({ sort: "duration", isDescending: true })).toBe("a n9 n10 q");
    expect(order({ sort: "duration" })).toBe("n10 n9 a q");
    expect(order({ sort: "started" })).toBe("a n10 n9 q");
    expect(order({ sort: "ended", isDescending: true })).toBe("a n9 n10 q");
    expect(order({ sort: "name" })).toBe("a n9 n10 q");
    expect(order({ sort: "name", isDescending: true })).toBe("q n10 n9 a");
    expect(order({ sort: "phase" }).endsWith("q")).toBe(true);
  });
});

describe("groups", () => {
  it("are one folded row each, nested, and nothing where they hold only one", () => {
    expect(outline(grouped())).toBe("a .@g .@h .b");
    const tree = new TreeStore();
    tree.apply(update("a", null));
    tree.apply(update("g1", "a", { group: "g" }));
    expect(outline(tree)).toBe("a .g1");
    tree.apply(update("g2", "a", { group: "g" }));
    expect(outline(tree)).toBe("a .@g");
    tree.apply(update("g1", "a", { meetsFilter: false }));
    expect(outline(tree)).toBe("a .g2");
    tree.apply(update("g2", "a", { meetsFilter: false }));
    expect([outline(tree), tree.size]).toEqual(["a", 1]);
  });

  it("of different parents are different", () => {
    const tree = grouped();
    for (const name of ["x", "y"]) tree.apply(update(name, "b", { group: "g" }));
    expect(outline(tree)).toBe("a .@g .@h .b ..@g");
  });

  it("say what follows from what is in them", () => {
    const tree = new TreeStore();
    const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
    tree.apply(update("a", null));
    const put = (name: string, phase: Phase, started: number | null, ended: number | null): void =>
      tree.apply(
        update(name, "a", {
          phase,
          group: "g",
          createdAt: at(1),
          startedAt: started === null ? null : at(started),
          endedAt: ended === null ? null : at(ended),
        }),
      );
    const group = (): unknown[] => {
      tree.layout();
      const node = tree.find("a\u001fg");
      return [tree.phaseName(node), tree.startedAt[node], tree.endedAt[node]];
    };
    put("x", "QUEUED", null, null);
    put("y", "QUEUED", null, null);
    expect(group()).toEqual(["QUEUED", NaN, NaN]);
    put("x", "SUCCEEDED", 5, 9);
    expect(group()).toEqual(["RUNNING", 5000, NaN]);
    put("y", "FAILED", 3, 8);
    expect(group()).toEqual(["FAILED", 3000, 9000]);
    expect(tree.descendantTotal(tree.find("a\u001fg"))).toBe(2);
    expect(groupFacts(tree, tree.find("a\u001fg"), 0)).toEqual({
      total: 2,
      done: 2,
      meanMs: 4500,
      slowestMs: 5000,
    });
  });

  it("count in the totals of a run only what is in them", () => {
    const tree = new TreeStore();
    tree.apply(update("r1", null, { group: "g", phase: "SUCCEEDED" }));
    tree.apply(update("r2", null, { group: "g", counts: { QUEUED: 2 } }));
    expect(tree.totals()).toEqual({ SUCCEEDED: 1, RUNNING: 1, QUEUED: 2 });
    expect([...tree.rootActions()].map((node) => tree.name[node])).toEqual(["r1", "r2"]);
  });

  it("when opened show failed and running first", () => {
    const tree = new TreeStore();
    tree.apply(update("a", null));
    for (const [name, phase] of [
      ["x", "SUCCEEDED"],
      ["y", "RUNNING"],
      ["z", "FAILED"],
    ] as const)
      tree.apply(update(name, "a", { phase, group: "g" }));
    tree.setExpanded(tree.find("a\u001fg"), true);
    expect(outline(tree)).toBe("a .@g ..z ..y ..x");
    tree.apply(update("y", "a", { phase: "SUCCEEDED", group: "g" }));
    expect(outline(tree)).toBe("a .@g ..z ..x ..y");
  });

  it("are left for another when an action says another group", () => {
    const tree = grouped();
    tree.apply(update("g1", "a", { group: "other" }));
    expect(outline(tree)).toBe("a .g2 .@h .b .g1");
  });
});

describe("the span of the run", () => {
  const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
  it("is of all that lies near its roots, and not of one absurd time", () => {
    const tree = new TreeStore();
    tree.apply(update("a", null, { createdAt: at(1_000_000), endedAt: at(1_000_600) }));
    tree.apply(update("b", "a", { createdAt: at(1_000_010), endedAt: at(1_000_900) }));
    tree.apply(update("cached", "a", { createdAt: at(400_000), endedAt: at(400_001) }));
    expect(tree.span(-Infinity)).toEqual([1_000_000_000, 1_000_900_000]);
    expect(tree.span(1_002_000_000)).toEqual([1_000_000_000, 1_002_000_000]);
  });
});

describe("finding", () => {
  it("goes from failure to failure and around, into what is folded", () => {
    const tree = family();
    tree.apply(update("b1", "b", { phase: "FAILED" }));
    tree.apply(update("c1", "c", { phase: "TIMED_OUT" }));
    tree.setExpanded(tree.find("b"), false);
    const next = (from: string, step: 1 | -1): string =>
      tree.name[tree.nextFailure(tree.find(from), step)]!;
    expect([next("a", 1), next("b1", 1), next("c1", 1), next("a", -1), next("c1", -1)]).toEqual([
      "b1",
      "c1",
      "b1",
      "c1",
      "b1",
    ]);
    tree.reveal(tree.find("b1"));
    expect(outline(tree)).toContain("..b1");
  });

  it("finds none where nothing failed", () => {
    const tree = family();
    expect(tree.nextFailure(tree.find("a"))).toBe(NONE);
    expect(new TreeStore().nextFailure(NONE)).toBe(NONE);
  });

  it("calls an action by what says most to a person", () => {
    const action = { name: "a1", title: "Train it", taskName: "pkg.train", shortName: "t" };
    expect(shownName(action)).toBe("Train it");
    expect(shownName({ ...action, title: null })).toBe("t");
    expect(shownName({ name: "a1", taskName: "pkg.train" })).toBe("train");
    expect(shownName({ name: "a1", taskName: "train" })).toBe("train");
    expect(shownName({ name: "a1" })).toBe("a1");
  });
});
