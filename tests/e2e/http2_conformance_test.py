"""The rules of HTTP/2 (RFC 9113) and of HPACK (RFC 7541), a case each: what a client sends by hand,
and what the node must answer. Every case has a connection of its own.

All cases run with requests that any HTTP server knows, which a node answers with 405 or 415 and a
short text, and with calls of gRPC; the latter also over TLS.
"""

import re
import unittest
from typing import NamedTuple

import harness
from http2_peer import (
    ACK, COMPRESSION_ERROR, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_BYTES_MAX, FRAME_SIZE_ERROR, GOAWAY, GRPC, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, KEY,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NO_ERROR, PADDED, PING, PLAIN, PREFACE, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, UNKNOWN,
    WINDOW_MAX, WINDOW_UPDATE, WITH_PRIORITY, Peer, acknowledged, alive, alive_or_done, answered,
    begun, block, broken, bytes_came, closed_with_reason, connect, continuation, data, depends_on,
    finished, frame, headers, http, huffman_text, number, plain_text, reset, rst, settings,
    unindexed, window, without_content,
)  # fmt: skip


class Case(NamedTuple):
    section: str  # Of RFC 9113 unless another is named.
    reason: str
    # In their order: bytes are sent, functions wait for something. The last one is the goal.
    steps: tuple
    begin: bytes  # What is sent instead of a preface and SETTINGS.

    def name(self):
        words = re.sub(r"[^a-z0-9]+", "_", f"{self.section} {self.reason}".lower())
        return f"test_{words.strip('_')}"


def case(section, reason, *steps, begin=b""):
    return Case(section, reason, steps, begin)


# ---- The cases. Each function is a chapter for one form of requests.


def what_is_legal(r):
    cut = len(r.block) // 2
    third = len(r.block) // 3
    rest = r.block[third:-third]
    post = headers(r.block, END_HEADERS)
    padded = b"\x08" + r.body + bytes(8)
    return [
        case("3.4", "A client that begins by the rules is served", r.whole(), answered()),
        case("6.1", "A body may come in one frame", r.head(), data(r.body, END_STREAM), answered()),
        case("6.1", "A body may come in many frames", r.head(),
             *(data(r.body[i : i + 1]) for i in range(len(r.body))), data(b"", END_STREAM), answered()),
        case("6.1", "A frame of data may be padded",
             r.head() + data(padded, END_STREAM | PADDED), answered()),
        case("6.2", "Headers may come in one frame", headers(r.block), answered()),
        case("6.2", "Headers may be padded",
             headers(b"\x03" + r.block + bytes(3), END_HEADERS | END_STREAM | PADDED), answered()),
        case("6.2", "Headers may name a priority",
             headers(depends_on(0) + r.block, END_HEADERS | END_STREAM | WITH_PRIORITY), answered()),
        case("6.2", "Headers may have padding and a priority",
             headers(b"\x01" + depends_on(0) + r.block + b"\0",
                     END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY), answered()),
        *(case("6.3", f"A priority may be {what}", frame(PRIORITY, payload, 0, 1) + r.whole(),
               answered())
          for what, payload in (("the lowest", depends_on(0, 1)), ("the highest", depends_on(0, 256)),
                                ("after another stream", depends_on(7)),
                                ("exclusive", depends_on(0, exclusive=True)))),
        case("6.3", "A priority may come for a stream that is idle for ever",
             frame(PRIORITY, depends_on(0), 0, 9) + r.whole(), answered()),
        case("6.4", "A client may end its own request", r.head() + rst(), alive),
        case("6.5", "Settings may come at any time",
             settings((MAX_CONCURRENT_STREAMS, 100)), alive, r.whole(), answered()),
        case("6.7", "A PING is answered", alive),
        case("6.8", "A client that goes away gets the answers it waits for",
             r.whole() + frame(GOAWAY, number(0) + number(NO_ERROR)), finished()),
        case("6.8", "A client may go away", frame(GOAWAY, bytes(8) + b"text"), alive_or_done),
        case("6.9", "A connection's window may grow", window(1), alive, r.whole(), answered()),
        case("6.9", "A stream's window may grow", r.head() + window(1, 1), alive),
        case("6.10", "Headers may come in two frames",
             headers(r.block[:cut], END_STREAM) + continuation(r.block[cut:]), answered()),
        case("6.10", "Headers may come in many frames",
             headers(r.block[:third], END_STREAM) + continuation(rest, 0) + continuation(b"", 0)
             + continuation(r.block[-third:]), answered()),
        case("8.1", "A request may be a GET", headers(block(*http("GET", "/"))), answered()),
        case("RFC 9110 9.3.2", "The answer to a HEAD has no content",
             headers(block(*http("HEAD", "/"))), without_content),
        case("8.1", "A request may be a POST", post + data(r.body, END_STREAM), answered()),
        case("8.1", "A request may have trailers",
             post + data(r.body) + headers(block(("x-test", "ok"))), answered()),
        case("8.1", "A request without a body may have trailers",
             post + headers(block(("x-test", "ok"))), answered()),
        case("8.2.3", "A cookie may come in parts",
             r.head(1, END_STREAM, [("cookie", "a=b"), ("cookie", "c=d")]), answered()),
    ]  # fmt: skip


