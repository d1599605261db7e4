import { useEffect, useState } from "preact/hooks";
import { getJson, runPath } from "../api/client";
import type { RunSummary } from "../api/types";
import type { RunKey } from "../model/route";

/** How often the run is asked for while the filter leaves nothing of it on the page. */
const SUMMARY_MS = 5000;

/** The run as the API sums it up, for the header, while the tree cannot tell. */
export function useSummary(run: RunKey, isNeeded: boolean): RunSummary | null {
  const [summary, setSummary] = useState<RunSummary | null>(null);
  useEffect(() => {
    if (!isNeeded) return;
    const abort = new AbortController();
    const ask = (): void => {
      getJson<RunSummary>(runPath(run), abort.signal).then(setSummary, () => undefined);
    };
    ask();
    const timer = setInterval(ask, SUMMARY_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [isNeeded]);
  return summary;
}
