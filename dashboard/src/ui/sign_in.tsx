import { useEffect, useRef, useState } from "preact/hooks";
import { problemText } from "../api/client";
import { currentSession, signIn, signOut } from "../api/session";
import { useTitle } from "./hooks";
import { Logo } from "./logo";

/** Asks for a token; stands in the place of the page until there is one that the server takes. */
export function SignInPage({ onSignedIn }: { onSignedIn: () => void }) {
  const [problem, setProblem] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useTitle("Sign in · runtree");
  useEffect(() => input.current?.focus(), []);

  const submit = async (): Promise<void> => {
    const token = input.current?.value.trim() ?? "";
    if (!token) return;
    try {
      const answer = await signIn(token);
      if (answer.ok) onSignedIn();
      else setProblem(await problemText(answer));
    } catch {
      setProblem("The server does not answer");
    }
  };
  return (
    <div class="page">
      <header class="top">
        <Logo />
      </header>
      <main>
        <form
          class="empty sign-in"
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <h1>Sign in</h1>
          <p>This server asks who you are. Paste a token that may read.</p>
          <input
            ref={input}
            class="field"
            type="password"
            name="token"
            aria-label="Token"
            autocomplete="off"
            spellcheck={false}
          />
          {problem && (
            <p class="problem" role="alert">
              {problem}
            </p>
          )}
          <button type="submit" class="button primary">
            Sign in
          </button>
        </form>
      </main>
    </div>
  );
}

/** Nothing where the server asks nobody. */
export function SignOutButton() {
  const [subject, setSubject] = useState<string | null>(null);
  useEffect(() => {
    currentSession().then(
      (session) => setSubject(session?.auth === "jwt" ? (session.subject ?? "") : null),
      () => undefined,
    );
  }, []);
  if (subject === null) return null;
  return (
    <button type="button" class="button quiet" title={subject} onClick={() => void signOut()}>
      Sign out
    </button>
  );
}
