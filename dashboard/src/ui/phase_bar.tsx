import type { PhaseCounts } from "../api/types";
import { formatCount } from "../model/format";
import { PHASES_BY_URGENCY, phaseTitle } from "../model/phase";

/** "3 failed, 12 running, 1,204 succeeded" */
export function describeCounts(counts: PhaseCounts): string {
  const parts = PHASES_BY_URGENCY.filter((phase) => counts[phase]).map(
    (phase) => `${formatCount(counts[phase] ?? 0)} ${phaseTitle(phase).toLowerCase()}`,
  );
  return parts.join(", ");
}

/** One bar, a part for each phase in proportion to its count; small counts stay visible. */
export function PhaseBar({ counts }: { counts: PhaseCounts }) {
  const text = describeCounts(counts);
  return (
    <span class="phase-bar" role="img" aria-label={text || "nothing yet"} title={text}>
      {PHASES_BY_URGENCY.map((phase) => {
        const count = counts[phase];
        return count ? <i key={phase} class={`fill-${phase}`} style={{ flexGrow: count }} /> : null;
      })}
    </span>
  );
}