def frames(r):
    over = bytes(FRAME_BYTES_MAX + 1)
    ping_ack = lambda peer: peer.expect(lambda got: got.is_of(PING) and got.flags == ACK)  # noqa: E731
    return [
        case("3.4", "What is no preface ends the connection", broken(PROTOCOL_ERROR),
             begin=b"INVALID CONNECTION PREFACE\r\n\r\n"),
        case("3.4", "SETTINGS follow the preface", broken(PROTOCOL_ERROR), begin=PREFACE + r.whole()),
        case("4.1", "Frames of unknown types are ignored", frame(UNKNOWN, b"content", 0xFF, 0), alive),
        case("4.1", "Frames of unknown types are ignored on a stream",
             r.head() + frame(UNKNOWN, b"x", 0, 1) + data(r.body, END_STREAM), answered()),
        case("4.1", "Flags that have no meaning are ignored", frame(PING, b"question", 0x16), ping_ack),
        case("4.1", "The reserved bit of a stream's number is ignored",
             frame(PING, b"question", 0, 1 << 31), ping_ack),
        case("4.2", "A frame may have the size that SETTINGS allow",
             r.head() + data(bytes(FRAME_BYTES_MAX)), alive),
        case("4.2", "DATA over the size are an error", r.head() + data(over), reset(FRAME_SIZE_ERROR)),
        case("4.2", "HEADERS over the size break the connection",
             headers(over), broken(FRAME_SIZE_ERROR)),
        case("4.2", "SETTINGS over the size break the connection",
             frame(SETTINGS, bytes(6 * 2731)), broken(FRAME_SIZE_ERROR)),
        case("4.2", "A frame of unknown type has no larger size either",
             frame(UNKNOWN, over), broken(FRAME_SIZE_ERROR)),
        case("4.3", "A header block that is none breaks the compression",
             headers(b"\x40"), broken(COMPRESSION_ERROR)),
        case("4.3", "Trailers that are none break the compression",
             r.head() + headers(b"\x40"), broken(COMPRESSION_ERROR)),
        case("4.3", "A priority has no place inside a header block",
             headers(r.block[:5], 0) + frame(PRIORITY, depends_on(0), 0, 1) + continuation(r.block[5:]),
             broken(PROTOCOL_ERROR)),
        case("4.3", "Another stream's headers have no place inside a header block",
             headers(r.block[:5], 0) + headers(r.block, stream=3) + continuation(r.block[5:]),
             broken(PROTOCOL_ERROR)),
        case("5.4.1", "A GOAWAY says why the connection closes behind it", frame(PING, bytes(7)),
             closed_with_reason),
        case("5.5", "An unknown frame has no place inside a header block",
             headers(r.block[:5], 0) + frame(UNKNOWN, b"x", 0, 1) + continuation(r.block[5:]),
             broken(PROTOCOL_ERROR)),
        case("5.5", "Unknown settings are ignored", settings((0xFF, 1)), alive),
    ]  # fmt: skip


