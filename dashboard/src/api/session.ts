import { serviceUrl } from "./base";
import type { Session } from "./types";

const NEEDED = "runtree:sign-in-needed";

/** Says that the server wants to know who asks. */
export function askForSignIn(): void {
  dispatchEvent(new Event(NEEDED));
}

/** Calls `listener` whenever a sign-in is needed; returns what ends that. */
export function onSignInNeeded(listener: () => void): () => void {
  addEventListener(NEEDED, listener);
  return () => removeEventListener(NEEDED, listener);
}

/** Who is signed in, or null: nobody, or the server does not ask. */
export async function currentSession(): Promise<Session | null> {
  const answer = await fetch(serviceUrl("/v1/session"));
  return answer.ok ? ((await answer.json()) as Session) : null;
}

/**
 * Hands the token to the server, which keeps it in a cookie that no script can read; the page forgets it.
 * The answer is not a success where the token is no good.
 */
export function signIn(token: string): Promise<Response> {
  return fetch(serviceUrl("/v1/session"), {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
  });
}

export async function signOut(): Promise<void> {
  await fetch(serviceUrl("/v1/session"), { method: "DELETE" });
  askForSignIn();
}
