#!/usr/bin/python3
"""Process memory of the store beside redis-server holding the same keys, as a table in Markdown.

Redis keeps nothing on disk here. Keys and values are those of mokv_store_bench: 16 and 64 bytes.
Both columns are the growth of the process's resident memory from empty to full, divided by the
keys. Exit status: 0 when the target (at most 0.75x) is met at every size, else 1.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

from common import free_port, parse_size, resident_bytes

TARGET = 0.75
START_SECONDS = 15
KEYS_IN_BATCH = 10_000
VALUE = "v" * 64


class Redis:
    """A redis-server of its own on a free port, and one connection to it."""

    def __init__(self, program, directory):
        port = free_port()
        self.process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory,
             "--daemonize", "no", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.socket = self._connect(port)
        except BaseException:
            self._stop()
            raise
        self.replies = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.replies.close()
        self.socket.close()
        self._stop()

    def _connect(self, port):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=60)
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server did not start") from None
                time.sleep(0.02)

    def _stop(self):
        self.process.terminate()
        self.process.wait()

    def info(self, section):
        self.socket.sendall(f"INFO {section}\r\n".encode())
        size = int(self.replies.readline()[1:])
        text = self.replies.read(size + 2).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def fill(self, keys):
        for first in range(0, keys, KEYS_IN_BATCH):
            count = min(KEYS_IN_BATCH, keys - first)
            self.socket.sendall("".join(
                f"*3\r\n$3\r\nSET\r\n$16\r\nkey-{number:012}\r\n${len(VALUE)}\r\n{VALUE}\r\n"
                for number in range(first, first + count)).encode())
            if self.replies.read(5 * count) != b"+OK\r\n" * count:
                raise RuntimeError("redis-server refused a SET")


def redis_bytes(program, keys):
    """Resident growth and growth of used_memory, a key."""
    with tempfile.TemporaryDirectory(prefix="mokv-redis-") as directory, \
            Redis(program, directory) as redis:
        resident = resident_bytes(redis.process.pid)
        used = int(redis.info("memory")["used_memory"])
        redis.fill(keys)
        # A table that is being moved to a larger one is there twice: wait for the end of it.
        while True:
            before = int(redis.info("memory")["used_memory"])
            time.sleep(0.5)
            after = int(redis.info("memory")["used_memory"])
            if before == after:
                break
        return ((resident_bytes(redis.process.pid) - resident) / keys, (after - used) / keys,
                redis.info("server")["redis_version"])


def store_bytes(program, keys, rounds):
    done = subprocess.run([program, "--memory", "--contenders", "product", "--sizes", str(keys),
                           "--rounds", str(rounds)], check=True, capture_output=True, text=True)
    return float(re.search(r"process memory, bytes a key \| ([0-9.]+)", done.stdout).group(1))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="100k,1M,10M")
    parser.add_argument("--rounds", type=int, default=1, help="of the store; the median counts")
    parser.add_argument("--bin", default=os.path.join(here, "../../bin"),
                        help="where mokv_store_bench is")
    parser.add_argument("--redis-server", default="redis-server")
    options = parser.parse_args()

    met = True
    print("| keys | mökv's store, bytes a key | Redis, bytes a key | Redis's used_memory | ratio | met |")
    print("| ---: | ---: | ---: | ---: | ---: | --- |")
    for size in options.sizes.split(","):
        keys = parse_size(size)
        ours = store_bytes(os.path.join(options.bin, "mokv_store_bench"), keys, options.rounds)
        theirs, used, version = redis_bytes(options.redis_server, keys)
        ratio = ours / theirs
        met = met and ratio <= TARGET
        print(f"| {size} | {ours:.0f} | {theirs:.0f} | {used:.0f} | {ratio:.2f}x | "
              f"{'yes' if ratio <= TARGET else '**no**'} |", flush=True)
    print(f"\nRedis {version}; target at most {TARGET}x.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
