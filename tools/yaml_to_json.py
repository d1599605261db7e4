#!/usr/bin/env python3
"""Turn the hand-written OpenAPI document into the compact JSON that /openapi.json serves.

    python3 tools/yaml_to_json.py openapi/openapi.yaml build/openapi.json

The output depends on nothing but the input: members keep the order in which they are written.
"""

import json
import sys

import yaml


class JsonLoader(yaml.SafeLoader):
    """YAML restricted to what JSON can say: no dates, no repeated keys, and every key a string."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        self.flatten_mapping(node)  # what `<<` brings comes first, so that the own keys win
        # A key's text, not its value: `200:` under `responses` is the string "200" in JSON.
        return {
            key_node.value: self.construct_object(value_node, deep=True)
            for key_node, value_node in node.value
        }


# An example such as 2026-04-12T08:00:00.123Z is a string in JSON, quoted or not.
JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def main(arguments):
    if len(arguments) != 2:
        print("usage: yaml_to_json.py IN.yaml OUT.json", file=sys.stderr)
        return 2
    source, target = arguments
    try:
        with open(source, encoding="utf-8") as file:
            document = yaml.load(file, Loader=JsonLoader)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (yaml.YAMLError, ValueError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 1
    with open(target, "w", encoding="utf-8", newline="\n") as file:
        file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
