import { serviceUrl } from "./base";
import { askForSignIn } from "./session";
import { clock } from "../model/clock";
import type { RunKey } from "../model/route";

/** A request that failed, with what the server said about it (RFC 9457) where it said something. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
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

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : {})).json() as Promise<T>;
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
