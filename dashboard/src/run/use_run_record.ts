import { useEffect, useRef, useState } from "preact/hooks";
import { getJson, runPath } from "../api/client";
import type { RunSummary } from "../api/types";
import type { RunKey } from "../model/route";

/** The run is asked for again when its tree has changed, at most this often, and while it is quiet now and then. */
const CHANGED_MS = 3000;
const QUIET_MS = 60_000;

/** What the API says of the run beside its tree: title, labels, links, when it was heard of, what waits. */
export function useRunRecord(run: RunKey, version: number, isAbsent: boolean): RunSummary | null {
  const [record, setRecord] = useState<RunSummary | null>(null);
  const askedAt = useRef(0);
  useEffect(() => {
    if (isAbsent) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async (): Promise<void> => {
      askedAt.current = Date.now();
      try {
        setRecord(await getJson<RunSummary>(runPath(run), abort.signal));
      } catch {
        // The tree says what there is to say of a run that is gone.
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void ask(), QUIET_MS);
    };
    timer = setTimeout(() => void ask(), Math.max(0, askedAt.current + CHANGED_MS - Date.now()));
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [version, isAbsent]);
  return isAbsent ? null : record;
}
