import type { PhaseCounts } from "../api/types";
import { formatCount } from "../model/format";
import { PHASES, PHASES_BY_URGENCY, phaseTitle, type Phase } from "../model/phase";
import { Icon, PhaseIcon } from "./icons";

interface PhaseFilterProps {
  selected: readonly Phase[];
  /** Shown behind each phase; phases that are neither counted nor selected are left out. */
  counts?: PhaseCounts;
  onChange: (phases: Phase[]) => void;
}

/** A switch for each phase; none pressed means all. */
export function PhaseFilter({ selected, counts, onChange }: PhaseFilterProps) {
  const shown = PHASES_BY_URGENCY.filter(
    (phase) => !counts || counts[phase] || selected.includes(phase),
  );
  const toggle = (phase: Phase): void =>
    onChange(PHASES.filter((other) => (other === phase) !== selected.includes(other)));
  return (
    <div class="phase-filter" role="group" aria-label="Filter by phase">
      {shown.map((phase) => (
        <button
          key={phase}
          type="button"
          class="chip"
          data-phase={phase}
          aria-pressed={selected.includes(phase)}
          onClick={() => toggle(phase)}
        >
          <PhaseIcon phase={phase} />
          {phaseTitle(phase)}
          {counts && <span class="chip-count">{formatCount(counts[phase] ?? 0)}</span>}
        </button>
      ))}
      {selected.length > 0 && (
        <button
          type="button"
          class="chip clear"
          title="All phases"
          aria-label="All phases"
          onClick={() => onChange([])}
        >
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}