def states(r):
    # A window of 0 holds the answer back, so that the stream stays half-closed.
    held = settings((INITIAL_WINDOW_SIZE, 0)) + r.whole()
    in_parts = headers(r.block[:5], END_STREAM) + continuation(r.block[5:])
    again = (("DATA", data(b"x")), ("HEADERS", headers(r.block)), ("CONTINUATION", in_parts))
    harmless = (("PRIORITY", frame(PRIORITY, depends_on(0), 0, 1)), ("WINDOW_UPDATE", window(2, 1)),
                ("RST_STREAM", rst()))  # fmt: skip
    # The node resets both: the second one since it has answered and needs no more.
    error = unindexed(*r.fields, ("X-TEST", "ok"))
    early = unindexed(*http("POST", "/none", *GRPC.fields[4:]))
    refused = [(why, headers(fields, END_HEADERS))
               for why, fields in (("of an error", error), ("of an early answer", early))]  # fmt: skip
    # A field that has an index from then on, and a request that is whole only with it.
    given = headers(b"\x40" + plain_text(b"x-test") + plain_text(b"ok"))
    uses_it = headers(unindexed(*r.fields) + b"\xbe", stream=3)
    return [
        case("5.1", "An idle stream takes no DATA", data(b"x"), broken(PROTOCOL_ERROR)),
        case("5.1", "An idle stream takes no RST_STREAM", rst(), broken(PROTOCOL_ERROR)),
        case("5.1", "An idle stream takes no WINDOW_UPDATE", window(9, 1), broken(PROTOCOL_ERROR)),
        case("5.1", "An idle stream takes no CONTINUATION", continuation(r.block),
             broken(PROTOCOL_ERROR)),
        case("5.1", "A stream of the server takes no DATA", data(b"x", 0, 2), broken(PROTOCOL_ERROR)),
        *(case("5.1", f"A request that has ended takes no {what}", r.whole() + sent,
               reset(STREAM_CLOSED)) for what, sent in again),
        *(case("5.1", f"A request whose answer is on its way takes no {what}", held, begun(), sent,
               reset(STREAM_CLOSED)) for what, sent in again),
        *(case("5.1", f"A request whose answer is on its way takes {what}", held, begun(), sent, alive)
          for what, sent in harmless),
        *(case("5.1", f"A stream that the client reset takes no {what}", r.head() + rst() + sent,
               reset(STREAM_CLOSED)) for what, sent in again),
        *(case("5.1", f"A stream that is over takes no {what}", r.whole(), answered(), sent,
               reset(STREAM_CLOSED, PROTOCOL_ERROR)) for what, sent in again),
        *(case("5.1", f"A stream that is over takes {what}", r.whole(), answered(), sent, alive,
               r.whole(3), answered(3)) for what, sent in harmless),
        case("5.1", "A reset may cross the answer", r.whole() + rst(), alive),
        *(case("5.1", f"What crosses a reset is ignored, {why}: {what}", sent, was_reset, more, alive,
               r.whole(3), answered(3))
          for why, sent in refused
          for what, more in (("DATA", data(b"x") + data(b"x", END_STREAM)), *harmless)),
        case("5.1", "DATA behind a request in error are ignored",
             headers(error, END_HEADERS) + data(b"x") + data(b"x", END_STREAM), was_reset, alive),
        case("8.1", "A request may end behind its early answer",
             headers(early, END_HEADERS) + data(b"x") + data(b"x", END_STREAM), answered()),
        *(case("5.1", f"HEADERS that cross a reset are decoded, {why}", sent, was_reset, given, alive,
               uses_it, answered(3)) for why, sent in refused),
        case("5.1.1", "A client's streams have odd numbers", r.whole(2), broken(PROTOCOL_ERROR)),
        case("5.1.1", "A stream's number is greater than those before",
             r.head(5) + r.whole(3), broken(PROTOCOL_ERROR)),
        case("5.1.1", "A stream's number is greater than those before that have ended",
             r.whole(5), answered(5), r.whole(3), broken(PROTOCOL_ERROR)),
        case("5.1.1", "A stream's number is greater than all before, gaps or not",
             r.head(5) + r.head(9) + r.whole(3), broken(PROTOCOL_ERROR)),
        case("5.1.2", "The number of streams has a limit", lambda peer: too_many(peer, r)),
        case("RFC 7540 5.3.1", "Headers cannot wait for their own stream",
             headers(depends_on(1) + r.block, END_HEADERS | END_STREAM | WITH_PRIORITY),
             reset(PROTOCOL_ERROR)),
        case("RFC 7540 5.3.1", "A priority cannot wait for its own stream",
             r.head() + frame(PRIORITY, depends_on(1), 0, 1), reset(PROTOCOL_ERROR)),
    ]  # fmt: skip


