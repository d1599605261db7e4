import { useEffect, useRef, useState } from "preact/hooks";
import { getJson, runPath } from "../api/client";
import type { RunSummary } from "../api/types";
import type { RunKey } from "../model/route";

/** The run is asked for again when its tree has changed, at most this often, and while it is quiet now and then, for
 *  what waits is not in the tree. */
const CHANGED_MS = 3000;
const QUIET_MS = 20_000;

/** What the API says of the run beside its tree: title, labels, links, when it was heard of, what waits. */
export function useRunRecord(run: RunKey, version: number, isAbsent: boolean): RunSummary | null {
  const [record, setRecord] = useState<RunSummary | null>(null);
  const hasChanged = useRef(() => {});
  useEffect(() => {
    if (isAbsent) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let askedAt = 0;
    let [isAsking, isStale] = [false, true];
    const askIn = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => void ask(), Math.max(0, askedAt + ms - Date.now()));
    };
    const ask = async (): Promise<void> => {
      askedAt = Date.now();
      [isAsking, isStale] = [true, false];
      try {
        if (!document.hidden) setRecord(await getJson<RunSummary>(runPath(run), abort.signal));
      } catch {
        // The tree says what there is to say of a run that is gone.
      }
      isAsking = false;
      if (!abort.signal.aborted) askIn(isStale ? CHANGED_MS : QUIET_MS);
    };
    // An answer that is on its way is waited for, however fast the run changes.
    hasChanged.current = () => {
      isStale = true;
      if (!isAsking) askIn(CHANGED_MS);
    };
    askIn(0);
    return () => {
      hasChanged.current = () => {};
      clearTimeout(timer);
      abort.abort();
    };
  }, [isAbsent]);
  useEffect(() => hasChanged.current(), [version]);
  return isAbsent ? null : record;
}
