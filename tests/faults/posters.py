"""A poster as a good client is one: it repeats what was not acknowledged, after a pause."""

import json
import random
import time

import httpx

from ledger import document_of

PATIENCE_SECONDS = 120
ACCEPTED = {"applied", "recorded", "waiting", "duplicate"}
LATER = {429, 502, 503, 504}  # the last three may be HAProxy's


class Poster:
    """Posts events in the given order, in requests of all forms."""

    def __init__(self, url, ledger, rng, is_in_hurry=lambda: False):
        self._client = httpx.Client(base_url=url, timeout=10)
        self._ledger = ledger
        self._rng = rng
        self._is_in_hurry = is_in_hurry

    def post_all(self, run, events):
        """Until every event is acknowledged."""
        at = 0
        with self._client:
            while at < len(events):
                form = self._rng.choice(("single", "put", "list", "lines"))
                count = 1 if form in ("single", "put") else self._rng.randint(1, 8)
                self._post(run, form, events[at : at + count])
                at += count
                if not self._is_in_hurry():
                    time.sleep(self._rng.expovariate(10))

    def _post(self, run, form, events):
        method, path, content, content_type = encode(run, form, events)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self._client.request(
                    method, path, content=content, headers={"Content-Type": content_type}
                )
            except httpx.TransportError:
                self._ledger.count("requests without an answer")
            else:
                if response.status_code not in LATER:
                    break
                self._ledger.count(f"requests answered {response.status_code}")
            assert time.monotonic() < deadline, f"not accepted for {PATIENCE_SECONDS} s: {events}"
            time.sleep(random.uniform(0.02, 0.2))
        self._check(response, form, events)
        self._ledger.acknowledge(events)

    def _check(self, response, form, events):
        """The answer acknowledges every event; a repeated one is the same that was stored."""
        assert response.status_code in (200, 201), f"{response.status_code} {response.text}"
        answer = response.json()
        results = [answer] if form in ("single", "put") else answer["results"]
        assert len(results) == len(events), answer
        for result in results:
            assert result["status"] in ACCEPTED, answer
            assert result.get("identical", True), f"a repetition differs: {answer}"


def encode(run, form, events):
    """Method, path, body and its type."""
    if form == "put":
        (event,) = events
        path = run.put_path(event["name"], event["attempt"], event["phase"], event["version"])
        return "PUT", path, dump(document_of(event)), "application/json"
    if form == "lines":
        lines = b"\n".join(dump(event) for event in events)
        return "POST", "/v1/events", lines, "application/x-ndjson"
    document = events[0] if form == "single" else {"events": events}
    return "POST", "/v1/events", dump(document), "application/json"


def dump(document):
    return json.dumps(document, ensure_ascii=False).encode()
