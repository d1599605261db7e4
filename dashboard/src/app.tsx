import { useEffect, useState } from "preact/hooks";
import { onSignInNeeded } from "./api/session";
import { RunPage } from "./run/run_page";
import { RunsPage } from "./runs/runs_page";
import { IconSprite } from "./ui/icons";
import { useRoute } from "./ui/router";
import { SignInPage } from "./ui/sign_in";

export function App() {
  const route = useRoute();
  const [needsSignIn, setNeedsSignIn] = useState(false);
  useEffect(() => onSignInNeeded(() => setNeedsSignIn(true)), []);
  if (needsSignIn) return <SignInPage onSignedIn={() => setNeedsSignIn(false)} />;
  return (
    <>
      <IconSprite />
      {route.page === "runs" ? (
        <RunsPage route={route} />
      ) : (
        <RunPage key={[route.project, route.domain, route.runName].join("\u001f")} route={route} />
      )}
    </>
  );
}
