import { useState } from "preact/hooks";
import { Icon } from "./icons";

export type Theme = "auto" | "light" | "dark";

const KEY = "runtree.theme";
const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

export function storedTheme(): Theme {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "light" || theme === "dark" ? theme : "auto";
  } catch {
    return "auto";
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  dispatchEvent(new Event("runtree:theme"));
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
}

export function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const change = (): void => {
    const next = NEXT[theme];
    setTheme(next);
    store(next);
    applyTheme(next);
  };
  const title = `Colours: ${theme === "auto" ? "as the system" : theme}`;
  return (
    <button type="button" class="button quiet" onClick={change} title={title} aria-label={title}>
      <Icon name={theme === "auto" ? "auto" : theme === "light" ? "sun" : "moon"} />
    </button>
  );
}
