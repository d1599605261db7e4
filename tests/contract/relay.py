"""A relay that gives every stream an end: a watch goes on for as long as its client wants, so that
a tester who reads answers to their end needs one who hangs up."""

import asyncio
import contextlib
import threading

STREAM_SECONDS = 0.2
CHUNK_BYTES = 65536


class Relay:
    """Passes bytes on to a port on loopback and back, and nothing else but to end streams."""

    def __init__(self, target_port):
        self.port = None
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            await asyncio.gather(pump(reader, there), self._pump_back(there_reader, writer))
        finally:
            there.close()
            writer.close()

    async def _pump_back(self, reader, writer):
        """A stream is known by the head of its answer, which comes in one piece."""
        seconds = None
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            while chunk := await asyncio.wait_for(reader.read(CHUNK_BYTES), seconds):
                if b"\r\nContent-Type: text/event-stream" in chunk:
                    seconds = STREAM_SECONDS
                writer.write(chunk)
                await writer.drain()
        writer.close()


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
