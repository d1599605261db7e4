import { useEffect, useRef, useState } from "preact/hooks";
import { serviceBase } from "../api/base";
import { actionPath, errorText, getJson } from "../api/client";
import type { ActionDetails } from "../api/types";
import { curlGet } from "../model/curl";
import { formatDate, formatDuration, formatTicking, parseTime } from "../model/format";
import { isTerminal, phaseTitle } from "../model/phase";
import { formatRoute, runRoute, type RunKey } from "../model/route";
import { shownName } from "../model/tree_store";
import { CopyButton } from "../ui/copy_button";
import { CutText } from "../ui/cut_text";
import { useStored } from "../ui/hooks";
import { ExternalLink } from "../ui/external_link";
import { Icon, PhaseLabel } from "../ui/icons";
import { AbortButton } from "../run/abort_button";
import { AttemptSection } from "./attempt_section";
import { EventList } from "./event_list";

/** An action that changes quickly is asked for at most this often. */
const REFRESH_MS = 400;
const WIDTH_MIN_PX = 300;
const WIDTH_STEP_PX = 20;

interface ActionPanelProps {
  run: RunKey;
  name: string;
  /** The action's revision as the tree has it: when it moves, the panel asks again. */
  treeRevision: number;
  nowMs: number;
  onClose: () => void;
}

type Tab = "attempts" | "events";

