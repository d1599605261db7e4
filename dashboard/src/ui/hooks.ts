import { useEffect, useReducer, useRef, useState, type Dispatch } from "preact/hooks";
import { clock } from "../model/clock";

/** The server's time, renewed every `intervalMs` while `isTicking`. */
export function useNow(isTicking: boolean, intervalMs = 1000): number {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(() => tick(undefined), intervalMs);
    return () => clearInterval(timer);
  }, [isTicking, intervalMs]);
  return clock.now();
}

/** A function that draws the component again. */
export function useRedraw(): () => void {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const stable = useRef(() => redraw(undefined));
  return stable.current;
}

const SETTLE_MS = 1000;
/** What takes long is worked out so much less often: at most this part of the time. */
const SETTLE_PART = 0.05;

/**
 * What `compute` gives: worked out again at once when one of `parts` is another, and when only `version` is another,
 * at most once a second, less often where it takes long; the last change is never left out.
 */
export function useSettled<T>(compute: () => T, parts: readonly unknown[], version: unknown): T {
  const redraw = useRedraw();
  const known = useRef<{ parts: readonly unknown[]; version: unknown; due: number; value: T }>(
    null,
  );
  const { current } = known;
  const now = performance.now();
  const isOther = !current || parts.some((part, index) => part !== current.parts[index]);
  const waitMs = current ? current.due - now : 0;
  const isStale = isOther || (current.version !== version && waitMs <= 0);
  if (isStale) {
    const value = compute();
    const after = performance.now();
    const due = after + Math.max(SETTLE_MS, (after - now) / SETTLE_PART);
    known.current = { parts, version, due, value };
  }
  const isBehind = known.current!.version !== version;
  useEffect(() => {
    if (!isBehind) return;
    const timer = setTimeout(redraw, Math.max(0, waitMs));
    return () => clearTimeout(timer);
  }, [isBehind]);
  return known.current!.value;
}

/** A value and its setter, kept in the browser's storage under `key`. */
export function useStored<T extends string>(key: string, initial: T): [T, Dispatch<T>] {
  const [value, setValue] = useState<T>(() => {
    try {
      return (localStorage.getItem(key) as T | null) ?? initial;
    } catch {
      return initial;
    }
  });
  const change = (next: T): void => {
    setValue(next);
    try {
      localStorage.setItem(key, next);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
  };
  return [value, change];
}

/** Whether a media query holds, now and whenever that changes. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const update = (): void => setMatches(list.matches);
    update();
    list.addEventListener("change", update);
    return () => list.removeEventListener("change", update);
  }, [query]);
  return matches;
}

/** A hidden page that has nothing to tell stops watching after this time. */
const HIDDEN_MS = 30_000;

/** Stops what a page watches while it is hidden, and goes on when it is seen again; not while `tells`: then the title, or
 *  a notice, says what happens. */
export function useWhileSeen(
  model: { pause: () => void; resume: () => void },
  tells: boolean,
): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      clearTimeout(timer);
      if (!document.hidden) model.resume();
      else if (!tells) timer = setTimeout(() => model.pause(), HIDDEN_MS);
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [model, tells]);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}
