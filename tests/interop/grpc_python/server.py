#!/usr/bin/env python3
"""gRPC's interoperability service on Python's grpcio.

usage: server.py --port N [--tls-cert-file F --tls-key-file F [--tls-ca-file F]]

grpcio does not tell whether a message came compressed, so `expect_compressed` is not looked at.
"""

import signal
import threading
import time
from concurrent import futures

import grpc

from testing import GZIP, INITIAL, MESSAGES, TRAILING, message, parse_arguments, payload, read, serialize

THREADS = 16  # Calls at once.
STOP_SECONDS_MAX = 5


def echo_metadata(context):
    sent = dict(context.invocation_metadata())
    if INITIAL in sent:
        context.send_initial_metadata(((INITIAL, sent[INITIAL]),))
    if TRAILING in sent:
        context.set_trailing_metadata(((TRAILING, sent[TRAILING]),))


def echo_status(request, context):
    """Ends the call when the request says so."""
    if not request.response_status.code:
        return
    code = next(code for code in grpc.StatusCode if code.value[0] == request.response_status.code)
    context.abort(code, request.response_status.message)


def check_type(request, context):
    if request.response_type != 0:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no payloads of type {request.response_type} here")


def empty_call(_, context):
    echo_metadata(context)
    return message("Empty")


def unary_call(request, context):
    if request.response_compressed.value:  # Before the headers, which say so.
        context.set_compression(GZIP)
    echo_metadata(context)
    echo_status(request, context)
    check_type(request, context)
    return message("SimpleResponse", payload=payload(request.response_size))


def cacheable_unary_call(_, context):
    context.send_initial_metadata((("cache-control", "max-age=60, public"),))
    body = str(time.time_ns()).encode()
    return message("SimpleResponse", payload=message("Payload", body=body))


def answers(request, context):
    check_type(request, context)
    for parameters in request.response_parameters:
        time.sleep(parameters.interval_us / 1e6)
        if not parameters.compressed.value:
            context.disable_next_message_compression()
        yield message("StreamingOutputCallResponse", payload=payload(parameters.size))


def streaming_output_call(request, context):
    if any(parameters.compressed.value for parameters in request.response_parameters):
        context.set_compression(GZIP)
    echo_metadata(context)
    echo_status(request, context)
    yield from answers(request, context)


def streaming_input_call(requests, context):
    echo_metadata(context)
    size = sum(len(request.payload.body) for request in requests)
    return message("StreamingInputCallResponse", aggregated_payload_size=size)


def full_duplex_call(requests, context):
    echo_metadata(context)
    for request in requests:
        echo_status(request, context)
        yield from answers(request, context)


def half_duplex_call(requests, context):
    yield from full_duplex_call(list(requests), context)


METHODS = (
    ("EmptyCall", "unary_unary", empty_call, "Empty"),
    ("UnaryCall", "unary_unary", unary_call, "SimpleRequest"),
    ("CacheableUnaryCall", "unary_unary", cacheable_unary_call, "SimpleRequest"),
    ("StreamingOutputCall", "unary_stream", streaming_output_call, "StreamingOutputCallRequest"),
    ("StreamingInputCall", "stream_unary", streaming_input_call, "StreamingInputCallRequest"),
    ("FullDuplexCall", "stream_stream", full_duplex_call, "StreamingOutputCallRequest"),
    ("HalfDuplexCall", "stream_stream", half_duplex_call, "StreamingOutputCallRequest"),
)


def main():
    arguments = parse_arguments("gRPC's interoperability service.").parse_args()
    server = grpc.server(futures.ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.testing.TestService", {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(function, MESSAGES[request].FromString, serialize)
        for name, kind, function, request in METHODS
    }),))  # fmt: skip
    address = f"127.0.0.1:{arguments.port}"
    if arguments.tls_cert_file:
        pair = read(arguments.tls_key_file), read(arguments.tls_cert_file)
        ca = read(arguments.tls_ca_file)
        credentials = grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)
        bound = server.add_secure_port(address, credentials)
    else:
        bound = server.add_insecure_port(address)
    if bound != arguments.port:
        raise SystemExit(f"cannot listen on {address}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server.start()
    stop.wait()
    server.stop(STOP_SECONDS_MAX).wait()


if __name__ == "__main__":
    main()
