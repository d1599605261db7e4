/** The SharedWorker of all tabs: one connection for all that they watch. */
import { Feeds, type FeedListener } from "./feed";
import { PORT_SILENCE_MS, type FeedCommand, type FeedMessage } from "./protocol";

const services = new Map<string, Feeds>();

function feedsOf(base: string): Feeds {
  let feeds = services.get(base);
  if (!feeds) {
    feeds = new Feeds(base);
    services.set(base, feeds);
  }
  return feeds;
}

function serve(port: MessagePort): void {
  let subscription: { retry: () => void; leave: () => void } | null = null;
  let silence: ReturnType<typeof setTimeout> | null = null;
  const listener: FeedListener = (message) => port.postMessage(message);

  const leave = (): void => {
    if (silence !== null) clearTimeout(silence);
    subscription?.leave();
    subscription = null;
    port.close();
  };
  const heard = (): void => {
    if (silence !== null) clearTimeout(silence);
    silence = setTimeout(leave, PORT_SILENCE_MS);
  };

  port.onmessage = ({ data }: MessageEvent<FeedCommand>) => {
    heard();
    if (data.type === "watch" && !subscription) {
      const { topic } = data;
      const feed = feedsOf(data.base).for(topic);
      subscription = { retry: () => feed.retry(), leave: () => feed.leave(topic, listener) };
      feed.join(topic, listener);
    } else if (data.type === "ping") {
      port.postMessage({ type: "pong" } satisfies FeedMessage);
    } else if (data.type === "retry") {
      subscription?.retry();
    } else if (data.type === "leave") {
      leave();
    }
  };
}

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port) serve(port);
});
