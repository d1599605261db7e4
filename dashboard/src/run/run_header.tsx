import type { PhaseCounts } from "../api/types";
import { formatDate, formatDuration, formatTicking } from "../model/format";
import type { Phase } from "../model/phase";
import { progressText, type Progress } from "../model/progress";
import { ALL_RUNS, formatRoute, type RunRoute } from "../model/route";
import type { TreeStore } from "../model/tree_store";
import type { StreamState } from "../stream/protocol";
import { PhaseLabel } from "../ui/icons";
import { Logo } from "../ui/logo";
import { PhaseBar } from "../ui/phase_bar";
import { StreamStatus } from "../ui/stream_status";
import { SignOutButton } from "../ui/sign_in";
import { ThemeButton } from "../ui/theme";

interface RunHeaderProps {
  route: RunRoute;
  tree: TreeStore;
  totals: PhaseCounts;
  progress: Progress;
  phase: Phase | null;
  isLive: boolean;
  nowMs: number;
  state: StreamState;
  /** What is shown is not the run as it is. */
  isReplay: boolean;
  onRetry: () => void;
}

export function RunHeader(props: RunHeaderProps) {
  const { route, tree, totals, progress, phase, isLive, nowMs } = props;
  const [from, to] = tree.rootSpan(isLive ? nowMs : -Infinity);
  return (
    <header class="top">
      <nav class="crumbs" aria-label="Where you are">
        <Logo />
        <a href={formatRoute({ ...ALL_RUNS, project: route.project })}>{route.project}</a>
        <span aria-hidden="true">/</span>
        <a href={formatRoute({ ...ALL_RUNS, project: route.project, domain: route.domain })}>
          {route.domain}
        </a>
        <span aria-hidden="true">/</span>
        <h1 title={route.runName}>{route.runName}</h1>
      </nav>
      <div class="facts">
        {phase && (
          <>
            <PhaseLabel phase={phase} />
            <span class="fact" title={`since ${formatDate(from)}`}>
              {isLive ? formatTicking(to - from) : formatDuration(to - from)}
            </span>
            <span class="fact">{progressText(progress)}</span>
            <PhaseBar counts={totals} />
          </>
        )}
      </div>
      <div class="top-right">
        {props.isReplay ? (
          <span class="stream">Replay</span>
        ) : (
          <StreamStatus state={props.state} onRetry={props.onRetry} />
        )}
        <SignOutButton />
        <ThemeButton />
      </div>
    </header>
  );
}
