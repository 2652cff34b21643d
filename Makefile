# Two commands: `make run` and `make test`. Each gets what it needs.

.PHONY: help run test screenshots soak bench lint deny fuzz clean frontend
.DEFAULT_GOAL := help

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

run: frontend ## Everything in one process, at http://localhost:3000
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo run --package standalone

# npm and Vite run only where something changed since they ran last.
sources := $(shell find frontend/src frontend/public -type f) frontend/index.html frontend/vite.config.ts

frontend/node_modules/.package-lock.json: frontend/package-lock.json
	cd frontend && npm ci --no-progress
	@touch $@

frontend/dist/index.html: frontend/node_modules/.package-lock.json $(sources)
	cd frontend && npm run --silent build

frontend: frontend/dist/index.html

test: frontend ## Every test
	@NATS_SERVER="$$(scripts/get-nats-server)" && NGINX_SERVER="$$(scripts/get-nginx)" && PROMTOOL="$$(scripts/get-promtool)" && \
	export NATS_SERVER NGINX_SERVER PROMTOOL && \
	cargo build --workspace --bins && scripts/run-tests

screenshots: frontend ## Every page in both themes, into frontend/screenshots; three of them into docs/screenshots
	@export NATS_SERVER="$$(scripts/get-nats-server)" CHROMIUM="$$(scripts/get-chromium)" && \
	cargo build --package standalone && (cd frontend && npm run --silent screenshots)
	@mkdir -p docs/screenshots && cd frontend/screenshots && cp feed-light.png user-dark.png operations-light.png ../../docs/screenshots/

soak: ## The long forms of the tests under faults: an hour or two
	@NATS_SERVER="$$(scripts/get-nats-server)" && NGINX_SERVER="$$(scripts/get-nginx)" && export NATS_SERVER NGINX_SERVER && \
	cargo build --workspace --bins && \
	cargo nextest run --workspace --no-fail-fast --profile soak --run-ignored only

bench: ## What performance rests on, as ratios: a quarter of an hour
	@export NATS_SERVER="$$(scripts/get-nats-server)" && cargo run --release --package bench -- all

lint: frontend/node_modules/.package-lock.json ## Formatting, warnings as errors, types, Compose files and Dockerfile, licences and advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cd frontend && npm run --silent check
	scripts/lint-deploy
	@$(MAKE) --no-print-directory deny

deny: ## Licences, advisories and doubled dependencies, where cargo-deny can be had
	@scripts/deny

fuzz: ## Fuzz the hint parser for a minute (needs cargo-fuzz)
	cd shared/domain/fuzz && cargo fuzz run --sanitizer none hint -- -max_total_time=60

clean: ## Remove what was built and stored
	cargo clean
	rm -rf .data .tools frontend/dist frontend/node_modules frontend/generate/node_modules
