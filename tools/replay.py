#!/usr/bin/env python3
"""Post a run's action events to runtree in the rhythm in which they happened.

FILE has one event a line (NDJSON). Without it a run is invented, so that there is something to
see. What is refused for now (429, 503, no connection) is posted again: runtree keeps events once.
"""

import argparse
import email.utils
import http.client
import json
import math
import random
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import sample_run

STATUSES = ("applied", "recorded", "waiting", "duplicate", "rejected")
CHUNK_EVENTS, CHUNK_BYTES = 5_000, 4 * 1024 * 1024  # what one request may carry
TICK_SECONDS = 0.1  # what falls due within one goes into one request, at its end
TIMEOUT_SECONDS = 30
GIVE_UP_SECONDS = 60  # of being refused without a break
PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.2, 5
REJECTIONS_SHOWN = 10
TRY_AGAIN = (429, 502, 503, 504)
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Refused(Exception):
    """The service will not take the events, and trying again will not help."""


# Events


def read_events(path):
    """(event, line) of every line that is not blank. A ValueError names a line that is no event."""
    events = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            if not isinstance(event, dict):
                raise ValueError(f"{path}:{number}: not a JSON object")
            events.append((event, line.strip()))
    return events


def happened_at(event):
    """None if the event does not say it in a form that we know; the service judges, not we."""
    try:
        moment = datetime.fromisoformat(event["updatedTime"])
    except (KeyError, TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def first_moment(events):
    return min(filter(None, map(happened_at, events)), default=None)


def schedule(events, speed):
    """(seconds from the start, event, line), in order. An event without a time follows at once."""
    first = first_moment(event for event, _ in events)
    due, scheduled = 0.0, []
    for event, line in events:
        moment = happened_at(event)
        if moment:
            due = (moment - first).total_seconds() / speed
        scheduled.append((due, event, line))
    return sorted(scheduled, key=lambda item: item[0])


def happening_now(scheduled, speed, start):
    """The same with the times moved: the first is `start`, the others go by at `speed`."""
    first = first_moment(event for _, event, _ in scheduled)

    def moved(members, name):
        try:
            past = datetime.fromisoformat(members[name]) - first
        except (KeyError, TypeError, ValueError):
            return members
        moment = start + timedelta(seconds=past.total_seconds() / speed)
        text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**members, name: text}

    for due, event, _ in scheduled:
        event = moved(moved(event, "updatedTime"), "reportedTime")
        if isinstance(event.get("clusterEvents"), list):
            items = [moved(item, "occurredAt") for item in event["clusterEvents"]]
            event = {**event, "clusterEvents": items}
        yield due, event, encoded(event)


def encoded(event):
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def run_key(event):
    return event.get("project"), event.get("domain"), event.get("runName")


def chunks(scheduled, elapsed):
    """Lists of (event, line) as they fall due; `elapsed()` is the seconds since the start."""
    position = 0
    while position < len(scheduled):
        time.sleep(max(0.0, scheduled[position][0] + TICK_SECONDS - elapsed()))
        now = elapsed()
        chunk, size = [], 0
        while position < len(scheduled) and len(chunk) < CHUNK_EVENTS:
            due, event, line = scheduled[position]
            size += len(line.encode()) + 1
            if chunk and (due > now or size > CHUNK_BYTES):
                break
            chunk.append((event, line))
            position += 1
        yield chunk


# HTTP


class Service:
    """A connection to runtree that is kept alive, and opened again when it breaks."""

    def __init__(self, url, say):
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in CONNECTIONS or not parts.hostname:
            raise ValueError(f"{url!r} is not an http or https URL")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.path = parts.path.rstrip("/") + "/v1/events"
        connect = CONNECTIONS[parts.scheme]
        self.connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        self.say = say

    def post(self, lines):
        """The answer's results, one for each line. Raises Refused."""
        body = "".join(f"{line}\n" for line in lines).encode()
        pause, began = PAUSE_SECONDS, time.monotonic()
        while True:
            status, answer, retry_after = self.request(body)
            if status in (200, 207) and isinstance(answer, dict) and "results" in answer:
                return answer["results"]
            reason = describe(answer)
            if status is not None and status not in TRY_AGAIN:
                raise Refused(f"{status} {reason}")
            if time.monotonic() - began > GIVE_UP_SECONDS:
                raise Refused(f"no luck for {GIVE_UP_SECONDS} s: {reason}")
            delay = max(pause * random.uniform(0.5, 1), retry_after)
            if pause > PAUSE_SECONDS:  # the first time is often only a connection that had idled
                self.say(f"{reason}; trying again in {delay:.1f} s")
            time.sleep(delay)
            pause = min(2 * pause, PAUSE_MAX_SECONDS)

    def request(self, body):
        """(status, JSON or text, seconds of Retry-After); no status if there was no answer."""
        try:
            self.connection.request(
                "POST",
                self.path,
                body,
                {
                    "Content-Type": "application/x-ndjson",
                    "Accept": "application/json, */*;q=0.1",
                },
            )
            response = self.connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return None, f"{self.url}: {error or type(error).__name__}", 0
        try:
            answer = json.loads(text)
        except ValueError:
            answer = response.reason
        return response.status, answer, seconds_of(response.getheader("Retry-After", "0"))


