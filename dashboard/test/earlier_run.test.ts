import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EarlierRun, PREVIOUS } from "../src/run/earlier_run";
import { record } from "./records";

const RUN = { project: "p", domain: "d", runName: "daily-9" };

/** The server's runs, the newest first: name, day, and the rest. */
interface Known {
  name: string;
  day: number;
  task?: string;
  title?: string;
  phase?: string;
  actions?: number;
}

let known: Known[];
let asked: string[];

function summary({ name, day, title, phase, actions }: Known) {
  const createdAt = `2026-01-${String(day).padStart(2, "0")}T00:00:00.000Z`;
  const times = { createdAt, firstSeenAt: createdAt };
  const rest = { phase: phase ?? "SUCCEEDED", actionCount: actions ?? 1, root: "a0" };
  return { project: "p", domain: "d", runName: name, ...times, ...rest, ...(title && { title }) };
}

function answer(url: URL): unknown {
  const parts = url.pathname.split("/").map(decodeURIComponent);
  const run = known.find(({ name }) => name === parts[7]);
  if (parts[2] === "runs") {
    const [phase, name] = [url.searchParams.get("phase"), url.searchParams.get("name") ?? ""];
    const found = known.map(summary).filter((each) => {
      const isNamed = each.runName.includes(name) || each.title?.includes(name);
      return isNamed && (phase === null || each.phase === phase);
    });
    return { runs: found.slice(0, Number(url.searchParams.get("limit"))) };
  }
  if (parts[8] === "actions") return { taskName: run?.task ?? null };
  if (parts[8] === "tree") return { revision: 1, nodes: [record(`root of ${parts[7]}`, null)] };
  return summary(run!);
}

beforeEach(() => {
  asked = [];
  vi.stubGlobal("document", { baseURI: "http://localhost/" });
  vi.stubGlobal("fetch", (address: string, init: RequestInit) => {
    const url = new URL(address);
    // Else the address of a run that is called "watch" is that of a stream.
    if (!url.pathname.endsWith("/tree"))
      expect(new Headers(init.headers).get("Accept")).toBe("application/json");
    asked.push(url.pathname + url.search);
    return Promise.resolve(new Response(JSON.stringify(answer(url))));
  });
});

afterEach(() => vi.unstubAllGlobals());

async function load(name: string, isAsked = false): Promise<EarlierRun> {
  const changed = vi.fn();
  const earlier = new EarlierRun(RUN, changed);
  earlier.want(name, isAsked);
  await vi.waitFor(() => expect(changed).toHaveBeenCalled());
  return earlier;
}

it("takes the newest before it that succeeded and has the same task at its root", async () => {
  known = [
    { name: "daily-10", day: 10, task: "t" },
    { name: "daily-9", day: 9, task: "t" },
    { name: "daily-8", day: 8, task: "other" },
    { name: "daily-7", day: 7, task: "t", phase: "FAILED" },
    { name: "daily-6", day: 6, task: "t" },
    { name: "daily-5", day: 5, task: "t" },
  ];
  const earlier = await load(PREVIOUS);
  expect(earlier.name).toBe("daily-6");
  expect(earlier.tree!.name[earlier.tree!.root]).toBe("root of daily-6");
  expect(asked.filter((path) => path.includes("/tree")).length).toBe(1);
});

it("finds one of the same title, whatever it is called and its task is", async () => {
  known = [
    { name: "daily-9", day: 9, task: "t", title: "Nightly" },
    ...Array.from({ length: 30 }, (_, index) => ({ name: `daily-9${index}`, day: 8, task: "x" })),
    { name: "run-1", day: 1, task: "u", title: "Nightly" },
  ];
  expect((await load(PREVIOUS)).name).toBe("run-1");
  expect(asked.filter((path) => path.includes("/actions/")).length).toBe(1);
});

it("looks at so many roots and no more, and says that there is none", async () => {
  known = [
    { name: "daily-9", day: 9, task: "t" },
    ...Array.from({ length: 30 }, (_, index) => ({ name: `daily-0${index}`, day: 8, task: "x" })),
    { name: "daily-1", day: 1, task: "t" },
  ];
  const earlier = await load(PREVIOUS);
  expect(earlier.tree).toBeNull();
  expect(earlier.problem).toMatch(/No earlier run/);
  expect(asked.filter((path) => path.includes("/actions/")).length).toBe(11);
});

it("fetches a large tree only when the reader asks, and any run that is chosen", async () => {
  known = [
    { name: "daily-9", day: 9, task: "t" },
    { name: "daily-8", day: 8, task: "t", actions: 100_000 },
    { name: "mine", day: 7, task: "v", phase: "FAILED" },
  ];
  expect((await load(PREVIOUS)).tree).toBeNull();
  const earlier = await load(PREVIOUS, true);
  expect(earlier.name).toBe("daily-8");
  expect(earlier.runs.map(({ runName }) => runName)).toEqual(["daily-8", "mine"]);
  expect([...earlier.alike]).toEqual(["daily-8"]);
  expect((await load("mine", true)).name).toBe("mine");
});

it("takes one without a task for the same work only where root and name are alike", async () => {
  known = [
    { name: "daily-9", day: 9 },
    { name: "weekly-8", day: 8 },
    { name: "daily-7", day: 7 },
  ];
  expect((await load(PREVIOUS)).name).toBe("daily-7");
  known = known.filter(({ name }) => name !== "daily-7");
  expect((await load(PREVIOUS)).problem).toMatch(/No earlier run/);
});
