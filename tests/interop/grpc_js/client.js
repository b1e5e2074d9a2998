// Drives an interoperability server with grpc-js.
//   client.js --port N [--tls-ca-file F [--tls-cert-file F --tls-key-file F]] CASE...
//
// One line for each case: `CASE ok`, `CASE n/a WHY` or `CASE failed WHY`.
'use strict';

const assert = require('assert').strict;
const { performance } = require('perf_hooks');
const { grpc, services, readArguments, zeros, INITIAL, TRAILING } = require('./testing');

const CALL_SECONDS_MAX = 30;
const LARGE_REQUEST = 271828;
const LARGE_RESPONSE = 314159;
const REQUEST_SIZES = [27182, 8, 1828, 45904];
const RESPONSE_SIZES = [31415, 9, 2653, 58979];
const INTERVAL_MS = 20;
const { status } = grpc;

// grpc-js has no words for the case.
class NotApplicable extends Error {}

const { address, certificate, key, authority, cases } = readArguments();
const credentials = authority
  ? grpc.credentials.createSsl(authority, key, certificate)
  : grpc.credentials.createInsecure();
const client = new services.TestService(address, credentials);
// Compression is an option of a channel here.
const compressing = new services.TestService(address, credentials, {
  'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
});
const missing = new services.UnimplementedService(address, credentials);

const options = () => ({ deadline: Date.now() + CALL_SECONDS_MAX * 1000 });
const sum = (sizes) => sizes.reduce((left, right) => left + right, 0);
const largeRequest = (fields) => ({
  response_size: LARGE_RESPONSE, payload: zeros(LARGE_REQUEST), ...fields,
});

function expectZeros(response, size) {
  assert.equal(response.payload.body.length, size);
  assert.ok(response.payload.body.every((byte) => byte === 0));
}

// Of a call that takes one request. Resolves with the response.
function unary(stub, method, request) {
  return new Promise((resolve, reject) => {
    stub[method](request, new grpc.Metadata(), options(),
                 (error, response) => (error ? reject(error) : resolve(response)));
  });
}

function input(stub, requests) {
  return new Promise((resolve, reject) => {
    const call = stub.StreamingInputCall(new grpc.Metadata(), options(),
                                         (error, response) => (error ? reject(error) : resolve(response)));
    for (const request of requests) call.write(request);
    call.end();
  });
}

// Calls `onResponse` with each response and its number. Resolves when the call has ended with OK.
function drain(call, onResponse) {
  return new Promise((resolve, reject) => {
    let count = 0;
    call.on('error', reject);
    call.on('data', (response) => {
      try {
        onResponse(response, count);
      } catch (error) {
        call.cancel();
        reject(error);
      }
      count += 1;
    });
    call.on('status', ({ code }) => code === status.OK && resolve(count));
  });
}

async function expectFailure(call, code, details) {
  await assert.rejects(call, (error) => {
    assert.equal(error.code, code, String(error));
    if (details !== undefined) assert.equal(error.details, details);
    return true;
  });
}

const outputRequest = (requestSize, ...sizes) => ({
  payload: zeros(requestSize), response_parameters: sizes.map((size) => ({ size })),
});
const duplex = (metadata, call) => client.FullDuplexCall(metadata || new grpc.Metadata(), call || options());
const unexpected = () => assert.fail('a response');

async function clientCompressedUnary(withProbe) {
  if (withProbe) {
    const probe = largeRequest({ expect_compressed: { value: true } });
    await expectFailure(unary(client, 'UnaryCall', probe), status.INVALID_ARGUMENT);
  }
  for (const compressed of [true, false]) {
    const request = largeRequest({ expect_compressed: { value: compressed } });
    expectZeros(await unary(compressed ? compressing : client, 'UnaryCall', request), LARGE_RESPONSE);
  }
}

