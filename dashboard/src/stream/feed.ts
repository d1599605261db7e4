import { problemText } from "../api/client";
import { CONNECTING, type FeedMessage, type StreamState, type Topic } from "./protocol";

/** Records that come in a burst are handed on together, at the latest after this time or this many. */
const FLUSH_DELAY_MS = 16;
const FLUSH_RECORDS = 500;
/** The server sends a heartbeat every 15 s. When nothing has come for so long, the connection is dead,
 *  whatever the browser believes: the computer has slept, or a proxy has forgotten it. */
const SILENCE_MAX_MS = 45_000;
/** What browsers wait before the first new try, until their behaviour here is known. */
const FIRST_RETRY_GUESS_MS = 3000;
/** Tries of our own, after the browser has given up: doubled each time, between these two. */
const BACKOFF_MIN_MS = 1000;
const BACKOFF_MAX_MS = 15_000;
/** A topic that nobody listens to is kept this long, so that a reload finds it still followed. */
export const LINGER_MS = 3000;
/** What fits into the head of a request: so many topics, of so many characters as they are in the address. */
const TOPICS_MAX = 100;
const CHARACTERS_MAX = 9000;

export type FeedListener = (message: FeedMessage) => void;

/** What is known of one topic, and who listens to it. */
interface Followed {
  topic: Topic;
  listeners: Set<FeedListener>;
  /** By what each is about, the text of the last record. */
  known: Map<string, string>;
  pending: string[];
  isSynced: boolean;
  isAbsent: boolean;
  state: StreamState;
  linger: ReturnType<typeof setTimeout> | null;
}

interface OfTopic {
  subscription: string;
  cell?: string;
}

/** What is said of a topic as a whole. */
interface TopicRecord extends OfTopic {
  reason?: string;
}

interface NodeRecord extends OfTopic {
  action: { name: string };
  meetsFilter: boolean;
}

interface RunRecord extends OfTopic {
  project: string;
  domain: string;
  runName: string;
  deleted?: boolean;
}

interface Answer {
  status: number;
  /** "" for none. */
  reason: string;
}

/** Whether to ask the same again is of no use. */
function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

function cellOf(data: string): string | undefined {
  return (JSON.parse(data) as OfTopic).cell;
}

/**
 * One EventSource for many topics, and what came over it, for any number of listeners. A listener that joins
 * late is first told what the others already know. When the set of topics changes, the connection is opened anew
 * from where it was; what stays in the set is not sent again.
 *
 * The browser's EventSource reconnects by itself and resumes by Last-Event-ID. It gives up for good
 * when the answer is no event stream (a proxy's 502 while the server restarts); then the feed finds
 * out why and opens a new one, with the id in the query.
 */
export class Feed {
  #followed = new Map<string, Followed>();
  #source: EventSource | null = null;
  #setTimer: ReturnType<typeof setTimeout> | null = null;
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #silenceTimer: ReturnType<typeof setTimeout> | null = null;
  #lastEventId = "";
  #retryGuessMs = FIRST_RETRY_GUESS_MS;
  #backoffMs = BACKOFF_MIN_MS;
  #lostAt = 0;
  #away: string[] = [];

  /** `base` is where the service is, with a slash at its end. */
  constructor(private readonly base: string) {}

