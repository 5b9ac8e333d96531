# Every target runs from a clean clone. Packages unpacked by `make deps` without root are found by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ENV := test ! -f target/deps/env || . target/deps/env;
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 30

.PHONY: help deps build test test-drivers test-deploy test-page image sbom soak lint doc demo bench fuzz book

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is missing (PostgreSQL, libclang, cmake, …), as root or not
	@scripts/deps.sh

build: ## target/release/larder
	$(ENV) cargo build --locked --release

test: ## format, lints, all tests, documentation
	@scripts/test.sh

test-drivers: ## every driver against direct PostgreSQL; installs them into target/drivers (DRIVERS_ONLY=…, DRIVERS_MODE=…, UPDATE_DOCS=1)
	@scripts/drivers.sh
	$(ENV) cargo test --locked --test drivers -- --ignored

test-deploy: ## deploy/: kustomize, the chart, compose and systemd's units, rendered and held against their schemas
	@$(ENV) scripts/deploy.sh

image: ## the container image without a registry: buildah and debootstrap, as root (IMAGE_PREBUILT=1: with target/release/larder)
	@scripts/image.sh

sbom: ## what the program is made of: target/sbom.cdx.json (CycloneDX)
	@scripts/sbom.py

test-page: ## the page in Chromium, with screenshots in target/page/shots; needs chromium, Node.js and npm
	@$(ENV) scripts/page.sh

soak: ## mixed load with kills, reloads, DDL and evictions for SOAK_MINUTES (30): nothing wrong, memory flat
	$(ENV) SOAK_MINUTES=$(SOAK_MINUTES) cargo test --locked --test soak -- --ignored --nocapture

lint: ## format and lints alone
	$(ENV) cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings

doc: ## the code's documentation, in target/doc
	$(ENV) RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

demo: ## a throw-away PostgreSQL, Larder in front, and numbers (DEMO_ONCE=1: end after them)
	@scripts/demo.sh

bench: ## everything docs/benchmarks.md shows (BENCH_ARGS=--quick; needs pgbouncer, pgpool2, strace, valgrind)
	$(ENV) cargo build --locked --release && benches/run.sh $(BENCH_ARGS)

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each; needs cargo-fuzz
	$(ENV) fuzz/run.sh $(FUZZ_SECONDS)

book: ## docs/ as a book, in target/book; needs mdbook (cargo install mdbook)
	mdbook build
