"""tools/yaml_to_json.py: what the YAML says, in JSON's words."""

import json

import pytest
import yaml_to_json


def converted(folder, text):
    (folder / "in.yaml").write_text(text, encoding="utf-8")
    assert yaml_to_json.main([str(folder / "in.yaml"), str(folder / "out.json")]) == 0
    return (folder / "out.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text, value",
    [
        ("at: 2026-04-12T08:00:00.123Z", {"at": "2026-04-12T08:00:00.123Z"}),
        ("day: 2026-04-12", {"day": "2026-04-12"}),
        ("responses: {200: ok}", {"responses": {"200": "ok"}}),
        ("{on: 1, null: 2}", {"on": 1, "null": 2}),
        ("[1, 1.5, true, null, 'é…']", [1, 1.5, True, None, "é…"]),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("a: &a {x: [1]}\nb: *a", {"a": {"x": [1]}, "b": {"x": [1]}}),
    ],
)
def test_value(tmp_path, text, value):
    assert json.loads(converted(tmp_path, text)) == value


def test_output_is_compact_and_in_the_order_written(tmp_path):
    assert converted(tmp_path, "z: 1\na: [1, 2]\n") == '{"z":1,"a":[1,2]}\n'


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a: [1", "a: .inf"])
def test_what_json_cannot_say_is_an_error(tmp_path, text, capsys):
    (tmp_path / "in.yaml").write_text(text)
    assert yaml_to_json.main([str(tmp_path / "in.yaml"), str(tmp_path / "out.json")]) == 1
    assert "in.yaml" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_bad_usage_is_2(capsys):
    assert yaml_to_json.main(["only-one"]) == 2
    assert "usage" in capsys.readouterr().err