  /** Whether a topic is followed, or can be with the others. */
  hasRoomFor(topic: Topic): boolean {
    if (this.#followed.has(topic.value)) return true;
    const url = this.#url([...this.#topics(), topic]);
    return this.#followed.size < TOPICS_MAX && url.length < CHARACTERS_MAX;
  }

  /** Tells the listener what is known of the topic so far, and from now on everything that comes. What was
   *  refused may be allowed now, so then the server is asked again. */
  join(topic: Topic, listener: FeedListener): void {
    let followed = this.#followed.get(topic.value);
    if (!followed) {
      followed = {
        topic,
        listeners: new Set(),
        known: new Map(),
        pending: [],
        isSynced: false,
        isAbsent: false,
        state: CONNECTING,
        linger: null,
      };
      this.#followed.set(topic.value, followed);
      this.#changeSet();
    } else if (followed.state.status === "failed") {
      this.#setState(followed, CONNECTING);
      this.#changeSet();
    }
    if (followed.linger !== null) clearTimeout(followed.linger);
    followed.linger = null;
    this.#flush(followed);
    const records = [...followed.known.values()];
    for (let from = 0; from < records.length; from += FLUSH_RECORDS) {
      listener({
        type: "records",
        json: `[${records.slice(from, from + FLUSH_RECORDS).join(",")}]`,
      });
    }
    if (followed.isAbsent) listener({ type: "absent" });
    else if (followed.isSynced) listener({ type: "synced" });
    if (this.#away.length > 0) listener({ type: "cells", away: this.#away });
    listener({ type: "state", state: followed.state });
    followed.listeners.add(listener);
  }

  leave(topic: Topic, listener: FeedListener): void {
    const followed = this.#followed.get(topic.value);
    followed?.listeners.delete(listener);
    if (!followed || followed.listeners.size > 0 || followed.linger !== null) return;
    followed.linger = setTimeout(() => {
      this.#followed.delete(topic.value);
      this.#changeSet();
    }, LINGER_MS);
  }

  /** Tries again at once instead of waiting. */
  retry(): void {
    for (const followed of this.#followed.values())
      if (followed.state.status === "failed") this.#setState(followed, CONNECTING);
    if (this.#retryTimer !== null || this.#source?.readyState !== EventSource.OPEN) this.#open();
  }

  close(): void {
    this.#disconnect();
    if (this.#setTimer !== null) clearTimeout(this.#setTimer);
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    for (const { linger } of this.#followed.values()) if (linger !== null) clearTimeout(linger);
    this.#followed.clear();
  }

  #topics(): Topic[] {
    return [...this.#followed.values()]
      .filter(({ state }) => state.status !== "failed")
      .map(({ topic }) => topic);
  }

  #url(topics: readonly Topic[]): string {
    const query = new URLSearchParams(topics.map(({ kind, value }) => [kind, value]));
    query.set("follow", "true");
    if (this.#lastEventId) query.set("lastEventId", this.#lastEventId);
    return `${this.base}v1/watch?${query.toString()}`;
  }

  /** Once for all changes of one turn. */
  #changeSet(): void {
    this.#setTimer ??= setTimeout(() => {
      this.#setTimer = null;
      this.#open();
    }, 0);
  }

  #disconnect(): void {
    this.#source?.close();
    this.#source = null;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#stopListeningForSilence();
  }

  #open(): void {
    this.#disconnect();
    const topics = this.#topics();
    if (topics.length === 0) return;
    const source = new EventSource(this.#url(topics));
    this.#source = source;
    const on = (type: string, handler: (data: string) => void): void =>
      source.addEventListener(type, (event) => {
        if (this.#source !== source) return;
        this.#listenForSilence();
        const { data, lastEventId } = event as MessageEvent<string>;
        if (lastEventId) this.#lastEventId = lastEventId;
        handler(data);
      });
    source.addEventListener("open", () => this.#source === source && this.#connected());
    source.addEventListener("error", () => this.#source === source && this.#lost(source));
    on("nodeUpdate", (data) => {
      const { subscription, action, meetsFilter } = JSON.parse(data) as NodeRecord;
      this.#take(subscription, action.name, data, !meetsFilter);
    });
    on("runUpdate", (data) => {
      const { subscription, cell, project, domain, runName, deleted } = JSON.parse(
        data,
      ) as RunRecord;
      const key = [project, domain, runName].join("\u001f");
      const known = this.#followed.get(subscription)?.known.get(key);
      // It may have been made anew in another cell.
      if (!deleted || !known || cellOf(known) === cell)
        this.#take(subscription, key, data, deleted === true);
    });
    on("reset", (data) => this.#of(data, (followed, { cell }) => this.#reset(followed, cell)));
    on("synced", (data) => this.#of(data, (followed) => this.#synced(followed)));
    on("absent", (data) =>
      this.#of(data, (followed, { reason }) =>
        reason === "unavailable" ? this.#unavailable(followed) : this.#absent(followed),
      ),
    );
    on("cells", (data) => {
      this.#away = (JSON.parse(data) as { unavailable: string[] }).unavailable;
      for (const followed of this.#followed.values())
        this.#tell(followed, { type: "cells", away: this.#away });
    });
    on("position", () => undefined);
    on("heartbeat", () => undefined);
  }

  #of(data: string, handle: (followed: Followed, record: TopicRecord) => void): void {
    const record = JSON.parse(data) as TopicRecord;
    const followed = this.#followed.get(record.subscription);
    if (followed) handle(followed, record);
  }

  /** What was live before a change of the set stays so; the rest has to catch up. */
  #connected(): void {
    this.#listenForSilence();
    for (const followed of this.#followed.values())
      if (followed.state.status !== "live" && followed.state.status !== "failed")
        this.#setStatus(followed, "catching-up");
  }

  #listenForSilence(): void {
    this.#stopListeningForSilence();
    this.#silenceTimer = setTimeout(() => {
      this.#reconnecting("Nothing has come for a while", Date.now(), true);
      this.#open();
    }, SILENCE_MAX_MS);
  }

  #stopListeningForSilence(): void {
    if (this.#silenceTimer !== null) clearTimeout(this.#silenceTimer);
    this.#silenceTimer = null;
  }

  #take(value: string, key: string, data: string, isGone: boolean): void {
    const followed = this.#followed.get(value);
    if (!followed) return;
    followed.isAbsent = false;
    followed.known.delete(key);
    if (!isGone) followed.known.set(key, data);
    followed.pending.push(data);
    if (followed.pending.length >= FLUSH_RECORDS) this.#flush(followed);
    else this.#flushTimer ??= setTimeout(() => this.#flushAll(), FLUSH_DELAY_MS);
  }

  #synced(followed: Followed): void {
    this.#flush(followed);
    followed.isSynced = true;
    followed.isAbsent = false;
    this.#backoffMs = BACKOFF_MIN_MS;
    this.#lostAt = 0;
    this.#tell(followed, { type: "synced" });
    this.#setStatus(followed, "live");
  }

  #reset(followed: Followed, cell?: string): void {
    if (cell !== undefined) {
      this.#flush(followed);
      for (const [key, data] of followed.known)
        if (cellOf(data) === cell) followed.known.delete(key);
      this.#tell(followed, { type: "reset", cell });
      return;
    }
    followed.known.clear();
    followed.pending.length = 0;
    followed.isSynced = false;
    this.#tell(followed, { type: "reset" });
  }

