"""Bytes on the socket that two readers could take differently, and what else no good client sends.

Where the end of a request is not certain the answer is 400 and the connection ends: what follows
must never be taken for a request of its own (request smuggling).
"""

import json
import re
import socket
import time
from email.utils import parsedate_to_datetime

import pytest

from runtree import PATIENCE_S

EVENT = (
    b'{"project":"smuggled","domain":"d","runName":"r","name":"a","phase":"QUEUED","parent":null}'
)
SMUGGLED = (
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(EVENT), EVENT)
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answers:
    """All that comes back for these bytes until nothing more does for so many seconds, and whether the server closed the connection."""

    def __init__(self, port, request_bytes, seconds=0.4):
        self.text = b""
        self.is_closed = False
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(request_bytes)
            try:
                while chunk := connection.recv(65536):
                    self.text += chunk
                    connection.settimeout(seconds)
                self.is_closed = True
            except TimeoutError:
                pass
            except ConnectionResetError:
                self.is_closed = True
        self.statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.text)]


@pytest.fixture
def send(server):
    return lambda request_bytes, **options: Answers(server.port, request_bytes, **options)


def post(*headers, body=b"{}", path=b"/v1/events", version=b"1.1", host=b"localhost"):
    lines = [b"POST %s HTTP/%s" % (path, version), b"Host: " + host, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target=b"/healthz", *headers, version=b"1.1"):
    return b"\r\n".join([b"GET %s HTTP/%s" % (target, version), *headers]) + b"\r\n\r\n"


def assert_well_formed(text, is_problem=False):
    """Answers with one head each, as long as they say; a problem that names itself."""
    while text:
        head, _, rest = text.partition(b"\r\n\r\n")
        length = int(re.search(rb"\r\nContent-Length: (\d+)", head)[1])
        body, text = rest[:length], rest[length:]
        assert not re.search(rb"HTTP/1\.1 \d", head[8:] + body), (head, body)
        if is_problem:
            assert b"\r\nContent-Type: application/problem+json" in head
            assert b"\r\nX-Content-Type-Options: nosniff" in head
            assert b"\r\nContent-Security-Policy: default-src 'none'" in head
            assert json.loads(body)["type"].startswith("/problems/")


