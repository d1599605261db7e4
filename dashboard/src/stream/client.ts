import { serviceUrl } from "../api/base";
import { askForSignIn } from "../api/session";
import { Feed, type FeedListener } from "./feed";
import {
  PING_INTERVAL_MS,
  PONG_TIMEOUT_MS,
  type FeedCommand,
  type FeedMessage,
  type RecordKind,
} from "./protocol";

export interface Subscription {
  /** Tries again at once instead of waiting. */
  retry(): void;
  close(): void;
}

/**
 * Watches a path of the service: through the SharedWorker, so that all tabs share one connection, or directly
 * where the browser has no SharedWorker (Chrome on Android).
 */
export function subscribe(path: string, record: RecordKind, tell: FeedListener): Subscription {
  const url = serviceUrl(path);
  const listener: FeedListener = (message) => {
    if (message.type === "state" && message.state.needsSignIn) askForSignIn();
    tell(message);
  };
  return typeof SharedWorker === "undefined"
    ? subscribeDirectly(url, record, listener)
    : new SharedSubscription(url, record, listener);
}

function subscribeDirectly(url: string, record: RecordKind, listener: FeedListener): Subscription {
  const feed = new Feed(url, record);
  feed.join(listener);
  return { retry: () => feed.retry(), close: () => feed.close() };
}

/** A page's end of the SharedWorker: a port of its own for each address. */
class SharedSubscription implements Subscription {
  #port: MessagePort | null = null;
  #direct: Subscription | null = null;
  #pong: ReturnType<typeof setTimeout> | null = null;
  readonly #ping: ReturnType<typeof setInterval>;

  constructor(
    private readonly url: string,
    private readonly record: RecordKind,
    private readonly listener: FeedListener,
  ) {
    this.#connect();
    this.#ping = setInterval(() => this.#send({ type: "ping" }), PING_INTERVAL_MS);
    addEventListener("pagehide", this.#leave);
    document.addEventListener("visibilitychange", this.#checkWhenSeen);
  }

  retry(): void {
    if (this.#direct) this.#direct.retry();
    else this.#send({ type: "retry" });
  }

  close(): void {
    clearInterval(this.#ping);
    this.#heard();
    removeEventListener("pagehide", this.#leave);
    document.removeEventListener("visibilitychange", this.#checkWhenSeen);
    this.#leave();
    this.#direct?.close();
  }

  #connect(): void {
    const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), {
      type: "module",
      name: "runtree-streams",
    });
    worker.onerror = () => {
      this.#port = null;
      this.#direct ??= subscribeDirectly(this.url, this.record, this.listener);
    };
    const { port } = worker;
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<FeedMessage>) => {
      if (this.#port !== port) return;
      this.#heard();
      if (data.type !== "pong") this.listener(data);
    };
    this.#send({ type: "watch", url: this.url, record: this.record });
  }

  #send(command: FeedCommand): void {
    this.#port?.postMessage(command);
  }

  #leave = (): void => {
    this.#send({ type: "leave" });
    this.#port = null;
  };

  /** Browsers freeze a page that is hidden for long; the worker has then given it up. */
  #checkWhenSeen = (): void => {
    if (document.hidden || this.#direct || this.#pong !== null) return;
    this.#send({ type: "ping" });
    this.#pong = setTimeout(() => {
      this.#pong = null;
      this.#leave();
      this.listener({ type: "reset" });
      this.#connect();
    }, PONG_TIMEOUT_MS);
  };

  #heard(): void {
    if (this.#pong !== null) clearTimeout(this.#pong);
    this.#pong = null;
  }
}
