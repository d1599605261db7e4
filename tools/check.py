#!/usr/bin/env python3
"""Holds the sources to what the compiler does not see.

Without an option: includes go downwards only, the one check that is part of every build. With --all
also circles of modules, names that nothing has, banned calls, sizes, leftovers and clang-format.
Prints what is wrong as FILE:LINE: what, and exits 1 if anything is.
"""

import argparse
import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A file may include from its own folder and from those before it.
LAYERS = ("model", "adapters", "cli", "sql", "server", "watch", "handlers")
BESIDE = {"adapters": ("adapters", "handlers"), "cli": ("cli",)}  # folder: who alone may include from it
WIRING = r"server/(main|app|cell)\.c"  # alone may include what is above it

# Libraries that only some files may see, by the path that the including file must match.
KEPT_APART = {
    "curl/curl.h": r"cli/http_client\.c",
    "microhttpd.h": r"server/http\.c",
    "libpq-fe.h": r"sql/.*",
    "uv.h": r"(sql|server|watch|handlers)/.*",
}

BANNED_CALLS = ("strcpy", "strcat", "sprintf", "vsprintf", "atoi", "strtok", "gets")
LEFTOVERS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")

# What comments and documents may name although no source of ours has it.
NAMES_OF_OTHERS = """
    array_recv citus_schema_distribute citus_schema_move container_cpu_cfs_throttled_periods_total
    io_uring json_object_update_missing
    log_checkpoints MSG_ZEROCOPY O_NONBLOCK pg_ctl pg_stat_io pg_stat_wal record_recv remote_apply remote_write size_bytes
    synchronous_mode uv_poll xact_start
""".split()

CLANG_FORMAT = ROOT / ".venv/bin/clang-format"  # of tools/requirements.txt

FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100

C_FOLDERS = (*LAYERS, "tests", "bench")
SOURCE_FOLDERS = (*C_FOLDERS, "tools", "openapi", "cmake", "deploy", "dashboard", "clients")
SOURCE_ENDINGS = {".c", ".h", ".py", ".sh", ".sql", ".cmake", ".ts", ".tsx", ".css", ".proto"}
DATA_ENDINGS = {".json", ".yaml", ".txt", ".toml", ".mjs", ".tpl", ".in"}
NOT_OURS = {"node_modules", "dist", "__pycache__", "corpus"}
GENERATED = re.compile(r"dashboard/src/api/schema\.d\.ts")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT_OR_TEXT = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)
FUNCTION = re.compile(r"^(?=\w)(static\b)?[^;={}()\n]*?\b(\w+)\([^;{}]*\)\n\{", re.MULTILINE)
NAME = re.compile(r"\b(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b(?!\.\d)")
PATH = re.compile(rf"(?<![\w/])(?:{'|'.join((*SOURCE_FOLDERS, 'docs'))})/[\w./-]*\w")
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
    if re.fullmatch(WIRING, name):
        return None
    if folder not in BESIDE.get(target, LAYERS):
        return f"{folder}/ must not include {header}"
    if LAYERS.index(target) <= LAYERS.index(folder):
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


def module_of(name):
    return name.rsplit(".", 1)[0]


def needed_modules():
    """{module: the modules whose header it includes or whose functions it calls}"""
    texts = {name: read(name) for name in sources(LAYERS, {".c", ".h"})}
    codes = {name: without_comments(text) for name, text in texts.items() if name.endswith(".c")}
    functions = {name: FUNCTION.findall(code) for name, code in codes.items()}
    homes = {call: name for name in codes for static, call in functions[name] if not static}
    needed = {module_of(name): set() for name in texts}
    for name, text in texts.items():
        includes = filter(None, map(INCLUDE.match, text.splitlines()))
        files = {include[2] for include in includes} & texts.keys()
        if name in codes:
            own = {call for _, call in functions[name]}
            files |= {homes[it] for it in homes.keys() & {*re.findall(r"\w+", codes[name])} - own}
        needed[module_of(name)] |= {module_of(file) for file in files} - {module_of(name)}
    return needed


def circles(needed):
    """The sets of modules that reach each other."""
    reached = {}
    for start in needed:
        reached[start], ways = set(), [start]
        while ways:
            new = needed[ways.pop()] - reached[start]
            reached[start] |= new
            ways += new
    groups = (frozenset(it for it in reached[one] if one in reached[it]) for one in needed)
    return {group for group in groups if len(group) > 1}


def check_circles():
    for circle in circles(needed_modules()):
        yield min(circle), 1, f"modules that need each other: {' '.join(sorted(circle))}"


def comments_and_documents():
    """(file, line, text) of each comment in C, and of each document."""
    for name in c_sources():
        text = read(name)
        for found in COMMENT_OR_TEXT.finditer(text):
            if found[0].startswith("/"):
                yield name, text.count("\n", 0, found.start()) + 1, found[0]
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        yield str(path.relative_to(ROOT)), 1, path.read_text(encoding="utf-8")


def known_words():
    """Every word of every source, but for the comments in C, and of files' names."""
    words = set(NAMES_OF_OTHERS)
    for name in sources(SOURCE_FOLDERS, SOURCE_ENDINGS | DATA_ENDINGS):
        text = read(name)
        if name.endswith((".c", ".h")):
            text = COMMENT_OR_TEXT.sub(lambda it: " " if it[0].startswith("/") else it[0], text)
        words |= {*re.findall(r"\w+", text), *re.findall(r"\w+", name)}
    return words


def exists(path, beside):
    places = (ROOT / path, (ROOT / beside).parent / path)
    return any([*place.parent.glob(place.name + "*")] for place in places)


def check_names():
    words = known_words()
    for name, line, text in comments_and_documents():
        for found in (*NAME.finditer(text), *PATH.finditer(text)):
            at = line + text.count("\n", 0, found.start())
            if not (exists(found[0], name) if "/" in found[0] else found[0] in words):
                yield name, at, f"{found[0]}: nothing here has this name"


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


def check_hidden_tests():
    """A second test of a name takes the first one's place, which is not run."""
    for name in sources(SOURCE_FOLDERS, {".py"}):
        seen = set()
        for number, line in enumerate(read(name).splitlines(), 1):
            if line.startswith("def test_"):
                test = line.partition("(")[0]
                if test in seen:
                    yield name, number, f"there is another {test} above"
                seen.add(test)


def check_leftovers():
    for name in sources(SOURCE_FOLDERS, SOURCE_ENDINGS | {".txt", ".md", ".yaml"}):
        for number, line in enumerate(read(name).splitlines(), 1):
            for word in LEFTOVER.findall(line):
                yield name, number, f"{word}: do it, or file it"


def check_format():
    command = [CLANG_FORMAT, "--dry-run", "--ferror-limit=1", *c_sources()]
    said = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stderr
    for name in sorted(set(re.findall(r"^([^:\s]+):\d+:\d+: warning", said, re.MULTILINE))):
        yield name, 1, f"not as clang-format has it: clang-format -i {name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="everything, not includes alone")
    checks = [check_includes]
    if parser.parse_args().all:
        checks += [check_circles, check_names]
        checks += [check_banned_calls, check_sizes, check_hidden_tests, check_leftovers, check_format]
    findings = sorted(finding for check in checks for finding in check())
    for name, line, what in findings:
        print(f"{name}:{line}: {what}", file=sys.stderr)
    if not findings:
        print("The sources are as they should be.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
