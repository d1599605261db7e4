import { useEffect, useMemo, useRef } from "preact/hooks";
import { criticalPath } from "../model/critical_path";
import { matchTrees, tookMs, type Match } from "../model/match";
import { Outliers } from "../model/outliers";
import { formatRate, formatRemaining, rateOf, remainingMs } from "../model/pace";
import type { RunRoute } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";
import { useSettled } from "../ui/hooks";
import { EarlierRun, PREVIOUS, UNASKED_ACTIONS_MAX } from "./earlier_run";
import type { Insight } from "./insight";

export interface Earlier {
  earlier: EarlierRun;
  match: Match;
}

const NO_MATCH: Match = new Map();

/** The run to hold this one against: the one that the reader compares with, or the one before, once this has been
 *  seen going on. */
export function useEarlier(
  route: RunRoute,
  live: TreeStore,
  isGoingOn: boolean,
  redraw: () => void,
): Earlier {
  const earlier = useMemo(() => new EarlierRun(route, redraw), []);
  useEffect(() => () => earlier.close(), []);
  const hasGoneOn = useRef(false);
  hasGoneOn.current ||= isGoingOn;
  const isAsked = route.compare !== "";
  const isUnasked = hasGoneOn.current && live.size <= UNASKED_ACTIONS_MAX;
  const wanted = isAsked ? route.compare : isUnasked ? PREVIOUS : "";
  useEffect(() => earlier.want(wanted, isAsked), [wanted, isAsked]);
  const match = useSettled(
    () => (earlier.tree ? matchTrees(live, earlier.tree) : NO_MATCH),
    [live, earlier.tree],
    live.version,
  );
  return { earlier, match };
}

/** "12/min · about 4 m left" of a run that goes on, as far as it can be told. */
export function usePace(
  live: TreeStore,
  { earlier, match }: Earlier,
  isLive: boolean,
  nowMs: number,
): string {
  const compute = (): string => {
    if (!isLive) return "";
    const left = earlier.tree ? remainingMs(live, earlier.tree, match, nowMs) : NaN;
    return [formatRate(rateOf(live, nowMs)), formatRemaining(left)].filter(Boolean).join(" · ");
  };
  const second = isLive ? Math.floor(nowMs / 1000) : 0;
  return useSettled(compute, [live, earlier.tree, isLive], `${live.version} ${second}`);
}

/** What is told of the actions of the tree that is shown, which may be that of a replay. */
export function useInsight(
  shown: TreeStore,
  live: TreeStore,
  { earlier, match }: Earlier,
  isCritical: boolean,
  nowMs: number,
): Insight {
  const outliers = useMemo(() => new Outliers(), []);
  const critical = useSettled(
    () => new Set(isCritical ? criticalPath(shown, nowMs) : []),
    [shown, isCritical],
    shown.version,
  );
  return {
    critical,
    outlier: (node) => outliers.get(shown, node, nowMs),
    earlierMs: (node) => {
      const ours = shown === live ? node : live.find(shown.name[node]!);
      const theirs = ours === NONE ? undefined : match.get(ours);
      return earlier.tree && theirs !== undefined ? tookMs(earlier.tree, theirs, NaN) : NaN;
    },
  };
}