async function clientCompressedStreaming(withProbe) {
  const request = { payload: zeros(27182), expect_compressed: { value: true } };
  if (withProbe) await expectFailure(input(client, [request]), status.INVALID_ARGUMENT);
  assert.equal((await input(compressing, [request])).aggregated_payload_size, 27182);
  throw new NotApplicable('grpc-js compresses all messages of a channel or none; all and none are right');
}

// By gRPC's names for them.
const CASES = {
  empty_unary: async () => assert.deepEqual({ ...await unary(client, 'EmptyCall', {}) }, {}),
  large_unary: async () => expectZeros(await unary(client, 'UnaryCall', largeRequest()), LARGE_RESPONSE),
  client_streaming: async () => {
    const response = await input(client, REQUEST_SIZES.map((size) => ({ payload: zeros(size) })));
    assert.equal(response.aggregated_payload_size, sum(REQUEST_SIZES));
  },
  server_streaming: async () => {
    const request = { response_parameters: RESPONSE_SIZES.map((size) => ({ size })) };
    const call = client.StreamingOutputCall(request, new grpc.Metadata(), options());
    const count = await drain(call, (response, i) => expectZeros(response, RESPONSE_SIZES[i]));
    assert.equal(count, RESPONSE_SIZES.length);
  },
  // Each answer of either kind of stream waits its interval, behind the one before.
  intervals: async () => {
    const request = {
      response_parameters: RESPONSE_SIZES.map((size) => ({ size, interval_us: INTERVAL_MS * 1000 })),
    };
    const output = () => client.StreamingOutputCall(request, new grpc.Metadata(), options());
    const both = () => {
      const call = duplex();
      call.write(request);
      call.end();
      return call;
    };
    for (const begin of [output, both]) {
      const since = performance.now();
      const count = await drain(begin(), (response, i) => {
        assert.ok(performance.now() - since >= (i + 1) * INTERVAL_MS, `answer ${i + 1} came too early`);
        expectZeros(response, RESPONSE_SIZES[i]);
      });
      assert.equal(count, RESPONSE_SIZES.length);
    }
  },
  ping_pong: async () => {
    const call = duplex();
    const send = (i) => call.write(outputRequest(REQUEST_SIZES[i], RESPONSE_SIZES[i]));
    send(0);
    const count = await drain(call, (response, i) => {
      expectZeros(response, RESPONSE_SIZES[i]);
      if (i + 1 < REQUEST_SIZES.length) send(i + 1);
      else call.end();
    });
    assert.equal(count, RESPONSE_SIZES.length);
  },
  // All answers follow the last request.
  half_duplex: async () => {
    const call = client.HalfDuplexCall(new grpc.Metadata(), options());
    REQUEST_SIZES.forEach((size, i) => call.write(outputRequest(size, RESPONSE_SIZES[i])));
    call.end();
    const count = await drain(call, (response, i) => expectZeros(response, RESPONSE_SIZES[i]));
    assert.equal(count, RESPONSE_SIZES.length);
  },
  empty_stream: async () => {
    const call = duplex();
    call.end();
    await drain(call, unexpected);
  },
  client_compressed_unary: () => clientCompressedUnary(true),
  client_compressed_unary_noprobe: () => clientCompressedUnary(false),
  server_compressed_unary: async () => {
    for (const compressed of [true, false]) {
      const request = largeRequest({ response_compressed: { value: compressed } });
      expectZeros(await unary(client, 'UnaryCall', request), LARGE_RESPONSE);
    }
  },
  client_compressed_streaming: () => clientCompressedStreaming(true),
  client_compressed_streaming_noprobe: () => clientCompressedStreaming(false),
  server_compressed_streaming: async () => {
    const sizes = [31415, 92653];
    const parameters = sizes.map((size, i) => ({ size, compressed: { value: i === 0 } }));
    const call = client.StreamingOutputCall({ response_parameters: parameters }, new grpc.Metadata(), options());
    assert.equal(await drain(call, (response, i) => expectZeros(response, sizes[i])), sizes.length);
  },
  cancel_after_begin: () => expectFailure(new Promise((resolve, reject) => {
    const call = client.StreamingInputCall(new grpc.Metadata(), options(),
                                           (error) => (error ? reject(error) : resolve()));
    // In this turn already, grpc-js would begin the call after all, and keep it until its deadline.
    setImmediate(() => call.cancel());
  }), status.CANCELLED),
  cancel_after_first_response: async () => {
    const call = duplex();
    call.write(outputRequest(27182, 31415));
    await expectFailure(drain(call, (response) => {
      expectZeros(response, 31415);
      call.cancel();
    }), status.CANCELLED);
  },
  timeout_on_sleeping_server: async () => {
    const call = duplex(null, { deadline: Date.now() + 1 });
    call.write(outputRequest(27182));
    await expectFailure(drain(call, unexpected), status.DEADLINE_EXCEEDED);
  },
  custom_metadata: async () => {
    const sent = new grpc.Metadata();
    sent.add(INITIAL, 'test_initial_metadata_value');
    sent.add(TRAILING, Buffer.from([0xab, 0xab, 0xab]));
    const listen = (call) => new Promise((resolve) => {
      let leading;
      call.on('metadata', (metadata) => { leading = metadata; });
      call.on('status', (end) => resolve([leading, end.metadata]));
    });
    const expectEchoes = ([leading, trailing]) => {
      assert.deepEqual(leading.get(INITIAL), sent.get(INITIAL));
      assert.deepEqual(trailing.get(TRAILING), sent.get(TRAILING));
    };
    await new Promise((resolve, reject) => {
      const call = client.UnaryCall(largeRequest(), sent, options(), (error) => error && reject(error));
      listen(call).then(expectEchoes).then(resolve, reject);
    });
    const stream = duplex(sent);
    const heard = listen(stream);
    stream.write(outputRequest(LARGE_REQUEST, LARGE_RESPONSE));
    stream.end();
    assert.equal(await drain(stream, (response) => expectZeros(response, LARGE_RESPONSE)), 1);
    expectEchoes(await heard);
  },
  // Without a proxy: what one would go by.
  cacheable_unary: () => new Promise((resolve, reject) => {
    let leading;
    const call = client.CacheableUnaryCall({}, new grpc.Metadata(), options(), (error, response) => {
      if (error) return reject(error);
      if (!/^[0-9]+$/.test(response.payload.body.toString())) return reject(new Error('no number'));
      if (!String(leading.get('cache-control')).includes('max-age=60')) return reject(new Error('not to be kept'));
      return resolve();
    });
    call.on('metadata', (metadata) => { leading = metadata; });
  }),
  status_code_and_message: async () => {
    const request = { response_status: { code: 2, message: 'test status message' } };
    await expectFailure(unary(client, 'UnaryCall', request), status.UNKNOWN, 'test status message');
    const call = duplex();
    call.write(request);
    call.end();
    await expectFailure(drain(call, unexpected), status.UNKNOWN, 'test status message');
  },
  special_status_message: async () => {
    const message = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
    const request = { response_status: { code: 2, message } };
    await expectFailure(unary(client, 'UnaryCall', request), status.UNKNOWN, message);
  },
  unimplemented_method: () => expectFailure(unary(client, 'UnimplementedCall', {}), status.UNIMPLEMENTED),
  unimplemented_service: () => expectFailure(unary(missing, 'UnimplementedCall', {}), status.UNIMPLEMENTED),
};

async function main() {
  for (const name of cases) {
    try {
      await CASES[name]();
      console.log(name, 'ok');
    } catch (error) {
      const word = error instanceof NotApplicable ? 'n/a' : 'failed';
      console.log(name, word, String(error.message || error).replace(/\s+/g, ' '));
    }
  }
  for (const stub of [client, compressing, missing]) stub.close();
}

main();
