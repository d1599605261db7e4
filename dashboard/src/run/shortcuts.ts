import { useEffect, useRef } from "preact/hooks";

/** By `key` of the KeyboardEvent. */
export type Shortcuts = Record<string, () => void>;

/**
 * Keys that work wherever the focus is, but in fields and dialogs. Those that nothing has the focus for
 * go to `pressInTree` first, so that the arrows work as soon as the page is there.
 */
export function useShortcuts(
  shortcuts: Shortcuts,
  pressInTree: (event: KeyboardEvent) => void,
): void {
  const latest = useRef({ shortcuts, pressInTree });
  latest.current = { shortcuts, pressInTree };
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element;
      if (target.closest("input, textarea, select, dialog")) return;
      if (target === document.body) latest.current.pressInTree(event);
      const action = latest.current.shortcuts[event.key];
      if (!action || event.defaultPrevented) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
