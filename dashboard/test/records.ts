import type { NodeUpdate } from "../src/api/types";
import type { Phase } from "../src/model/phase";
import { TreeStore } from "../src/model/tree_store";

const BEGAN = Date.parse("2026-01-01T00:00:00Z");

export interface Given {
  /** When it was created, started and ended, in milliseconds after the beginning; NaN for not. */
  at?: [created: number, started: number, ended: number];
  phase?: Phase;
  task?: string;
  group?: string;
  dependsOn?: string[];
}

function time(offset: number): string | null {
  return Number.isNaN(offset) ? null : new Date(BEGAN + offset).toISOString();
}

/** A record of the stream; what has an end has succeeded, if nothing else is said. */
export function record(name: string, parent: string | null, given: Given = {}): NodeUpdate {
  const [created, started, ended] = given.at ?? [0, NaN, NaN];
  return {
    action: {
      name,
      parent,
      phase: given.phase ?? (Number.isNaN(ended) ? "RUNNING" : "SUCCEEDED"),
      attempt: 1,
      version: 0,
      group: given.group ?? null,
      taskName: given.task ?? null,
      shortName: null,
      createdAt: time(created)!,
      startedAt: time(started),
      endedAt: time(ended),
      durationMs: null,
      errorInfo: null,
      revision: 1,
      ...(given.dependsOn ? { dependsOn: given.dependsOn } : {}),
    },
    childPhaseCounts: {},
    meetsFilter: true,
  };
}

export function treeOf(...records: NodeUpdate[]): TreeStore {
  const tree = new TreeStore();
  for (const each of records) tree.apply(each);
  tree.layout();
  return tree;
}
