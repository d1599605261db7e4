import type { RefObject } from "preact";
import type { PhaseCounts } from "../api/types";
import { formatCount } from "../model/format";
import type { Phase } from "../model/phase";
import type { RunRoute } from "../model/route";
import { SORT_KEYS, type SortKey } from "../model/tree_store";
import { Icon, type IconName } from "../ui/icons";
import { PhaseFilter } from "../ui/phase_filter";
import { SearchBox } from "../ui/search_box";

interface RunToolbarProps {
  route: RunRoute;
  totals: PhaseCounts;
  search: RefObject<HTMLInputElement | null>;
  /** How many actions the search finds, and which of them is current, from 1; 0 for none. */
  hits: number;
  hit: number;
  /** Whether all of the tree has been searched. */
  isSearched: boolean;
  isTimelineShown: boolean;
  isReplay: boolean;
  onPhases: (phases: Phase[]) => void;
  onName: (name: string) => void;
  onNextHit: (step: 1 | -1) => void;
  onHideSucceeded: () => void;
  onExpandAll: () => void;
  onSort: (sort: SortKey | null) => void;
  onToggleTimeline: () => void;
  onReplay: () => void;
  onCritical: () => void;
  onCompare: () => void;
  onHelp: () => void;
}

const SORT_TITLES: Record<SortKey, string> = {
  duration: "By duration",
  started: "By start",
  ended: "By end",
  waited: "By wait",
  phase: "By phase",
  name: "By name",
};

export function RunToolbar(props: RunToolbarProps) {
  const { route, totals, search, hits } = props;
  return (
    <div class="toolbar" role="toolbar" aria-label="What the tree shows">
      <SearchBox
        value={route.name}
        label="Search names, tasks, errors"
        inputRef={search}
        onChange={props.onName}
        onNext={props.onNextHit}
      />
      {route.name && (
        <span class="hits" role="status">
          {hits === 0
            ? props.isSearched
              ? "nothing found"
              : "searching…"
            : `${props.hit > 0 ? `${formatCount(props.hit)} of ` : ""}${formatCount(hits)}`}
          <button
            type="button"
            class="button quiet small"
            aria-label="Previous hit"
            title="Previous (Shift Enter)"
            disabled={hits === 0}
            onClick={() => props.onNextHit(-1)}
          >
            <Icon name="up" />
          </button>
          <button
            type="button"
            class="button quiet small"
            aria-label="Next hit"
            title="Next (Enter)"
            disabled={hits === 0}
            onClick={() => props.onNextHit(1)}
          >
            <Icon name="down" />
          </button>
        </span>
      )}
      <PhaseFilter selected={route.phases} counts={totals} onChange={props.onPhases} />
      <div class="toolbar-right">
        <select
          class="select view-select"
          aria-label="Tree or table"
          value={route.sort ?? ""}
          onChange={({ currentTarget }) =>
            props.onSort(SORT_KEYS.find((key) => key === currentTarget.value) ?? null)
          }
        >
          <option value="">Tree</option>
          {SORT_KEYS.map((key) => (
            <option key={key} value={key}>
              {SORT_TITLES[key]}
            </option>
          ))}
        </select>
        <button
          type="button"
          class="button"
          title="Hide everything that succeeded (c)"
          aria-pressed={route.hidesSucceeded}
          onClick={props.onHideSucceeded}
        >
          <Icon name="collapse" />
          <span class="wide">Hide succeeded</span>
        </button>
        <ToolButton
          icon="expand"
          label="Expand everything"
          title="Expand everything (x)"
          onClick={props.onExpandAll}
        />
        <ToolButton
          icon="timeline"
          label="Timeline"
          title="Timeline (t)"
          isPressed={props.isTimelineShown}
          onClick={props.onToggleTimeline}
        />
        <ToolButton
          icon="path"
          label="Critical path"
          title="Critical path (p)"
          isPressed={route.isCritical}
          onClick={props.onCritical}
        />
        <ToolButton
          icon="compare"
          label="Compare"
          title="Compare with another run (v)"
          isPressed={route.compare !== ""}
          onClick={props.onCompare}
        />
        <ToolButton
          icon="replay"
          label="Replay"
          title="Replay (r)"
          isPressed={props.isReplay}
          onClick={props.onReplay}
        />
        <ToolButton
          icon="keyboard"
          label="Keyboard help"
          title="Keyboard (?)"
          class="wide"
          onClick={props.onHelp}
        />
      </div>
    </div>
  );
}

interface ToolButtonProps {
  icon: IconName;
  label: string;
  title: string;
  class?: string;
  isPressed?: boolean;
  onClick: () => void;
}

function ToolButton(props: ToolButtonProps) {
  return (
    <button
      type="button"
      class={`button ${props.class ?? ""}`}
      title={props.title}
      aria-label={props.label}
      aria-pressed={props.isPressed}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}
