#!/bin/sh
# Installs Debian 12 packages: what the build needs, and with "test" or "bench" what these need too.
# Packages that would start daemons are installed without starting them.
#   scripts/install_packages.sh [build] [test] [bench] [npm]
set -eu

build="g++ cmake ninja-build pkg-config libasio-dev libnghttp2-dev libssl-dev libprotobuf-dev
  protobuf-compiler libabsl-dev libyaml-cpp-dev libcli11-dev libspdlog-dev prometheus-cpp-dev
  libcpp-httplib-dev libxxhash-dev libjemalloc-dev zlib1g-dev libre2-dev"
test="libgtest-dev libgmock-dev librapidcheck-dev nlohmann-json3-dev python3 python3-grpcio python3-hpack
  libbenchmark-dev python3-protobuf protobuf-compiler openssl clang-format clang-19 libclang-rt-19-dev clang-tidy-19 serf
  libgrpc++-dev protobuf-compiler-grpc"
bench="libbenchmark-dev libgrpc++-dev protobuf-compiler-grpc redis-server redis-tools etcd-server
  python3 curl"
npm="nodejs npm"

packages=""
for set in "${@:-build}"; do
  case $set in
    build) packages="$packages $build" ;;
    test) packages="$packages $test" ;;
    bench) packages="$packages $bench" ;;
    npm) packages="$packages $npm" ;;
    *) echo "usage: $0 [build] [test] [bench] [npm]" >&2; exit 2 ;;
  esac
done

missing=""
for package in $packages; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo
echo "installing:$missing"
$as_root apt-get update -qq

# Exit status 101 tells Debian's packages not to start what they bring.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod +x "$policy"
  trap '$as_root rm -f "$policy"' EXIT INT TERM
fi
# shellcheck disable=SC2086 # The list is meant to be split.
$as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
