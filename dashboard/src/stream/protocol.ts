/** What passes between a page and the feed that holds its EventSource, in the same thread or another. */

export type StreamStatus =
  /** Waiting for the first answer. */
  | "connecting"
  /** Connected; the snapshot or what was missed is still coming. */
  | "catching-up"
  | "live"
  /** The connection is lost and will be tried again. */
  | "reconnecting"
  /** The server refuses; trying again is of no use. */
  | "failed";

export interface StreamState {
  status: StreamStatus;
  /** Why, where the status needs a reason; "" otherwise. */
  reason: string;
  /** When the next try is due, in milliseconds since 1970; null if none is. */
  nextTryAt: number | null;
  /** Whether nextTryAt is known, or a guess of what the browser's EventSource will do. */
  nextTryIsExact: boolean;
  /** Whether the server refuses because it does not know who asks. */
  needsSignIn: boolean;
}

/** Before anything has come. */
export const CONNECTING: StreamState = {
  status: "connecting",
  reason: "",
  nextTryAt: null,
  nextTryIsExact: true,
  needsSignIn: false,
};

export type FeedMessage =
  | { type: "state"; state: StreamState }
  /** Records in the order in which they came: the text of a JSON array. */
  | { type: "records"; json: string }
  /** Everything known is void, or with a cell what is known of that one; a snapshot follows. */
  | { type: "reset"; cell?: string }
  | { type: "synced" }
  /** There is no such run, not yet or no more; the stream waits for it. */
  | { type: "absent" }
  /** Of a service with several databases: those that cannot be read now. */
  | { type: "cells"; away: string[] }
  /** The answer to a ping: this port is still served. */
  | { type: "pong" };

/** What is watched: a run or a list of runs, as /v1/watch takes it. */
export interface Topic {
  kind: "run" | "list";
  value: string;
}

export type FeedCommand =
  /** `base` is where the service is, with a slash at its end. */
  | { type: "watch"; base: string; topic: Topic }
  | { type: "retry" }
  | { type: "ping" }
  | { type: "leave" };

/** How often a page says that it is still there, and after which silence the worker believes it gone.
 *  Browsers slow a hidden page's timers down to one in a minute. */
export const PING_INTERVAL_MS = 30_000;
export const PORT_SILENCE_MS = 200_000;

/** A page that is seen again asks whether it is still served, and waits so long for the answer. */
export const PONG_TIMEOUT_MS = 2000;
