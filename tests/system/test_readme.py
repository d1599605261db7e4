"""The README's terminal sessions, run as they stand there: the answers are what it shows. And its
table of options is what --help says.

As a program, with the URL of a runtree whose database is empty, it writes the README anew:

    .venv/bin/python tests/system/test_readme.py http://127.0.0.1:8080
"""

import pathlib
import re
import shlex
import subprocess
import sys
import time

import yaml

from runtree import run_to_exit

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
README_URL = "http://127.0.0.1:8080"
SESSION = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)

OPTION = re.compile(
    r"^  --(\S+)(?: \w+)?  \[(\w+)\]\n      (.*?)(?: \(default (.*)\))?$", re.MULTILINE
)
TABLE_HEAD = "| flag | variable | default | what |\n|---|---|---|---|\n"
TABLE = re.compile(re.escape(TABLE_HEAD) + r"(?:\|.*\n)*")

# What differs from one run to the next.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r'"durationMs":\d+', '"durationMs":N'),
    (r'"incarnation":"\w{12}"', '"incarnation":"I"'),
    (r"(?m)^id: \w{12}\.", "id: I."),
    (r"(?m)^retry: \d+$", "retry: N"),
)


def sessions(text):
    """[(command, its output)] of all console blocks, in order. A command goes on while a quote is
    open."""
    found = []
    for block in SESSION.findall(text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            lines = part.splitlines()
            length = 1
            while "\n".join(lines[:length]).count("'") % 2:
                length += 1
            found.append(("\n".join(lines[:length]), "\n".join(lines[length:])))
    return found


def arguments(command, url):
    """The words of a curl command, against another server and silent about its progress."""
    words = shlex.split(command.replace(README_URL, url))
    assert words[0] == "curl", f"only curl is run: {command}"
    return ["curl", "--silent", "--max-time", "30", *words[1:]]


def run_sessions(commands, url):
    """What each command prints; one with -N goes on beside those that follow it."""
    outputs, watches = [], []
    for command in commands:
        process = subprocess.Popen(arguments(command, url), stdout=subprocess.PIPE, text=True)
        if " -N " in command:
            watches.append((len(outputs), process))
            outputs.append("")
        else:
            outputs.append(process.communicate()[0])
        time.sleep(0.3)  # as a person would leave: each change gets a flush of its own
    for index, process in watches:
        outputs[index] = process.communicate()[0]
    return [output.strip() for output in outputs]


def comparable(text):
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text.strip()


def options_table():
    text = TABLE_HEAD
    for flag, variable, meaning, default in OPTION.findall(run_to_exit("serve", "--help").stdout):
        shown = f"`{default}`" if default else ""
        text += f"| `--{flag}` | `{variable}` | {shown} | {meaning} |\n"
    return text


def test_sessions_are_what_happens(start_runtree, postgres):
    url = start_runtree(database_url=postgres.new_database()).url
    written = sessions(README.read_text(encoding="utf-8"))
    outputs = run_sessions([command for command, _ in written], url)
    assert len(written) > 5
    for (command, expected), output in zip(written, outputs, strict=True):
        assert comparable(output) == comparable(expected), command


def test_options_are_those_of_help():
    assert TABLE.search(README.read_text(encoding="utf-8"))[0] == options_table()


def test_every_path_of_the_api_is_named():
    readme = README.read_text(encoding="utf-8")
    document = yaml.safe_load((REPOSITORY / "openapi/openapi.yaml").read_text(encoding="utf-8"))
    for path in document["paths"]:
        short = path.replace("/v1/projects/{project}/domains/{domain}", "…")
        assert re.search(rf"[` ]{re.escape(short)}`", readme), path


def rewrite(url):
    text = TABLE.sub(lambda _: options_table(), README.read_text(encoding="utf-8"))
    outputs = iter(run_sessions([command for command, _ in sessions(text)], url))

    def with_outputs(block):
        written = (f"$ {command}\n{next(outputs)}\n" for command, _ in sessions(block[0]))
        return "```console\n" + "".join(written) + "```"

    README.write_text(SESSION.sub(with_outputs, text), encoding="utf-8")


if __name__ == "__main__":
    rewrite(sys.argv[1])
