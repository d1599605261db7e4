/** The SharedWorker of all tabs: one Feed, and so one connection, for each address that is watched. */
import { Feed, type FeedListener } from "./feed";
import { PORT_SILENCE_MS, type FeedCommand, type FeedMessage } from "./protocol";

/** A feed without listeners is kept this long, so that a reload finds it still connected. */
const LINGER_MS = 3000;

const feeds = new Map<string, Feed>();

function feedOf(command: Extract<FeedCommand, { type: "watch" }>): Feed {
  let feed = feeds.get(command.url);
  if (!feed) {
    feed = new Feed(command.url, command.record);
    feeds.set(command.url, feed);
  }
  return feed;
}

function closeUnused(feed: Feed): void {
  if (feed.listenerCount > 0 || feeds.get(feed.url) !== feed) return;
  feeds.delete(feed.url);
  feed.close();
}

function serve(port: MessagePort): void {
  let feed: Feed | null = null;
  let silence: ReturnType<typeof setTimeout> | null = null;
  const listener: FeedListener = (message) => port.postMessage(message);

  const leave = (): void => {
    if (silence !== null) clearTimeout(silence);
    const left = feed;
    feed = null;
    port.close();
    if (!left) return;
    left.leave(listener);
    setTimeout(() => closeUnused(left), LINGER_MS);
  };
  const heard = (): void => {
    if (silence !== null) clearTimeout(silence);
    silence = setTimeout(leave, PORT_SILENCE_MS);
  };

  port.onmessage = ({ data }: MessageEvent<FeedCommand>) => {
    heard();
    if (data.type === "watch" && !feed) {
      feed = feedOf(data);
      feed.join(listener);
    } else if (data.type === "ping") {
      port.postMessage({ type: "pong" } satisfies FeedMessage);
    } else if (data.type === "retry") {
      feed?.retry();
    } else if (data.type === "leave") {
      leave();
    }
  };
}

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port) serve(port);
});
