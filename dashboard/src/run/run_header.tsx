import type { PhaseCounts } from "../api/types";
import { formatCount, formatDate, formatDuration, formatTicking } from "../model/format";
import type { Phase } from "../model/phase";
import { ALL_RUNS, formatRoute, type RunRoute } from "../model/route";
import { NONE, type TreeStore } from "../model/tree_store";
import type { StreamState } from "../stream/protocol";
import { PhaseLabel } from "../ui/icons";
import { Logo } from "../ui/logo";
import { PhaseBar } from "../ui/phase_bar";
import { StreamStatus } from "../ui/stream_status";
import { SignOutButton } from "../ui/sign_in";
import { ThemeButton } from "../ui/theme";
import { elapsedMs } from "./tree_row";

interface RunHeaderProps {
  route: RunRoute;
  tree: TreeStore;
  totals: PhaseCounts;
  rootPhase: Phase | null;
  isLive: boolean;
  nowMs: number;
  state: StreamState;
  onRetry: () => void;
}

export function RunHeader(props: RunHeaderProps) {
  const { route, tree, totals, rootPhase, isLive, nowMs } = props;
  const root = tree.root;
  const actions = Object.values(totals).reduce((sum, count) => sum + count, 0);
  const elapsed = root === NONE ? NaN : elapsedMs(tree, root, nowMs);
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
        {rootPhase && (
          <>
            <PhaseLabel phase={rootPhase} />
            {root !== NONE && (
              <span class="fact" title={`since ${formatDate(tree.createdAt[root]!)}`}>
                {isLive ? formatTicking(elapsed) : formatDuration(elapsed)}
              </span>
            )}
            <span class="fact">{`${formatCount(actions)} ${actions === 1 ? "action" : "actions"}`}</span>
            <PhaseBar counts={totals} />
          </>
        )}
      </div>
      <div class="top-right">
        <StreamStatus state={props.state} onRetry={props.onRetry} />
        <SignOutButton />
        <ThemeButton />
      </div>
    </header>
  );
}
