import type { ActionAttempt } from "../api/types";
import { formatClock, formatDuration, formatTicking, parseTime } from "../model/format";
import { causeLine } from "../model/failures";
import { isTerminal, phaseTitle } from "../model/phase";
import { CopyButton } from "../ui/copy_button";
import { ExternalLink } from "../ui/external_link";
import { Icon, PhaseIcon, PhaseLabel } from "../ui/icons";
import { JsonView } from "./json_view";

interface AttemptSectionProps {
  attempt: ActionAttempt;
  nowMs: number;
  isOnly: boolean;
}

export function AttemptSection({ attempt, nowMs, isOnly }: AttemptSectionProps) {
  const isOver = isTerminal(attempt.phase);
  const elapsed = isOver
    ? (attempt.durationMs ?? NaN)
    : nowMs - parseTime(attempt.startedAt ?? attempt.createdAt);
  return (
    <section class="attempt" aria-label={`Attempt ${attempt.attempt}`}>
      <h3>
        {isOnly && attempt.attempt === 1 ? "Phases" : `Attempt ${attempt.attempt}`}
        <PhaseLabel phase={attempt.phase} />
        <span class="fact">{isOver ? formatDuration(elapsed) : formatTicking(elapsed)}</span>
      </h3>
      {attempt.logInfo.length > 0 && (
        <Part title="Logs">
          <ul class="links">
            {attempt.logInfo.map((log, index) => (
              <li key={index}>
                <LogLink log={log} />
              </li>
            ))}
          </ul>
        </Part>
      )}
      {attempt.errorInfo && <ErrorBox error={attempt.errorInfo} />}
      <Transitions attempt={attempt} nowMs={nowMs} />
      {isPresent(attempt.cluster) && (
        <p class="line">
          Ran on{" "}
          <code>
            {typeof attempt.cluster === "string"
              ? attempt.cluster
              : JSON.stringify(attempt.cluster)}
          </code>
        </p>
      )}
      {isPresent(attempt.outputs) && (
        <Part title="Outputs">
          <JsonView value={attempt.outputs} />
        </Part>
      )}
      {attempt.clusterEvents.length > 0 && (
        <Part title="Cluster events">
          <ol class="cluster-events">
            {attempt.clusterEvents.map((event, index) => (
              <li key={index}>
                <ClusterEvent event={event} />
              </li>
            ))}
          </ol>
        </Part>
      )}
    </section>
  );
}

function Part({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <div class="part">
      <h4>{title}</h4>
      {children}
    </div>
  );
}

/** So many lines of a message stand open; of a longer one what it comes to is on top, and the rest folded. */
const OPEN_LINES = 6;

function ErrorBox({ error }: { error: NonNullable<ActionAttempt["errorInfo"]> }) {
  const rest = Object.fromEntries(
    Object.entries(error).filter(([key]) => key !== "kind" && key !== "message"),
  );
  const message = error.message ?? "";
  const lines = message.split("\n").length;
  return (
    <div class="error-box">
      <div class="error-kind">
        <Icon name="alert" />
        {error.kind === "USER" ? "User error" : error.kind === "SYSTEM" ? "System error" : "Error"}
        {message && <CopyButton text={message} label="Copy" />}
      </div>
      {lines > OPEN_LINES ? (
        <>
          <pre class="error-cause">{causeLine(message)}</pre>
          <details>
            <summary>{`All ${lines} lines`}</summary>
            <pre>{message}</pre>
          </details>
        </>
      ) : (
        message && <pre>{message}</pre>
      )}
      {Object.keys(rest).length > 0 && <JsonView value={rest} />}
    </div>
  );
}

/** Each phase with when it began, how long it lasted, and a bar of its part of the attempt. */
function Transitions({ attempt, nowMs }: { attempt: ActionAttempt; nowMs: number }) {
  const steps = attempt.phaseTransitions.map((transition) => {
    const from = parseTime(transition.startTime);
    const to = parseTime(transition.endTime);
    const isLast = Number.isNaN(to);
    const lasts = isTerminal(transition.phase) ? NaN : (isLast ? nowMs : to) - from;
    return { ...transition, from, lasts, isTicking: isLast };
  });
  const total = steps.reduce((sum, { lasts }) => sum + (lasts > 0 ? lasts : 0), 0);
  return (
    <ol class="transitions">
      {steps.map(({ phase, version, from, lasts, isTicking }, index) => (
        <li key={index}>
          <span class={`phase phase-${phase}`}>
            <PhaseIcon phase={phase} />
            {phaseTitle(phase)}
            {version ? <span class="version">v{version}</span> : null}
          </span>
          <time dateTime={new Date(from).toISOString()}>{formatClock(from)}</time>
          <span class="lasts">
            {Number.isNaN(lasts) ? "" : isTicking ? formatTicking(lasts) : formatDuration(lasts)}
          </span>
          <span class="share" aria-hidden="true">
            {lasts > 0 && (
              <i
                class={`fill-${phase}`}
                style={{ width: `${Math.max(1, (lasts / total) * 100)}%` }}
              />
            )}
          </span>
        </li>
      ))}
    </ol>
  );
}

function LogLink({ log }: { log: unknown }) {
  const { name, uri, url } = asObject(log);
  const address =
    typeof uri === "string"
      ? uri
      : typeof url === "string"
        ? url
        : typeof log === "string"
          ? log
          : "";
  const title = typeof name === "string" && name ? name : address || JSON.stringify(log);
  return <ExternalLink title={title} address={address} />;
}

function ClusterEvent({ event }: { event: unknown }) {
  const { occurredAt, message, ...rest } = asObject(event);
  const time = typeof occurredAt === "string" ? parseTime(occurredAt) : NaN;
  return (
    <>
      {!Number.isNaN(time) && <time dateTime={String(occurredAt)}>{formatClock(time)}</time>}
      <span>{typeof message === "string" ? message : typeof event === "string" ? event : ""}</span>
      {Object.keys(rest).length > 0 && <JsonView value={rest} />}
    </>
  );
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function isPresent(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return false;
  return typeof value !== "object" || Object.keys(value).length > 0;
}
