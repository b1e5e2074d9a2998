// What client.js and server.js share: the service's definition, and their command lines. NODE_PATH names
// the folder in which npm has installed @grpc/grpc-js and @grpc/proto-loader.
'use strict';

const fs = require('fs');
const path = require('path');
const { parseArgs } = require('util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const definition = protoLoader.loadSync('grpc/testing/test.proto', {
  includeDirs: [path.join(__dirname, '..', 'proto')],
  keepCase: true,
  defaults: false,
});

function readArguments() {
  const text = { type: 'string' };
  const { values, positionals } = parseArgs({
    options: { port: text, 'tls-cert-file': text, 'tls-key-file': text, 'tls-ca-file': text },
    allowPositionals: true,
  });
  const read = (name) => (values[name] ? fs.readFileSync(values[name]) : null);
  return {
    address: `127.0.0.1:${values.port}`,
    certificate: read('tls-cert-file'),
    key: read('tls-key-file'),
    authority: read('tls-ca-file'),
    cases: positionals,
  };
}

module.exports = {
  grpc,
  services: grpc.loadPackageDefinition(definition).grpc.testing,
  readArguments,
  zeros: (size) => ({ body: Buffer.alloc(size) }),
  INITIAL: 'x-grpc-test-echo-initial',
  TRAILING: 'x-grpc-test-echo-trailing-bin',
};
