import { useEffect, useState } from "preact/hooks";
import { formatRoute, parseRoute, type Route } from "../model/route";

const CHANGED = "runtree:route";
/** The state of an entry of the history that opened an action's panel. */
const OPENED = "opened";

/** Goes to a route; `replace` keeps the browser's history as it is (typing into a filter). */
export function navigate(route: Route, how: "push" | "replace" = "push"): void {
  go(route, how, how === "push" ? null : history.state);
}

/** Goes to a route that shows an action where none was shown: Back closes it. */
export function openPanel(route: Route): void {
  go(route, "push", OPENED);
}

/** Leaves the action for `route`: what opened it leaves no trace in the history. */
export function closePanel(route: Route): void {
  if (history.state !== OPENED) {
    navigate(route);
    return;
  }
  addEventListener("popstate", () => navigate(route, "replace"), { once: true });
  history.back();
}

function go(route: Route, how: "push" | "replace", state: unknown): void {
  const hash = formatRoute(route);
  if (hash === location.hash) return;
  if (how === "push") history.pushState(state, "", hash);
  else history.replaceState(state, "", hash);
  dispatchEvent(new Event(CHANGED));
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const update = (): void => setHash(location.hash);
    for (const type of ["hashchange", "popstate", CHANGED]) addEventListener(type, update);
    return () => {
      for (const type of ["hashchange", "popstate", CHANGED]) removeEventListener(type, update);
    };
  }, []);
  return parseRoute(hash);
}
