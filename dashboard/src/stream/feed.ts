import { problemText } from "../api/client";
import { CONNECTING, type FeedMessage, type RecordKind, type StreamState } from "./protocol";

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

export type FeedListener = (message: FeedMessage) => void;

/** Which node or run a record is about, and whether it takes it away. */
function describe(record: RecordKind, data: string): { key: string; gone: boolean } {
  if (record === "nodeUpdate") {
    const { action, meetsFilter } = JSON.parse(data) as {
      action: { name: string };
      meetsFilter: boolean;
    };
    return { key: action.name, gone: !meetsFilter };
  }
  const run = JSON.parse(data) as {
    project: string;
    domain: string;
    runName: string;
    deleted?: boolean;
  };
  return { key: [run.project, run.domain, run.runName].join("\u001f"), gone: run.deleted === true };
}

/**
 * One EventSource and what came over it, for any number of listeners. A listener that joins late is
 * first told what the others already know, so that it needs no connection of its own.
 *
 * The browser's EventSource reconnects by itself and resumes by Last-Event-ID. It gives up for good
 * when the answer is no event stream (a proxy's 502 while the server restarts); then the feed finds
 * out why and opens a new one, with the id in the query.
 */
export class Feed {
  #source: EventSource | null = null;
  #listeners = new Set<FeedListener>();
  #known = new Map<string, string>();
  #pending: string[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #silenceTimer: ReturnType<typeof setTimeout> | null = null;
  #isSynced = false;
  #lastEventId = "";
  #retryGuessMs = FIRST_RETRY_GUESS_MS;
  #backoffMs = BACKOFF_MIN_MS;
  #lostAt = 0;
  #state = CONNECTING;

