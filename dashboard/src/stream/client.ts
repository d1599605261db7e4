import { askForSignIn } from "../api/session";
import { Feed, type FeedListener } from "./feed";
import { PING_INTERVAL_MS, type FeedCommand, type FeedMessage, type RecordKind } from "./protocol";

export interface Subscription {
  /** Tries again at once instead of waiting. */
  retry(): void;
  close(): void;
}

/**
 * Watches an address: through the SharedWorker, so that all tabs share one connection, or directly
 * where the browser has no SharedWorker (Chrome on Android).
 */
export function subscribe(url: string, record: RecordKind, tell: FeedListener): Subscription {
  const listener: FeedListener = (message) => {
    if (message.type === "state" && message.state.needsSignIn) askForSignIn();
    tell(message);
  };
  return typeof SharedWorker === "undefined"
    ? subscribeDirectly(url, record, listener)
    : subscribeShared(url, record, listener);
}

function subscribeDirectly(url: string, record: RecordKind, listener: FeedListener): Subscription {
  const feed = new Feed(url, record);
  feed.join(listener);
  return { retry: () => feed.retry(), close: () => feed.close() };
}

function subscribeShared(url: string, record: RecordKind, listener: FeedListener): Subscription {
  const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: "runtree-streams",
  });
  const { port } = worker;
  const send = (command: FeedCommand): void => port.postMessage(command);
  let fallback: Subscription | null = null;
  worker.onerror = () => {
    fallback ??= subscribeDirectly(url, record, listener);
  };
  port.onmessage = ({ data }: MessageEvent<FeedMessage>) => {
    if (!fallback) listener(data);
  };
  send({ type: "watch", url, record });
  const ping = setInterval(() => send({ type: "ping" }), PING_INTERVAL_MS);
  const leave = (): void => send({ type: "leave" });
  addEventListener("pagehide", leave);
  return {
    retry: () => (fallback ? fallback.retry() : send({ type: "retry" })),
    close: () => {
      clearInterval(ping);
      removeEventListener("pagehide", leave);
      leave();
      port.onmessage = null;
      fallback?.close();
    },
  };
}
