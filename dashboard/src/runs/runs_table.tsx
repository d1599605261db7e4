import type { RunSummary } from "../api/types";
import {
  formatAge,
  formatCount,
  formatDate,
  formatDuration,
  formatTicking,
  parseTime,
} from "../model/format";
import { formatRoute, runRoute } from "../model/route";
import { PhaseLabel } from "../ui/icons";
import { PhaseBar } from "../ui/phase_bar";
import { keyOf } from "./runs_model";

/** From the start, or else the creation, to the end or to now. */
function runElapsed(run: RunSummary, nowMs: number): string {
  if (run.durationMs !== null) return formatDuration(run.durationMs);
  if (run.endedAt !== null) return "–";
  return formatTicking(nowMs - parseTime(run.startedAt ?? run.createdAt ?? run.firstSeenAt));
}

export function RunsTable({ runs, nowMs }: { runs: readonly RunSummary[]; nowMs: number }) {
  return (
    <table class="runs">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col" class="col-phase">
            Phase
          </th>
          <th scope="col" class="col-bar">
            Actions by phase
          </th>
          <th scope="col" class="number col-actions">
            Actions
          </th>
          <th scope="col" class="number col-age">
            Begun
          </th>
          <th scope="col" class="number">
            Duration
          </th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => {
          const beganMs = parseTime(run.createdAt ?? run.firstSeenAt);
          return (
            <tr key={keyOf(run)}>
              <th scope="row">
                <a href={formatRoute(runRoute(run))}>{run.runName}</a>
                <span class="where">{`${run.project} / ${run.domain}`}</span>
              </th>
              <td class="col-phase">{run.phase && <PhaseLabel phase={run.phase} />}</td>
              <td class="col-bar">
                <PhaseBar counts={run.phaseCounts} />
              </td>
              <td class="number col-actions">{formatCount(run.actionCount)}</td>
              <td class="number col-age">
                <time dateTime={new Date(beganMs).toISOString()} title={formatDate(beganMs)}>
                  {formatAge(nowMs - beganMs)}
                </time>
              </td>
              <td class="number">{runElapsed(run, nowMs)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
