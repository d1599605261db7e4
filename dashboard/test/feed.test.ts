import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed } from "../src/stream/feed";
import type { FeedMessage, StreamState } from "../src/stream/protocol";
import { FakeEventSource } from "./fake_event_source";

const node = (name: string, meetsFilter = true) => ({
  action: { name, parent: null },
  childPhaseCounts: {},
  meetsFilter,
});

/** What a listener heard, in a short form: "records a b", "synced", "state live". */
function listen(feed: Feed): string[] {
  const heard: string[] = [];
  feed.join((message: FeedMessage) => {
    if (message.type === "records") {
      const records = JSON.parse(message.json) as ReturnType<typeof node>[];
      heard.push(
        `records ${records.map(({ action, meetsFilter }) => (meetsFilter ? "" : "-") + action.name).join(" ")}`,
      );
    } else if (message.type === "state") {
      heard.push(`state ${message.state.status}`);
    } else {
      heard.push(message.type);
    }
  });
  return heard;
}

function answer(status: number, body: unknown = {}): void {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => ({ ok: status < 400, status, statusText: "", json: async () => body })),
  );
}

let feed: Feed;

beforeEach(() => {
  vi.useFakeTimers();
  FakeEventSource.all = [];
  vi.stubGlobal("EventSource", FakeEventSource);
  answer(200);
  feed = new Feed("/watch", "nodeUpdate");
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function snapshot(...names: string[]): void {
  const source = FakeEventSource.last;
  source.open();
  for (const name of names) source.send("nodeUpdate", node(name));
  source.send("synced", {}, "id.1");
}

describe("a connection", () => {
  it("tells the snapshot in bundles, then that it is complete, then that it is live", () => {
    const heard = listen(feed);
    snapshot("a", "b");
    expect(heard).toEqual([
      "state connecting",
      "state catching-up",
      "records a b",
      "synced",
      "state live",
    ]);
  });

  it("bundles what comes in a burst, and does not hold it for long", () => {
    snapshot("a");
    const heard = listen(feed);
    heard.length = 0;
    FakeEventSource.last.send("nodeUpdate", node("b"));
    FakeEventSource.last.send("nodeUpdate", node("c"));
    expect(heard).toEqual([]);
    vi.advanceTimersByTime(20);
    expect(heard).toEqual(["records b c"]);
  });

  it("closes when the run has ended", () => {
    const heard = listen(feed);
    snapshot("a");
    FakeEventSource.last.send("end");
    expect(heard.at(-1)).toBe("state ended");
    expect(FakeEventSource.last.readyState).toBe(FakeEventSource.CLOSED);
  });
});

describe("a listener that joins late", () => {
  it("is told what there is now, without another connection", () => {
    snapshot("a", "b");
    FakeEventSource.last.send("nodeUpdate", node("a", false));
    FakeEventSource.last.send("nodeUpdate", node("c"));
    expect(listen(feed)).toEqual(["records b c", "synced", "state live"]);
    expect(FakeEventSource.all).toHaveLength(1);
  });

  it("asks again whether an ended run has gone on", () => {
    snapshot("a");
    FakeEventSource.last.send("end", {}, "id.2");
    listen(feed);
    expect(FakeEventSource.all).toHaveLength(2);
    expect(FakeEventSource.last.url).toBe("/watch?lastEventId=id.2");
  });
});

describe("a reset", () => {
  it("voids what was known", () => {
    const heard = listen(feed);
    snapshot("a", "b");
    heard.length = 0;
    FakeEventSource.last.send("reset");
    FakeEventSource.last.send("nodeUpdate", node("z"));
    FakeEventSource.last.send("synced", {}, "id.9");
    expect(heard).toEqual(["reset", "records z", "synced"]);
    expect(listen(feed)).toEqual(["records z", "synced", "state live"]);
  });
});

describe("a lost connection", () => {
  it("is left to the browser to open again, which resumes", async () => {
    const heard = listen(feed);
    snapshot("a");
    heard.length = 0;
    FakeEventSource.last.break(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard[0]).toBe("state reconnecting");
    expect(FakeEventSource.all).toHaveLength(1);
    FakeEventSource.last.open();
    FakeEventSource.last.send("nodeUpdate", node("b"));
    FakeEventSource.last.send("synced", {}, "id.2");
    expect(heard.slice(-4)).toEqual(["state catching-up", "records b", "synced", "state live"]);
    expect(heard).not.toContain("reset");
  });

  it("voids a snapshot that was cut, for without an id it is sent anew", () => {
    const heard = listen(feed);
    FakeEventSource.last.open();
    FakeEventSource.last.send("nodeUpdate", node("a"));
    FakeEventSource.last.break(false);
    expect(heard).toContain("reset");
  });

  it("says why, and about when it is tried again", async () => {
    answer(503, { detail: "The database is away." });
    let state: StreamState | null = null;
    feed.join((message) => {
      if (message.type === "state") state = message.state;
    });
    snapshot("a");
    FakeEventSource.last.break(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(state).toMatchObject({
      status: "reconnecting",
      reason: "The database is away.",
      nextTryIsExact: false,
    });
  });
});

describe("a connection that has fallen silent", () => {
  it("is opened again from where it was, for the browser does not notice", async () => {
    const heard = listen(feed);
    snapshot("a");
    await vi.advanceTimersByTimeAsync(44_000);
    FakeEventSource.last.send("heartbeat", { revision: 1 });
    await vi.advanceTimersByTimeAsync(44_000);
    expect(FakeEventSource.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(FakeEventSource.all).toHaveLength(2);
    expect(FakeEventSource.last.url).toBe("/watch?lastEventId=id.1");
    expect(heard.at(-1)).toBe("state reconnecting");
    FakeEventSource.last.open();
    FakeEventSource.last.send("synced", {}, "id.2");
    expect(heard.at(-1)).toBe("state live");
  });

  it("is no such thing once the run has ended", async () => {
    snapshot("a");
    FakeEventSource.last.send("end");
    await vi.advanceTimersByTimeAsync(120_000);
    expect(FakeEventSource.all).toHaveLength(1);
  });
});

describe("an answer that is no stream", () => {
  it("is tried again with the id in the query, later each time", async () => {
    answer(502);
    snapshot("a");
    const waits: number[] = [];
    for (let round = 0; round < 4; round++) {
      const before = FakeEventSource.all.length;
      const began = Date.now();
      FakeEventSource.last.break(true);
      while (FakeEventSource.all.length === before) await vi.advanceTimersByTimeAsync(50);
      waits.push(Date.now() - began);
      expect(FakeEventSource.last.url).toBe("/watch?lastEventId=id.1");
    }
    expect(waits[0]).toBeGreaterThanOrEqual(750);
    expect(waits[0]).toBeLessThanOrEqual(1300);
    expect(waits[3]).toBeGreaterThanOrEqual(6000);
    expect(waits[3]).toBeLessThanOrEqual(10_050);
  });

  it("is the end when it is 204", async () => {
    answer(204);
    const heard = listen(feed);
    snapshot("a");
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard.at(-1)).toBe("state ended");
  });

  it("says that the server wants to know who asks, and asks again for who joins then", async () => {
    answer(401, { detail: "A token is needed." });
    let state: StreamState | null = null;
    feed.join((message) => {
      if (message.type === "state") state = message.state;
    });
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(10);
    expect(state).toMatchObject({ status: "failed", needsSignIn: true });
    listen(feed);
    expect(FakeEventSource.all).toHaveLength(2);
  });

  it("is not tried again when the server knows no such run", async () => {
    answer(404, { detail: "There is no run r7." });
    const heard = listen(feed);
    FakeEventSource.last.break(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard.at(-1)).toBe("state failed");
    expect(FakeEventSource.all).toHaveLength(1);
    feed.retry();
    expect(FakeEventSource.all).toHaveLength(2);
  });
});
