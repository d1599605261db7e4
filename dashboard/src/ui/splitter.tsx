import type { RefObject } from "preact";

const PERCENT_MIN = 20;
const PERCENT_MAX = 80;
const PERCENT_STEP = 2;

interface SplitterProps {
  container: RefObject<HTMLElement | null>;
  percent: number;
  onChange: (percent: number) => void;
}

/** The line between two columns, to be dragged, or moved with the arrow keys. */
export function Splitter({ container, percent, onChange }: SplitterProps) {
  const change = (next: number): void =>
    onChange(Math.min(PERCENT_MAX, Math.max(PERCENT_MIN, Math.round(next * 10) / 10)));
  const drag = (event: PointerEvent): void => {
    const box = container.current?.getBoundingClientRect();
    if (box && (event.currentTarget as Element).hasPointerCapture(event.pointerId)) {
      change(((event.clientX - box.left) / box.width) * 100);
    }
  };
  return (
    <div
      class="splitter"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the tree"
      aria-valuenow={Math.round(percent)}
      aria-valuemin={PERCENT_MIN}
      aria-valuemax={PERCENT_MAX}
      tabIndex={0}
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={drag}
      onClick={(event) => event.stopPropagation()}
      onKeyDown={(event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        event.preventDefault();
        event.stopPropagation();
        change(percent + (event.key === "ArrowLeft" ? -PERCENT_STEP : PERCENT_STEP));
      }}
    />
  );
}
