# The commands of this project; README.md shows the two that matter most: `make run`, `make test`.

CERT_DIR ?= $(HOME)/.mokv
CERT_HOSTS ?=
BUILD := build/release
JOBS ?= $(shell nproc)
RELEASE := -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release

.PHONY: help
help:
	@echo "make run        one node with mutual TLS, in the foreground"
	@echo "make test       build and run every test"
	@echo "make build      bin/mokv and bin/mokvctl"
	@echo "make gencert    certificates and policy files in CERT_DIR ($(CERT_DIR))"
	@echo "make cluster    three nodes on this machine"
	@echo "make bench      measure, side by side with what is installed"
	@echo "make sim        simulate clusters: SEEDS=1000 [FIRST=1], or SEED=7 [MUTATION=kName]; bin/sim"
	@echo "make lincheck   bin/lincheck FILE: is a client history linearizable?"
	@echo "make interop-server  bin/interop_server: gRPC's interoperability service on our RPC engine"
	@echo "make format     clang-format everything"

.PHONY: build
build:
	@scripts/install_packages.sh build
	@cmake $(RELEASE) -DMOKV_BUILD_TESTS=OFF -DMOKV_BUILD_BENCH=OFF >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target mokv mokvctl
	@mkdir -p bin
	@cp -f $(BUILD)/bin/mokv $(BUILD)/bin/mokvctl bin/

.PHONY: gencert
gencert: build
	@CERT_DIR="$(CERT_DIR)" CERT_HOSTS="$(CERT_HOSTS)" bin/mokvctl cert init

.PHONY: run
run: build
	@CERT_DIR="$(CERT_DIR)" CERT_HOSTS="$(CERT_HOSTS)" scripts/run_node.sh

.PHONY: cluster
cluster: gencert
	@example/start_nodes.sh

.PHONY: test
test:
	@scripts/install_packages.sh build test
	@scripts/install_casbin.sh build/test/casbin || echo "node-casbin cannot be had: its comparison is skipped"
	@scripts/install_grpc_js.sh build/test/grpc_js || echo "grpc-js cannot be had: interop tests go without it"
	@scripts/test.sh $(JOBS)

.PHONY: bench
bench:
	@scripts/install_packages.sh build bench
	@cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOKV_BUILD_TESTS=OFF -DMOKV_BUILD_BENCH=ON >/dev/null
	@cmake --build build/bench -j $(JOBS)
	@mkdir -p bin
	@cp -f build/bench/bin/* bin/
	@/usr/bin/python3 bench/compare.py
	@/usr/bin/python3 bench/cluster.py --rounds 3 --seconds 3

.PHONY: lincheck
lincheck:
	@scripts/install_packages.sh build test
	@cmake -S . -B build/lincheck -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOKV_ONLY_FOLDERS=base -DMOKV_BUILD_TESTS=OFF -DMOKV_BUILD_SIM=ON >/dev/null
	@cmake --build build/lincheck -j $(JOBS) --target lincheck
	@mkdir -p bin
	@cp -f build/lincheck/bin/lincheck bin/

# gRPC's interoperability service, for other people's clients (tests/interop/README.md).
.PHONY: interop-server
interop-server:
	@scripts/install_packages.sh build
	@cmake -S . -B build/interop -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOKV_ONLY_FOLDERS="base;net;rpc;standard" -DMOKV_BUILD_TESTS=OFF -DMOKV_BUILD_INTEROP=ON >/dev/null
	@cmake --build build/interop -j $(JOBS) --target interop_server
	@mkdir -p bin
	@cp -f build/interop/bin/interop_server bin/

SEEDS ?= 1000
FIRST ?= 1
SEED ?=
MUTATION ?=
REPLICAS ?=
.PHONY: sim
sim:
	@scripts/install_packages.sh build test
	@cmake -S . -B build/sim -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOKV_ONLY_FOLDERS="base;raft;wal;store;machine;replica" >/dev/null
	@cmake --build build/sim -j $(JOBS) --target sim
	@mkdir -p bin
	@cp -f build/sim/bin/sim bin/
	@bin/sim $(if $(SEED),--seed=$(SEED),--first=$(FIRST) --seeds=$(SEEDS) --jobs=$(JOBS)) \
	  $(if $(MUTATION),--mutation=$(MUTATION)) $(if $(REPLICAS),--replicas)

.PHONY: format
format:
	@git ls-files '*.h' '*.cc' | xargs clang-format -i

.PHONY: clean
clean:
	@rm -rf build bin
