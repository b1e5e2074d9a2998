"""Ports for the processes of a test: free, and given to no other test on this machine, until the
process that asked has ended.

To bind a port, let go of it and use it later is a race between tests that run side by side. So each
port has a file in a folder that they share, and who has the lock of the file has the port. The lock
goes with the process, however it ends.
"""

import fcntl
import os
import pathlib
import random
import socket
import tempfile

# Below the ephemeral range: a client that dials a port of a killed node again and again could
# otherwise be given that very port as its own and be connected with itself.
_FIRST, _LAST = 10000, 32000
_TRIES_MAX = 1000

_locks = pathlib.Path(tempfile.gettempdir()) / f"mokv-test-ports-{os.getuid()}"
_held = []  # Open files, whose locks are ours.


def _lock(port):
    """The open file, or None when another test has the port."""
    file = open(_locks / str(port), "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _is_free(port):
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        try:
            stream.bind(("127.0.0.1", port))
            datagram.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    _locks.mkdir(exist_ok=True)
    for _ in range(_TRIES_MAX):
        port = random.randint(_FIRST, _LAST)
        file = _lock(port)
        if file is None:
            continue
        if _is_free(port):
            _held.append(file)
            return port
        file.close()
    raise AssertionError(f"no free port between {_FIRST} and {_LAST}")
