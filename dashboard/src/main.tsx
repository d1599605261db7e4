import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/runs.css";
import "./styles/run.css";
import "./styles/panel.css";
import "./styles/narrow.css";
import { App } from "./app";
import { applyTheme, storedTheme } from "./ui/theme";

applyTheme(storedTheme());
// A page out of the back-forward cache has lost its streams.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
render(<App />, document.getElementById("app")!);
