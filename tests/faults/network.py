"""The network between runtree and PostgreSQL, and between two PostgreSQLs: TCP links that can be
stalled (nothing passes, nothing is closed) and cut (every connection is reset)."""

import asyncio
import contextlib
import socket
import struct
import threading

CHUNK_BYTES = 65536


class Network:
    """A loop in a thread of its own, on which the links live."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def link(self, target_port):
        """A new link to a port on loopback."""
        link = Link(self, target_port)
        self.call(link.listen())
        return link

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self):
        self.call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _cancel_all(self):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Link:
    """Listens on `port` and passes everything on to the target, unless told otherwise."""

    def __init__(self, network, target_port):
        self.port = None
        self._network = network
        self._target_port = target_port
        self._is_cut = False
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers = set()

    async def listen(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def stall(self):
        self._network.call(self._set(passes=False, is_cut=self._is_cut))

    def cut(self):
        """Resets every connection, and every new one until restore()."""
        self._network.call(self._set(passes=self._passes.is_set(), is_cut=True))

    def restore(self):
        self._network.call(self._set(passes=True, is_cut=False))

    async def _set(self, passes, is_cut):
        self._is_cut = is_cut
        if passes:
            self._passes.set()
        else:
            self._passes.clear()
        if is_cut:
            for writer in list(self._writers):
                reset(writer)

    async def _serve(self, reader, writer):
        if self._is_cut:
            reset(writer)
            return
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            reset(writer)
            return
        self._writers |= {writer, there}
        try:
            await asyncio.gather(self._pump(reader, there), self._pump(there_reader, writer))
        finally:
            self._writers -= {writer, there}
            reset(writer)
            reset(there)

    async def _pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._passes.wait()
                writer.write(chunk)
                await writer.drain()
        await self._passes.wait()
        with contextlib.suppress(OSError):
            writer.close()


def reset(writer):
    """Ends a connection with RST, as a router does that has forgotten it."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
