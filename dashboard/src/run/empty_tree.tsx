import type { StreamState } from "../stream/protocol";
import { ALL_RUNS, formatRoute } from "../model/route";

interface EmptyTreeProps {
  state: StreamState;
  isComplete: boolean;
  /** There is no such run, not yet or no more. */
  isAbsent: boolean;
  isFiltered: boolean;
  onClear: () => void;
}

/** What stands in the place of the tree while there are no rows. */
export function EmptyTree({ state, isComplete, isAbsent, isFiltered, onClear }: EmptyTreeProps) {
  if (state.status === "failed") {
    return (
      <div class="empty">
        <h2>This run cannot be shown</h2>
        <p>{state.reason}</p>
        <a class="button" href={formatRoute(ALL_RUNS)}>
          All runs
        </a>
      </div>
    );
  }
  if (isComplete && isFiltered) {
    return (
      <div class="empty">
        <h2>No action matches</h2>
        <p>The filter is watched on: what comes to match will show here.</p>
        <button type="button" class="button" onClick={onClear}>
          Clear the filter
        </button>
      </div>
    );
  }
  if (isAbsent) {
    return (
      <div class="empty">
        <h2>This run has not begun</h2>
        <p>
          Nothing is recorded of it, or no more. It shows here as soon as an action is reported.
        </p>
      </div>
    );
  }
  return (
    <div class="empty loading" aria-busy="true">
      <p>{isComplete ? "Nothing has happened in this run yet." : "Loading the tree…"}</p>
    </div>
  );
}