export function ActionPanel({ run, name, treeRevision, nowMs, onClose }: ActionPanelProps) {
  const { details, problem } = useDetails(run, name, treeRevision);
  const [tab, setTab] = useState<Tab>("attempts");
  const panel = useRef<HTMLElement>(null);
  const [width, setWidth] = useStored<string>("runtree.panel", "");
  const resize = (pixels: number): void =>
    setWidth(String(Math.round(Math.max(WIDTH_MIN_PX, Math.min(innerWidth * 0.8, pixels)))));
  const label = details ? shownName(details) : name;
  return (
    <aside
      ref={panel}
      class="panel"
      aria-label={`Action ${name}`}
      style={width ? { "--panel-width": `${width}px` } : {}}
    >
      <div
        class="panel-edge"
        role="separator"
        aria-orientation="vertical"
        aria-label="Width of the panel"
        aria-valuenow={panel.current?.offsetWidth ?? 0}
        tabIndex={0}
        onPointerDown={(event) => {
          event.preventDefault();
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          if (event.currentTarget.hasPointerCapture(event.pointerId))
            resize((panel.current?.getBoundingClientRect().right ?? 0) - event.clientX);
        }}
        onKeyDown={(event) => {
          if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
          event.preventDefault();
          event.stopPropagation();
          const step = event.key === "ArrowLeft" ? WIDTH_STEP_PX : -WIDTH_STEP_PX;
          resize((panel.current?.offsetWidth ?? 0) + step);
        }}
      />
      <header class="panel-head">
        <div class="panel-title">
          <h2>
            <CutText text={label} title={name} />
          </h2>
          <span class="visually-hidden" role="status">
            {details ? `${label}: ${phaseTitle(details.phase)}` : ""}
          </span>
          <button
            type="button"
            class="button quiet"
            aria-label="Close the action"
            title="Close (Esc)"
            onClick={onClose}
          >
            <Icon name="close" />
          </button>
        </div>
        <div class="panel-actions">
          {details && <PhaseLabel phase={details.phase} isAbandoned={details.abandoned} />}
          {details && <span class="fact">{elapsedText(details, nowMs)}</span>}
          {details && !isTerminal(details.phase) && (
            <AbortButton path={actionPath(run, name)} what={name} />
          )}
          <CopyButton text={curlGet(serviceBase(), actionPath(run, name))} label="Copy as curl" />
        </div>
      </header>
      <div class="tabs" role="tablist" aria-label="Parts of the action">
        {(["attempts", "events"] as const).map((each) => (
          <button
            key={each}
            type="button"
            role="tab"
            id={`tab-${each}`}
            aria-selected={tab === each}
            aria-controls="panel-body"
            tabIndex={tab === each ? 0 : -1}
            onClick={() => setTab(each)}
            onKeyDown={(event) => {
              if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
              const next = each === "attempts" ? "events" : "attempts";
              setTab(next);
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {each === "attempts" ? "Overview" : "Raw events"}
          </button>
        ))}
      </div>
      <div
        class="panel-body"
        id="panel-body"
        role="tabpanel"
        aria-labelledby={`tab-${tab}`}
        tabIndex={0}
      >
        {problem && <p class="note problem">{problem}</p>}
        {!details && !problem && <p class="note">Loading…</p>}
        {details && tab === "attempts" && <Overview run={run} details={details} nowMs={nowMs} />}
        {details && tab === "events" && (
          <EventList run={run} name={name} revision={details.revision ?? 0} />
        )}
      </div>
    </aside>
  );
}

function Overview({ run, details, nowMs }: { run: RunKey; details: ActionDetails; nowMs: number }) {
  const attempts = [...details.attempts].reverse();
  return (
    <>
      <dl class="facts-list">
        <Fact title="Name">
          <code>{details.name}</code>
        </Fact>
        {details.taskName && (
          <Fact title="Task">
            <code>{details.taskName}</code>
          </Fact>
        )}
        {details.group && <Fact title="Group">{details.group}</Fact>}
        {details.waiting && <Fact title="Waits">for its parent, unseen in the tree</Fact>}
        {details.parent !== null && (
          <Fact title="Parent">
            <a href={formatRoute({ ...runRoute(run), action: details.parent })}>{details.parent}</a>
          </Fact>
        )}
        {details.dependsOn && (
          <Fact title="After">
            {details.dependsOn.map((other, index) => (
              <>
                {index > 0 && ", "}
                <a href={formatRoute({ ...runRoute(run), action: other })}>{other}</a>
              </>
            ))}
          </Fact>
        )}
        {details.links && (
          <Fact title="Links">
            <span class="links">
              {details.links.map(({ name, url }) => (
                <ExternalLink key={url} title={name} address={url} />
              ))}
            </span>
          </Fact>
        )}
        {details.abortRequested && (
          <Fact title="Abort">
            {`asked for by ${details.abortRequested.by ?? "somebody"}`}
            {details.abortRequested.reason && `: ${details.abortRequested.reason}`}
          </Fact>
        )}
        <Fact title="Created">{formatDate(parseTime(details.createdAt))}</Fact>
        {details.startedAt && (
          <Fact title="Started">{formatDate(parseTime(details.startedAt))}</Fact>
        )}
        {details.endedAt && <Fact title="Ended">{formatDate(parseTime(details.endedAt))}</Fact>}
      </dl>
      {details.truncated && (
        <p class="note">
          This action has too many events to show them all here: these are the newest. Raw events
          has every one.
        </p>
      )}
      {attempts.map((attempt) => (
        <AttemptSection
          key={attempt.attempt}
          attempt={attempt}
          nowMs={nowMs}
          isOnly={attempts.length === 1}
        />
      ))}
    </>
  );
}

function Fact({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function elapsedText(details: ActionDetails, nowMs: number): string {
  if (details.durationMs !== null) return formatDuration(details.durationMs);
  if (isTerminal(details.phase)) return "";
  return formatTicking(nowMs - parseTime(details.startedAt ?? details.createdAt));
}

function useDetails(run: RunKey, name: string, treeRevision: number) {
  const [details, setDetails] = useState<ActionDetails | null>(null);
  const [problem, setProblem] = useState("");
  const askedAt = useRef(0);
  useEffect(() => {
    const abort = new AbortController();
    const ask = async (): Promise<void> => {
      askedAt.current = Date.now();
      try {
        setDetails(await getJson<ActionDetails>(actionPath(run, name), abort.signal, setProblem));
        setProblem("");
      } catch (cause) {
        if (!abort.signal.aborted) setProblem(errorText(cause));
      }
    };
    const timer = setTimeout(
      () => void ask(),
      Math.max(0, askedAt.current + REFRESH_MS - Date.now()),
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [name, treeRevision]);
  return { details, problem };
}
