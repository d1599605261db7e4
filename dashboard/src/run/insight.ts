import type { Outlier } from "../model/outliers";

/** What the rows and the timeline say of an action beyond the action itself. */
export interface Insight {
  /** How long it took in the earlier run; NaN if that is not known. */
  earlierMs: (node: number) => number;
  /** How far it is beyond those like it; null if it is not. */
  outlier: (node: number) => Outlier | null;
  /** The nodes of the critical path in order of time; empty while it is not shown. */
  critical: ReadonlySet<number>;
}
