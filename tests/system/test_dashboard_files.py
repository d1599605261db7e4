"""The files of the page at /, as browsers and caches need them."""

import gzip
import re

import httpx
import pytest

from client import assert_problem

POLICY = {
    "default-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "object-src 'none'",
}


@pytest.fixture
def fetch(server):
    """GETs without what httpx adds by itself; the body as it was sent."""
    with httpx.Client(base_url=server.url) as client:
        del client.headers["Accept-Encoding"]

        def get(path, method="GET", **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            with client.stream(method, path, headers=named) as response:
                response.sent = b"".join(response.iter_raw())
            return response

        yield get


def linked(page):
    """What the page loads: (attribute, path) of its scripts, styles and icon."""
    return re.findall(r'(?:src|href)="\.?/?(assets/[^"]+)"', page)


@pytest.fixture
def files(fetch):
    """Every file of the page; those behind the first, which a page without the dashboard has not."""
    return ["/"] + ["/" + path for path in linked(fetch("/").sent.decode())]


def test_page(fetch):
    response = fetch("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = response.sent.decode()
    assert page.startswith("<!doctype html>") and "runtree" in page
    assert linked(page) or "built without the dashboard" in page


def test_nothing_is_inline_and_nothing_is_from_elsewhere(fetch):
    page = fetch("/").sent.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r'(?:src|href)="(?:[a-z]+:)?//', page)


def test_types_of_the_files(fetch, files):
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
    types["svg"] = "image/svg+xml"
    for path in files[1:]:
        response = fetch(path)
        assert response.status_code == 200
        assert response.headers["content-type"] == types[path.rpartition(".")[2]]


def test_headers_that_protect(fetch, files):
    for path in files:
        headers = fetch(path).headers
        assert set(headers["content-security-policy"].split("; ")) == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_page_is_asked_for_again_and_hashed_names_are_not(fetch, files):
    assert fetch("/").headers["cache-control"] == "no-cache"
    for path in files[1:]:
        assert re.search(r"-[\w-]{8}\.\w+$", path), path
        assert fetch(path).headers["cache-control"] == "public, max-age=31536000, immutable"


def test_gzip_for_those_who_take_it(fetch, files):
    for path in files:
        plain, zipped = fetch(path), fetch(path, Accept_Encoding="br, gzip;q=0.8")
        assert "content-encoding" not in plain.headers
        assert zipped.headers["content-encoding"] == "gzip"
        assert gzip.decompress(zipped.sent) == plain.sent
        assert len(zipped.sent) < len(plain.sent)
        assert int(zipped.headers["content-length"]) == len(zipped.sent)
        for response in (plain, zipped):
            assert "accept-encoding" in response.headers["vary"].lower()
        assert plain.headers["etag"] != zipped.headers["etag"]


@pytest.mark.parametrize(
    "accept, takes_gzip",
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip", True),
        ("*", True),
        ("br;q=1, *;q=0.1", True),
        ("gzip; q=0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("gzippy, br", False),
        ("identity", False),
        ("", False),
        (", ,", False),
    ],
)
def test_accept_encoding(fetch, accept, takes_gzip):
    assert ("content-encoding" in fetch("/", Accept_Encoding=accept).headers) == takes_gzip


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a,b" ,  W/{}', "*"])
def test_known_file_is_304(fetch, files, encoding, form):
    for path in files:
        known = fetch(path, Accept_Encoding=encoding)
        again = fetch(
            path, Accept_Encoding=encoding, If_None_Match=form.format(known.headers["etag"])
        )
        assert (again.status_code, again.sent) == (304, b"")
        for name in ("etag", "cache-control", "vary", "content-security-policy"):
            assert again.headers[name] == known.headers[name]
        assert "content-encoding" not in again.headers or encoding == "gzip"


@pytest.mark.parametrize("known", ['"other"', "", "W/", '"', '"other" "x', "x"])
def test_other_file_is_sent(fetch, known):
    assert fetch("/", If_None_Match=known).status_code == 200


def test_head(fetch, files):
    for path in files:
        got, head = fetch(path), fetch(path, "HEAD")
        assert (head.status_code, head.sent) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2findex.html", "%2e%2e", "x" * 300])
def test_unknown_file(api, name):
    assert_problem(api.get(f"/assets/{name}"), 404, "not-found")


@pytest.mark.parametrize("path", ["/", "/assets/x.js"])
def test_other_method(api, path):
    assert_problem(api.request("POST", path), 405, "method-not-allowed")
