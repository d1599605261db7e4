"""tools/asset_table.py: a C compiler that reads the table finds the page's files in it."""

import gzip
import os
import pathlib
import subprocess

import asset_table
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = r"""
#include <stdio.h>
#include "server/asset.h"

extern const struct asset page[];

int main(void)
{
    for (const struct asset *asset = page; asset->path != NULL; asset++) {
        printf("%s|%s|%s|%s|%d|%zu|%zu\n", asset->path, asset->content_type, asset->etag,
               asset->gzip_etag, asset->is_immutable, asset->length, asset->gzip_length);
        fwrite(asset->bytes, 1, asset->length, stdout);
        fwrite(asset->gzip_bytes, 1, asset->gzip_length, stdout);
    }
    return 0;
}
"""


@pytest.fixture
def folder(tmp_path):
    """A page with files of several kinds."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(b"<!doctype html>" + b" " * 500)
    (folder / "assets" / "index-A_b-12x9.js").write_bytes(b"let every = byte;" * 50)
    (folder / "assets" / "dot.svg").write_bytes(bytes(range(256)))
    return folder


def table(folder):
    source = folder.parent / "page.c"
    assert asset_table.main([str(folder), str(source), "--symbol", "page"]) == 0
    return source


def test_compiled_table_holds_the_files(folder):
    source = table(folder)
    program = folder.parent / "program"
    (folder.parent / "main.c").write_text(PROGRAM)
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=gnu11", *warnings, f"-I{REPOSITORY}", "-o", program]
        + [folder.parent / "main.c", source],
        check=True,
    )
    printed = subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout

    seen = {}
    while printed:
        line, _, printed = printed.partition(b"\n")
        path, content_type, etag, gzip_etag, is_immutable, *lengths = line.decode().split("|")
        length, gzip_length = map(int, lengths)
        content, zipped = printed[:length], printed[length : length + gzip_length]
        printed = printed[length + gzip_length :]
        assert not zipped or gzip.decompress(zipped) == content
        assert etag != gzip_etag
        seen[path] = (content, content_type, bool(int(is_immutable)), bool(zipped))

    def content(name):
        return (folder / name).read_bytes()

    script, picture = "assets/index-A_b-12x9.js", "assets/dot.svg"
    assert seen == {
        "/": (content("index.html"), "text/html; charset=utf-8", False, True),
        f"/{script}": (content(script), "text/javascript; charset=utf-8", True, True),
        f"/{picture}": (content(picture), "image/svg+xml", False, False),
    }


def test_output_depends_on_the_files_alone(folder, tmp_path):
    first = table(folder).read_bytes()
    os.utime(folder / "index.html", (1, 1))
    assert table(folder).read_bytes() == first
    (folder / "index.html").write_bytes(b"another page")
    assert table(folder).read_bytes() != first


@pytest.mark.parametrize(
    "name", ["robots.txt", "assets/page.exe", "assets/deep/er.js", 'assets/qu"ote.js', "src/x.js"]
)
def test_file_that_would_not_be_served_is_an_error(folder, name):
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(SystemExit) as stop:
        table(folder)
    assert name.rpartition("/")[2] in str(stop.value)


def test_folder_without_a_page_is_an_error(folder):
    (folder / "index.html").unlink()
    with pytest.raises(SystemExit) as stop:
        table(folder)
    assert stop.value.code == 2
