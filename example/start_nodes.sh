#!/bin/sh
# `make cluster`: three nodes on this machine from example/config*.yaml; Ctrl-C stops them.
#
# The first one begins the cluster; the others find it by gossip (start-join-addrs) and are added.
set -eu
cd "$(dirname "$0")/.."

pids=""
stop() {
  trap - INT TERM EXIT
  # shellcheck disable=SC2086 # One process id a word.
  [ -z "$pids" ] || kill $pids 2>/dev/null || true
  wait
}
trap stop EXIT
trap 'exit 0' INT TERM

for config in example/config.yaml example/config2.yaml example/config3.yaml; do
  bin/mokv --config-file "$config" &
  pids="$pids $!"
done
echo "three nodes are starting; bin/mokvctl status shows them; Ctrl-C stops them"
wait
