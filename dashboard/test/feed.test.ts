import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed, Feeds, LINGER_MS } from "../src/stream/feed";
import type { FeedMessage, StreamState, Topic } from "../src/stream/protocol";
import { FakeEventSource } from "./fake_event_source";

const RUN: Topic = { kind: "run", value: "p/d/r" };
const LIST: Topic = { kind: "list", value: "*/*;limit=200" };

const node = (name: string, meetsFilter = true) => ({
  subscription: RUN.value,
  action: { name, parent: null },
  childPhaseCounts: {},
  meetsFilter,
});
const of = ({ value }: Topic) => ({ subscription: value });

/** Puts into `heard` what a listener hears, in a short form: "records a b", "synced", "state live". */
function listen(feed: Feed, topic = RUN): { heard: string[]; leave: () => void } {
  const heard: string[] = [];
  const listener = (message: FeedMessage): void => {
    if (message.type === "records") {
      const records = JSON.parse(message.json) as (ReturnType<typeof node> & { runName: string })[];
      const name = (each: (typeof records)[number]): string =>
        each.action ? (each.meetsFilter ? "" : "-") + each.action.name : each.runName;
      heard.push(`records ${records.map(name).join(" ")}`);
    } else if (message.type === "state") {
      heard.push(`state ${message.state.status}`);
    } else {
      heard.push(message.type);
    }
  };
  feed.join(topic, listener);
  vi.advanceTimersByTime(0);
  return { heard, leave: () => feed.leave(topic, listener) };
}

function answer(status: number, body: unknown = {}): void {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => ({ ok: status < 400, status, statusText: "", json: async () => body })),
  );
}

/** What the newest connection asks for. */
function asked(): Record<string, string[]> {
  const query = new URL(FakeEventSource.last.url).searchParams;
  return Object.fromEntries([...query.keys()].map((key) => [key, query.getAll(key)]));
}

let feed: Feed;

