"""Reads a watch until `synced` and tells how many bytes of the body came over the socket."""

import socket
import zlib

READ_BYTES = 1 << 20


def read(port, run, *, gzip):
    encoding = "Accept-Encoding: gzip\r\n" if gzip else ""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            f"GET /v1/projects/bench/domains/load/runs/{run}/watch HTTP/1.1\r\n"
            f"Host: localhost\r\n{encoding}\r\n".encode()
        )
        head, _, body = connection.recv(READ_BYTES).partition(b"\r\n\r\n")
        if gzip and b"content-encoding: gzip" not in head.lower():
            raise SystemExit("the stream is not compressed")
        inflate = zlib.decompressobj(31).decompress if gzip else bytes
        length, text = len(body), inflate(body)
        while b"event: synced" not in text:
            more = connection.recv(READ_BYTES)
            if not more:
                raise SystemExit("the stream ended before it was synced")
            length += len(more)
            text = text[-20:] + inflate(more)
        return length