HEAD = b"GET /healthz HTTP/1.1\r\n"
LENGTH = b"%d" % len(SMUGGLED)
FOLDED = {
    "a length": post(b"Content-Length:\r\n " + LENGTH),
    "a length, by a tab": post(b"Content-Length:\r\n\t" + LENGTH),
    "a length behind a blank": post(b"Content-Length: \r\n " + LENGTH),
    "a length behind another": post(b"Content-Length: 0\r\n " + LENGTH),
    "a length, twice": post(b"Content-Length:\r\n \r\n " + LENGTH),
    "an empty line": post(b"Content-Length: 0\r\n "),
    "a header behind the length": post(b"Content-Length: 0", b"X: a\r\n b"),
    "an authorization": get(b"/healthz", b"Host: localhost", b"Authorization: Bearer\r\n a"),
    "the host": HEAD + b"Host:\r\n localhost\r\n\r\n",
    "the first header": HEAD + b" X: y\r\nHost: localhost\r\n\r\n",
    "the first header, by a tab": HEAD + b"\tHost: localhost\r\n\r\n",
    "a bare line feed": get(b"/healthz", b"Host: localhost", b"X: a\n b"),
}
AMBIGUOUS = {
    "both lengths": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "both lengths, the other way": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"
    ),
    "two lengths": post(b"Content-Length: 2", b"Content-Length: 200"),
    "the same length twice": post(b"Content-Length: 2", b"Content-Length: 2"),
    "a list of lengths": post(b"Content-Length: 2, 2"),
    "a length with a sign": post(b"Content-Length: +2"),
    "a negative length": post(b"Content-Length: -2"),
    "a length in hex": post(b"Content-Length: 0x2"),
    "a length that is text": post(b"Content-Length: two"),
    "an empty length": post(b"Content-Length:"),
    "a space before the colon": post(b"Content-Length : 2"),
    "a space before the colon of another": post(b"Content-Length: 2", b"X : y"),
    "an unknown coding": post(b"Transfer-Encoding: gzip", body=b""),
    "a list of codings": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "identity": post(b"Transfer-Encoding: identity", body=b""),
    "almost chunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked, folded": post(b"Transfer-Encoding:\r\n chunked, x", body=b"0\r\n\r\n"),
    "chunked with a tab": post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "two codings": post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"
    ),
    "chunks in HTTP/1.0": post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"),
    "no host": get(),
    "two hosts": get(b"/healthz", b"Host: localhost", b"Host: 127.0.0.1"),
    "a control character": get(b"/healthz", b"Host: localhost", b"X: a\x01b"),
    "a bare CR": get(b"/healthz", b"Host: localhost", b"X: a\rContent-Length: 9"),
    "a header without a colon": get(b"/healthz", b"Host: localhost", b"X"),
    "a folded header": get(b"/healthz", b"Host: localhost", b"X: a\r\n Content-Length: 9"),
    **{f"folded: {name}": value for name, value in FOLDED.items()},
    "a NUL in a length": post(b"Content-Length: 0\x0068"),
    "a NUL before a length": post(b"Content-Length: \x0068"),
    "a NUL in a name": post(b"Content\x00-Length: 68"),
    "a NUL and a header": get(b"/healthz", b"Host: localhost", b"X: a\0\0Content-Length: 68"),
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "a bare line feed": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare line feed at the end": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\n",
    "two authorizations": get(
        b"/v1/runs", b"Host: localhost", b"Authorization: Bearer a", b"Authorization: Bearer b"
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(send, api, name):
    for first in (b"", HEALTH):
        answers = send(first + AMBIGUOUS[name] + SMUGGLED)
        assert answers.statuses == ([200, 400] if first else [400]), answers.text
        assert answers.is_closed, "what follows must not be read"
        assert_well_formed(answers.text)
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


BAD_CHUNKS = {
    "no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "a sign": b"-2\r\n{}\r\n0\r\n\r\n",
    "a prefix": b"0x2\r\n{}\r\n0\r\n\r\n",
    "too long for its size": b"2\r\n{}XX\r\n0\r\n\r\n",
    "no line end": b"2\r\n{}0\r\n\r\n",
    "an overflow": b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "an empty size": b"\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks(send, api, name):
    answers = send(post(b"Transfer-Encoding: chunked", body=BAD_CHUNKS[name]) + SMUGGLED)
    assert answers.statuses in ([400], [413]), answers.text
    assert answers.is_closed
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


@pytest.mark.parametrize("extension", [b"", b";name=value"])
def test_good_chunks(send, extension):
    body = b"1%s\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n" % extension
    answers = send(post(b"Transfer-Encoding: chunked", body=body) + HEALTH)
    if extension and answers.statuses == [400]:
        assert answers.is_closed, "libmicrohttpd 1.0 cannot read an extension"
    else:
        assert answers.statuses == [400, 200], "{} is no event, and the connection lives"


@pytest.mark.parametrize(
    "head",
    [
        get(b"/healthz\0/x", b"Host: localhost"),
        get(b"/healthz", b"Host: localhost", version=b"1.1\0"),
        get(b"/healthz", b"Host: localhost", version=b"1.1 "),
    ],
)
def test_request_line_that_can_be_read_in_two_ways(send, api, head):
    """libmicrohttpd 1.0 closes the connection without a word."""
    answers = send(head + SMUGGLED)
    assert answers.statuses in ([400], []) and answers.is_closed, answers.text
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"])
def test_body_where_none_is_expected_is_not_a_request(send, api, method):
    head = b"%s /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    answers = send(head % (method, len(SMUGGLED)) + SMUGGLED + HEALTH)
    assert len(answers.statuses) <= 2, answers.text
    assert answers.statuses[1:] in ([200], []), answers.text
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


@pytest.mark.parametrize("length", [5_000_000, 2**63, 2**64, 10**30])
def test_announced_length_over_the_limit(send, api, length):
    answers = send(post(b"Content-Length: %d" % length, body=SMUGGLED))
    assert answers.statuses == [413], answers.text
    assert answers.is_closed
    assert_well_formed(answers.text, is_problem=True)
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


# Heads


@pytest.mark.parametrize(
    "head, status",
    [
        (post(b"Content-Length: two"), 400),
        (post(b"Content-Length:"), 400),
        (post(b"Content-Length: 2, 2"), 400),
        (post(b"Content-Length: 99999999999999999999"), 413),
        (get(b"/healthz", b"Host: localhost", b"Cookie: " + b"a=b; " * 3000), 431),
        (get(b"/" + b"a" * 16_350, b"Host: localhost"), 414),
    ],
)
def test_answer_to_a_bad_head_is_one_problem(send, head, status):
    answers = send(head)
    assert answers.statuses == [status], answers.text
    assert answers.is_closed
    assert_well_formed(answers.text, is_problem=True)


def test_head_that_is_too_large(send):
    for head, expected in (
        (get(b"/healthz", b"Host: localhost", b"X: " + b"a" * 40_000), 431),
        (get(b"/healthz", b"Host: localhost", *[b"X: y"] * 5000), 431),
        (get(b"/" + b"a" * 40_000, b"Host: localhost"), 414),
    ):
        answers = send(head + HEALTH)
        assert answers.statuses in ([expected], []), answers.text
        assert answers.is_closed


def test_head_that_leaves_no_room_for_the_answer(send):
    """libmicrohttpd would close the connection without a word, or wait."""
    for head, expected in (
        (get(b"/healthz", b"Host: localhost", b"X: " + b"a" * 15_950), 200),
        (get(b"/healthz", b"Host: localhost", b"X: " + b"a" * 16_400), 431),
        (get(b"/healthz", b"Host: localhost", *[b"X: y"] * 480), 431),
        (get(b"/healthz", b"Host: localhost", b"Cookie: a=" + b"b" * 15_000), 431),
        (get(b"/" + b"a" * 16_350, b"Host: localhost"), 414),
        (get(b"/v1/runs?" + b"a&" * 600, b"Host: localhost"), 414),
        (get(b"/v1/runs?" + b"a&" * 256 + b"a" * 15_700, b"Host: localhost"), 414),
        (get(b"/v1/runs?" + b"a&" * 50 + b"a" * 30_000, b"Host: localhost"), 414),
    ):
        answers = send(head)
        assert answers.statuses == [expected], (len(head), answers.text)


@pytest.mark.parametrize(
    "version, statuses", [(b"0.9", [505]), (b"2.0", [505]), (b"3", [400, 505]), (b"1.x", [400])]
)
def test_other_versions(send, version, statuses):
    answers = send(get(b"/healthz", b"Host: localhost", version=version))
    assert answers.statuses and answers.statuses[0] in statuses, answers.text
    assert answers.is_closed


def test_http_1_0(send):
    answers = send(get(version=b"1.0") + HEALTH)
    assert answers.statuses == [200] and answers.is_closed
    answers = send(get(b"/healthz", b"Connection: keep-alive", version=b"1.0") + HEALTH)
    assert answers.statuses == [200, 200] and not answers.is_closed


def test_empty_line_before_a_request(send):
    """RFC 9112, section 2.2"""
    assert send(b"\r\n" + HEALTH).statuses == [200]


def test_expect_continue(send):
    answers = send(post(b"Content-Length: 2", b"Expect: 100-continue", body=b""))
    assert answers.statuses == [100]


@pytest.mark.parametrize("path", [b"/healthz", b"/nothing", b"/v1/runs/watch"])
def test_date(send, path):
    """RFC 9110, section 6.6.1: of streams, too, whose heads are not libmicrohttpd's."""
    date = re.search(rb"\r\nDate: (.*)\r\n", send(get(path, b"Host: localhost")).text)
    assert abs(parsedate_to_datetime(date[1].decode()).timestamp() - time.time()) < 60


def test_pipelined_requests_are_answered_in_order(send):
    paths = (b"/healthz", b"/nothing", b"/healthz", b"/v1/runs?x=y")
    requests = b"".join(get(path, b"Host: localhost") for path in paths)
    assert send(requests + SMUGGLED[:20]).statuses == [200, 404, 200, 400]


@pytest.mark.parametrize("first", [b"", b"watch is last"])
def test_request_behind_a_watch_is_never_read(send, api, run, first):
    """The stream owns the connection: what a client sends behind the request is dropped."""
    api.post_one(run.event("a0", parent=None))
    watch = get(f"{run.path}/watch".encode(), b"Host: localhost")
    answers = send((HEALTH if first else b"") + watch + SMUGGLED, seconds=1)
    assert answers.statuses == ([200, 200] if first else [200])
    assert b"event: synced" in answers.text
    assert api.get("/v1/runs", project="smuggled").json()["runs"] == []


# Targets


@pytest.mark.parametrize(
    "target, status",
    [
        (b"/healthz", 200),
        (b"/healthz?", 200),
        (b"/%68ealthz", 200),
        (b"http://localhost/healthz", 200),
        (b"HTTPS://anything:1/healthz", 200),
        (b"http://localhost", 200),
        (b"//healthz", 404),
        (b"/healthz/", 404),
        (b"/v1%2fruns", 404),
        (b"/v1/projects/a%2Fb/domains/d/runs", 200),
        (b"/v1/projects/a%2F/domains/d/runs", 400),
        (b"/v1/projects/a/b/domains/d/runs", 404),
        (b"/v1/projects/a/domains/d%2Fe/runs", 400),
        (b"/v1/projects/a/domains/d/runs/%2E%2E", 400),
        (b"/v1/../healthz", 404),
        (b"/v1/%2e%2e/healthz", 404),
        (b"/healthz%00", 400),
        (b"/healthz%00/x", 400),
        (b"/healthz%", 400),
        (b"/healthz%f", 400),
        (b"/healthz%zz", 400),
        (b"/%ff", 400),
        (b"/%c0%af", 400),
        (b"/%ed%a0%80", 400),
        (b"/v1/runs?name=%00", 400),
        (b"/healthz#fragment", 404),
        (b"healthz", 400),
        (b"ftp://localhost/healthz", 400),
        (b"localhost:80", 400),
        (b"*", 400),
        (b"/heal thz", 400),
        (b"/heal\tthz", 400),
        (b"/heal\x7fthz", 400),
        (b"/" + b"a/" * 21, 414),
        (b"/v1/runs?" + b"name=a&" * 129, 414),
    ],
)
def test_targets(send, target, status):
    answers = send(get(target, b"Host: localhost"))
    assert answers.statuses == [status], answers.text


def test_options_of_everything(send):
    answers = send(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answers.statuses == [204]
    assert b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS" in answers.text


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"TRACK", b"get", b"G" * 300])
def test_other_methods(send, method):
    target = b"localhost:80" if method == b"CONNECT" else b"/healthz"
    answers = send(b"%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, target))
    assert answers.statuses and answers.statuses[0] in (400, 405), answers.text


def test_nothing_of_a_request_comes_back_as_a_header(send):
    """Response splitting: what came in encoded goes out in JSON only."""
    answers = send(get(b"/v1/runs?a%0d%0aX-Injected:%201=b", b"Host: localhost"))
    assert answers.statuses == [400]
    head = answers.text.partition(b"\r\n\r\n")[0]
    assert b"Injected" not in head
    answers = send(
        get(b"/healthz", b"Host: localhost", b"Origin: http://x\x0b", b"X-Request-Id: a\x0bb")
    )
    assert answers.statuses == [400]
