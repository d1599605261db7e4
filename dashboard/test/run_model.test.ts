import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { RunModel, runTopic } from "../src/run/run_model";
import { LINGER_MS } from "../src/stream/feed";
import { WHOLE_TREE } from "../src/model/tree_store";
import { FakeEventSource } from "./fake_event_source";

const RUN = { project: "ml/team", domain: "production", runName: "r;1" };
const OF = { subscription: runTopic(RUN).value };

function node(name: string, parent: string | null = null) {
  const action = {
    name,
    parent,
    phase: "RUNNING",
    attempt: 1,
    version: 0,
    createdAt: "2026-01-01T00:00:00.000Z",
  };
  return { ...OF, action, childPhaseCounts: {}, meetsFilter: true };
}

let model: RunModel;
const names = (): string[] => model.tree.name.filter(Boolean).sort();

beforeEach(() => {
  vi.useFakeTimers();
  FakeEventSource.all = [];
  vi.stubGlobal("EventSource", FakeEventSource);
  vi.stubGlobal("SharedWorker", undefined);
  vi.stubGlobal("document", { hidden: false, baseURI: "http://host/tools/runtree/" });
  vi.stubGlobal("dispatchEvent", () => true);
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => ({ ok: true, status: 200 })),
  );
  vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 16));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  model = new RunModel(() => undefined);
  model.watch(RUN);
  vi.advanceTimersByTime(0);
});

afterEach(() => {
  model.close();
  vi.advanceTimersByTime(LINGER_MS + 20);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function synced(): void {
  FakeEventSource.last.send("synced", OF);
  FakeEventSource.last.send("position", {}, "w.1");
}

function send(...updates: ReturnType<typeof node>[]): void {
  for (const update of updates) FakeEventSource.last.send("nodeUpdate", update);
  vi.advanceTimersByTime(20);
}

it("shows the first rows before the snapshot is complete", () => {
  FakeEventSource.last.open();
  send(node("a"), node("b", "a"));
  expect(names()).toEqual(["a", "b"]);
  expect(model.isComplete).toBe(false);
});

it("keeps the old tree on the page while a reset builds the new one", () => {
  FakeEventSource.last.open();
  send(node("a"), node("b", "a"));
  synced();
  FakeEventSource.last.send("reset", OF);
  send(node("x"));
  expect(names()).toEqual(["a", "b"]);
  synced();
  expect(names()).toEqual(["x"]);
});

it("lets the old tree go when the run has been deleted, and shows the one that comes in its place", () => {
  FakeEventSource.last.open();
  send(node("a"));
  synced();
  FakeEventSource.last.send("reset", OF);
  FakeEventSource.last.send("absent", { ...OF, reason: "not-found" });
  expect([names(), model.isAbsent]).toEqual([[], true]);
  send(node("b"));
  expect([names(), model.isAbsent]).toEqual([["b"], false]);
});

it("lets the old tree go when the server refuses it", async () => {
  FakeEventSource.last.open();
  send(node("a"));
  synced();
  FakeEventSource.last.send("reset", OF);
  vi.stubGlobal("fetch", async () => ({ ok: false, status: 403, json: async () => ({}) }));
  FakeEventSource.last.break(true);
  await vi.advanceTimersByTimeAsync(10);
  expect(names()).toEqual([]);
  expect(model.state.status).toBe("failed");
});

it("goes on while the page is hidden, so that its title tells how the run stands", () => {
  const draw = vi.fn();
  model.close();
  vi.stubGlobal("document", { hidden: true, baseURI: "http://host/tools/runtree/" });
  vi.stubGlobal("requestAnimationFrame", () => 1);
  vi.stubGlobal("cancelAnimationFrame", () => undefined);
  model = new RunModel(draw);
  model.watch(RUN);
  vi.advanceTimersByTime(1000);
  expect(draw).toHaveBeenCalledTimes(1);
});

it("asks for all of the run, where a proxy has put the service", () => {
  const { href, searchParams } = new URL(FakeEventSource.last.url);
  expect(href).toMatch(/^http:\/\/host\/tools\/runtree\/v1\/watch\?/);
  expect(searchParams.get("run")).toBe("ml%2Fteam/production/r%3B1");
});

it("keeps what is folded, and the view, through a reset", () => {
  const view = { ...WHOLE_TREE, phases: ["FAILED" as const] };
  model.tree.view = view;
  model.tree.setToggled(["a"]);
  FakeEventSource.last.open();
  send(node("a"));
  synced();
  FakeEventSource.last.send("reset", OF);
  send(node("a"));
  synced();
  expect([...model.tree.toggled]).toEqual(["a"]);
  expect(model.tree.view).toEqual(view);
});

it("stops watching while it is paused, and is then brought up to date without losing what is shown", () => {
  FakeEventSource.last.open();
  send(node("a"));
  synced();
  model.pause();
  vi.advanceTimersByTime(LINGER_MS + 20);
  expect(FakeEventSource.last.readyState).toBe(FakeEventSource.CLOSED);
  model.resume();
  model.resume();
  vi.advanceTimersByTime(20);
  expect(FakeEventSource.all).toHaveLength(2);
  expect(names()).toEqual(["a"]);
  FakeEventSource.last.open();
  FakeEventSource.last.send("reset", OF);
  send(node("b"));
  synced();
  expect(names()).toEqual(["b"]);
});

it("draws once for all that comes within a frame", () => {
  const draw = vi.fn();
  model.close();
  model = new RunModel(draw);
  model.watch(RUN);
  vi.advanceTimersByTime(20);
  draw.mockClear();
  FakeEventSource.last.open();
  for (let index = 0; index < 5000; index++)
    FakeEventSource.last.send("nodeUpdate", node(`n${index}`));
  vi.advanceTimersByTime(20);
  expect(draw).toHaveBeenCalledTimes(1);
  expect(model.tree.size).toBe(5000);
});