def seconds_of(retry_after):
    """Of either form that RFC 9110 allows; 0 if there is no such header, or nonsense in it."""
    try:
        if retry_after.isdecimal():
            seconds = int(retry_after)
        else:
            moment = email.utils.parsedate_to_datetime(retry_after)
            seconds = (moment - datetime.now(UTC)).total_seconds()
    except ValueError:
        return 0
    return max(0, min(seconds, GIVE_UP_SECONDS))


def describe(problem):
    if not isinstance(problem, dict):
        return str(problem)
    pointer = f" ({problem['pointer']})" if "pointer" in problem else ""
    return f"{problem.get('title')}: {problem.get('detail')}{pointer}"


# The terminal


class Progress:
    """A bar that is drawn over itself on a terminal, else a line every few seconds."""

    LINE_SECONDS = 5

    def __init__(self, total, out):
        self.total = total
        self.out = out
        self.counts = dict.fromkeys(STATUSES, 0)
        self.is_terminal = out.isatty()
        self.shown_at = -math.inf

    def add(self, result):
        self.counts[result["status"]] += 1

    def show_from_time_to_time(self):
        if self.is_terminal or time.monotonic() - self.shown_at >= self.LINE_SECONDS:
            self.show()

    def show(self):
        self.shown_at = time.monotonic()
        done = sum(self.counts.values())
        text = f"{done}/{self.total} events"
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        if not self.is_terminal:
            print(f"{text}: {counts}", file=self.out, flush=True)
            return
        columns = shutil.get_terminal_size().columns - 1
        room = min(40, columns - len(f"[] {text}: {counts}"))
        if room > 3:
            filled = room * done // self.total
            text = f"[{'#' * filled}{'.' * (room - filled)}] {text}"
        print(f"\r\033[K{f'{text}: {counts}'[:columns]}", end="", file=self.out, flush=True)

    def say(self, text):
        """A line of its own, above the bar."""
        print(f"\r\033[K{text}" if self.is_terminal else text, file=self.out, flush=True)

    def finish(self):
        self.show()
        if self.is_terminal:
            print(file=self.out)


def introduce(runs, url, out):
    """Where to look, before anything happens."""
    print(f"page:  {url}/", file=out)
    for key in runs[:3]:
        project, domain, run_name = (quote(part, safe="") for part in key)
        watch = f"{url}/v1/projects/{project}/domains/{domain}/runs/{run_name}/watch?wait=true"
        print(f"watch: curl -N '{watch}'", file=out)
    if len(runs) > 3:
        print(f"       and {len(runs) - 3} runs more", file=out)
    out.flush()


# The command


def positive(text):
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not greater than 0")
    return number


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="events, one a line")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of runtree (%(default)s)")
    parser.add_argument(
        "--speed",
        type=positive,
        default=60,
        metavar="N",
        help="1 is real time, inf as fast as it goes (%(default)s)",
    )
    parser.add_argument("--run", metavar="NAME", help="give the run this name, to replay it anew")
    parser.add_argument(
        "--now",
        action=argparse.BooleanOptionalAction,
        help="move the times so that it happens now (default for an invented run)",
    )
    parser.add_argument("--seed", type=int, help="of the invented run")
    options = parser.parse_args(arguments)
    if options.file and options.seed is not None:
        parser.error("--seed is for an invented run, not for FILE")
    return parser, options


def prepare(options, now):
    """The events to post. An OSError or ValueError says what is wrong with FILE or --run."""
    if options.file:
        events = read_events(options.file)
    else:
        seed = random.randrange(2**32) if options.seed is None else options.seed
        run_name = options.run or f"nightly-{now:%Y%m%d-%H%M%S}"
        events = [(event, encoded(event)) for event in sample_run.events(seed, run_name, now)]
    if options.file and options.run:
        if len({run_key(event) for event, _ in events}) > 1:
            raise ValueError("--run cannot rename the several runs of this file")
        renamed = ({**event, "runName": options.run} for event, _ in events)
        events = [(event, encoded(event)) for event in renamed]
    if not events:
        raise ValueError(f"{options.file}: no events")
    scheduled = schedule(events, options.speed)
    if options.now or (options.now is None and not options.file):
        scheduled = list(happening_now(scheduled, options.speed, now))
    return scheduled


def replay(scheduled, service, progress):
    """Posts everything. True if nothing was rejected. Raises Refused."""
    began = time.monotonic()
    for chunk in chunks(scheduled, lambda: time.monotonic() - began):
        results = service.post([line for _, line in chunk])
        for (event, _), result in zip(chunk, results, strict=True):
            progress.add(result)
            if result["status"] == "rejected" and progress.counts["rejected"] <= REJECTIONS_SHOWN:
                reason = describe(result["problem"])
                progress.say(f"rejected: {reason} in {encoded(event)[:500]}")
        progress.show_from_time_to_time()
    return progress.counts["rejected"] == 0


def main(arguments, out=sys.stdout):
    parser, options = parse(arguments)
    try:
        scheduled = prepare(options, datetime.now(UTC))
        progress = Progress(len(scheduled), out)
        service = Service(options.url, progress.say)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    introduce(list(dict.fromkeys(run_key(event) for _, event, _ in scheduled)), service.url, out)
    try:
        all_taken = replay(scheduled, service, progress)
    except Refused as error:
        progress.finish()
        print(f"replay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.finish()
        return 130
    progress.finish()
    return 0 if all_taken else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
