import type { RefObject } from "preact";
import type { PhaseCounts } from "../api/types";
import type { Phase } from "../model/phase";
import type { RunRoute } from "../model/route";
import { Icon } from "../ui/icons";
import { PhaseFilter } from "../ui/phase_filter";
import { SearchBox } from "../ui/search_box";

interface RunToolbarProps {
  route: RunRoute;
  totals: PhaseCounts;
  search: RefObject<HTMLInputElement | null>;
  isTimelineShown: boolean;
  onPhases: (phases: Phase[]) => void;
  onName: (name: string) => void;
  onCollapseSucceeded: () => void;
  onExpandAll: () => void;
  onToggleTimeline: () => void;
  onHelp: () => void;
}

export function RunToolbar(props: RunToolbarProps) {
  const { route, totals, search } = props;
  return (
    <div class="toolbar" role="toolbar" aria-label="What the tree shows">
      <SearchBox
        value={route.name}
        label="Search by name"
        inputRef={search}
        onChange={props.onName}
      />
      <PhaseFilter selected={route.phases} counts={totals} onChange={props.onPhases} />
      <div class="toolbar-right">
        <button
          type="button"
          class="button"
          title="Collapse everything that succeeded (c)"
          onClick={props.onCollapseSucceeded}
        >
          <Icon name="collapse" />
          <span class="wide">Collapse succeeded</span>
        </button>
        <button
          type="button"
          class="button"
          title="Expand everything (e)"
          aria-label="Expand everything"
          onClick={props.onExpandAll}
        >
          <Icon name="expand" />
        </button>
        <button
          type="button"
          class="button"
          title="Timeline (t)"
          aria-pressed={props.isTimelineShown}
          onClick={props.onToggleTimeline}
        >
          <Icon name="timeline" />
          <span class="wide">Timeline</span>
        </button>
        <button
          type="button"
          class="button"
          title="Keyboard (?)"
          aria-label="Keyboard help"
          onClick={props.onHelp}
        >
          <Icon name="keyboard" />
        </button>
      </div>
    </div>
  );
}
