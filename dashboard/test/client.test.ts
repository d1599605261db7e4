import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { subscribe } from "../src/stream/client";
import type { FeedCommand, FeedMessage } from "../src/stream/protocol";

/** The page's end of a SharedWorker whose other end the test holds. */
class FakePort {
  onmessage: ((event: { data: FeedMessage }) => void) | null = null;
  sent: string[] = [];
  postMessage({ type }: FeedCommand): void {
    this.sent.push(type);
  }
  say(data: FeedMessage): void {
    this.onmessage?.({ data });
  }
}

let ports: FakePort[];
let workers: { port: FakePort; onerror: (() => void) | null }[];
let page: EventTarget & { hidden: boolean; baseURI: string };

beforeEach(() => {
  vi.useFakeTimers();
  ports = [];
  workers = [];
  page = Object.assign(new EventTarget(), { hidden: false, baseURI: "http://host/" });
  vi.stubGlobal("document", page);
  const window = new EventTarget();
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window));
  vi.stubGlobal("dispatchEvent", window.dispatchEvent.bind(window));
  vi.stubGlobal(
    "SharedWorker",
    class {
      port = new FakePort();
      onerror: (() => void) | null = null;
      constructor() {
        ports.push(this.port);
        workers.push(this);
      }
    },
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const TOPIC = { kind: "run", value: "p/d/r" } as const;

function see(): void {
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
}

it("watches through the worker, says that it is there, and leaves", () => {
  const heard: FeedMessage[] = [];
  const subscription = subscribe(TOPIC, (message) => heard.push(message));
  ports[0]!.say({ type: "synced" });
  ports[0]!.say({ type: "pong" });
  expect(heard).toEqual([{ type: "synced" }]);
  vi.advanceTimersByTime(61_000);
  subscription.close();
  vi.advanceTimersByTime(61_000);
  expect(ports[0]!.sent).toEqual(["watch", "ping", "ping", "leave"]);
});

it("joins anew when it is seen again and the worker has given it up", () => {
  const heard: FeedMessage[] = [];
  const subscription = subscribe(TOPIC, (message) => heard.push(message));
  see();
  ports[0]!.say({ type: "pong" });
  vi.advanceTimersByTime(5000);
  expect(ports).toHaveLength(1);
  see();
  vi.advanceTimersByTime(5000);
  expect(ports).toHaveLength(2);
  expect(heard).toEqual([{ type: "reset" }]);
  ports[0]!.say({ type: "synced" });
  ports[1]!.say({ type: "synced" });
  expect(heard).toEqual([{ type: "reset" }, { type: "synced" }]);
  subscription.close();
});

it("opens a stream of its own where the worker does not start", () => {
  const opened: string[] = [];
  vi.stubGlobal(
    "EventSource",
    class extends EventTarget {
      constructor(url: string) {
        super();
        opened.push(url);
      }
      close(): void {}
    },
  );
  const subscription = subscribe(TOPIC, () => undefined);
  workers[0]!.onerror?.();
  vi.advanceTimersByTime(0);
  expect(opened).toEqual(["http://host/v1/watch?run=p%2Fd%2Fr&follow=true"]);
  subscription.close();
});
