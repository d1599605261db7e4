import { serviceUrl } from "../api/base";
import { askForSignIn } from "../api/session";
import { Feeds, type FeedListener } from "./feed";
import {
  PING_INTERVAL_MS,
  PONG_TIMEOUT_MS,
  type FeedCommand,
  type FeedMessage,
  type Topic,
} from "./protocol";

export interface Subscription {
  /** Tries again at once instead of waiting. */
  retry(): void;
  close(): void;
}

/** Where there is no SharedWorker: the one connection of this page. */
let ownFeeds: Feeds | null = null;

/**
 * Watches a run or a list: through the SharedWorker, so that all tabs share one connection, or by a connection of
 * the page's own where the browser has no SharedWorker (Chrome on Android).
 */
export function subscribe(topic: Topic, tell: FeedListener): Subscription {
  const listener: FeedListener = (message) => {
    if (message.type === "state" && message.state.needsSignIn) askForSignIn();
    tell(message);
  };
  return typeof SharedWorker === "undefined"
    ? subscribeDirectly(topic, listener)
    : new SharedSubscription(topic, listener);
}

function subscribeDirectly(topic: Topic, listener: FeedListener): Subscription {
  ownFeeds ??= new Feeds(serviceUrl(""));
  const feed = ownFeeds.for(topic);
  feed.join(topic, listener);
  return { retry: () => feed.retry(), close: () => feed.leave(topic, listener) };
}

/** A page's end of the SharedWorker: a port of its own for each topic. */
class SharedSubscription implements Subscription {
  #port: MessagePort | null = null;
  #direct: Subscription | null = null;
  #pong: ReturnType<typeof setTimeout> | null = null;
  readonly #ping: ReturnType<typeof setInterval>;

  constructor(
    private readonly topic: Topic,
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
      this.#direct ??= subscribeDirectly(this.topic, this.listener);
    };
    const { port } = worker;
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<FeedMessage>) => {
      if (this.#port !== port) return;
      this.#heard();
      if (data.type !== "pong") this.listener(data);
    };
    this.#send({ type: "watch", base: serviceUrl(""), topic: this.topic });
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
