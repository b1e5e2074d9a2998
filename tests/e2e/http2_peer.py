"""A client of HTTP/2 by hand: frames and requests that keep to the rules or break them, and what a
node may answer."""

import functools
import socket
import ssl
import struct
from typing import NamedTuple

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from harness import kv_pb2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SILENCE_SECONDS_MAX = 20  # Only a case that fails waits for so long.
FRAME_BYTES_MAX = 1 << 14  # No side of these connections says otherwise.
WINDOW_MAX = (1 << 31) - 1
KEY = "conformance"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION, UNKNOWN = 9, 0xBB
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 0x20
(NO_ERROR, PROTOCOL_ERROR, _, FLOW_CONTROL_ERROR, _, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR) = range(10)  # fmt: skip
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5

# ---- Frames, and fields of headers.


def frame(kind, payload=b"", flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def number(value):
    return struct.pack(">I", value)


def settings(*pairs):
    return frame(SETTINGS, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(increment, stream=0):
    return frame(WINDOW_UPDATE, number(increment), 0, stream)


def rst(stream=1, code=CANCEL):
    return frame(RST_STREAM, number(code), 0, stream)


def depends_on(stream, weight=16, exclusive=False):
    return struct.pack(">IB", stream | exclusive << 31, weight - 1)


def data(payload, flags=0, stream=1):
    return frame(DATA, payload, flags, stream)


def headers(payload, flags=END_HEADERS | END_STREAM, stream=1):
    return frame(HEADERS, payload, flags, stream)


def continuation(payload, flags=END_HEADERS, stream=1):
    return frame(CONTINUATION, payload, flags, stream)


@functools.cache
def block(*fields):
    """Fields as a header block that refers to no other block's fields."""
    return hpack.Encoder().encode(fields)


def unindexed(*fields):
    """Fields as a header block that leaves HPACK's table as it is."""
    return block(*((name, value, True) for name, value in fields))


def plain_text(value):
    """A string of HPACK as it is."""
    return bytes([len(value)]) + value


def huffman_text(value):
    code = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(value)
    return bytes([0x80 | len(code)]) + code


# ---- Requests.


class Form:
    """A kind of request: `open_fields` begin one that has a body, `body` ends it."""

    def __init__(self, open_fields, body, whole_fields=None):
        self.fields = open_fields
        self.body = body
        self.whole_fields = whole_fields  # Of a request without a body, if there is such.
        self.block = block(*open_fields)

    def head(self, stream=1, flags=0, more=(), without=(), before=()):
        kept = [field for field in self.fields if field[0] not in without]
        return headers(block(*before, *kept, *more), END_HEADERS | flags, stream)

    def whole(self, stream=1):
        if self.whole_fields:
            return headers(block(*self.whole_fields), stream=stream)
        return self.head(stream) + data(self.body, END_STREAM, stream)


def http(method, path, *more):
    """Fields of a request."""
    fields = (":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")
    return *fields, *more


def _message(request):
    text = request.SerializeToString()
    return b"\0" + number(len(text)) + text


PLAIN = Form(http("POST", "/"), b"test", whole_fields=http("GET", "/"))
GRPC = Form(
    http("POST", "/api.KV/Get", ("te", "trailers"), ("content-type", "application/grpc")),
    _message(kv_pb2.GetRequest(key=KEY)),
)

# ---- The client, and what it expects.


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes
    fields: tuple = ()  # Of HEADERS, decoded.

    def code(self):
        """Of an error."""
        return struct.unpack(">I", self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])[0]

    def is_of(self, kind, stream=0):
        return self.kind == kind and self.stream == stream


def connect(port, certs=None):
    """A connection, over TLS when there are certificates for it."""
    connection = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS_MAX)
    # What a case sends last must not wait until what came before has been acknowledged.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certs is None:
        return connection
    try:
        context = ssl.create_default_context(cafile=certs.path("ca.pem"))
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(certs.path("root-client.pem"), certs.path("root-client-key.pem"))
        return context.wrap_socket(connection, server_hostname="localhost")
    except BaseException:
        connection.close()
        raise


