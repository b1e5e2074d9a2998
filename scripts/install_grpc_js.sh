#!/bin/sh
# Installs grpc-js, one of the stock clients and servers of tests/interop, and Debian's node and npm where
# there is no npm.
#   scripts/install_grpc_js.sh DIRECTORY    for ctest: build/NAME/grpc_js
set -eu

directory=${1:?"usage: $0 DIRECTORY"}

[ ! -d "$directory/node_modules/@grpc/proto-loader" ] || exit 0
command -v npm >/dev/null || "$(dirname "$0")/install_packages.sh" npm
mkdir -p "$directory"
# The versions whose table stands in tests/interop/README.md.
npm install --silent --no-audit --no-fund --prefix "$directory" @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