beforeEach(() => {
  vi.useFakeTimers();
  FakeEventSource.all = [];
  vi.stubGlobal("EventSource", FakeEventSource);
  answer(200);
  feed = new Feed("http://h/");
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function sync(id: string, ...topics: Topic[]): void {
  const source = FakeEventSource.last;
  for (const topic of topics) source.send("synced", of(topic));
  source.send("position", {}, id);
}

function snapshot(...names: string[]): void {
  const source = FakeEventSource.last;
  source.open();
  source.send("reset", of(RUN));
  for (const name of names) source.send("nodeUpdate", node(name));
  sync("id.1", RUN);
}

describe("a connection", () => {
  it("asks for its topics, and tells the snapshot in bundles, then that it is complete and live", () => {
    const { heard } = listen(feed);
    expect(asked()).toEqual({ run: ["p/d/r"], follow: ["true"] });
    snapshot("a", "b");
    expect(heard).toEqual([
      "state connecting",
      "state catching-up",
      "reset",
      "records a b",
      "synced",
      "state live",
    ]);
  });

  it("bundles what comes in a burst, and does not hold it for long", () => {
    const { heard } = listen(feed);
    snapshot("a");
    heard.length = 0;
    FakeEventSource.last.send("nodeUpdate", node("b"));
    FakeEventSource.last.send("nodeUpdate", node("c"));
    expect(heard).toEqual([]);
    vi.advanceTimersByTime(20);
    expect(heard).toEqual(["records b c"]);
  });

  it("tells that there is no such run, and when there is", () => {
    const { heard } = listen(feed);
    FakeEventSource.last.open();
    FakeEventSource.last.send("absent", { ...of(RUN), reason: "not-found" });
    expect(heard.slice(-2)).toEqual(["absent", "state live"]);
    expect(listen(feed).heard).toEqual(["absent", "state live"]);
    FakeEventSource.last.send("nodeUpdate", node("a"));
    sync("id.1", RUN);
    expect(heard.slice(-2)).toEqual(["records a", "synced"]);
  });
});

describe("many topics", () => {
  it("take one connection, opened anew from where it was when the set changes; what stays is live all along", () => {
    const { heard } = listen(feed);
    snapshot("a");
    heard.length = 0;
    const list = listen(feed, LIST);
    expect(FakeEventSource.all).toHaveLength(2);
    expect(FakeEventSource.all[0]!.readyState).toBe(FakeEventSource.CLOSED);
    expect(asked()).toEqual({
      run: ["p/d/r"],
      list: ["*/*;limit=200"],
      follow: ["true"],
      lastEventId: ["id.1"],
    });
    FakeEventSource.last.open();
    sync("id.2", RUN, LIST);
    expect(heard).toEqual(["synced"]);
    expect(list.heard.slice(-2)).toEqual(["synced", "state live"]);
  });

  it("go from the set a while after nobody listens to them, and not if somebody comes back", () => {
    const run = listen(feed);
    const list = listen(feed, LIST);
    list.leave();
    vi.advanceTimersByTime(LINGER_MS / 2);
    const again = listen(feed, LIST);
    vi.advanceTimersByTime(LINGER_MS * 2);
    expect(asked()["list"]).toEqual([LIST.value]);
    again.leave();
    vi.advanceTimersByTime(LINGER_MS + 1);
    expect(asked()["list"]).toBeUndefined();
    run.leave();
    vi.advanceTimersByTime(LINGER_MS + 1);
    expect(FakeEventSource.last.readyState).toBe(FakeEventSource.CLOSED);
  });

  it("that are refused leave the others be", async () => {
    const run = listen(feed);
    const list = listen(feed, LIST);
    vi.stubGlobal("fetch", async (address: string) => {
      const status = new URL(address).searchParams.has("run") ? 403 : 200;
      return {
        ok: status < 400,
        status,
        statusText: "",
        json: async () => ({ detail: "not yours" }),
      };
    });
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    FakeEventSource.last.open();
    expect(run.heard.at(-1)).toBe("state failed");
    expect(list.heard).not.toContain("state failed");
    expect(asked()).toEqual({ list: [LIST.value], follow: ["true"] });
  });

  it("that do not fit into one request take another", () => {
    const feeds = new Feeds("http://h/");
    const first = feeds.for(RUN);
    const join = (topic: Topic): Feed => {
      const found = feeds.for(topic);
      found.join(topic, () => undefined);
      return found;
    };
    for (let index = 0; index < 100; index++) join({ kind: "run", value: `p/d/${index}` });
    const other = feeds.for({ kind: "run", value: "p/d/more" });
    expect(other).not.toBe(first);
    expect(join({ kind: "run", value: "p/d/7" })).toBe(first);
    expect(join({ kind: "run", value: `p/d/${"x".repeat(5000)}` })).toBe(other);
    expect(feeds.for({ kind: "run", value: `p/d/${"y".repeat(5000)}` })).not.toBe(other);
    first.close();
    other.close();
  });
});

describe("several cells", () => {
  const run = (name: string, cell: string, more = {}) => ({
    ...of(LIST),
    cell,
    project: "p",
    domain: "d",
    runName: name,
    ...more,
  });
  /** What a listener that joins now is told of the list's runs. */
  const shown = (): string[] => {
    const names: string[] = [];
    const listener = (message: FeedMessage): void => {
      if (message.type !== "records") return;
      const records = JSON.parse(message.json) as ReturnType<typeof run>[];
      names.push(...records.map(({ runName, cell }) => `${runName} of ${cell}`));
    };
    feed.join(LIST, listener);
    feed.leave(LIST, listener);
    return names;
  };
  const begin = (): { heard: string[] } => {
    const list = listen(feed, LIST);
    FakeEventSource.last.open();
    FakeEventSource.last.send("cells", { unavailable: [] });
    for (const [name, cell] of [
      ["a", "1"],
      ["b", "2"],
      ["c", "2"],
    ] as const)
      FakeEventSource.last.send("runUpdate", run(name, cell));
    sync("id.1", LIST);
    return list;
  };

  it("are told of when one is away, and to who comes then", () => {
    const away: string[][] = [];
    const listener = (message: FeedMessage): void => {
      if (message.type === "cells") away.push(message.away);
    };
    begin();
    feed.join(LIST, listener);
    FakeEventSource.last.send("cells", { unavailable: ["2"] });
    feed.leave(LIST, listener);
    feed.join(LIST, listener);
    FakeEventSource.last.send("cells", { unavailable: [] });
    expect(away).toEqual([["2"], ["2"], []]);
  });

  it("are reset one by one", () => {
    const { heard } = begin();
    heard.length = 0;
    FakeEventSource.last.send("reset", { ...of(LIST), cell: "2" });
    expect(heard).toEqual(["reset"]);
    expect(shown()).toEqual(["a of 1"]);
    FakeEventSource.last.send("runUpdate", run("d", "2"));
    FakeEventSource.last.send("synced", { ...of(LIST), cell: "2", runs: 1 });
    expect(shown()).toEqual(["a of 1", "d of 2"]);
  });

  it("keep a run that another of them has lost", () => {
    begin();
    FakeEventSource.last.send("runUpdate", run("a", "2"));
    FakeEventSource.last.send("runUpdate", run("a", "1", { deleted: true }));
    FakeEventSource.last.send("runUpdate", run("b", "2", { deleted: true }));
    expect(shown()).toEqual(["c of 2", "a of 2"]);
  });

  it("do not take a run away that cannot be read", () => {
    const { heard } = listen(feed);
    snapshot("a");
    FakeEventSource.last.send("absent", { ...of(RUN), reason: "unavailable" });
    expect(heard.at(-1)).toBe("state reconnecting");
    expect(listen(feed).heard).toEqual(["records a", "synced", "state reconnecting"]);
    sync("id.2", RUN);
    expect(heard.at(-1)).toBe("state live");
  });
});

describe("a listener that joins late", () => {
  it("is told what there is now, without another connection", () => {
    listen(feed);
    snapshot("a", "b");
    FakeEventSource.last.send("nodeUpdate", node("a", false));
    FakeEventSource.last.send("nodeUpdate", node("c"));
    expect(listen(feed).heard).toEqual(["records b c", "synced", "state live"]);
    expect(FakeEventSource.all).toHaveLength(1);
  });
});

describe("a reset", () => {
  it("voids what was known", () => {
    const { heard } = listen(feed);
    snapshot("a", "b");
    heard.length = 0;
    FakeEventSource.last.send("reset", of(RUN));
    FakeEventSource.last.send("nodeUpdate", node("z"));
    sync("id.9", RUN);
    expect(heard).toEqual(["reset", "records z", "synced"]);
    expect(listen(feed).heard).toEqual(["records z", "synced", "state live"]);
  });
});

describe("a lost connection", () => {
  it("is left to the browser to open again, which resumes", async () => {
    const { heard } = listen(feed);
    snapshot("a");
    heard.length = 0;
    FakeEventSource.last.break(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard[0]).toBe("state reconnecting");
    expect(FakeEventSource.all).toHaveLength(1);
    FakeEventSource.last.open();
    FakeEventSource.last.send("nodeUpdate", node("b"));
    sync("id.2", RUN);
    expect(heard.slice(-4)).toEqual(["state catching-up", "records b", "synced", "state live"]);
    expect(heard).not.toContain("reset");
  });

  it("says why, and about when it is tried again", async () => {
    answer(503, { detail: "The database is away." });
    let state: StreamState | null = null;
    feed.join(RUN, (message) => {
      if (message.type === "state") state = message.state;
    });
    vi.advanceTimersByTime(0);
    snapshot("a");
    FakeEventSource.last.break(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(fetch).toHaveBeenCalledWith("http://h/readyz", expect.anything());
    expect(state).toMatchObject({
      status: "reconnecting",
      reason: "The database is away.",
      nextTryIsExact: false,
    });
  });
});

describe("a connection that has fallen silent", () => {
  it("is opened again from where it was, for the browser does not notice", async () => {
    const { heard } = listen(feed);
    snapshot("a");
    await vi.advanceTimersByTimeAsync(44_000);
    FakeEventSource.last.send("heartbeat", {});
    await vi.advanceTimersByTimeAsync(44_000);
    expect(FakeEventSource.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(FakeEventSource.all).toHaveLength(2);
    expect(asked()["lastEventId"]).toEqual(["id.1"]);
    expect(heard.at(-1)).toBe("state reconnecting");
    FakeEventSource.last.open();
    sync("id.2", RUN);
    expect(heard.at(-1)).toBe("state live");
  });
});

describe("an answer that is no stream", () => {
  it("is tried again with the id in the query, later each time", async () => {
    answer(502);
    listen(feed);
    snapshot("a");
    const waits: number[] = [];
    for (let round = 0; round < 4; round++) {
      const before = FakeEventSource.all.length;
      const began = Date.now();
      FakeEventSource.last.break(true);
      while (FakeEventSource.all.length === before) await vi.advanceTimersByTimeAsync(50);
      waits.push(Date.now() - began);
      expect(asked()["lastEventId"]).toEqual(["id.1"]);
    }
    expect(waits[0]).toBeGreaterThanOrEqual(750);
    expect(waits[0]).toBeLessThanOrEqual(1300);
    expect(waits[3]).toBeGreaterThanOrEqual(6000);
    expect(waits[3]).toBeLessThanOrEqual(10_050);
  });

  it("is tried at once when the reader asks for it", async () => {
    answer(502);
    listen(feed);
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    feed.retry();
    expect(FakeEventSource.all).toHaveLength(2);
  });

  it("says that the server wants to know who asks, and asks again for who joins then", async () => {
    answer(401, { detail: "A token is needed." });
    let state: StreamState | null = null;
    feed.join(RUN, (message) => {
      if (message.type === "state") state = message.state;
    });
    vi.advanceTimersByTime(0);
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    expect(state).toMatchObject({ status: "failed", needsSignIn: true });
    listen(feed).leave();
    expect(FakeEventSource.all).toHaveLength(2);
  });

  it("is followed on by who comes back to it after it was refused", async () => {
    const stranger = listen(feed);
    answer(401);
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    stranger.leave();
    const friend = listen(feed);
    snapshot("a");
    vi.advanceTimersByTime(LINGER_MS * 2);
    expect(FakeEventSource.last.readyState).toBe(FakeEventSource.OPEN);
    expect(friend.heard.at(-1)).toBe("state live");
  });
});
