#!/bin/sh
# `make run`: certificates if there are none, then one bootstrapped node with mutual TLS in the
# foreground, and what to try next. CERT_DIR and CERT_HOSTS as for `make gencert`.
set -eu
certs=${CERT_DIR:-$HOME/.mokv}
files=$(CERT_DIR=$certs bin/mokvctl cert init)
printf '%s\n' "$files" | grep '^made' || true
ctl="bin/mokvctl"
[ "$certs" = "$HOME/.mokv" ] ||
  ctl="$ctl --cacert $certs/ca.pem --cert $certs/root-client.pem --key $certs/root-client-key.pem"

cat <<EOF

Starting one node on 127.0.0.1:8400; Ctrl-C stops it. In another terminal:

  $ctl set greeting hello
  $ctl get greeting
  $ctl list
  $ctl status
  curl http://127.0.0.1:4000/metrics

EOF
exec bin/mokv \
  --node-name="${MOKV_NODE_NAME:-node-1}" --data-dir="$certs/data" --bootstrap \
  --server-tls-cert-file="$certs/server.pem" --server-tls-key-file="$certs/server-key.pem" \
  --server-tls-ca-file="$certs/ca.pem" \
  --peer-tls-cert-file="$certs/peer.pem" --peer-tls-key-file="$certs/peer-key.pem" \
  --peer-tls-ca-file="$certs/ca.pem" \
  --acl-model-file="$certs/model.conf" --acl-policy-file="$certs/policy.csv"
