"""Other tools' requests, as the tests send them."""

import json
import re

import httpx

from runtree import REPOSITORY

RECORDINGS = REPOSITORY / "tests" / "data" / "emitters"


def recorded(name):
    """The requests of a recording, in the order in which they came: dicts with `method`, `path`, and
    `json` or `text` with `headers`."""
    with open(RECORDINGS / f"{name}.ndjson", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def adapter_path(tool, run, rest="events"):
    return f"/v1/adapters/{tool}/{run.project}/{run.domain}/{rest}"


def sending(tool, run, request):
    """What client.request is to be given to send a recorded request to the tool's adapter."""
    if "text" not in request:
        return ("POST", adapter_path(tool, run)), {"json": request["json"]}
    sent = {"content": request["text"], "headers": request["headers"]}
    return (request["method"], adapter_path(tool, run, request["path"])), sent


def unmapped(url, tool, kind, **options):
    """How many of the tool's messages the runtree at `url` could not map, for this reason."""
    text = httpx.get(f"{url}/metrics", **options).text
    labels = re.escape(f'{{tool="{tool}",kind="{kind}"}}')
    found = re.search(rf"^runtree_adapter_unmapped_total{labels} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0
