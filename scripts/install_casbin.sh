#!/bin/sh
# Installs node-casbin, which tests/casbin_compare compares our access engine with, and Debian's node and
# npm where there is no npm.
#   scripts/install_casbin.sh DIRECTORY    for ctest: build/NAME/casbin
set -eu

version=5.51.1 # The one that tests/casbin_compare/known_differences.py tells of.
directory=${1:?"usage: $0 DIRECTORY"}

[ ! -d "$directory/node_modules/casbin" ] || exit 0
command -v npm >/dev/null || "$(dirname "$0")/install_packages.sh" npm
mkdir -p "$directory"
npm install --silent --no-audit --no-fund --prefix "$directory" "casbin@$version"
