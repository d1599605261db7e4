/** What passes between a page and the feed that holds its EventSource, in the same thread or another. */

export type StreamStatus =
  /** Waiting for the first answer. */
  | "connecting"
  /** Connected; the snapshot or what was missed is still coming. */
  | "catching-up"
  | "live"
  /** The connection is lost and will be tried again. */
  | "reconnecting"
  /** The run is over and everything was sent. */
  | "ended"
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
  /** Everything known is void; a snapshot follows. */
  | { type: "reset" }
  | { type: "synced" }
  /** The answer to a ping: this port is still served. */
  | { type: "pong" };

export type FeedCommand =
  | { type: "watch"; url: string; record: RecordKind }
  | { type: "retry" }
  | { type: "ping" }
  | { type: "leave" };

/** The name of the records on a stream. */
export type RecordKind = "nodeUpdate" | "runUpdate";

/** How often a page says that it is still there, and after which silence the worker believes it gone.
 *  Browsers slow a hidden page's timers down to one in a minute. */
export const PING_INTERVAL_MS = 30_000;
export const PORT_SILENCE_MS = 200_000;

/** A page that is seen again asks whether it is still served, and waits so long for the answer. */
export const PONG_TIMEOUT_MS = 2000;
