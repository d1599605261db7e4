import { useEffect, useState } from "preact/hooks";
import { serviceBase } from "../api/base";
import { actionPath, ApiError, getJson } from "../api/client";
import type { RecordedEvent, RecordedEvents } from "../api/types";
import { curlPost } from "../model/curl";
import { formatClock, parseTime } from "../model/format";
import type { RunKey } from "../model/route";
import { CopyButton } from "../ui/copy_button";
import { PhaseLabel } from "../ui/icons";
import { JsonView } from "./json_view";

const PAGE_SIZE = 200;

/** The action's history as the server keeps it, a page at a time. */
export function EventList({
  run,
  name,
  revision,
}: {
  run: RunKey;
  name: string;
  revision: number;
}) {
  const [events, setEvents] = useState<RecordedEvent[] | null>(null);
  const [cursor, setCursor] = useState("");
  const [problem, setProblem] = useState("");

  const load = async (from: string, signal?: AbortSignal): Promise<void> => {
    const query = `limit=${PAGE_SIZE}${from ? `&cursor=${encodeURIComponent(from)}` : ""}`;
    try {
      const page = await getJson<RecordedEvents>(
        `${actionPath(run, name)}/events?${query}`,
        signal,
      );
      setEvents((old) => [...(from && old ? old : []), ...page.events]);
      setCursor(page.nextCursor ?? "");
      setProblem("");
    } catch (cause) {
      if (!signal?.aborted) setProblem(cause instanceof ApiError ? cause.message : String(cause));
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    void load("", abort.signal);
    return () => abort.abort();
  }, [name, revision]);

  if (problem) return <p class="note problem">{problem}</p>;
  if (!events) return <p class="note">Loading…</p>;
  return (
    <>
      <ol class="events">
        {events.map((event) => (
          <li key={`${event.attempt}/${event.phase}/${event.version}`}>
            <details>
              <summary>
                <PhaseLabel phase={event.phase} />
                <span class="event-key">
                  {event.attempt > 1 && `attempt ${event.attempt}`}
                  {event.version > 0 && ` v${event.version}`}
                </span>
                <time dateTime={event.updatedTime}>
                  {formatClock(parseTime(event.updatedTime))}
                </time>
              </summary>
              <JsonView value={event} />
              <CopyButton text={curlPost(serviceBase(), asReported(event))} label="Copy as curl" />
            </details>
          </li>
        ))}
      </ol>
      {cursor && (
        <button type="button" class="button" onClick={() => void load(cursor)}>
          More events
        </button>
      )}
    </>
  );
}

/** The event without what the server added: what an executor would send. */
function asReported(event: RecordedEvent): object {
  const { revision: _revision, recordedAt: _recordedAt, asReceived, ...reported } = event;
  return asReceived ?? reported;
}
