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


@schemathesis.hook
def filter_body(context, body):
    """What is 400, which a schema cannot say: an integer beyond 64 bits anywhere in an event; 2.0
    for 2, which JSON Schema holds to be the same."""
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
