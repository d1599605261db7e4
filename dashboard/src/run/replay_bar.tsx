import { useEffect, useRef } from "preact/hooks";
import { formatClock, formatDate, formatDuration } from "../model/format";
import { SPEEDS, type Speed } from "../model/replay";
import { Icon } from "../ui/icons";
import type { Replay } from "./replay";

/** So many positions has the slider for the arrow keys. */
const STEPS = 400;

const SPEED_TITLES: Record<Speed, string> = {
  "1": "1×",
  "10": "10×",
  "100": "100×",
  "1000": "1,000×",
  all: "in 30 s",
};

interface ReplayBarProps {
  replay: Replay;
  /** When the run began, and when it ended or now. */
  span: [number, number];
  isLive: boolean;
  isPanelOpen: boolean;
  onSeek: (at: number) => void;
  onStep: (step: 1 | -1) => void;
  onPlay: () => void;
  onSpeed: (speed: Speed) => void;
  onClose: () => void;
}

/** Shows the tree as it was: the slider, what plays it, and the time that is shown. */
export function ReplayBar(props: ReplayBarProps) {
  const { replay, span, onStep, onPlay } = props;
  const [from, to] = span;
  const play = useRef<HTMLButtonElement>(null);
  useEffect(() => play.current?.focus({ preventScroll: true }), []);
  const shownAt = Number.isNaN(replay.shownAt) ? replay.at : replay.shownAt;
  const press = (event: KeyboardEvent): void => {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Escape") props.onClose();
    else if (key === "," || key === ".") onStep(key === "." ? 1 : -1);
    else if (key === " " && (event.target as Element).matches("input")) onPlay();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="replay" role="group" aria-label="Replay" onKeyDown={press}>
      <button
        ref={play}
        type="button"
        class="button primary"
        aria-label={replay.isPlaying ? "Pause" : "Play"}
        onClick={onPlay}
      >
        <Icon name={replay.isPlaying ? "pause" : "play"} />
      </button>
      <button
        type="button"
        class="button"
        aria-label="Back to the change before"
        title="The change before (,)"
        onClick={() => onStep(-1)}
      >
        <Icon name="stepBack" />
      </button>
      <button
        type="button"
        class="button"
        aria-label="On to the next change"
        title="The next change (.)"
        onClick={() => onStep(1)}
      >
        <Icon name="stepOn" />
      </button>
      <input
        type="range"
        aria-label="Time shown"
        aria-valuetext={`${formatDuration(shownAt - from)} after the start`}
        min={from}
        max={to}
        step={Math.max(1, Math.ceil((to - from) / STEPS))}
        value={replay.at}
        onInput={({ currentTarget }) => props.onSeek(Number(currentTarget.value))}
      />
      <span class="replay-time" title={formatDate(shownAt)} aria-busy={shownAt !== replay.at}>
        <strong>{formatClock(shownAt)}</strong>
        <span>{`${formatDuration(shownAt - from)} of ${formatDuration(to - from)}`}</span>
      </span>
      <select
        class="select"
        aria-label="Speed"
        value={replay.speed}
        onChange={({ currentTarget }) =>
          props.onSpeed(SPEEDS.find((speed) => speed === currentTarget.value) ?? "all")
        }
      >
        {SPEEDS.map((speed) => (
          <option key={speed} value={speed}>
            {SPEED_TITLES[speed]}
          </option>
        ))}
      </select>
      <button type="button" class="button" title="End the replay (r)" onClick={props.onClose}>
        {props.isLive ? "Back to live" : "Back to the end"}
      </button>
      {props.isPanelOpen && <p>The panel shows the action as it is now.</p>}
      {replay.error && (
        <p class="replay-error" role="alert">
          {`This time cannot be shown: ${replay.error}`}
        </p>
      )}
    </div>
  );
}
