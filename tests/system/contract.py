"""openapi.yaml as the judge: is this answer one that the document allows?"""

import functools
import json
import re

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from runtree import REPOSITORY

BASE_URI = "urn:runtree:openapi"


class JsonLoader(yaml.SafeLoader):
    """YAML that says only what JSON can: no dates, and every key a string."""

    def construct_mapping(self, node, deep=False):
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@functools.cache
def document():
    with open(REPOSITORY / "openapi" / "openapi.yaml", encoding="utf-8") as file:
        return yaml.load(file, JsonLoader)


@functools.cache
def registry():
    resource = Resource(contents=document(), specification=DRAFT202012)
    return Registry().with_resource(BASE_URI, resource)


@functools.cache
def path_patterns():
    """(pattern, template) of every path, those with fewest parameters first."""
    templates = sorted(document()["paths"], key=lambda template: template.count("{"))
    return [
        (re.compile(re.sub(r"\\{[^/]+?\\}", "[^/]+", re.escape(template)) + "$"), template)
        for template in templates
    ]


def template_of(path):
    """The path's template in the document, None if no path there is like it."""
    return next((template for pattern, template in path_patterns() if pattern.match(path)), None)


def escape(part):
    return part.replace("~", "~0").replace("/", "~1")


def resolve(pointer):
    """Follows a JSON Pointer and a $ref that stands there: the real pointer, and what is there."""
    node = document()
    for part in pointer.split("/")[1:]:
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return resolve(node["$ref"].removeprefix("#")) if "$ref" in node else (pointer, node)


@functools.cache
def validator(pointer):
    return Draft202012Validator(
        {"$ref": f"{BASE_URI}#{pointer}"},
        registry=registry(),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


@functools.cache
def find_response(template, method, status):
    """The pointer to the response that the document gives for this, and the response."""
    responses = f"/paths/{escape(template)}/{method}/responses"
    _, listed = resolve(responses)
    for key in (str(status), f"{status // 100}XX", "default"):
        if key in listed:
            return resolve(f"{responses}/{key}")
    raise AssertionError(f"openapi.yaml has no {status} for {method.upper()} {template}")


def check_response(method, path, status, content_type, body):
    """Asserts that openapi.yaml allows the answer. A path that it does not know is not judged."""
    template = template_of(path)
    method = "get" if method == "HEAD" else method.lower()
    if template is None or method not in document()["paths"][template]:
        return
    pointer, response = find_response(template, method, status)
    contents = response.get("content", {})
    media_type = content_type.partition(";")[0].strip()
    if not body:
        return
    assert (
        media_type in contents
    ), f"{method.upper()} {path}: {status} with {media_type!r}, openapi.yaml says {list(contents)}"
    if media_type.endswith("json") and "schema" in contents[media_type]:
        check(f"{pointer}/content/{escape(media_type)}/schema", json.loads(body))


def check_schema(name, value):
    """Asserts that `value` is what `components/schemas/<name>` says."""
    check(f"/components/schemas/{name}", value)


def check(pointer, value):
    errors = list(validator(pointer).iter_errors(value))
    assert not errors, (
        "\n".join(f"{error.json_path}: {error.message}" for error in errors[:5])
        + f"\nby #{pointer}"
    )