class Peer:
    def __init__(self, connection):
        self.connection = connection
        self.received = b""
        self.decoder = hpack.Decoder()
        self.settings = {}  # Of the node.
        self.frames = []  # All that came.

    def send(self, content):
        try:
            self.connection.sendall(content)
        except OSError:
            pass  # The node may have closed already: what it said before can still be read.

    def begin(self):
        """Both sides know each other's settings when it returns."""
        self.send(PREFACE + settings())
        first = self.next()
        assert first and first.is_of(SETTINGS) and not first.flags & ACK, f"began with {first}"
        self.settings = dict(struct.iter_unpack(">HI", first.payload))
        self.send(frame(SETTINGS, b"", ACK))
        acknowledged(self)

    def _bytes(self, size):
        """None: the connection has been closed."""
        while len(self.received) < size:
            try:
                more = self.connection.recv(65536)
            except TimeoutError:
                came = f"silence; until then came {self.frames}"
                raise AssertionError(came) from None
            except OSError:
                more = b""  # A reset of TCP.
            if not more:
                return None
            self.received += more
        result, self.received = self.received[:size], self.received[size:]
        return result

    def next(self):
        head = self._bytes(9)
        if head is None:
            return None
        size, kind, flags, stream = struct.unpack(">IBBI", b"\0" + head)
        assert size <= FRAME_BYTES_MAX, f"a frame of {size} bytes"
        payload = self._bytes(size)
        if payload is None:
            return None
        fields = ()
        if kind == HEADERS:
            assert flags & END_HEADERS and not flags & (PADDED | WITH_PRIORITY), "is for this test"
            fields = tuple(self.decoder.decode(payload))
        self.frames.append(Frame(kind, flags, stream, payload, fields))
        return self.frames[-1]

    def wait(self, matches):
        """The first of the next frames that matches; None when the connection closes before."""
        while (got := self.next()) is not None:
            if matches(got):
                return got
        return None

    def expect(self, matches):
        """The next frame that matches, before any error."""
        got = self.wait(lambda got: matches(got) or got.kind in (GOAWAY, RST_STREAM))
        assert got is not None, f"closed; until then came {self.frames}"
        assert matches(got), f"came {self.frames}"
        return got

    def bytes_of(self, stream):
        return sum(len(got.payload) for got in self.frames if got.is_of(DATA, stream))


def alive(peer):
    """The connection works."""
    peer.send(frame(PING, b"question"))
    ping = peer.expect(lambda got: got.kind == PING)
    assert ping.flags & ACK and ping.payload == b"question", f"{ping} answers PING"


def alive_or_done(peer):
    """What the client sent lets the node close the connection, without an error."""
    peer.send(frame(PING, b"question"))
    got = peer.wait(lambda got: got.kind in (GOAWAY, PING))
    assert got is None or got.kind == PING or got.code() == NO_ERROR, f"came {got}"


def _check_goaway(peer, goaway, codes):
    assert goaway.code() in codes, f"{goaway} is for error {goaway.code()}, not in {codes}"
    while peer.next() is not None:  # Behind an error of the connection its end follows (5.4.1).
        pass


def broken(*codes):
    """An error of the connection. A node should say which (GOAWAY) but may just close (5.4.1)."""

    def check(peer):
        got = peer.wait(lambda got: got.kind == GOAWAY)
        if got is not None:
            _check_goaway(peer, got, codes)

    return check


def reset(*codes, stream=1):
    """An error of a stream. A node may treat it as one of the connection (5.4.2)."""

    def check(peer):
        got = peer.wait(lambda got: got.kind == GOAWAY or got.is_of(RST_STREAM, stream))
        if got is None:
            return
        if got.kind == GOAWAY:
            return _check_goaway(peer, got, codes)
        assert got.code() in codes, f"{got} is for error {got.code()}, not in {codes}"
        alive(peer)

    return check


def closed_with_reason(peer):
    """GOAWAY, and then the end."""
    goaway = peer.wait(lambda got: got.kind == GOAWAY)
    assert goaway is not None, f"closed; until then came {peer.frames}"
    assert peer.wait(lambda got: True) is None, f"came {peer.frames}"


def acknowledged(peer):
    """Settings that the client sent before."""
    peer.expect(lambda got: got.is_of(SETTINGS) and got.flags == ACK)


def begun(stream=1):
    """The answer's headers have come; its end may not have."""

    def check(peer):
        answer = peer.expect(lambda got: got.is_of(HEADERS, stream))
        assert answer.fields[0][0] == ":status", f"answered {answer.fields}"

    return check


def finished(stream=1):
    """A whole answer has come."""

    def check(peer):
        begun(stream)(peer)
        while not peer.frames[-1].flags & END_STREAM:
            peer.expect(lambda got: got.kind in (DATA, HEADERS) and got.stream == stream)

    return check


def answered(stream=1):
    """A whole answer, and the connection works."""

    def check(peer):
        finished(stream)(peer)
        alive(peer)

    return check


def bytes_came(size, stream=1):
    """Of an answer's body, so many and no more."""

    def check(peer):
        while peer.bytes_of(stream) < size:
            peer.expect(lambda got: got.is_of(DATA, stream) and got.payload)
        alive(peer)
        assert peer.bytes_of(stream) == size, f"came {peer.frames}"

    return check


def without_content(peer):
    answered()(peer)
    assert peer.bytes_of(1) == 0, f"came {peer.frames}"
