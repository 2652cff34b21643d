# `make run` and `make test` download or build everything that they need. `make help` lists all targets.

.PHONY: help run test test-rust test-page check lint deny frontend screenshots soak bench fuzz clean
.DEFAULT_GOAL := help

# Only the tests whose name contains this: make test T=erased
T ?=
export T
export PATH := $(CURDIR)/.tools/cargo-nextest/bin:$(PATH)

help: ## List all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: frontend ## Run everything in one process, at http://localhost:3000
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo run --package standalone

# npm and Vite run only if one of these files has changed since their last run.
sources := $(shell find frontend/src frontend/public -type f) frontend/index.html frontend/vite.config.ts

frontend/node_modules/.package-lock.json: frontend/package-lock.json
	cd frontend && npm ci --no-progress
	@touch $@

frontend/dist/index.html: frontend/node_modules/.package-lock.json $(sources)
	cd frontend && npm run --silent build

frontend: frontend/dist/index.html ## Build the front end into frontend/dist

# Every binary, and the servers that the Rust tests start.
with_servers = NATS_SERVER="$$(scripts/get-nats-server)" && NGINX_SERVER="$$(scripts/get-nginx)" && \
	PROMTOOL="$$(scripts/get-promtool)" && export NATS_SERVER NGINX_SERVER PROMTOOL && cargo build --workspace --bins

test: frontend ## Run all tests; with T=<name> only the Rust and Vitest tests whose name contains it
	@$(with_servers) && scripts/run-tests rust vitest $(if $(T),,browser)

test-rust: frontend ## Run all Rust tests; T=<name> selects by name
	@$(with_servers) && scripts/run-tests rust

test-page: frontend ## Run the front end's tests: Vitest, and Playwright in Chromium; T=<name> selects by name
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo build --package standalone && scripts/run-tests vitest browser

check: frontend/node_modules/.package-lock.json ## Check formatting, clippy and the unit tests of what differs from main, in under a minute
	@export NATS_SERVER="$$(scripts/get-nats-server)" && scripts/check

lint: frontend/node_modules/.package-lock.json ## Check everything but tests: formatting, warnings, types, deployment files, scripts, licences, advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cd frontend && npm run --silent check
	scripts/lint-deploy
	@$(MAKE) --no-print-directory deny

deny: ## Check licences, advisories and the sources of dependencies (installs cargo-deny the first time)
	@scripts/deny

screenshots: frontend ## Take screenshots of every page in both themes; updates docs/screenshots
	@export NATS_SERVER="$$(scripts/get-nats-server)" CHROMIUM="$$(scripts/get-chromium)" && \
	cargo build --package standalone && (cd frontend && npm run --silent screenshots)
	@mkdir -p docs/screenshots && cd frontend/screenshots && cp feed-light.png user-dark.png operations-light.png ../../docs/screenshots/

soak: ## Run the long forms of the fault tests: one to two hours (needs cargo-nextest)
	@NATS_SERVER="$$(scripts/get-nats-server)" && NGINX_SERVER="$$(scripts/get-nginx)" && export NATS_SERVER NGINX_SERVER && \
	cargo build --workspace --bins && \
	cargo nextest run --workspace --no-fail-fast --profile soak --run-ignored only

bench: ## Measure the design against the rejected alternatives: 15 minutes
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo run --release --package bench -- all

fuzz: ## Fuzz the webhook parser for one minute (needs cargo-fuzz)
	cd shared/domain/fuzz && cargo fuzz run --sanitizer none hint -- -max_total_time=60

clean: ## Delete everything that was built, downloaded or stored
	cargo clean
	rm -rf .data .tools frontend/dist frontend/node_modules frontend/generate/node_modules
