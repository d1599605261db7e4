#!/usr/bin/env python3
"""Holds the sources to what the compiler does not see.

Without an option: includes go downwards only, the one check that is part of every build. With --all
also banned calls, sizes, leftovers and clang-format. Prints what is wrong as FILE:LINE: what, and
exits 1 if anything is.
"""

import argparse
import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A file may include from its own folder and from those before it.
LAYERS = ("model", "sql", "server", "handlers")
WIRING = "server/main.c"  # alone may include handlers/

# Libraries that only some files may see, by the path that the including file must match.
KEPT_APART = {
    "microhttpd.h": r"server/(http\w*\.[ch]|reply\.c)",
    "libpq-fe.h": r"sql/.*",
    "uv.h": r"(sql|server|handlers)/.*",
}

BANNED_CALLS = ("strcpy", "strcat", "sprintf", "vsprintf", "atoi", "strtok", "gets")
LEFTOVERS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")

FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100

C_FOLDERS = (*LAYERS, "tests", "bench")
SOURCE_FOLDERS = (*C_FOLDERS, "tools", "openapi", "cmake", "deploy", "dashboard")
SOURCE_ENDINGS = {".c", ".h", ".py", ".sh", ".sql", ".cmake", ".ts", ".tsx", ".css"}
NOT_OURS = {"node_modules", "dist", "__pycache__", "corpus"}
GENERATED = re.compile(r"dashboard/src/api/schema\.d\.ts")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT_OR_TEXT = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)
BANNED = re.compile(rf"\b({'|'.join(BANNED_CALLS)})\s*\(")
LEFTOVER = re.compile(rf"\b({'|'.join(LEFTOVERS)})\b")


def sources(folders, endings):
    """The files with these endings in our folders, as paths from the project's root."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT)
            if path.suffix not in endings or NOT_OURS & set(name.parts) or not path.is_file():
                continue
            if not GENERATED.fullmatch(str(name)):
                yield str(name)


def c_sources():
    return sources(C_FOLDERS, {".c", ".h"})


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def wrong_include(name, header):
    """Why the file `name` must not include `header`, or None."""
    folder, target = name.split("/")[0], header.split("/")[0]
    apart = KEPT_APART.get(header)
    if folder in LAYERS and apart and not re.fullmatch(apart, name):
        return f"<{header}> is not for this file"
    if folder not in LAYERS or target not in LAYERS:
        return None
    if name == WIRING or LAYERS.index(target) <= LAYERS.index(folder):
        return None
    return f"{folder}/ must not include {header}: includes go {' -> '.join(reversed(LAYERS))}"


def check_includes():
    for name in c_sources():
        for number, line in enumerate(read(name).splitlines(), 1):
            include = INCLUDE.match(line)
            why = include and wrong_include(name, include[2])
            if why:
                yield name, number, why


def without_comments(text):
    """The C text with comments and string literals blanked, line for line."""
    return COMMENT_OR_TEXT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def check_banned_calls():
    for name in c_sources():
        for number, line in enumerate(without_comments(read(name)).splitlines(), 1):
            for call in BANNED.findall(line):
                yield name, number, f"{call}() is banned"


def c_functions(text):
    """(line, length) of each function's body: its braces stand alone in the first column."""
    opened = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            opened = number
        elif line == "}" and opened:
            yield opened, number - opened + 1
            opened = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.end_lineno - node.lineno + 1


FUNCTIONS = {".c": c_functions, ".h": c_functions, ".py": python_functions}


def check_sizes():
    for name in sources(SOURCE_FOLDERS, SOURCE_ENDINGS):
        text = read(name)
        for number, length in FUNCTIONS.get(pathlib.Path(name).suffix, lambda _: ())(text):
            if length > FUNCTION_LINES_MAX:
                yield name, number, f"function of {length} lines; at most {FUNCTION_LINES_MAX}"
        if name.endswith((".c", ".h")):
            for number, line in enumerate(text.splitlines(), 1):
                if len(line) > LINE_COLUMNS_MAX:
                    yield name, number, f"{len(line)} columns; at most {LINE_COLUMNS_MAX}"


def check_leftovers():
    for name in sources(SOURCE_FOLDERS, SOURCE_ENDINGS | {".txt", ".md", ".yaml"}):
        for number, line in enumerate(read(name).splitlines(), 1):
            for word in LEFTOVER.findall(line):
                yield name, number, f"{word}: do it, or file it"


def check_format():
    command = ["clang-format", "--dry-run", "--ferror-limit=1", *c_sources()]
    said = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stderr
    for name in sorted(set(re.findall(r"^([^:\s]+):\d+:\d+: warning", said, re.MULTILINE))):
        yield name, 1, f"not as clang-format has it: clang-format -i {name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="everything, not includes alone")
    checks = [check_includes]
    if parser.parse_args().all:
        checks += [check_banned_calls, check_sizes, check_leftovers, check_format]
    findings = sorted(finding for check in checks for finding in check())
    for name, line, what in findings:
        print(f"{name}:{line}: {what}", file=sys.stderr)
    if not findings:
        print("The sources are as they should be.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