  #absent(followed: Followed): void {
    followed.isAbsent = true;
    this.#tell(followed, { type: "absent" });
    this.#setStatus(followed, "live");
  }

  /** What is shown stays: it is old, not gone. */
  #unavailable(followed: Followed): void {
    const reason = "Its database cannot be read now";
    this.#setState(followed, { ...CONNECTING, status: "reconnecting", reason });
  }

  #flushAll(): void {
    this.#flushTimer = null;
    for (const followed of this.#followed.values()) this.#flush(followed);
  }

  #flush(followed: Followed): void {
    if (followed.pending.length === 0) return;
    const json = `[${followed.pending.join(",")}]`;
    followed.pending.length = 0;
    this.#tell(followed, { type: "records", json });
  }

  #lost(source: EventSource): void {
    this.#flushAll();
    this.#stopListeningForSilence();
    if (source.readyState === EventSource.CLOSED) {
      void this.#findOutWhyRefused(source);
      return;
    }
    const now = Date.now();
    if (this.#lostAt > 0) this.#retryGuessMs = now - this.#lostAt;
    this.#lostAt = now;
    this.#reconnecting("", now + this.#retryGuessMs, false);
    void this.#findOutWhyLost(source);
  }

  /** The EventSource says only that the connection is gone; /readyz tells whether the server is. */
  async #findOutWhyLost(source: EventSource): Promise<void> {
    let reason = "The connection was cut";
    try {
      const answer = await fetch(`${this.base}readyz`, { cache: "no-store" });
      if (!answer.ok) reason = await problemText(answer);
    } catch {
      reason = "The server does not answer";
    }
    if (this.#source === source && source.readyState !== EventSource.OPEN)
      this.#reconnecting(reason, this.#lostAt + this.#retryGuessMs, false);
  }

  /** The EventSource has given up; asks the same question once more to learn the status. */
  async #findOutWhyRefused(source: EventSource): Promise<void> {
    const topics = this.#topics();
    const { status, reason } = await this.#ask(topics);
    const isRefused = isRefusal(status);
    const alone =
      isRefused && status !== 401 && topics.length > 1
        ? await Promise.all(topics.map((topic) => this.#ask([topic])))
        : [];
    if (this.#source !== source) return;
    if (isRefused) {
      // One that is refused has the others refused along with it.
      const isAll = !alone.some((each) => isRefusal(each.status));
      topics.forEach(({ value }, index) => {
        const own = isAll ? { status, reason } : alone[index]!;
        const followed = this.#followed.get(value);
        if (followed && isRefusal(own.status)) this.#refused(followed, own);
      });
      this.#open();
      return;
    }
    const waitMs = status === 200 ? 0 : this.#backoffMs * (0.75 + Math.random() / 2);
    this.#backoffMs = Math.min(BACKOFF_MAX_MS, this.#backoffMs * 2);
    this.#retryTimer = setTimeout(() => this.#open(), waitMs);
    this.#reconnecting(reason, Date.now() + waitMs, true);
  }

  /** How the service answers to a stream of these topics; 0: not at all. */
  async #ask(topics: readonly Topic[]): Promise<Answer> {
    const abort = new AbortController();
    try {
      const answer = await fetch(this.#url(topics), { signal: abort.signal, cache: "no-store" });
      return { status: answer.status, reason: answer.ok ? "" : await problemText(answer) };
    } catch {
      return { status: 0, reason: "The server does not answer" };
    } finally {
      abort.abort();
    }
  }

  #refused(followed: Followed, { status, reason }: Answer): void {
    const needsSignIn = status === 401;
    this.#setState(followed, { ...CONNECTING, status: "failed", reason, needsSignIn });
  }

  #reconnecting(reason: string, nextTryAt: number | null, nextTryIsExact: boolean): void {
    for (const followed of this.#followed.values()) {
      if (followed.state.status === "failed") continue;
      this.#setState(followed, {
        ...CONNECTING,
        status: "reconnecting",
        reason: reason || followed.state.reason || "The connection was lost",
        nextTryAt,
        nextTryIsExact,
      });
    }
  }

  #setStatus(followed: Followed, status: StreamState["status"]): void {
    if (followed.state.status !== status) this.#setState(followed, { ...CONNECTING, status });
  }

  #setState(followed: Followed, state: StreamState): void {
    followed.state = state;
    this.#tell(followed, { type: "state", state });
  }

  #tell(followed: Followed, message: FeedMessage): void {
    for (const listener of followed.listeners) listener(message);
  }
}

/** One feed for all topics of a service, or as many as they need. */
export class Feeds {
  #feeds: Feed[] = [];

  constructor(private readonly base: string) {}

  for(topic: Topic): Feed {
    let feed = this.#feeds.find((each) => each.hasRoomFor(topic));
    if (!feed) {
      feed = new Feed(this.base);
      this.#feeds.push(feed);
    }
    return feed;
  }
}
