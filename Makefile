# Two commands: `make run` and `make test`. Each gets what it needs.

.PHONY: help run test soak lint deny fuzz clean
.DEFAULT_GOAL := help

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

run: ## Everything in one process, at http://localhost:3000
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo run --package standalone

test: ## Every test
	@NATS_SERVER="$$(scripts/get-nats-server)" && PROMTOOL="$$(scripts/get-promtool)" && export NATS_SERVER PROMTOOL && cargo build --workspace --bins && scripts/run-tests

soak: ## The long forms of the tests under faults: an hour or two
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo build --workspace --bins && \
	cargo nextest run --workspace --no-fail-fast --profile soak --run-ignored only

lint: ## Formatting, clippy with warnings as errors, licences and advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@$(MAKE) --no-print-directory deny

deny: ## Licences, advisories and doubled dependencies, where cargo-deny can be had
	@scripts/deny

fuzz: ## Fuzz the hint parser for a minute (needs cargo-fuzz)
	cd shared/domain/fuzz && cargo fuzz run --sanitizer none hint -- -max_total_time=60

clean: ## Remove what was built and stored
	cargo clean
	rm -rf .data .tools
