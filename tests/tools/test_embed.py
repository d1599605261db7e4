"""tools/embed.py: a C compiler that reads the arrays finds the files' bytes in them."""

import os
import subprocess

import embed
import pytest

PROGRAM = r"""
#include <stdio.h>
#include "embedded.h"

int main(void)
{
    fwrite(every_byte, 1, every_byte_size, stdout);
    fwrite(nothing, 1, nothing_size, stdout);
    return every_byte[every_byte_size] == 0 && nothing_size == 0 && nothing[0] == 0 ? 0 : 1;
}
"""


def embedded(folder, *files):
    """Both outputs as text."""
    source, header = folder / "embedded.c", folder / "embedded.h"
    assert embed.main([str(source), "--header", str(header), *files]) == 0
    return source.read_text(), header.read_text()


def test_compiled_arrays_hold_the_bytes_and_a_nul_behind_them(tmp_path):
    every_byte = bytes(range(256)) * 3 + b"\n"
    (tmp_path / "bytes").write_bytes(every_byte)
    (tmp_path / "nothing").write_bytes(b"")
    source, _ = embedded(tmp_path, f"every_byte={tmp_path}/bytes", f"nothing={tmp_path}/nothing")
    assert max(map(len, source.splitlines())) < 100

    (tmp_path / "program.c").write_text(PROGRAM)
    subprocess.run(
        [
            os.environ.get("CC", "cc"),
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Werror",
            "-o",
            "program",
            "program.c",
            "embedded.c",
        ],
        cwd=tmp_path,
        check=True,
    )
    assert subprocess.run([tmp_path / "program"], stdout=-1, check=True).stdout == every_byte


def test_output_depends_on_the_bytes_and_symbols_alone(tmp_path):
    outputs = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "file").write_bytes(b"the same")
        outputs.append(embedded(folder, f"symbol={folder}/file"))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    "arguments", [["no-equals-sign"], ["1st=file"], ["a-b=file"], ["a="], ["a=x", "a=y"], []]
)
def test_bad_usage_is_2(tmp_path, arguments):
    with pytest.raises(SystemExit) as stop:
        embed.main([str(tmp_path / "o.c"), "--header", str(tmp_path / "o.h"), *arguments])
    assert stop.value.code == 2
    assert list(tmp_path.iterdir()) == []
