# The two commands are `make demo` and `make test`. Everything else is a part of one of them.

HOST   := $(shell rustc -vV | sed -n 's/^host: //p')
# Static binaries as the images carry them; `agentnet` finds its siblings here.
BUILT  := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/$(HOST)
BIN    := $(BUILT)/image
STATIC := RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --quiet --target $(HOST) \
          -p agentnet-proxy -p agentnet-gate -p agentnet-notify -p agentnet-controller

.PHONY: help demo test lint unit e2e fuzz soak binaries images bench deny clean

help: ## what there is to type
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: binaries ## one real task on a real engine: allowed, blocked, verified, counted
	@AGENTNET_BIN_DIR="$(BIN)" sh scripts/demo.sh

test: lint unit e2e ## everything that CI runs

lint: ## formatting, clippy and documentation, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

unit: ## every crate's tests that need no engine
	cargo test --locked --workspace --exclude agentnet-e2e

# With the checks of a development build, and without the five minutes of linking that the images' profile takes.
e2e: ## real engines, real clients (unpacks engines under target/ where root and none runs)
	$(STATIC) --profile checked
	AGENTNET_BIN_DIR="$(BUILT)/checked" sh scripts/e2e.sh

# Stable Rust, no other tool: the property tests, with more cases.
fuzz: ## random requests, greetings, names and filters against what reads them; CASES=N for more or fewer
	PROPTEST_CASES=$(or $(CASES),300000) cargo test --locked -p agentnet-proxy --lib -- head::agreement hello:: answerer::reply
	PROPTEST_CASES=$(or $(CASES),20000) cargo test --locked -p agentnet-policy --test tinyproxy_filter --test properties

soak: ## what only a while shows: reloads, restarts, kills, floods and races, for MINUTES=10, without an engine
	sh scripts/soak.sh $(or $(MINUTES),10)

binaries: ## the static binaries that the images carry
	$(STATIC) --profile image
	@size=$$(wc -c <"$(BIN)/agentnet-proxy"); [ "$$size" -le 10485760 ] || \
		{ echo "agentnet-proxy has $$size bytes: an image of it may have 10 MiB" >&2; exit 1; }

images: binaries ## the proxy, gate, agent and tools images, built on your engine
	AGENTNET_BIN_DIR="$(BIN)" sh scripts/images.sh

bench: binaries ## timings side by side: `up` against `docker compose up -d`, the proxy against Tinyproxy and Squid, checked tunnels against raw ones, what notifications cost
	cargo bench --locked -p agentnet-policy
	cargo bench --locked --quiet -p agentnet-notify --bench bridge
	AGENTNET_BIN_DIR="$(BIN)" sh scripts/bench-up.sh
	AGENTNET_BIN_DIR="$(BIN)" sh scripts/bench-peers.sh
	AGENTNET_BIN_DIR="$(BIN)" cargo bench --quiet --locked --package agentnet-e2e --bench checks

deny: ## licences, advisories, bans and sources (needs cargo-deny)
	cargo deny --locked check

clean: ## what was built, and the unpacked engines (stopped first)
	sh tests/engine/engines.sh down all || true
	cargo clean