def was_reset(peer):
    """As it should be; for which error does not matter here."""
    assert peer.wait(lambda got: got.is_of(RST_STREAM, 1)), f"came {peer.frames}"


def too_many(peer, r):
    limit = peer.settings[MAX_CONCURRENT_STREAMS]
    peer.send(b"".join(r.head(stream) for stream in range(1, 2 * limit + 2, 2)))
    reset(PROTOCOL_ERROR, REFUSED_STREAM, stream=2 * limit + 1)(peer)


def types(r):
    two = headers(r.block[:5], END_STREAM), r.block[5:]
    large = 1 << 31
    return [
        case("6.1", "DATA need a stream", data(b"x", 0, 0), broken(PROTOCOL_ERROR)),
        case("6.1", "Padding fits into DATA",
             r.head() + data(b"\x06test", END_STREAM | PADDED), broken(PROTOCOL_ERROR)),
        case("6.1", "Padded DATA say how much",
             r.head() + data(b"", PADDED), broken(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
        case("6.2", "HEADERS need a stream", headers(r.block, stream=0), broken(PROTOCOL_ERROR)),
        case("6.2", "Padding fits into HEADERS",
             headers(b"\xff" + r.block, END_HEADERS | END_STREAM | PADDED), broken(PROTOCOL_ERROR)),
        case("6.2", "A priority fits into HEADERS", headers(b"\0\0", END_HEADERS | WITH_PRIORITY),
             broken(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
        case("6.2", "HEADERS without their end go on", headers(r.block, 0) + window(1),
             broken(PROTOCOL_ERROR)),
        case("6.2", "HEADERS without their end go on, on their stream",
             headers(r.block, END_STREAM) + headers(r.block, stream=3), broken(PROTOCOL_ERROR)),
        case("6.3", "PRIORITY needs a stream", frame(PRIORITY, depends_on(3)), broken(PROTOCOL_ERROR)),
        *(case("6.3", f"PRIORITY has not {size} bytes", r.head() + frame(PRIORITY, bytes(size), 0, 1),
               reset(FRAME_SIZE_ERROR)) for size in (4, 6)),
        case("6.4", "RST_STREAM needs a stream", rst(0), broken(PROTOCOL_ERROR)),
        case("6.4", "RST_STREAM needs a stream that has been open", r.head() + rst(3),
             broken(PROTOCOL_ERROR)),
        *(case("6.4", f"RST_STREAM has not {size} bytes",
               r.head() + frame(RST_STREAM, bytes(size), 0, 1), broken(FRAME_SIZE_ERROR))
          for size in (3, 5)),
        case("6.5", "An ACK has no settings", frame(SETTINGS, bytes(6), ACK), broken(FRAME_SIZE_ERROR)),
        case("6.5", "SETTINGS have no stream", frame(SETTINGS, b"", 0, 1), broken(PROTOCOL_ERROR)),
        case("6.5", "SETTINGS consist of six bytes each", frame(SETTINGS, bytes(3)),
             broken(FRAME_SIZE_ERROR)),
        case("6.5.2", "ENABLE_PUSH is yes or no", settings((ENABLE_PUSH, 2)), broken(PROTOCOL_ERROR)),
        case("6.5.2", "A window has 31 bits", settings((INITIAL_WINDOW_SIZE, large)),
             broken(FLOW_CONTROL_ERROR)),
        *(case("6.5.2", f"No limit of frames is {what}", settings((MAX_FRAME_SIZE, size)),
               broken(PROTOCOL_ERROR))
          for what, size in (("less than 16 KiB", FRAME_BYTES_MAX - 1), ("over 16 MiB", 1 << 24))),
        case("6.5.3", "Of a setting that comes twice the last one counts",
             settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) + r.whole(), bytes_came(1)),
        case("6.5.3", "SETTINGS are acknowledged", settings((ENABLE_PUSH, 0)), acknowledged),
        case("6.7", "The answer to a PING is not answered", frame(PING, b"unasked!", ACK), alive),
        case("6.7", "PING has no stream", frame(PING, bytes(8), 0, 1), broken(PROTOCOL_ERROR)),
        *(case("6.7", f"PING has not {size} bytes", frame(PING, bytes(size)), broken(FRAME_SIZE_ERROR))
          for size in (6, 9)),
        case("6.8", "GOAWAY has no stream", frame(GOAWAY, bytes(8), 0, 1), broken(PROTOCOL_ERROR)),
        case("6.8", "GOAWAY has eight bytes", frame(GOAWAY, bytes(7)), broken(FRAME_SIZE_ERROR)),
        case("6.9", "A connection's window grows by something", window(0), broken(PROTOCOL_ERROR)),
        case("6.9", "A stream's window grows by something", r.head() + window(0, 1),
             reset(PROTOCOL_ERROR)),
        *(case("6.9", f"WINDOW_UPDATE has not {size} bytes", frame(WINDOW_UPDATE, bytes(size)),
               broken(FRAME_SIZE_ERROR)) for size in (3, 5)),
        case("6.9.1", "An answer fits into its window",
             settings((INITIAL_WINDOW_SIZE, 1)) + r.whole(), bytes_came(1)),
        case("6.9.1", "A connection's window has 31 bits",
             window(WINDOW_MAX) + window(WINDOW_MAX), broken(FLOW_CONTROL_ERROR)),
        case("6.9.1", "A stream's window has 31 bits",
             r.head() + window(WINDOW_MAX, 1) + window(WINDOW_MAX, 1), reset(FLOW_CONTROL_ERROR)),
        case("6.9.2", "A larger window is for streams that are open, too",
             settings((INITIAL_WINDOW_SIZE, 0)) + r.whole(), begun(),
             settings((INITIAL_WINDOW_SIZE, 1)), bytes_came(1)),
        case("6.9.2", "A window below zero must grow above it",
             settings((INITIAL_WINDOW_SIZE, 3)) + r.whole(), bytes_came(3),
             settings((INITIAL_WINDOW_SIZE, 2)) + window(1, 1), bytes_came(3),
             window(1, 1), bytes_came(4)),
        # The RFC has an error of the connection; nghttp2 ends the stream alone.
        case("6.9.2", "SETTINGS make no stream's window too large", r.head()
             + window(WINDOW_MAX - 65535, 1) + settings((INITIAL_WINDOW_SIZE, 65536)),
             reset(FLOW_CONTROL_ERROR)),
        case("6.10", "CONTINUATION is followed by nothing else before the end",
             two[0] + continuation(two[1][:5], 0) + window(1), broken(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION needs a stream", two[0] + continuation(two[1], stream=0),
             broken(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION stays on its stream", two[0] + continuation(two[1], stream=3),
             broken(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION does not follow whole HEADERS",
             r.head() + continuation(r.block), broken(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION does not follow the last of its kind",
             headers(r.block[:5], 0) + continuation(two[1]) + continuation(r.block),
             broken(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION does not follow DATA",
             r.head() + data(r.body) + continuation(r.block), broken(PROTOCOL_ERROR)),
        case("7", "A client may go away for an unknown error",
             frame(GOAWAY, number(0) + number(0xFF)), alive_or_done),
        case("7", "A client may reset for an unknown error", r.head() + rst(1, 0xFF), alive),
    ]  # fmt: skip


def messages(r):
    def malformed(section, reason, sent):
        return case(section, reason, sent, reset(PROTOCOL_ERROR))

    def head(section, reason, **changes):
        return malformed(section, reason, r.head(1, END_STREAM, **changes))

    def field(section, reason, name, value):
        return head(section, reason, more=[(name, value)])

    def trailers(name, value):
        return r.head() + data(r.body) + headers(block((name, value)))

    names = ("method", "scheme", "path")
    of_fields = dict(r.fields)
    length = len(r.body)
    two = data(r.body[: length // 2]) + data(r.body[length // 2 :], END_STREAM)
    long, short = [("content-length", str(length + 1))], [("content-length", str(length - 1))]
    return [
        malformed("8.1", "A second HEADERS ends the request", r.head() + headers(r.block, END_HEADERS)),
        *(malformed("8.1.1", f"Content-length is what comes: {what}", sent) for what, sent in (
            ("a frame too short", r.head(more=long) + data(r.body, END_STREAM)),
            ("a frame too long", r.head(more=short) + data(r.body, END_STREAM)),
            ("frames too short", r.head(more=long) + two),
            ("frames too long", r.head(more=short) + two),
            ("trailers too early", r.head(more=long) + data(r.body) + headers(block(("x-test", "ok")))),
            ("nothing", r.head(1, END_STREAM, more=long)),
            ("not a number", r.head(more=[("content-length", "four")]) + data(r.body, END_STREAM)),
            ("two that differ", r.head(more=long + short) + data(r.body, END_STREAM)))),
        field("8.2.1", "A name has no uppercase letters", "X-TEST", "ok"),
        malformed("8.2.1", "A trailer's name has no uppercase letters", trailers("X-TEST", "ok")),
        *(field("8.2.1", f"A name has no {what}", f"x{byte}y", "ok") for what, byte in (
            ("space", " "), ("control character", "\x01"), ("DEL", "\x7f"), ("colon inside", ":"))),
        field("8.2.1", "A name has bytes of ASCII only", "x-\xe9", "ok"),
        *(field("8.2.1", f"A value has no {what}", "x-test", f"a{byte}b")
          for what, byte in (("NUL", "\0"), ("line feed", "\n"), ("carriage return", "\r"))),
        *(field("8.2.1", f"A value does not {what}", "x-test", value) for what, value in (
            ("begin with a space", " a"), ("end with a space", "a "),
            ("begin with a tab", "\ta"), ("end with a tab", "a\t"))),
        *(field("8.2.2", f"Nothing is said of the connection: {name}", name, value) for name, value in (
            ("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"), ("upgrade", "h2c"))),
        head("8.2.2", "TE is for trailers only", more=[("te", "trailers, deflate")], without=["te"]),
        field("8.3", "Pseudo-headers are known", ":test", "ok"),
        field("8.3", "A request has no pseudo-headers of answers", ":status", "200"),
        malformed("8.3", "Trailers have no pseudo-headers", trailers(":method", "POST")),
        *(head("8.3", f"Pseudo-headers come first: {name}", without=[f":{name}"],
               more=[("x-test", "ok"), (f":{name}", of_fields[f":{name}"])]) for name in names),
        *(head("8.3.1", f"A request has a {name}", without=[f":{name}"]) for name in names),
        *(head("8.3.1", f"A request has no second {name}",
               before=[(f":{name}", of_fields[f":{name}"])]) for name in (*names, "authority")),
        head("8.3.1", "A path is not empty", without=[":path"], before=[(":path", "")]),
        head("8.3.1", "A path begins with a slash", without=[":path"], before=[(":path", "x")]),
        head("8.5", "CONNECT has no scheme and path", without=[":method"],
             before=[(":method", "CONNECT")]),
        case("8.4", "A client pushes nothing",
             r.head() + frame(PUSH_PROMISE, number(3) + r.block, END_HEADERS, 1),
             broken(PROTOCOL_ERROR)),
        case("8.1.1", "A content-length that is right is taken",
             r.head(more=[("content-length", str(length))]) + data(r.body, END_STREAM), answered()),
    ]  # fmt: skip


def compression(r):
    name, value = b"x-test", b"some value"
    literal = b"\x00" + plain_text(name)

    def behind(reason, sent, section="RFC 7541 6.2", goal=answered()):
        return case(section, reason, headers(r.block + sent), goal)

    def wrong(section, reason, sent):
        return behind(reason, sent, f"RFC 7541 {section}", broken(COMPRESSION_ERROR))

    # What a literal begins with, for a name of its own and for the static table's user-agent.
    literals = (("with indexing", b"\x40", b"\x7a"), ("without indexing", b"\x00", b"\x0f\x2b"),
                ("never indexed", b"\x10", b"\x1f\x2b"))  # fmt: skip
    texts = (("plain", plain_text), ("Huffman", huffman_text))
    full, over = b"\x3f\xe1\x1f", b"\x3f\xe2\x1f"  # 4096 and one more.
    return [
        behind("A field may come by its index", b"\x90", "RFC 7541 6.1"),
        behind("A field may come by an index that was just given",
               b"\x40" + plain_text(name) + plain_text(value) + b"\xbe", "RFC 7541 6.1"),
        *(behind(f"A literal may come {how}, {what}, with a name of its own",
                 own + text(name) + text(value))
          for how, own, _ in literals for what, text in texts),
        *(behind(f"A literal may come {how}, {what}, with a known name", known + text(value))
          for how, _, known in literals for what, text in texts),
        *(case("RFC 7541 6.3", f"The table's size may change: {what}", headers(update + r.block),
               answered())
          for what, update in (("to 0", b"\x20"), ("to the limit", full), ("twice", b"\x20" + full))),
        case("RFC 7541 4.2", "The answer's encoder keeps to a table of nothing",
             settings((HEADER_TABLE_SIZE, 0)), no_table, r.whole(), answered()),
        wrong("2.3.3", "No field is behind the end of the table", b"\xff\x80\x01"),
        wrong("2.3.3", "No name is behind the end of the table", b"\x7f\x80\x01" + plain_text(value)),
        wrong("4.2", "The table's size does not change at the end of a block", b"\x20"),
        wrong("5.1", "An integer has an end that counts", b"\xff" + b"\x80" * 10 + b"\x01"),
        wrong("5.1", "An integer does not end with the block", b"\xff\x80"),
        wrong("5.2", "A text does not end behind the block", b"\x00" + plain_text(name) + b"\x05ab"),
        wrong("5.2", "Padding has less than eight bits", literal + b"\x82\x1f\xff"),
        wrong("5.2", "Padding is the beginning of EOS", literal + b"\x81\x18"),
        wrong("5.2", "EOS is not inside of a text", literal + b"\x84\xff\xff\xff\xff"),
        wrong("6.1", "No field has the index 0", b"\x80"),
        case("RFC 7541 6.3", "The table's size does not pass the limit", headers(over + r.block),
             broken(COMPRESSION_ERROR)),
    ]  # fmt: skip


def no_table(peer):
    acknowledged(peer)
    # From here on the decoder insists on what RFC 7541 demands: the block says that it took notice.
    peer.decoder.max_allowed_table_size = 0


# ---- The tests.


class Conformance:
    tls = False
    form = GRPC

    @classmethod
    def setUpClass(cls):
        cls.node = harness.Node(tls=cls.tls).start()
        cls.addClassCleanup(cls.node.kill)
        with cls.node.client() as client:
            harness.put(client, KEY, b"longer than a few small windows")

    def tearDown(self):
        self.assertIsNone(self.node.process.poll(), "the node is gone")

    def check(self, case):
        connection = connect(self.node.rpc_port, self.node.certs if self.tls else None)
        self.addCleanup(connection.close)
        peer = Peer(connection)
        if case.begin:
            peer.send(case.begin)
        else:
            peer.begin()
        for step in case.steps:
            if callable(step):
                step(peer)
            else:
                peer.send(step)


def with_cases(cls):
    """Gives the class a test for each case."""
    for chapter in (what_is_legal, frames, states, types, messages, compression):
        for one in chapter(cls.form):
            assert not hasattr(cls, one.name()), one.name()
            setattr(cls, one.name(), lambda self, one=one: self.check(one))
    return cls


@with_cases
class PlainTest(Conformance, unittest.TestCase):
    form = PLAIN


@with_cases
class GrpcTest(Conformance, unittest.TestCase):
    pass


@with_cases
class TlsGrpcTest(Conformance, unittest.TestCase):
    tls = True


if __name__ == "__main__":
    unittest.main(verbosity=2)
