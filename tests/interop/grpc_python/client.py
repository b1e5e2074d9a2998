#!/usr/bin/env python3
"""Drives an interoperability server with Python's grpcio.

usage: client.py --port N [--tls-ca-file F [--tls-cert-file F --tls-key-file F]] CASE...

One line for each case: `CASE ok`, `CASE n/a WHY` or `CASE failed WHY`.
"""

import queue
import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from testing import (GZIP, INITIAL, MESSAGES, PLAIN, ROOT, TRAILING, flag, message, messages_of, parse_arguments,
                     payload, read, serialize)  # fmt: skip

CALL_SECONDS_MAX = 30
LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
INTERVAL_US = 20_000
REQUEST_SIZES, RESPONSE_SIZES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)


class NotApplicable(Exception):
    """grpcio has no words for the case."""


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


def expect_failure(call, code, words=None):
    """`call()` makes a call and waits for its end."""
    try:
        call()
    except grpc.RpcError as error:
        expect("status", error.code(), code)
        if words is not None:
            expect("message", error.details(), words)
        return
    raise AssertionError(f"status: OK, not {code}")


class Requests:
    """Of a stream, sent when the test says so."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def send(self, request):
        self._queue.put(request)

    def end(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


class Client:
    def __init__(self, channel):
        self._channel = channel

    def _call(self, kind, method, response, service="TestService"):
        path = f"/grpc.testing.{service}/{method}"
        call = getattr(self._channel, kind)(path, serialize, MESSAGES[response].FromString)
        return lambda request, **options: call(request, **{"timeout": CALL_SECONDS_MAX, **options})

    def empty_call(self, method="EmptyCall", service="TestService"):
        return self._call("unary_unary", method, "Empty", service)(message("Empty"))

    def unary_call(self, request, **options):
        return self._call("unary_unary", "UnaryCall", "SimpleResponse")(request, **options)

    def input_call(self, requests, **options):
        return self._call("stream_unary", "StreamingInputCall", "StreamingInputCallResponse")(
            iter(requests), **options)

    def input_future(self, requests):
        path = "/grpc.testing.TestService/StreamingInputCall"
        call = self._channel.stream_unary(path, serialize, MESSAGES["StreamingInputCallResponse"].FromString)
        return call.future(iter(requests), timeout=CALL_SECONDS_MAX)

    def output_call(self, request):
        return self._call("unary_stream", "StreamingOutputCall", "StreamingOutputCallResponse")(request)

    def full_duplex(self, requests, **options):
        return self._call("stream_stream", "FullDuplexCall", "StreamingOutputCallResponse")(
            iter(requests), **options)

    def half_duplex(self, requests):
        return self._call("stream_stream", "HalfDuplexCall", "StreamingOutputCallResponse")(iter(requests))


def large_request(**fields):
    return message("SimpleRequest", response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **fields)


def input_request(size, **fields):
    return message("StreamingInputCallRequest", payload=payload(size), **fields)


def output_request(*sizes, request_size=None, **fields):
    parameters = [message("ResponseParameters", size=size) for size in sizes]
    if request_size is not None:
        fields["payload"] = payload(request_size)
    return message("StreamingOutputCallRequest", response_parameters=parameters, **fields)


def expect_zeros(response, size):
    expect("payload's size", len(response.payload.body), size)
    expect("bytes that are not zero", len(response.payload.body.strip(b"\0")), 0)


# ---- The cases, by gRPC's names for them.


def empty_unary(client):
    expect("response", client.empty_call(), message("Empty"))


def large_unary(client):
    expect_zeros(client.unary_call(large_request()), LARGE_RESPONSE)


def client_streaming(client):
    response = client.input_call([input_request(size) for size in REQUEST_SIZES])
    expect("sum", response.aggregated_payload_size, sum(REQUEST_SIZES))


def server_streaming(client):
    responses = list(client.output_call(output_request(*RESPONSE_SIZES)))
    expect("responses", len(responses), len(RESPONSE_SIZES))
    for response, size in zip(responses, RESPONSE_SIZES):
        expect_zeros(response, size)


def intervals(client):
    """Each answer of either kind of stream waits its interval, behind the one before."""
    request = output_request(*RESPONSE_SIZES)
    for parameters in request.response_parameters:
        parameters.interval_us = INTERVAL_US
    for begin in (client.output_call, lambda only: client.full_duplex([only])):
        since = time.monotonic()
        count = 0
        for response, size in zip(begin(request), RESPONSE_SIZES):
            count += 1
            if time.monotonic() - since < count * INTERVAL_US / 1e6:
                raise AssertionError(f"answer {count} came too early")
            expect_zeros(response, size)
        expect("responses", count, len(RESPONSE_SIZES))


def ping_pong(client):
    requests = Requests()
    responses = client.full_duplex(requests)
    for request_size, size in zip(REQUEST_SIZES, RESPONSE_SIZES):
        requests.send(output_request(size, request_size=request_size))
        expect_zeros(next(responses), size)
    requests.end()
    expect("further responses", list(responses), [])


def half_duplex(client):
    """All answers follow the last request."""
    requests = (output_request(size, request_size=request_size)
                for request_size, size in zip(REQUEST_SIZES, RESPONSE_SIZES))  # fmt: skip
    responses = client.half_duplex(requests)
    for size in RESPONSE_SIZES:
        expect_zeros(next(responses), size)
    expect("further responses", list(responses), [])


def empty_stream(client):
    expect("responses", list(client.full_duplex([])), [])


def client_compressed_unary_noprobe(client):
    for compressed, compression in ((True, GZIP), (False, PLAIN)):
        request = large_request(expect_compressed=flag(compressed))
        expect_zeros(client.unary_call(request, compression=compression), LARGE_RESPONSE)


def client_compressed_unary(client):
    expect_failure(lambda: client.unary_call(large_request(expect_compressed=flag(True)), compression=PLAIN),
                   grpc.StatusCode.INVALID_ARGUMENT)  # fmt: skip
    client_compressed_unary_noprobe(client)


def server_compressed_unary(client):
    for compressed in (True, False):
        response = client.unary_call(large_request(response_compressed=flag(compressed)))
        expect_zeros(response, LARGE_RESPONSE)


def client_compressed_streaming_noprobe(client):
    requests = [input_request(27182, expect_compressed=flag(True))]
    response = client.input_call(requests, compression=GZIP)
    expect("sum", response.aggregated_payload_size, 27182)
    raise NotApplicable("grpcio compresses all messages of a stream or none; all and none are right")


def client_compressed_streaming(client):
    probe = [input_request(27182, expect_compressed=flag(True))]
    expect_failure(lambda: client.input_call(probe, compression=PLAIN), grpc.StatusCode.INVALID_ARGUMENT)
    client_compressed_streaming_noprobe(client)


def server_compressed_streaming(client):
    sizes = (31415, 92653)
    request = output_request(*sizes)
    for parameters, compressed in zip(request.response_parameters, (True, False)):
        parameters.compressed.value = compressed
    responses = list(client.output_call(request))
    expect("responses", len(responses), len(sizes))
    for response, size in zip(responses, sizes):
        expect_zeros(response, size)


def cancel_after_begin(client):
    requests = Requests()
    call = client.input_future(requests)
    call.cancel()
    requests.end()
    expect("status", call.code(), grpc.StatusCode.CANCELLED)


def cancel_after_first_response(client):
    requests = Requests()
    responses = client.full_duplex(requests)
    requests.send(output_request(31415, request_size=27182))
    expect_zeros(next(responses), 31415)
    responses.cancel()
    requests.end()
    expect_failure(lambda: next(responses), grpc.StatusCode.CANCELLED)


def timeout_on_sleeping_server(client):
    requests = Requests()
    responses = client.full_duplex(requests, timeout=0.001)
    requests.send(output_request(request_size=27182))
    expect_failure(lambda: next(responses), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.end()


def custom_metadata(client):
    sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
    stub = client._channel.unary_unary(
        "/grpc.testing.TestService/UnaryCall", serialize, MESSAGES["SimpleResponse"].FromString)
    response, unary = stub.with_call(large_request(), timeout=CALL_SECONDS_MAX, metadata=sent)
    expect_zeros(response, LARGE_RESPONSE)
    request = output_request(LARGE_RESPONSE, request_size=LARGE_REQUEST)
    stream = client.full_duplex([request], metadata=sent)
    for response in stream:
        expect_zeros(response, LARGE_RESPONSE)
    for call in (unary, stream):
        expect("initial metadata", dict(call.initial_metadata()).get(INITIAL), sent[0][1])
        expect("trailing metadata", dict(call.trailing_metadata()).get(TRAILING), sent[1][1])


def cacheable_unary(client):
    """Without a proxy: what one would go by."""
    stub = client._channel.unary_unary(
        "/grpc.testing.TestService/CacheableUnaryCall", serialize, MESSAGES["SimpleResponse"].FromString)
    response, call = stub.with_call(message("SimpleRequest"), timeout=CALL_SECONDS_MAX)
    expect("a number", response.payload.body.isdigit(), True)
    expect("leave to keep it", "max-age=60" in dict(call.initial_metadata()).get("cache-control", ""), True)


def status_code_and_message(client):
    words = "test status message"
    status = message("EchoStatus", code=2, message=words)
    unary = message("SimpleRequest", response_status=status)
    expect_failure(lambda: client.unary_call(unary), grpc.StatusCode.UNKNOWN, words)
    stream = [message("StreamingOutputCallRequest", response_status=status)]
    expect_failure(lambda: list(client.full_duplex(stream)), grpc.StatusCode.UNKNOWN, words)


def special_status_message(client):
    words = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    request = message("SimpleRequest", response_status=message("EchoStatus", code=2, message=words))
    expect_failure(lambda: client.unary_call(request), grpc.StatusCode.UNKNOWN, words)


def unimplemented_method(client):
    expect_failure(lambda: client.empty_call("UnimplementedCall"), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(client):
    expect_failure(lambda: client.empty_call("UnimplementedCall", "UnimplementedService"),
                   grpc.StatusCode.UNIMPLEMENTED)  # fmt: skip


# ---- gRPC's own services, which our server has besides.


def health(client):
    messages = messages_of(ROOT, "api/health.proto")
    request, response = (messages[f"grpc.health.v1.HealthCheck{kind}"] for kind in ("Request", "Response"))
    states = response.ServingStatus
    check = client._channel.unary_unary("/grpc.health.v1.Health/Check", serialize, response.FromString)
    watch = client._channel.unary_stream("/grpc.health.v1.Health/Watch", serialize, response.FromString)
    for service in ("", "grpc.testing.TestService"):
        one = request(service=service)
        expect("state", check(one, timeout=CALL_SECONDS_MAX).status, states.Value("SERVING"))
        watching = watch(one, timeout=CALL_SECONDS_MAX)
        expect("state", next(watching).status, states.Value("SERVING"))
        watching.cancel()
    unknown = request(service="grpc.testing.Nobody")
    expect_failure(lambda: check(unknown, timeout=CALL_SECONDS_MAX), grpc.StatusCode.NOT_FOUND)
    watching = watch(unknown, timeout=CALL_SECONDS_MAX)
    expect("state", next(watching).status, states.Value("SERVICE_UNKNOWN"))
    watching.cancel()


def reflection(client):
    services = {"grpc.testing.TestService", "grpc.health.v1.Health"}
    services |= {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")}
    for version, name in (("v1", "reflection"), ("v1alpha", "reflection_v1alpha")):
        package = f"grpc.reflection.{version}.ServerReflection"
        messages = messages_of(ROOT, f"api/{name}.proto")
        request, response = (messages[package + kind] for kind in ("Request", "Response"))
        ask = client._channel.stream_stream(f"/{package}/ServerReflectionInfo", serialize, response.FromString)
        questions = (request(list_services="*"),
                     request(file_containing_symbol="grpc.testing.TestService.UnaryCall"),
                     request(file_containing_symbol="grpc.testing.Nobody"))  # fmt: skip
        listed, described, unknown = ask(iter(questions), timeout=CALL_SECONDS_MAX)
        expect("services", {service.name for service in listed.list_services_response.service}, services)
        files = [descriptor_pb2.FileDescriptorProto.FromString(bytes_)
                 for bytes_ in described.file_descriptor_response.file_descriptor_proto]  # fmt: skip
        expect("files", {file.name for file in files},
               {f"grpc/testing/{stem}.proto" for stem in ("test", "messages", "empty")})  # fmt: skip
        expect("the error of what is unknown", unknown.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
        # They are all that a client needs to make a call.
        pool = descriptor_pool.DescriptorPool()
        for file in reversed(files):  # Each comes ahead of those that it imports.
            pool.Add(file)
        factory = message_factory.MessageFactory(pool)
        made = {kind: factory.GetPrototype(pool.FindMessageTypeByName(f"grpc.testing.Simple{kind}"))
                for kind in ("Request", "Response")}  # fmt: skip
        call = client._channel.unary_unary(
            "/grpc.testing.TestService/UnaryCall", serialize, made["Response"].FromString)
        expect_zeros(call(made["Request"](response_size=9), timeout=CALL_SECONDS_MAX), 9)


def main():
    parser = parse_arguments("Drives an interoperability server.")
    parser.add_argument("cases", nargs="+", metavar="CASE")
    arguments = parser.parse_args()
    address = f"127.0.0.1:{arguments.port}"
    if arguments.tls_ca_file:
        files = (arguments.tls_ca_file, arguments.tls_key_file, arguments.tls_cert_file)
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*map(read, files)))
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        client = Client(channel)
        for case in arguments.cases:
            try:
                globals()[case](client)
                print(case, "ok", flush=True)
            except NotApplicable as reason:
                print(case, "n/a", reason, flush=True)
            except Exception as error:  # pylint: disable=broad-except
                print(case, "failed", " ".join(repr(error).split()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
