import { serviceUrl } from "./base";
import { askForSignIn } from "./session";
import { clock } from "../model/clock";
import type { RunKey } from "../model/route";

/** What failed to be read is asked for again, after twice as long each time, up to the second. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 15_000;

/** A request that failed, with what the server said about it (RFC 9457) where it said something. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later: nobody answered, or the server could not or would not just then. */
  get mayPass(): boolean {
    return this.status < 400 || this.status >= 500 || this.status === 429;
  }
}

/** What went wrong, in one line. */
export function errorText(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** `…/runs/{run}` of the API. */
export function runPath({ project, domain, runName }: RunKey): string {
  const [p, d, r] = [project, domain, runName].map(encodeURIComponent);
  return `/v1/projects/${p}/domains/${d}/runs/${r}`;
}

export function actionPath(run: RunKey, action: string): string {
  return `${runPath(run)}/actions/${encodeURIComponent(action)}`;
}

/** What a response that is not a success says, in one line. */
export async function problemText(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const problem: unknown = await response.json();
    if (typeof problem === "object" && problem !== null) {
      const { detail, title } = problem as { detail?: unknown; title?: unknown };
      if (typeof detail === "string") return detail;
      if (typeof title === "string") return title;
    }
  } catch {
    // Not JSON: a proxy's own page. The status says it all.
  }
  return fallback;
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(serviceUrl(path), init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, "The server does not answer");
  }
  clock.observe(response.headers.get("Date"));
  if (response.status === 401) askForSignIn();
  if (!response.ok) throw new ApiError(response.status, await problemText(response));
  return response;
}

/** Reads it, however often that takes: persistently(). */
export function getJson<T>(
  path: string,
  signal: AbortSignal,
  onFailure?: (problem: string) => void,
): Promise<T> {
  const read = async (): Promise<T> => {
    const response = await request(path, { signal, headers: { Accept: "application/json" } });
    return (response.json() as Promise<T>).catch((cause: unknown) => {
      throw signal.aborted ? cause : new ApiError(0, "The answer cannot be read");
    });
  };
  return persistently(read, signal, onFailure);
}

/** What `read` gives, however often that takes: a failure that may pass is told to `onFailure`, and after a while, or
 *  when the browser is online again, `read` is called again, until `signal` is aborted. Throws what does not pass. */
export async function persistently<T>(
  read: () => Promise<T>,
  signal: AbortSignal,
  onFailure?: (problem: string) => void,
): Promise<T> {
  for (let waitMs = RETRY_MIN_MS; ; waitMs = Math.min(RETRY_MAX_MS, waitMs * 2)) {
    try {
      return await read();
    } catch (cause) {
      if (signal.aborted || !(cause instanceof ApiError) || !cause.mayPass) throw cause;
      onFailure?.(cause.message);
    }
    await pause(waitMs, signal);
  }
}

/** Ends after so long, when the browser is online again, or when `signal` is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

/** What a large answer says, while it comes. */
export async function getStream(
  path: string,
  signal: AbortSignal,
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  return (await request(path, { signal })).body!.getReader();
}

export async function deleteAt(path: string): Promise<void> {
  await request(path, { method: "DELETE" });
}

function posting(body: unknown): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
}

export async function postJson<T>(path: string, body: unknown): Promise<T> {
  return (await request(path, posting(body))).json() as Promise<T>;
}

/** Posts what is to be said although the page goes; nobody waits for the answer. */
export function postLast(path: string, body: unknown): void {
  request(path, { ...posting(body), keepalive: true }).catch(() => undefined);
}
