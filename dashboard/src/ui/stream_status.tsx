import type { StreamState } from "../stream/protocol";
import { useNow } from "./hooks";

const TITLES: Record<StreamState["status"], string> = {
  connecting: "Connecting",
  "catching-up": "Catching up",
  live: "Live",
  reconnecting: "Reconnecting",
  failed: "Refused",
};

/** What is said about the next try: "next try in 4 s". */
export function nextTryText(state: StreamState, nowMs: number): string {
  if (state.nextTryAt === null) return "";
  const seconds = Math.ceil((state.nextTryAt - nowMs) / 1000);
  if (seconds <= 0) return "trying now";
  return `next try in ${state.nextTryIsExact ? "" : "about "}${seconds} s`;
}

/** Whether the page shows what is, and if not, why and until when. */
export function StreamStatus({ state, onRetry }: { state: StreamState; onRetry: () => void }) {
  const isWaiting = state.status === "reconnecting";
  useNow(isWaiting, 500);
  const details = [state.reason, isWaiting ? nextTryText(state, Date.now()) : ""]
    .filter(Boolean)
    .join(" · ");
  return (
    <div class={`stream stream-${state.status}`}>
      <span class="stream-dot" aria-hidden="true" />
      <span role="status">{TITLES[state.status]}</span>
      {details && <span class="stream-details">{details}</span>}
      {(isWaiting || state.status === "failed") && (
        <button type="button" class="button small" onClick={onRetry}>
          Try now
        </button>
      )}
    </div>
  );
}
