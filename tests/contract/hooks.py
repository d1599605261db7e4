"""What schemathesis has to know and no OpenAPI document says; loaded by it (SCHEMATHESIS_HOOKS)."""

import json

import schemathesis

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """The text as it was made up; what is no text goes as one line of JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def is_in_range(value):
    if isinstance(value, dict):
        return all(is_in_range(member) for member in value.values())
    if isinstance(value, list):
        return all(is_in_range(element) for element in value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return not is_integer or INTEGER_MIN <= value <= INTEGER_MAX


def events_of(body):
    events = body.get("events", [body]) if isinstance(body, dict) else []
    events = events if isinstance(events, list) else []
    return [event for event in events if isinstance(event, dict)]


def is_short(value):
    """Whether every text in it has at most as many bytes as its schema has characters, about."""
    if isinstance(value, dict):
        return is_short(list(value)) and is_short(list(value.values()))
    if isinstance(value, list):
        return all(is_short(element) for element in value)
    return not isinstance(value, str) or len(value.encode(errors="surrogatepass")) <= 512


NAMES = ("runName", "name", "parent", "title", "dependsOn", "aliases", "run", "links")


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """A name is measured in bytes."""
    return is_short(path_parameters or {})


@schemathesis.hook
def filter_query(context, query):
    """A head has at most 16 KiB, and labels are measured in bytes and together."""
    labels = (query or {}).get("label", [])
    texts = [str(label) for label in (labels if isinstance(labels, list) else [labels])]
    bytes_together = sum(len(text.encode(errors="surrogatepass")) + 1 for text in texts)
    return bytes_together <= 1000


@schemathesis.hook
def filter_body(context, body):
    """What is 400, which a schema cannot say: an integer beyond 64 bits anywhere in an event; 2.0
    for 2, which JSON Schema holds to be the same; a text that is too long in bytes."""
    if isinstance(body, dict) and len(str(body.get("reason")).encode(errors="surrogatepass")) > 1000:
        return False
    if not all(is_short([event.get(member) for member in NAMES]) for event in events_of(body)):
        return False
    has_fraction = any(
        isinstance(event.get(member), float)
        for event in events_of(body)
        for member in ("attempt", "phase", "version")
    )
    return is_in_range(body) and not has_fraction


@schemathesis.hook
def before_call(context, case, kwargs):
    """No action is its own parent, which is 400 and cannot be said in a schema either."""
    for event in events_of(case.body):
        if "name" in event and event.get("parent") == event["name"]:
            event["parent"] = None
        if isinstance(event.get("aliases"), list) and event.get("parent") in event["aliases"]:
            event["aliases"] = []
