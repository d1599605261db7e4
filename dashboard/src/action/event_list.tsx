import { useEffect, useRef, useState } from "preact/hooks";
import { serviceBase } from "../api/base";
import { actionPath, errorText, getJson } from "../api/client";
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

  const abort = useRef(new AbortController());
  const load = async (from: string): Promise<void> => {
    const { signal } = abort.current;
    const query = `limit=${PAGE_SIZE}${from ? `&cursor=${encodeURIComponent(from)}` : ""}`;
    try {
      const page = await getJson<RecordedEvents>(
        `${actionPath(run, name)}/events?${query}`,
        signal,
        setProblem,
      );
      setEvents((old) => [...(from && old ? old : []), ...page.events]);
      setCursor(page.nextCursor ?? "");
      setProblem("");
    } catch (cause) {
      if (!signal.aborted) setProblem(errorText(cause));
    }
  };
  useEffect(() => {
    abort.current = new AbortController();
    void load("");
    return () => abort.current.abort();
  }, [name, revision]);

  if (!events) return problem ? <Problem text={problem} /> : <p class="note">Loading…</p>;
  return (
    <>
      {problem && <Problem text={problem} />}
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

function Problem({ text }: { text: string }) {
  return <p class="note problem">{text}</p>;
}

/** The event without what the server added: what an executor would send. */
function asReported(event: RecordedEvent): object {
  const { revision: _revision, recordedAt: _recordedAt, asReceived, ...reported } = event;
  return asReceived ?? reported;
}
