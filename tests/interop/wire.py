"""What goes over the wire between a client and a server of gRPC in clear text: which messages travelled
compressed. Libraries take them apart themselves, and most of them do not tell.
"""

import contextlib
import socket
import struct
import threading

_PREFACE_BYTES = 24  # Of a client's connection, before its first frame.
_FRAME_HEAD_BYTES, _MESSAGE_HEAD_BYTES = 9, 5
_DATA, _PADDED = 0, 0x8
_END_SECONDS_MAX = 30  # Both ends are gone by then.


class _Messages:
    """The messages of one direction of a connection."""

    def __init__(self, side, flags):
        self._rest = b""  # Of frames that are not complete.
        self._preface = _PREFACE_BYTES if side == 0 else 0
        self._streams = {}  # Bytes of messages that are not complete.
        self._flags = flags

    def feed(self, data):
        self._rest += data
        if len(self._rest) < self._preface:
            return
        self._rest, self._preface = self._rest[self._preface:], 0
        while len(self._rest) >= _FRAME_HEAD_BYTES:
            end = _FRAME_HEAD_BYTES + int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < end:
                return
            kind, flags, stream = struct.unpack_from(">BBI", self._rest, 3)
            payload, self._rest = self._rest[_FRAME_HEAD_BYTES:end], self._rest[end:]
            if kind == _DATA:
                self._feed_stream(stream, payload[1:len(payload) - payload[0]] if flags & _PADDED else payload)

    def _feed_stream(self, stream, data):
        left = self._streams.get(stream, b"") + data
        while len(left) >= _MESSAGE_HEAD_BYTES:
            flag, size = struct.unpack_from(">?I", left)
            if len(left) < _MESSAGE_HEAD_BYTES + size:
                break
            self._flags.append(flag)
            left = left[_MESSAGE_HEAD_BYTES + size:]
        self._streams[stream] = left


class Relay:
    """Passes bytes on to a server, and looks at them.

    `compressed` says of each message of the clients (0) and of the server (1), in order, whether it was.
    """

    def __init__(self, server_port):
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.compressed = ([], [])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *unused):
        # Ends the accept that waits.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_END_SECONDS_MAX)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            for side, source, target in ((0, client, server), (1, server, client)):
                thread = threading.Thread(target=self._pass_on, args=(source, target, side), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source, target, side):
        messages = _Messages(side, self.compressed[side])
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                messages.feed(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
