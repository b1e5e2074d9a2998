// gRPC's interoperability service on grpc-js.
//   server.js --port N [--tls-cert-file F --tls-key-file F [--tls-ca-file F]]
//
// Servers of grpc-js neither compress nor tell whether a message came compressed: nothing here looks at
// what a request says of that.
'use strict';

const { performance } = require('perf_hooks');
const { grpc, services, readArguments, zeros, INITIAL, TRAILING } = require('./testing');

// Sends what is to be echoed ahead of the answer, and returns what is to be sent behind it.
function echoMetadata(call) {
  const leading = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) leading.add(INITIAL, value);
  call.sendMetadata(leading);
  const trailing = new grpc.Metadata();
  for (const value of call.metadata.get(TRAILING)) trailing.add(TRAILING, value);
  return trailing;
}

// The error that a request asks for; null when it asks for an answer.
function errorOf(request) {
  const status = request.response_status;
  if (status && status.code) return { code: status.code, details: status.message };
  if (request.response_type && request.response_type !== 'COMPRESSABLE') {
    return { code: grpc.status.INVALID_ARGUMENT, details: `no payloads of type ${request.response_type} here` };
  }
  return null;
}

function emptyCall(call, done) {
  done(null, {}, echoMetadata(call));
}

function unaryCall(call, done) {
  const trailing = echoMetadata(call);
  const error = errorOf(call.request);
  if (error) return done({ ...error, metadata: trailing });
  return done(null, { payload: zeros(call.request.response_size || 0) }, trailing);
}

function cacheableUnaryCall(call, done) {
  const leading = new grpc.Metadata();
  leading.add('cache-control', 'max-age=60, public');
  call.sendMetadata(leading);
  done(null, { payload: { body: Buffer.from(String(process.hrtime.bigint())) } });
}

// Writes what a stream answers to one request.
async function answer(request, call) {
  for (const parameters of request.response_parameters || []) {
    const due = performance.now() + (parameters.interval_us || 0) / 1000;
    // A timer counts from when its turn of the loop began, which may be too early.
    for (let left = due - performance.now(); left > 0; left = due - performance.now()) {
      const milliseconds = Math.ceil(left);
      await new Promise((resolve) => { setTimeout(resolve, milliseconds); });
    }
    if (!call.write({ payload: zeros(parameters.size || 0) })) {
      // What was cancelled never drains.
      await new Promise((resolve) => { call.once('drain', resolve); call.once('cancelled', resolve); });
    }
  }
}

async function streamingOutputCall(call) {
  const trailing = echoMetadata(call);
  const error = errorOf(call.request);
  if (error) return call.emit('error', { ...error, metadata: trailing });
  await answer(call.request, call);
  return call.end(trailing);
}

function streamingInputCall(call, done) {
  const trailing = echoMetadata(call);
  let size = 0;
  call.on('data', (request) => { size += request.payload ? request.payload.body.length : 0; });
  call.on('end', () => done(null, { aggregated_payload_size: size }, trailing));
}

// In a call that goes on behind the last of them.
const requestsOf = (call) => call.iterator({ destroyOnReturn: false });

async function fullDuplexCall(call) {
  const trailing = echoMetadata(call);
  for await (const request of requestsOf(call)) {
    const error = errorOf(request);
    if (error) return call.emit('error', { ...error, metadata: trailing });
    await answer(request, call);
  }
  return call.end(trailing);
}

async function halfDuplexCall(call) {
  const trailing = echoMetadata(call);
  const requests = [];
  for await (const request of requestsOf(call)) requests.push(request);
  for (const request of requests) await answer(request, call);
  call.end(trailing);
}

// Reading from a call that its client has cancelled throws.
const untilCancelled = (handler) => (call) => handler(call).catch((error) => {
  if (!call.cancelled) throw error;
});

const { address, certificate, key, authority } = readArguments();
const server = new grpc.Server();
server.addService(services.TestService.service, {
  EmptyCall: emptyCall,
  UnaryCall: unaryCall,
  CacheableUnaryCall: cacheableUnaryCall,
  StreamingOutputCall: untilCancelled(streamingOutputCall),
  StreamingInputCall: streamingInputCall,
  FullDuplexCall: untilCancelled(fullDuplexCall),
  HalfDuplexCall: untilCancelled(halfDuplexCall),
});
const credentials = certificate
  ? grpc.ServerCredentials.createSsl(authority, [{ private_key: key, cert_chain: certificate }], authority !== null)
  : grpc.ServerCredentials.createInsecure();
server.bindAsync(address, credentials, (error) => {
  if (error) throw error;
});
process.on('SIGTERM', () => {
  server.forceShutdown();
  process.exit(0);
});