  constructor(
    readonly url: string,
    readonly record: RecordKind,
  ) {
    this.#open();
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** Tells the listener what is known so far, and from now on everything that comes. What was
   *  over may have gone on since, and what was refused may be allowed, so then the server is asked again. */
  join(listener: FeedListener): void {
    if (this.#state.status === "ended" || this.#state.status === "failed") this.#open();
    this.#flush();
    const records = [...this.#known.values()];
    for (let from = 0; from < records.length; from += FLUSH_RECORDS) {
      listener({
        type: "records",
        json: `[${records.slice(from, from + FLUSH_RECORDS).join(",")}]`,
      });
    }
    if (this.#isSynced) listener({ type: "synced" });
    listener({ type: "state", state: this.#state });
    this.#listeners.add(listener);
  }

  leave(listener: FeedListener): void {
    this.#listeners.delete(listener);
  }

  /** Tries again at once instead of waiting. */
  retry(): void {
    const { status } = this.#state;
    if (status === "reconnecting" || status === "failed" || status === "ended") this.#open();
  }

  close(): void {
    this.#source?.close();
    this.#source = null;
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#flushTimer = this.#retryTimer = null;
    this.#stopListeningForSilence();
    this.#listeners.clear();
  }

  #readyUrl(): string {
    return this.url.replace(/\/v1\/.*$/, "/readyz");
  }

  #resumeUrl(): string {
    if (!this.#lastEventId) return this.url;
    const separator = this.url.includes("?") ? "&" : "?";
    return `${this.url}${separator}lastEventId=${encodeURIComponent(this.#lastEventId)}`;
  }

  #open(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#source?.close();
    const source = new EventSource(this.#resumeUrl());
    this.#source = source;
    if (this.#state.status !== "reconnecting") this.#setState("connecting");
    const on = (type: string, handler: (event: MessageEvent<string>) => void): void =>
      source.addEventListener(type, (event) => {
        if (this.#source !== source) return;
        this.#listenForSilence();
        const message = event as MessageEvent<string>;
        if (message.lastEventId) this.#lastEventId = message.lastEventId;
        handler(message);
      });
    source.addEventListener("open", () => this.#source === source && this.#connected());
    source.addEventListener("error", () => this.#source === source && this.#lost(source));
    on(this.record, ({ data }) => this.#take(data));
    on("reset", () => this.#reset());
    on("synced", () => this.#synced());
    on("heartbeat", () => undefined);
    on("end", () => {
      this.#flush();
      source.close();
      this.#stopListeningForSilence();
      this.#setState("ended");
    });
  }

  #connected(): void {
    this.#listenForSilence();
    this.#setState("catching-up");
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

  #take(data: string): void {
    const { key, gone } = describe(this.record, data);
    this.#known.delete(key);
    if (!gone) this.#known.set(key, data);
    this.#pending.push(data);
    if (this.#pending.length >= FLUSH_RECORDS) this.#flush();
    else this.#flushTimer ??= setTimeout(() => this.#flush(), FLUSH_DELAY_MS);
  }

  #synced(): void {
    this.#flush();
    this.#isSynced = true;
    this.#backoffMs = BACKOFF_MIN_MS;
    this.#lostAt = 0;
    this.#tell({ type: "synced" });
    this.#setState("live");
  }

  #reset(): void {
    this.#known.clear();
    this.#pending.length = 0;
    this.#isSynced = false;
    this.#tell({ type: "reset" });
  }

  #flush(): void {
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
    if (this.#pending.length === 0) return;
    const json = `[${this.#pending.join(",")}]`;
    this.#pending.length = 0;
    this.#tell({ type: "records", json });
  }

  #lost(source: EventSource): void {
    this.#flush();
    this.#stopListeningForSilence();
    // Without an id the next connection brings a new snapshot, and what is known may be out of date.
    if (!this.#lastEventId && this.#known.size > 0) this.#reset();
    if (source.readyState === EventSource.CLOSED) {
      void this.#findOutWhyRefused(source);
      return;
    }
    const now = Date.now();
    if (this.#lostAt > 0 && this.#state.status === "reconnecting")
      this.#retryGuessMs = now - this.#lostAt;
    this.#lostAt = now;
    this.#reconnecting(
      this.#state.reason || "The connection was lost",
      now + this.#retryGuessMs,
      false,
    );
    void this.#findOutWhyLost(source);
  }

  /** The EventSource says only that the connection is gone; /readyz tells whether the server is. */
  async #findOutWhyLost(source: EventSource): Promise<void> {
    let reason = "The connection was cut";
    try {
      const answer = await fetch(this.#readyUrl(), { cache: "no-store" });
      if (!answer.ok) reason = await problemText(answer);
    } catch {
      reason = "The server does not answer";
    }
    if (this.#source !== source || this.#state.status !== "reconnecting") return;
    this.#reconnecting(reason, this.#state.nextTryAt, false);
  }

  /** The EventSource has given up; asks the same question once more to learn the status. */
  async #findOutWhyRefused(source: EventSource): Promise<void> {
    const abort = new AbortController();
    let status = 0;
    let reason = "The server does not answer";
    try {
      const answer = await fetch(this.#resumeUrl(), { signal: abort.signal, cache: "no-store" });
      status = answer.status;
      if (!answer.ok) reason = await problemText(answer);
    } catch {
      // The reason stands.
    }
    abort.abort();
    if (this.#source !== source) return;
    if (status === 204) {
      this.#setState("ended");
    } else if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      this.#setState("failed", reason, status === 401);
    } else {
      const waitMs = status === 200 ? 0 : this.#backoffMs * (0.75 + Math.random() / 2);
      this.#backoffMs = Math.min(BACKOFF_MAX_MS, this.#backoffMs * 2);
      this.#retryTimer = setTimeout(() => this.#open(), waitMs);
      this.#reconnecting(reason, Date.now() + waitMs, true);
    }
  }

  #reconnecting(reason: string, nextTryAt: number | null, nextTryIsExact: boolean): void {
    this.#state = { ...CONNECTING, status: "reconnecting", reason, nextTryAt, nextTryIsExact };
    this.#tell({ type: "state", state: this.#state });
  }

  #setState(status: StreamState["status"], reason = "", needsSignIn = false): void {
    if (this.#state.status === status && this.#state.reason === reason) return;
    this.#state = { ...CONNECTING, status, reason, needsSignIn };
    this.#tell({ type: "state", state: this.#state });
  }

  #tell(message: FeedMessage): void {
    for (const listener of this.#listeners) listener(message);
  }
}
