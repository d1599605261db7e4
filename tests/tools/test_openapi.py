"""openapi.yaml is valid, and every example in it is what its own schema says."""

import json
import pathlib
import re

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import yaml_to_json

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "openapi" / "openapi.yaml"
DOCUMENT = yaml.load(SOURCE.read_text(encoding="utf-8"), yaml_to_json.JsonLoader)
REGISTRY = Registry().with_resource(
    "urn:openapi", Resource(contents=DOCUMENT, specification=DRAFT202012)
)
EVENT_SCHEMAS = {
    "nodeUpdate": "NodeUpdate",
    "runUpdate": "RunUpdate",
}


def absolute(schema):
    """The schema with its `$ref`s pointing into the document, wherever it is looked at."""
    return json.loads(json.dumps(schema).replace('"#/', '"urn:openapi#/'))


def errors(schema, value):
    validator = Draft202012Validator(
        absolute(schema), registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def resolve(node):
    while "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def examples(node, where="#"):
    """(where, schema, value) of every example that stands beside a schema."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from examples(item, f"{where}/{index}")
    elif isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            if "example" in node:
                yield where, node["schema"], node["example"]
            for name, example in node.get("examples", {}).items():
                yield f"{where}/{name}", node["schema"], resolve(example)["value"]
        for key, child in node.items():
            yield from examples(child, f"{where}/{key}")


EXAMPLES = list(examples(DOCUMENT))


def test_the_document_is_valid():
    validate(json.loads(json.dumps(DOCUMENT)))


def test_there_is_an_example_for_every_json_answer_of_its_own():
    exemplified = {where for where, _, _ in EXAMPLES}
    for path, item in DOCUMENT["paths"].items():
        for method in ("get", "post", "put"):
            for status, response in item.get(method, {}).get("responses", {}).items():
                if path != "/openapi.json" and "application/json" in response.get("content", {}):
                    where = f"#/paths/{path}/{method}/responses/{status}/content/application/json"
                    assert any(known.startswith(where) for known in exemplified), where


@pytest.mark.parametrize("where, schema, value", EXAMPLES, ids=[where for where, _, _ in EXAMPLES])
def test_example_is_what_its_schema_says(where, schema, value):
    assert errors(schema, value) == []
    if where.endswith("application/x-ndjson"):
        for line in value.splitlines():
            assert errors({"$ref": "#/components/schemas/ActionEvent"}, json.loads(line)) == []


@pytest.mark.parametrize(
    "stream, synced",
    [("watchRun", "Synced"), ("watchRuns", "RunsSynced"), ("watchAllRuns", "RunsSynced")],
)
def test_example_of_a_stream_has_the_records_that_it_says(stream, synced):
    (operation,) = [
        item["get"]
        for item in DOCUMENT["paths"].values()
        if item.get("get", {}).get("operationId") == stream
    ]
    text = resolve(operation["responses"]["200"])["content"]["text/event-stream"]["example"]
    records = re.findall(r"^event: (\w+)\ndata: (.*)$", text, flags=re.M)
    assert [event for event, _ in records][-1] == "synced"
    for event, data in records:
        name = {**EVENT_SCHEMAS, "synced": synced}[event]
        assert errors({"$ref": f"#/components/schemas/{name}"}, json.loads(data)) == [], event


def test_operation_ids_are_unique_and_every_component_is_used_or_streamed():
    ids = [
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))
    text = json.dumps(DOCUMENT)
    for kind, components in DOCUMENT["components"].items():
        for name in components:
            streamed = f"`{name}` |" in text
            assert f'"#/components/{kind}/{name}"' in text or streamed, f"{kind}/{name}"
