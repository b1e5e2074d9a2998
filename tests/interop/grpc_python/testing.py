"""What client.py and server.py share: the messages of grpc.testing, and the words of their command lines.

The messages are made from descriptor sets: modules that protoc would generate for the package
`grpc.testing` would hide grpcio's own package of that name.
"""

import argparse
import pathlib
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, message_factory

PROTO = pathlib.Path(__file__).resolve().parents[1] / "proto"
ROOT = pathlib.Path(__file__).resolve().parents[3]
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def messages_of(root, *names):
    """Full name -> class, of the messages in these files and in those that they import."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            ["protoc", f"--proto_path={root}", "--include_imports", f"--descriptor_set_out={out.name}", *names],
            check=True,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    return message_factory.GetMessages(files.file)


MESSAGES = {name.rpartition(".")[2]: kind for name, kind in messages_of(PROTO, "grpc/testing/test.proto").items()}


def message(name, **fields):
    return MESSAGES[name](**fields)


def payload(size):
    return message("Payload", body=bytes(size))


def flag(value):
    return message("BoolValue", value=value)


def serialize(one):
    return one.SerializeToString()


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    for name in ("cert", "key", "ca"):
        parser.add_argument(f"--tls-{name}-file", type=pathlib.Path)
    return parser


def read(path):
    return path.read_bytes() if path else None


GZIP, PLAIN = grpc.Compression.Gzip, grpc.Compression.NoCompression
