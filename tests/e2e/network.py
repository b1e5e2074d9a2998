"""The network between the nodes of a cluster, with cables that can be cut.

Nodes advertise another loopback address than the one that they are bound to. Listeners here have it,
at the same port, and pass the bytes on; clients dial the nodes themselves. Who has dialed is found out
by the owner of the connection's other end in /proc.

A cut is silent, as that of a cable: nothing is closed, what was sent waits until the cut is healed.
"""

import asyncio
import contextlib
import os
import threading

import harness

_CHUNK_BYTES = 1 << 16
_HOST = harness.OTHER_HOST


def _inode_of(local_port, remote_port):
    """Of the loopback connection's end with this local port."""
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            fields = line.split()
            local, remote = (int(fields[i].split(":")[1], 16) for i in (1, 2))
            if (local, remote) == (local_port, remote_port):
                return int(fields[9])
    return None


def _holds(pid, inode):
    with contextlib.suppress(OSError):  # It has just ended.
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # It has just closed it.
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") == f"socket:[{inode}]":
                    return True
    return False


class Network:
    """Thread-safe. Use `address_of` for a Cluster's `addresses` and set `nodes` to its nodes."""

    def __init__(self):
        self.nodes = []
        self.unknown_dialers = 0
        self._addresses = {}
        self._cuts = set()  # Pairs of names: from, to.
        self._loop = asyncio.new_event_loop()
        self._servers = []
        self._changed = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def address_of(self, node):
        if node.name not in self._addresses:
            serf_port = node.settings["bind-addr"].rpartition(":")[2]
            node.settings["advertise-addr"] = f"{_HOST}:{serf_port}"
            self._call(self._listen(node, node.rpc_port))
            self._addresses[node.name] = f"{_HOST}:{node.rpc_port}"
        return self._addresses[node.name]

    # -- Cables.

    def cut(self, sender, receiver):
        """What one sends does not reach the other any more."""
        self._set_cuts(self._cuts | {(sender.name, receiver.name)})

    def cut_both(self, one, other):
        self._set_cuts(self._cuts | {(one.name, other.name), (other.name, one.name)})

    def isolate(self, node):
        for other in self.nodes:
            if other is not node:
                self.cut_both(node, other)

    def heal(self):
        self._set_cuts(set())

    def _set_cuts(self, cuts):
        async def change():
            self._cuts = cuts
            async with self._changed:
                self._changed.notify_all()

        self._call(change())

    # -- On the loop's thread.

    def _call(self, coroutine):
        done = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return done.result(harness.CALL_SECONDS_MAX)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._changed = asyncio.Condition()
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self, node, port):
        async def serve(reader, writer):
            try:
                await self._pass_on(node, port, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, _HOST, port, limit=_CHUNK_BYTES)
        self._servers.append(server)

    async def _pass_on(self, target, port, reader, writer):
        dialer = self._owner_of(writer.get_extra_info("peername")[1], port)
        if dialer is None:
            self.unknown_dialers += 1  # It has hung up, or died, already.
            return
        await self._passable(dialer, target.name)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target.rpc_port)
        try:
            pumps = [
                asyncio.ensure_future(self._pump(dialer, target.name, reader, to_writer)),
                asyncio.ensure_future(self._pump(target.name, dialer, to_reader, writer)),
            ]
            # The nodes never close one direction alone.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            to_writer.close()

    async def _pump(self, sender, receiver, reader, writer):
        while True:
            chunk = await reader.read(_CHUNK_BYTES)
            await self._passable(sender, receiver)
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    async def _passable(self, sender, receiver):
        async with self._changed:
            await self._changed.wait_for(lambda: (sender, receiver) not in self._cuts)

    def _owner_of(self, local_port, remote_port):
        inode = _inode_of(local_port, remote_port)
        for node in self.nodes:
            process = node.process
            if inode is not None and process is not None and _holds(process.pid, inode):
                return node.name
        return None
