import { useEffect, useState } from "preact/hooks";
import { formatRoute, parseRoute, type Route } from "../model/route";

const CHANGED = "runtree:route";

/** Goes to a route; `replace` keeps the browser's history as it is (typing into a filter). */
export function navigate(route: Route, how: "push" | "replace" = "push"): void {
  const hash = formatRoute(route);
  if (hash === location.hash) return;
  if (how === "push") history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
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
