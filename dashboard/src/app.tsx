import { useRoute } from "./ui/router";
import { IconSprite } from "./ui/icons";
import { RunsPage } from "./runs/runs_page";
import { RunPage } from "./run/run_page";

export function App() {
  const route = useRoute();
  return (
    <>
      <IconSprite />
      {route.page === "runs" ? (
        <RunsPage route={route} />
      ) : (
        <RunPage key={`${route.project}/${route.domain}/${route.runName}`} route={route} />
      )}
    </>
  );
}
