"""openapi.yaml says everything that a reader needs: an example for each answer, no loose ends.

That it is valid, and that the service does as it says, is seen in tests/system.
"""

import json
import pathlib
import re

import pytest
import yaml
import yaml_to_json
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "openapi" / "openapi.yaml"
DOCUMENT = yaml.load(SOURCE.read_text(encoding="utf-8"), yaml_to_json.JsonLoader)
REGISTRY = Registry().with_resource(
    "urn:openapi", Resource(contents=DOCUMENT, specification=DRAFT202012)
)
OPERATIONS = {
    operation["operationId"]: operation
    for item in DOCUMENT["paths"].values()
    for method, operation in item.items()
    if method != "parameters"
}


def errors(schema, value):
    validator = Draft202012Validator(
        {"$ref": f"urn:openapi#/components/schemas/{schema}"}, registry=REGISTRY
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def resolve(node):
    while "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


@pytest.mark.parametrize("name", OPERATIONS.keys() - {"getOpenapi"})
def test_every_json_and_stream_has_an_example(name):
    operation = OPERATIONS[name]
    for status, response in operation["responses"].items():
        for media_type, content in resolve(response).get("content", {}).items():
            if media_type in ("application/json", "text/event-stream"):
                assert "example" in content or "examples" in content, f"{status} {media_type}"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        assert "example" in content or "examples" in content, media_type


def test_lines_of_the_ndjson_example_are_events():
    content = OPERATIONS["postEvents"]["requestBody"]["content"]["application/x-ndjson"]
    for line in content["example"].splitlines():
        assert errors("ActionEvent", json.loads(line)) == []


@pytest.mark.parametrize(
    "stream, schemas",
    [
        ("watchRun", {"nodeUpdate": "NodeUpdate", "synced": "Synced"}),
        ("watchRuns", {"runUpdate": "RunUpdate", "synced": "RunsSynced"}),
        ("watchAllRuns", {"runUpdate": "RunUpdate", "synced": "RunsSynced"}),
    ],
)
def test_records_in_the_example_of_a_stream_are_what_their_schemas_say(stream, schemas):
    response = resolve(OPERATIONS[stream]["responses"]["200"])
    text = response["content"]["text/event-stream"]["example"]
    records = re.findall(r"^event: (\w+)\ndata: (.*)$", text, flags=re.M)
    assert [event for event, _ in records] == list(schemas)
    for event, data in records:
        assert errors(schemas[event], json.loads(data)) == []


def test_every_component_is_used_or_named_as_the_data_of_a_stream():
    text = json.dumps(DOCUMENT)
    for kind, components in DOCUMENT["components"].items():
        for name in components:
            if kind == "securitySchemes":  # these are named, not referred to
                assert f'{{"{name}": []}}' in text, name
                continue
            assert f'"#/components/{kind}/{name}"' in text or f"`{name}` |" in text, name
