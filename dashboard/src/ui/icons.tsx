import {
  Ban,
  Bell,
  BellRing,
  ChartGantt,
  ChevronDown,
  ChevronRight,
  ChevronUp,
  CircleCheck,
  CirclePause,
  CirclePlay,
  CircleDashed,
  CircleSlash,
  CircleX,
  ClockAlert,
  Copy,
  Check,
  ExternalLink,
  History,
  Hourglass,
  GitCompareArrows,
  Keyboard,
  ListChevronsDownUp,
  ListChevronsUpDown,
  Loader,
  Maximize,
  Moon,
  Pause,
  Play,
  Route,
  Search,
  Share2,
  Square,
  StepBack,
  StepForward,
  Sun,
  SunMoon,
  Trash2,
  TriangleAlert,
  X,
  type IconNode,
} from "lucide";
import { h } from "preact";
import { PHASES, phaseTitle, type Phase } from "../model/phase";

const PHASE_ICONS: Record<Phase, IconNode> = {
  QUEUED: CircleDashed,
  WAITING_FOR_RESOURCES: Hourglass,
  INITIALIZING: Loader,
  RUNNING: CirclePlay,
  SUCCEEDED: CircleCheck,
  FAILED: CircleX,
  ABORTED: Ban,
  TIMED_OUT: ClockAlert,
  PAUSED: CirclePause,
  RECOVERED: History,
  SKIPPED: CircleSlash,
};

const ICONS = {
  timeline: ChartGantt,
  chevron: ChevronRight,
  up: ChevronUp,
  down: ChevronDown,
  copy: Copy,
  check: Check,
  external: ExternalLink,
  keyboard: Keyboard,
  collapse: ListChevronsDownUp,
  expand: ListChevronsUpDown,
  fit: Maximize,
  moon: Moon,
  sun: Sun,
  auto: SunMoon,
  play: Play,
  pause: Pause,
  replay: History,
  compare: GitCompareArrows,
  path: Route,
  stepBack: StepBack,
  stepOn: StepForward,
  search: Search,
  trash: Trash2,
  bell: Bell,
  "bell-on": BellRing,
  share: Share2,
  stop: Square,
  alert: TriangleAlert,
  close: X,
} satisfies Record<string, IconNode>;

export type IconName = keyof typeof ICONS;

function Symbol({ id, icon }: { id: string; icon: IconNode }) {
  return (
    <symbol id={id} viewBox="0 0 24 24">
      {icon.map(([tag, attributes]) => h(tag, attributes as Record<string, string | number>))}
    </symbol>
  );
}

/** All icons, once per page; rows then only point to them. */
export function IconSprite() {
  return (
    <svg class="sprite" aria-hidden="true">
      {PHASES.map((phase) => (
        <Symbol key={phase} id={`icon-${phase}`} icon={PHASE_ICONS[phase]} />
      ))}
      {Object.entries(ICONS).map(([name, icon]) => (
        <Symbol key={name} id={`icon-${name}`} icon={icon} />
      ))}
    </svg>
  );
}

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" aria-hidden="true">
      <use href={`#icon-${name}`} />
    </svg>
  );
}

export function PhaseIcon({ phase }: { phase: Phase }) {
  return (
    <svg class={`icon phase-${phase}`} aria-hidden="true">
      <use href={`#icon-${phase}`} />
    </svg>
  );
}

/** Icon and word; of what the service gave up, for nobody said how it ended, another word. */
export function PhaseLabel({
  phase,
  isAbandoned,
}: {
  phase: Phase;
  isAbandoned?: boolean | undefined;
}) {
  const title = isAbandoned ? "Nobody said how it ended" : undefined;
  return (
    <span class={`phase phase-${phase}`} title={title}>
      <PhaseIcon phase={phase} />
      {isAbandoned ? "Abandoned" : phaseTitle(phase)}
    </span>
  );
}
