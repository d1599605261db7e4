import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

const KEYS: readonly [keys: string[], meaning: string][] = [
  [["↑", "↓"], "move; also j k, Page Up/Down, Home, End"],
  [["→"], "expand, or go to the first child"],
  [["←"], "collapse, or go to the parent"],
  [["Enter"], "open the action"],
  [["Esc"], "close the action, clear the search"],
  [["/"], "search names, tasks, groups and errors; Enter goes on, Shift Enter back"],
  [["e"], "the first failure"],
  [["n"], "next failure; N goes back"],
  [["c"], "hide or show what succeeded"],
  [["x"], "expand everything"],
  [["z"], "times by your clock, in UTC, or from the start"],
  [["r"], "replay: the tree as it was; , and . go from change to change"],
  [["v"], "compare with another run"],
  [["p"], "show or hide the critical path"],
  [["t"], "show or hide the timeline"],
  [["+", "−", "0"], "zoom the timeline in, out, to fit"],
  [["Shift ←", "Shift →"], "pan the timeline"],
  [["?"], "this help"],
];

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={onClose}>
      <header>
        <h2 id="help-title">Keyboard</h2>
        <button
          type="button"
          class="button quiet"
          aria-label="Close"
          onClick={() => dialog.current?.close()}
        >
          <Icon name="close" />
        </button>
      </header>
      <dl>
        {KEYS.map(([keys, meaning]) => (
          <div key={meaning}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p>
        On the timeline, drag to pan, scroll with Ctrl held to zoom, and double-click a bar to zoom
        to it.
      </p>
    </dialog>
  );
}
