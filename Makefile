# `make help` lists the targets: the text behind ## is what it prints.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The server for the tests: a name or path, for example `make test SERVER=valkey-server`. Empty: what is on PATH.
SERVER ?=
# Arguments for the program, for example `make run ARGS='--listen 127.0.0.1:8080'`.
ARGS ?=

# What scripts/deps puts into .tools comes first; rustup's folder is there even in a shell older than rustup.
export PATH := $(CURDIR)/.tools/bin:$(PATH):$(HOME)/.cargo/bin

server_group := $(if $(filter valkey-server,$(notdir $(SERVER))),valkey,server)

.PHONY: help run test test-all torture lint fmt bench release screenshots deps

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Runs the web application on http://127.0.0.1:5000 (ARGS='...' are its arguments)
	@scripts/deps rust server
	cargo run --bin russet -- serve $(ARGS)

test: ## Runs the whole suite on one server (SERVER=valkey-server chooses Valkey)
	@scripts/deps rust $(server_group) browser
	@RUSSET_TEST_SERVER='$(SERVER)' scripts/test

test-all: ## Runs the suite on Valkey and MariaDB, and the checks that take longer
	@scripts/deps rust valkey mariadb browser flights lint
	@scripts/test all

torture: ## Runs the tests that kill, stop, cut and race, each for long
	@scripts/deps rust server
	@scripts/test torture

lint: ## Checks formatting, lints, documentation, and each feature by itself
	@scripts/deps rust lint
	@scripts/lint

fmt: ## Formats the code
	cargo fmt --all

bench: ## Measures the operations on a release build (ARGS='...' chooses the cases)
	@scripts/deps rust server
	cargo run --release --bin russet -- bench $(ARGS)

release: ## Builds the optimized program, target/release/russet
	@scripts/deps rust
	cargo build --release --bin russet

screenshots: ## Takes the pictures of the README again
	@scripts/deps rust server browser
	@scripts/screenshots

deps: ## Installs what is missing for all of the above
	@scripts/deps rust server valkey mariadb browser flights lint
