#!/usr/bin/env python3
"""The README's server and client talk to each other, and the server stops when it is told.

usage: readme_test.py TESTS_DIRECTORY SERVER CLIENT
"""

import subprocess
import sys
import time

sys.path.insert(0, sys.argv[1])
from ports import free_port  # noqa: E402

PATIENCE_SECONDS = 30


def main(server, client):
    port = str(free_port())
    with subprocess.Popen([server, port]) as serving:
        try:
            give_up = time.monotonic() + PATIENCE_SECONDS
            while True:
                said = subprocess.run([client, port], capture_output=True, text=True, check=False,
                                      timeout=PATIENCE_SECONDS)
                # Until it listens.
                if said.returncode == 0 or time.monotonic() > give_up:
                    break
                time.sleep(0.02)
            assert said.returncode == 0, said.stderr
            assert said.stdout == "hello, world\n", said.stdout
        finally:
            serving.terminate()
        assert serving.wait(PATIENCE_SECONDS) == 0, serving.returncode


main(*sys.argv[2:])
