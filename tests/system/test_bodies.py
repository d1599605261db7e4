"""Bodies of requests: their coding, their size, who hears that they are too large, and the memory
that all of them together may take."""

import gzip
import http.client
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zlib

import httpx
import pytest

from client import assert_problem, metric
from runtree import SMALL_QUARANTINE

BODY_BYTES = 4 * 1024 * 1024
TOO_LARGE = b"x" * (3 * BODY_BYTES)


def post_coded(api, body, coding="gzip", content_type="application/json"):
    headers = {"Content-Type": content_type, "Content-Encoding": coding}
    return api.request("POST", "/v1/events", content=body, headers=headers)


def encode(document):
    return json.dumps(document).encode()


# Codings


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
def test_packed_body(api, run, coding):
    body = gzip.compress(encode(run.event(parent=None)))
    assert post_coded(api, body, coding).status_code == 201
    lines = encode(run.event("a1", parent="a0")) + b"\n" + encode(run.event("a2", parent="a0"))
    answer = post_coded(api, gzip.compress(lines), coding, "application/x-ndjson")
    assert answer.status_code == 200
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    packed = gzip.compress(encode({"parent": "a0"}))
    assert api.request("PUT", run.put_path("a3"), content=packed, headers=headers).is_success
    assert api.read(run.path)["actionCount"] == 4


def test_packed_body_of_several_members(api, run):
    """RFC 1952, section 2.2"""
    body = encode(run.event(parent=None))
    members = [gzip.compress(body[at : at + 10]) for at in range(0, len(body), 10)]
    assert post_coded(api, b"".join(members) + gzip.compress(b"")).status_code == 201


def test_packed_body_in_small_chunks(api, run):
    packed = gzip.compress(encode(run.event(parent=None)))
    pieces = (packed[at : at + 1] for at in range(len(packed)))
    assert post_coded(api, pieces).status_code == 201


BROKEN = {
    "plain": lambda packed: b"{}",
    "empty": lambda packed: b"",
    "cut": lambda packed: packed[:-1],
    "only a head": lambda packed: packed[:10],
    "with something behind it": lambda packed: packed + b"x",
    "with zeros behind it": lambda packed: packed + bytes(8),
    "wrong sum": lambda packed: packed[:-8] + bytes(4) + packed[-4:],
    "zlib": lambda packed: zlib.compress(gzip.decompress(packed)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_packed_body(api, run, name):
    packed = gzip.compress(encode(run.event(parent=None)))
    problem = assert_problem(post_coded(api, BROKEN[name](packed)), 400, "bad-request")
    assert "Content-Encoding" in problem["detail"]
    assert api.get(run.path).status_code == 404


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "gzip;q=1"])
def test_unknown_coding(api, run, coding):
    answer = post_coded(api, encode(run.event(parent=None)), coding)
    assert_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["Accept-Encoding"] == "gzip"
    assert api.get(run.path).status_code == 404


def test_two_codings(api, run):
    headers = [("Content-Type", "application/json"), *[("Content-Encoding", "gzip")] * 2]
    body = gzip.compress(encode(run.event(parent=None)))
    answer = api.request("POST", "/v1/events", content=body, headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")
    assert api.get(run.path).status_code == 404


@pytest.mark.parametrize("coding", ["identity", ""])
def test_no_coding(api, run, coding):
    assert post_coded(api, encode(run.event(parent=None)), coding).status_code == 201


@pytest.mark.parametrize("more, status", [(0, 400), (1, 413)])
def test_unpacked_size(api, more, status):
    """400: as many blanks as a body may have are no event."""
    assert post_coded(api, gzip.compress(b" " * (BODY_BYTES + more))).status_code == status


def test_bomb(api):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range(1000)) + packer.flush()
    assert_problem(post_coded(api, bomb), 413, "payload-too-large")


# Who hears that it is too large


def by_http_client(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/v1/events", TOO_LARGE)
    return connection.getresponse().status


def by_http_client_in_chunks(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    pieces = (TOO_LARGE[at : at + 65536] for at in range(0, len(TOO_LARGE), 65536))
    connection.request("POST", "/v1/events", pieces, encode_chunked=True)
    return connection.getresponse().status


def by_urllib(server):
    try:
        urllib.request.urlopen(f"{server.url}/v1/events", TOO_LARGE, timeout=30)
    except urllib.error.HTTPError as error:
        return error.code


def by_httpx(server):
    return httpx.post(f"{server.url}/v1/events", content=TOO_LARGE, timeout=30).status_code


def by_curl(server, *options):
    command = ["curl", "-sS", "--data-binary", "@-", *options, f"{server.url}/v1/events"]
    command[1:1] = ["-o", "/dev/null", "-w", "%{http_code}"]
    return int(subprocess.run(command, input=TOO_LARGE, capture_output=True, check=True).stdout)


def by_curl_at_once(server):
    return by_curl(server, "-H", "Expect:")


CLIENTS = [by_http_client, by_http_client_in_chunks, by_urllib, by_httpx, by_curl, by_curl_at_once]


@pytest.mark.parametrize("ask", CLIENTS)
def test_body_that_is_too_large_hears_it(server, ask):
    for _ in range(5):
        assert ask(server) == 413


def test_nothing_is_read_of_a_body_that_waits_for_its_continue(server):
    head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(TOO_LARGE)}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


# What all of them take


def held_for_bodies(server):
    text = httpx.get(f"{server.url}/metrics").text
    return float(re.search(r'^runtree_memory_bytes{kind="bodies"} (\S+)$', text, re.MULTILINE)[1])


@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_under_way_are_bounded_together(start_runtree, database, run, is_chunked):
    """Each of them lacks its end."""
    most = 64 << 20
    server = start_runtree(
        "--memory-max-bytes",
        str(most),
        database_url=database,
        environment=SMALL_QUARANTINE,
    )
    before = server.resident_bytes()
    size = BODY_BYTES - 1 if is_chunked else BODY_BYTES
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
    if is_chunked:
        head += b"%x\r\n" % (size + 1)
    connections, refused = [], 0
    try:
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            connections.append(connection)
            connection.sendall(head + b" " * (size - 1))
        held = held_for_bodies(server)
        assert 0 < held <= most
        assert server.resident_bytes() - before < 3 * most
        for connection in connections:
            connection.sendall(b" " + (b" \r\n0\r\n\r\n" if is_chunked else b""))
            answer = connection.recv(65536)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 503 ")), answer
            if b" 503 " in answer[:13]:
                assert b"Retry-After: " in answer
                refused += 1
    finally:
        for connection in connections:
            connection.close()
    assert refused >= 40 - most // BODY_BYTES - 1
    assert metric(server.url, "runtree_memory_refused_total") >= refused
    assert httpx.post(f"{server.url}/v1/events", json=run.event(parent=None)).status_code == 201
    assert held_for_bodies(server) == 0


def wait_until_given_back(server):
    for _ in range(300):
        if held_for_bodies(server) == 0 and metric(server.url, "runtree_connections") == 1:
            return
        time.sleep(0.1)
    raise AssertionError(f"{held_for_bodies(server)} bytes of bodies are left")


def send_unfinished(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    connection.sendall(head.encode() + b" " * (BODY_BYTES - 1))
    return connection


def test_body_whose_client_has_left_is_given_back(start_runtree, database):
    """It sends most of a body and the end of the connection in one go, which libmicrohttpd takes
    for the body alone."""
    server = start_runtree("--request-timeout-ms=300000", database_url=database)
    for _ in range(20):
        send_unfinished(server).close()
    wait_until_given_back(server)
