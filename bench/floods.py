#!/usr/bin/python3
"""What floods of HTTP/2 do to a server, and to a client that behaves beside them; prints Markdown.

One row for each kind of flood. The server is our engine with a handler that does nothing, on one I/O
thread, so that nobody is spared by sitting on another. A flood comes from one connection at a time, as
fast as it can; when the server closes it, the next one is opened after --pause. A crowd is many
connections that each send next to nothing, or handshakes of TLS that go no further. The client that behaves
is mokv_load, which starts calls at a fixed rate. Its p99 is held against the median of --rounds without
any flood, but beside a process that keeps a processor as busy as a flood does. Memory is by how much the
server's peak (VmHWM) grew.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import select
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))

import compare
from http2_peer import (  # noqa: E402
    ACK, END_HEADERS, END_STREAM, GOAWAY, INITIAL_WINDOW_SIZE, PADDED, PING, PREFACE, PRIORITY,
    SETTINGS, UNKNOWN, WINDOW_MAX, continuation, data, depends_on, frame, headers, http, rst, settings,
    unindexed, window,
)  # fmt: skip

PATH = "/bench.Echo/Empty"
HEAD = unindexed(*http("POST", PATH), ("te", "trailers"), ("content-type", "application/grpc"))
MESSAGE = bytes(5)
START_SECONDS_MAX = 10
STOP_SECONDS_MAX = 10
CROWD = 500  # Connections at a time.
CROWD_PAUSE_SECONDS = 1  # Between two bytes of one.
PORTION = 500  # Frames, or calls, that are sent at a time.

# ---- Floods. Each is what begins a connection, and a function that makes what follows, again and again,
# from the number of its next stream, and returns that of the one after it.


def again(content):
    return lambda stream: (content * PORTION, stream)


def for_each_call(frames_of):
    def make(stream):
        end = stream + 2 * PORTION
        return b"".join(frames_of(number) for number in range(stream, end, 2)), end

    return make


def head(stream, flags=END_HEADERS):
    return headers(HEAD, flags, stream)


def whole(stream):
    return head(stream) + data(MESSAGE, END_STREAM, stream)


def header_bomb(stream):
    """A header of 4,000 bytes, and the same again 4,000 times by its index."""
    large = b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000
    return headers(HEAD + large + b"\xbe" * 4000, END_HEADERS | END_STREAM, stream)


OPEN = head(1)
HELD = settings((INITIAL_WINDOW_SIZE, 0)) + b"".join(whole(stream) for stream in range(1, 1000, 2))
FLOODS = {
    "rapid reset": (b"", for_each_call(lambda stream: head(stream) + rst(stream))),
    "rapid reset of whole requests": (b"", for_each_call(lambda stream: whole(stream) + rst(stream))),
    "resets by window overflow": (
        b"", for_each_call(lambda stream: head(stream) + window(WINDOW_MAX, stream))),
    "resets by windows of 0": (b"", for_each_call(lambda stream: head(stream) + window(0, stream))),
    "resets by DATA behind the end": (
        b"", for_each_call(lambda stream: whole(stream) + data(b"x", 0, stream))),
    "resets by priority on itself": (
        b"", for_each_call(lambda stream: head(stream) + frame(PRIORITY, depends_on(stream), 0, stream))),
    "calls over the limit": (b"", for_each_call(head)),
    "PING": (b"", again(frame(PING, bytes(8)))),
    "PING answers": (b"", again(frame(PING, bytes(8), ACK))),
    "SETTINGS": (b"", again(frame(SETTINGS))),
    "SETTINGS acknowledgements": (b"", again(frame(SETTINGS, b"", ACK))),
    "SETTINGS that move 500 windows": (
        HELD, again(settings((INITIAL_WINDOW_SIZE, 0)) + settings((INITIAL_WINDOW_SIZE, 1)))),
    "empty DATA": (OPEN, again(data(b""))),
    "DATA of one byte": (OPEN, again(data(b"\0"))),
    "padded DATA": (OPEN, again(data(b"\xff" + bytes(255), PADDED))),
    "CONTINUATION": (headers(HEAD, 0), again(continuation(b"", 0))),
    "header bomb": (b"", for_each_call(header_bomb)),
    "PRIORITY": (b"", again(frame(PRIORITY, depends_on(0), 0, 1))),
    "WINDOW_UPDATE": (b"", again(window(1))),
    "WINDOW_UPDATE of a call": (OPEN, again(window(1, 1))),
    "unknown frames": (b"", again(frame(UNKNOWN, b"x"))),
    "GOAWAY": (b"", again(frame(GOAWAY, bytes(8)))),
}  # fmt: skip


# ---- Crowds. Each is what a connection begins with; a byte follows now and then, if it is to stay.


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


CROWDS = {  # Of clear text.
    "slow headers": PREFACE + settings() + headers(bytes(1 << 14), 0)[:9],
    "slow bodies": PREFACE + settings() + OPEN + data(bytes(1 << 14))[:9],
}
HANDSHAKES = {
    "half of a ClientHello": lambda: client_hello()[:100],
    "ClientHello and nothing more": client_hello,
}


def stay(port, begin, until):
    """As many as may be there, and how many the server ended; all together send little."""
    connections, ended, sent = [], 0, 0
    while time.monotonic() < until:
        while len(connections) < CROWD:
            connections.append(socket.create_connection(("127.0.0.1", port)))
            connections[-1].sendall(begin)
            sent += len(begin)
        time.sleep(CROWD_PAUSE_SECONDS)
        alive = []
        for connection in connections:
            try:
                connection.sendall(b"\0")
                sent += 1
                alive.append(connection)
            except OSError:
                ended += 1
        connections = alive
    return {"closed" if ended else "goes on": CROWD + ended}, sent


def come_and_go(port, begin, until):
    """One after the other, as fast as it goes; the oldest leave."""
    connections, count = collections.deque(maxlen=CROWD), 0
    while time.monotonic() < until:
        connections.append(socket.create_connection(("127.0.0.1", port)))
        connections[-1].sendall(begin)
        count += 1
    return {"goes on": count}, count * len(begin)


def crowd(port, name, seconds, _pause, result):
    until = time.monotonic() + seconds
    if name in CROWDS:
        result.put(stay(port, CROWDS[name], until))
    else:
        result.put(come_and_go(port, HANDSHAKES[name](), until))


def goaway_of(received):
    """The words of a GOAWAY among the frames that came; the frame before it may be cut off."""
    position = 0
    while len(received) >= position + 9:
        size = int.from_bytes(received[position : position + 3], "big")
        payload = received[position + 9 : position + 9 + size]
        if received[position + 3] == GOAWAY and len(payload) >= 8:
            code = int.from_bytes(payload[4:8], "big")
            name = {1: "PROTOCOL_ERROR", 5: "STREAM_CLOSED", 11: "ENHANCE_YOUR_CALM"}.get(code, code)
            return f"{name} {payload[8:].decode(errors='replace')}".strip()
        position += 9 + size
    return None


def flood_once(port, begin, make, until):
    """One connection: how it ended, and how many bytes it could send."""
    connection = socket.create_connection(("127.0.0.1", port))
    received, sent, stream, left = b"", 0, 1001, PREFACE + settings() + begin
    try:
        connection.setblocking(False)
        while time.monotonic() < until:
            if not left:
                left, stream = make(stream)
            readable, writable, _ = select.select([connection], [connection], [], 0.1)
            if readable:
                more = connection.recv(1 << 20)
                if not more:
                    break
                # What came last is all that matters, but frames must stay whole.
                received = received + more if len(received) < 1 << 20 else received
            if writable:
                size = connection.send(left)
                sent, left = sent + size, left[size:]
        else:
            return "goes on", sent
    except OSError:
        pass  # The server has closed it; what it said before may still be there.
    finally:
        try:
            while more := connection.recv(1 << 20):
                received += more
        except OSError:
            pass
        connection.close()
    return goaway_of(received) or "closed", sent


def flood(port, name, seconds, pause, result):
    begin, make = FLOODS[name]
    until = time.monotonic() + seconds
    ends, sent = collections.Counter(), 0
    while time.monotonic() < until:
        try:
            end, size = flood_once(port, begin, make, until)
        except OSError as error:
            end, size = f"refused: {error.strerror}", 0
        ends[end] += 1
        sent += size
        time.sleep(pause)
    result.put((dict(ends), sent))


def spin(_port, _name, seconds, _pause, result):
    """No flood, but a processor that is as busy as by one."""
    until = time.monotonic() + seconds
    content = bytes(1 << 16)
    with open(os.devnull, "wb", buffering=0) as nothing:
        while time.monotonic() < until:
            nothing.write(content)
    result.put((None, 0))


# ---- The server, and the client that behaves.


class Server:
    def __init__(self, program, tls=None):
        self.load_options = []
        if tls is not None:
            self.load_options += ["--cacert", tls["ca"]]
            self.load_options += ["--cert", tls["client"], "--key", tls["client_key"]]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [program, "--port", str(self.port), "--threads", "1"]
        if tls is not None:
            command += ["--tls", tls["ca"], tls["server"], tls["server_key"]]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(next(line for line in status if line.startswith("VmHWM")).split()[1])

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as refs:
            refs.write("5")


def measure(options, server):
    """p99 of calls at a fixed rate, in microseconds; and whether all were answered as they should."""
    done = subprocess.run(
        [options.load, "--target", "empty", "--path", PATH, "--endpoint", f"127.0.0.1:{server.port}",
         "-c", "4", "-s", "8", "--rate", str(options.rate), "--duration", str(options.seconds),
         "--warmup", "0.2", "--json", *server.load_options],
        capture_output=True, text=True, timeout=options.seconds + 60)  # fmt: skip
    result = json.loads(done.stdout)
    return result["all"]["p99_us"], result["as_expected"]


def beside(options, server, name, function):
    """p99 beside what `function` does, whether all calls were answered, what it told, and memory."""
    server.forget_peak()
    before = server.peak_kib()
    result = multiprocessing.Queue()
    # It begins before the calls do, and ends behind them.
    arguments = (server.port, name, options.seconds + 1, options.pause, result)
    other = multiprocessing.Process(target=function, args=arguments, daemon=True)
    other.start()
    p99, right = measure(options, server)
    told = result.get(timeout=options.seconds + 60)
    other.join()
    return p99, right, told, (server.peak_kib() - before) / 1024


def run(options, server, kinds):
    """Prints the rows of `kinds`, which are functions by their names; whether every call of the client that behaves was answered as it should be."""
    quiet = [beside(options, server, "", spin) for _ in range(options.rounds)]
    base = statistics.median(p99 for p99, *_ in quiet)
    all_right = all(right for _, right, *_ in quiet)
    print(f"| (none){', TLS' if server.load_options else ''} | | | | {max(grown for *_, grown in quiet):.1f} MiB | {base:,.0f} | |", flush=True)
    for name, function in kinds.items():
        p99, right, (ends, sent), grown = beside(options, server, name, function)
        words = ", ".join(sorted(set(ends) - {"goes on"} or set(ends)))
        print(f"| {name} | {words} | {sum(ends.values()):,} | {sent / 1e6:,.1f} MB | {grown:.1f} MiB "
              f"| {p99:,.0f} | {p99 / base:.1f}x |", flush=True)  # fmt: skip
        all_right = all_right and right
    return all_right


def table(options, tls, kinds):
    kinds = {name: kinds[name] for name in kinds if not options.only or options.only in name}
    if not kinds:
        return True
    server = Server(options.server, tls)
    try:
        right = run(options, server, kinds)
        if server.process.poll() is not None:
            sys.exit("the server is gone")
        return right
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    build = pathlib.Path(__file__).resolve().parents[1] / "build" / "bin"
    parser.add_argument("--server", default=str(build / "mokv_empty_server"))
    parser.add_argument("--load", default=str(build / "mokv_load"))
    parser.add_argument("--seconds", type=float, default=5, help="of each flood")
    parser.add_argument("--rate", type=int, default=1000, help="calls a second of the good client")
    parser.add_argument("--pause", type=float, default=0, help="seconds between two connections")
    parser.add_argument("--rounds", type=int, default=5, help="without a flood")
    parser.add_argument("--only", help="kinds that contain this text")
    options = parser.parse_args()
    print("| flood | the client hears | connections | sent | memory | p99 us | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as directory:
        right = table(options, None, dict.fromkeys(FLOODS, flood) | dict.fromkeys(CROWDS, crowd))
        compare.make_certificates_with_openssl(directory)
        tls = compare.certificate_paths(directory)
        right &= table(options, tls, dict.fromkeys(HANDSHAKES, crowd))
    if not right:
        sys.exit("calls of the client that behaves were not answered as they should be")


if __name__ == "__main__":
    main()
