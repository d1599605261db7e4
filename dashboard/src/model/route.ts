import { parseTime } from "./format";
import { isPhase, type Phase } from "./phase";
import { SORT_KEYS, type SortKey } from "./tree_store";

export interface RunsRoute {
  page: "runs";
  project: string;
  domain: string;
  phases: Phase[];
  name: string;
  /** Labels that the runs have, each "key:value". */
  labels: string[];
  /** The column that the runs are sorted by; "" for the newest first. */
  sort: RunsSort | "";
  isDescending: boolean;
}

export const RUNS_SORTS = ["name", "phase", "actions", "begun", "duration"] as const;
export type RunsSort = (typeof RUNS_SORTS)[number];

export interface RunKey {
  project: string;
  domain: string;
  runName: string;
}

export interface RunRoute extends RunKey {
  page: "run";
  phases: Phase[];
  /** What is searched for; "" for nothing. */
  name: string;
  /** The action whose panel is open; "" for none. */
  action: string;
  hidesSucceeded: boolean;
  /** The order of the flat table; null: the tree. */
  sort: SortKey | null;
  isDescending: boolean;
  /** What is not folded or unfolded as it starts. */
  toggled: string[];
  /** The stretch of time that the timeline is zoomed to, in milliseconds since 1970; null: all. */
  zoom: [number, number] | null;
  /** The time that the replay is at, in milliseconds since 1970; null: the run as it is. */
  at: number | null;
  /** The run that this one is compared with, "." for the one before; "" for none. */
  compare: string;
  /** Whether the critical path is shown. */
  isCritical: boolean;
}

/** More folds than this are not kept in the address. */
const TOGGLED_MAX = 40;

export type Route = RunsRoute | RunRoute;

/** Reads the part of the address behind `#`. What it does not understand is the list of runs. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const query = new URLSearchParams(search);
  const phases = query
    .getAll("phase")
    .flatMap((text) => text.split(","))
    .filter(isPhase);
  const name = query.get("name") ?? "";
  const sort = query.get("sort") ?? "";
  const parts = path.split("/").filter(Boolean).map(decode);
  if (parts[0] === "runs" && parts.length === 4) {
    const [, project = "", domain = "", runName = ""] = parts;
    const [from = NaN, to = NaN] = (query.get("zoom") ?? "").split("-").map(Number);
    return {
      page: "run",
      project,
      domain,
      runName,
      phases,
      name,
      action: query.get("action") ?? "",
      hidesSucceeded: query.get("hide") === "succeeded",
      sort: SORT_KEYS.find((key) => key === sort.replace(/^-/, "")) ?? null,
      isDescending: sort.startsWith("-"),
      toggled: query.getAll("fold"),
      zoom: from < to ? [from, to] : null,
      at: query.has("at") ? parseTime(query.get("at")) || null : null,
      compare: query.get("compare") ?? "",
      isCritical: query.get("critical") === "on",
    };
  }
  return {
    page: "runs",
    project: query.get("project") ?? "",
    domain: query.get("domain") ?? "",
    phases,
    name,
    labels: query.getAll("label"),
    sort: RUNS_SORTS.find((key) => key === sort.replace(/^-/, "")) ?? "",
    isDescending: sort.startsWith("-"),
  };
}

/** The address of a route, with the `#`. */
export function formatRoute(route: Route): string {
  const query = new URLSearchParams();
  if (route.page === "runs") {
    if (route.project) query.set("project", route.project);
    if (route.domain) query.set("domain", route.domain);
  }
  if (route.phases.length > 0) query.set("phase", route.phases.join(","));
  if (route.name) query.set("name", route.name);
  if (route.page === "run") {
    if (route.action) query.set("action", route.action);
    if (route.hidesSucceeded) query.set("hide", "succeeded");
    for (const name of route.toggled.slice(0, TOGGLED_MAX)) query.append("fold", name);
    if (route.zoom) query.set("zoom", route.zoom.map(Math.round).join("-"));
    if (route.compare) query.set("compare", route.compare);
    if (route.isCritical) query.set("critical", "on");
    if (route.at !== null) query.set("at", new Date(route.at).toISOString());
  } else for (const label of route.labels) query.append("label", label);
  if (route.sort) query.set("sort", `${route.isDescending ? "-" : ""}${route.sort}`);
  const path =
    route.page === "runs"
      ? "/"
      : `/runs/${[route.project, route.domain, route.runName].map(encodeURIComponent).join("/")}`;
  const search = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return search ? `#${path}?${search}` : `#${path}`;
}

export const ALL_RUNS: RunsRoute = {
  page: "runs",
  project: "",
  domain: "",
  phases: [],
  name: "",
  labels: [],
  sort: "",
  isDescending: false,
};

export function runRoute({ project, domain, runName }: RunKey): RunRoute {
  return {
    page: "run",
    project,
    domain,
    runName,
    phases: [],
    name: "",
    action: "",
    hidesSucceeded: false,
    sort: null,
    isDescending: false,
    toggled: [],
    zoom: null,
    at: null,
    compare: "",
    isCritical: false,
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
