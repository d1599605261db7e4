"""openapi.yaml: valid, served as it stands, its examples true, and every operation really there.

Beside this, `client.Api` holds every answer that any test gets to the document.
"""

import json

import openapi_spec_validator
import pytest

import contract
from inventions import at
from many import list_of, path_of, run_of

METHODS = ("get", "put", "post", "delete", "patch")


def operations():
    return [
        (method, template)
        for template, item in contract.document()["paths"].items()
        for method in METHODS
        if method in item
    ]


def schemas_with_examples():
    """(name, pointer to the schema, example) of every example that stands beside a schema."""

    def walk(node, pointer):
        if isinstance(node, dict):
            if "schema" in node:
                examples = [node["example"]] if "example" in node else []
                for example in node.get("examples", {}).values():
                    if "$ref" in example:
                        _, example = contract.resolve(example["$ref"].removeprefix("#"))
                    examples.append(example["value"])
                for number, example in enumerate(examples):
                    yield f"{pointer}#{number}", pointer + "/schema", example
            for name, value in node.items():
                yield from walk(value, f"{pointer}/{contract.escape(str(name))}")
        elif isinstance(node, list):
            for number, value in enumerate(node):
                yield from walk(value, f"{pointer}/{number}")

    yield from walk(contract.document()["paths"], "/paths")
    yield from walk(contract.document()["components"], "/components")


def test_document_is_valid():
    openapi_spec_validator.validate(contract.document())
    assert contract.document()["openapi"].startswith("3.1")


def test_service_serves_it_as_it_stands(api):
    response = api.get("/openapi.json")
    assert response.headers["content-type"].startswith("application/json")
    assert response.json() == json.loads(json.dumps(contract.document()))


@pytest.mark.parametrize(
    "pointer, example",
    [pytest.param(pointer, example, id=name) for name, pointer, example in schemas_with_examples()],
)
def test_example_is_what_its_schema_says(pointer, example):
    if isinstance(example, str) and contract.resolve(pointer)[1].get("type") == "array":
        example = example.split(",")
    contract.check(pointer, example)


@pytest.fixture
def sample_paths(api, run):
    """A path for every template of the document."""
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, updatedTime=at(0)),
            run.event(
                "a1",
                "FAILED",
                parent="a0",
                errorInfo={"kind": "USER", "message": "x"},
                cluster="c",
                outputs={},
                logInfo=[{}],
                clusterEvents=["pulled"],
            ),
        ]
    )
    values = {
        "project": run.project,
        "domain": run.domain,
        "run": run.name,
        "action": "a1",
        "attempt": 1,
        "phase": "ABORTED",
        "version": 7,
        "name": "invalid-field",
        "tool": "cloudevents",
        "rest": "events",
    }
    paths = {template: template.format(**values) for _, template in operations()}
    of_action = next(template for template in paths if template.endswith("{action}/abort"))
    return paths | {
        "/v1/watch": path_of([run_of(run), list_of(run.project)]),
        of_action: of_action.format(**values | {"action": "a0"}),
    }


@pytest.mark.parametrize("method, template", operations())
def test_operation_is_there(api, open_stream, sample_paths, run, method, template):
    path = sample_paths[template]
    if template.endswith("/watch"):
        stream = open_stream(path)
        assert stream.status == 200, stream.body
        stream.read_until("synced")
        return
    body = json.dumps(run.event("a1", "SUCCEEDED")).encode() if method == "post" else None
    response = api.request(
        method.upper(),
        path,
        content=body,
        headers={"Content-Type": "application/json"} if body else {},
    )
    assert response.status_code in (200, 201, 204), response.text


@pytest.mark.parametrize(
    "method, template",
    [
        (method, template)
        for method, template in operations()
        if method == "get" and template.startswith("/v1/") and template != "/v1/watch"
        if "/adapters/" not in template
    ],
)
def test_parameters_of_the_document_are_those_of_the_service(
    api, open_stream, sample_paths, method, template
):
    """Each documented query parameter is accepted, and what is accepted is documented."""
    path = sample_paths[template]
    _, operation = contract.resolve(f"/paths/{contract.escape(template)}/{method}")
    parameters = [
        parameter
        if "$ref" not in parameter
        else contract.resolve(parameter["$ref"].removeprefix("#"))[1]
        for parameter in operation.get("parameters", [])
    ]
    documented = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    samples = {
        "limit": "5",
        "phase": "FAILED",
        "name": "a",
        "parent": "a0",
        "error": "x",
        "sort": "name",
        "desc": "true",
        "waiting": "true",
        "at": "0",
        "attempt": "1",
        "wait": "true",
        "follow": "false",
        "lastEventId": "x",
        "project": "p",
        "domain": "d",
        "label": "a:b",
    }
    for name in documented - {"cursor"}:
        if template.endswith("/watch"):
            status = open_stream(f"{path}?{name}={samples[name]}").status
        else:
            status = api.get(path, **{name: samples[name]}).status_code
        assert status == 200, name
    for name in samples.keys() - documented:
        assert api.get(path, **{name: samples[name]}).status_code == 400, name
