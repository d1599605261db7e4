import { runPath } from "../api/client";
import type { PhaseCounts } from "../api/types";
import { formatDate, formatDuration, formatTicking } from "../model/format";
import type { Phase } from "../model/phase";
import { progressText, type Progress } from "../model/progress";
import { ALL_RUNS, formatRoute, type RunRoute } from "../model/route";
import type { TreeStore } from "../model/tree_store";
import type { StreamState } from "../stream/protocol";
import { CopyLink } from "../ui/copy_button";
import { Icon, PhaseLabel } from "../ui/icons";
import { CutText } from "../ui/cut_text";
import { AbortButton } from "./abort_button";
import type { NoticeState } from "./use_notice";
import { Logo } from "../ui/logo";
import { PhaseBar } from "../ui/phase_bar";
import { StreamStatus } from "../ui/stream_status";
import { SignOutButton } from "../ui/sign_in";
import { ThemeButton } from "../ui/theme";

const NOTICES: Record<NoticeState, string> = {
  off: "Tell me of the first failure and the end",
  on: "The browser will tell of the first failure and the end",
  denied: "The browser does not allow it: see its settings for this site",
  unavailable: "",
};

/** The run as the page shows it. */
export interface Shown {
  tree: TreeStore;
  totals: PhaseCounts;
  progress: Progress;
  phase: Phase | null;
  isLive: boolean;
  nowMs: number;
}

interface RunHeaderProps extends Shown {
  route: RunRoute;
  state: StreamState;
  /** How fast it goes and how long it will go on; "" for what nobody can tell. */
  pace: string;
  /** What is shown is not the run as it is. */
  isReplay: boolean;
  /** What a person calls the run; "" for its name. */
  title: string;
  notice: { state: NoticeState; toggle: () => void };
  onRetry: () => void;
}

export function RunHeader(props: RunHeaderProps) {
  const { route, tree, totals, progress, phase, isLive, isReplay, nowMs } = props;
  const [from, to] = tree.rootSpan(isLive ? nowMs : -Infinity);
  return (
    <header class={`top${isLive ? " live" : ""}`}>
      <nav class="crumbs" aria-label="Where you are">
        <Logo />
        <a href={formatRoute({ ...ALL_RUNS, project: route.project })}>{route.project}</a>
        <span aria-hidden="true">/</span>
        <a href={formatRoute({ ...ALL_RUNS, project: route.project, domain: route.domain })}>
          {route.domain}
        </a>
        <span aria-hidden="true">/</span>
        <h1>
          <CutText text={props.title || route.runName} title={route.runName} />
        </h1>
      </nav>
      <div class="facts">
        {phase && (
          <>
            <PhaseLabel phase={phase} />
            <span class="fact" title={`since ${formatDate(from)}`}>
              {isLive ? formatTicking(to - from) : formatDuration(to - from)}
            </span>
            <span class="fact">{progressText(progress)}</span>
            {props.pace && <span class="fact pace">{props.pace}</span>}
            <PhaseBar counts={totals} />
          </>
        )}
      </div>
      <div class="top-right">
        {isReplay ? (
          <span class="stream">
            <span role="status">Replay</span>
          </span>
        ) : (
          <StreamStatus state={props.state} onRetry={props.onRetry} />
        )}
        {isLive && !isReplay && props.notice.state !== "unavailable" && (
          <button
            type="button"
            class="button quiet"
            aria-pressed={props.notice.state === "on"}
            aria-label="Tell me of the first failure and the end"
            title={NOTICES[props.notice.state]}
            onClick={props.notice.toggle}
          >
            <Icon name={props.notice.state === "on" ? "bell-on" : "bell"} />
          </button>
        )}
        <CopyLink />
        {isLive && !isReplay && <AbortButton path={runPath(route)} what={`run ${route.runName}`} />}
        <SignOutButton />
        <ThemeButton />
      </div>
    </header>
  );
}
