# The toolchain that go.mod pins, so that the module has the same bytes
# everywhere. The Go command fetches it when it is not the one installed.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all tools wasm js types lint fmt clean native pages fuzz soak bench-server

say = @printf '\033[1m==> %s\033[0m\n'

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: wasm js ## build everything and start the API server and the demo app
	$(say) "starting the demo (DEMO_ADDR sets its address; Ctrl-C stops it)"
	@go build -o bin/demo ./demo
	@exec bin/demo

wasm: ## build the browser module; print its sizes and hash
	$(say) "building the browser module"
	@go run ./cmd/buildsdk module

js: wasm ## build the JavaScript wrapper, one bundle of which has the module inside
	$(say) "building the wrapper"
	@go run ./cmd/buildsdk wrapper

test: tools wasm js types lint native pages ## check and test everything; install what the tests need
	$(say) "all tests passed"

test-all: wasm js js/node_modules/.package-lock.json ## what takes longer: forty kills in mid-load on each store, fuzzing, 2,000 QR codes, a soak
	$(say) "killing servers in mid-load, on SQLite"
	@AUTHSIGNAL_TEST_KILLS=40 go test -race -count=1 -v -run KillInMidLoad ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|acknowledged'
	$(say) "killing replicas in mid-load, on PostgreSQL"
	@AUTHSIGNAL_TEST_KILLS=40 .ci/with-postgres go test -race -count=1 -v -run KillInMidLoad ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|acknowledged'
	$(say) "fuzzing"
	@$(MAKE) --no-print-directory fuzz
	$(say) "reading 2,000 QR codes with three decoders"
	@QR_TEXTS=2000 node --test --test-reporter=spec js/test/qr.test.mjs
	@$(MAKE) --no-print-directory soak
	$(say) "the longer tests passed"

tools:
	$(say) "looking for what the tests need"
	@.ci/tools

# npm's own copy of the lock file is as new as the last install.
js/node_modules/.package-lock.json: js/package.json js/package-lock.json
	$(say) "installing the npm packages of the tests"
	@npm --prefix js ci --no-audit --no-fund
	@touch $@

types: js/node_modules/.package-lock.json
	$(say) "checking types and writing declarations"
	@npm --prefix js run --silent types

# Packages that are all js && wasm are invisible to a native run.
lint: ## gofmt, go vet and staticcheck, natively and for js/wasm
	$(say) "linting"
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	@go vet ./...
	@go tool staticcheck ./...
	@GOOS=js GOARCH=wasm go vet ./wasm/... ./internal/client ./internal/qr ./internal/api
	@staticcheck="$$(go tool -n staticcheck)" && GOOS=js GOARCH=wasm "$$staticcheck" ./wasm/... ./internal/client ./internal/qr ./internal/api

# The browser tests of ./wasm run in Chromium, started by its native test.
native: wasm js
	$(say) "running the Go tests, native and in the browser"
	@go test -race ./...
	$(say) "running what touches the database again, on a throwaway PostgreSQL"
	@.ci/with-postgres go test -race ./internal/store ./internal/webhook ./internal/server ./internal/config ./cmd/authsignal-server

pages: wasm js types
	$(say) "running the package and page tests"
	@.ci/with-postgres npm --prefix js test

bench-server: ## measure the API server on both stores, beside bare commits; table and SVG chart
	@POSTGRES_FSYNC=on .ci/with-postgres go run ./cmd/benchserver $(BENCH)

soak: wasm js js/node_modules/.package-lock.json ## enroll and verify SOAK_ROUNDS times (500) in Chromium: does anything grow?
	$(say) "soaking the package"
	@node js/test/soak.mjs

fmt: ## format the Go code
	@gofmt -w $$(git ls-files '*.go')

fuzz: ## fuzz what parses, ten seconds a target
	@for target in internal/totp:FuzzParseURI internal/totp:FuzzMatch internal/token:FuzzParse internal/rules:FuzzCompile internal/server:FuzzBodies authsignal:FuzzVerifyWebhook; do \
		go test -run '^$$' -fuzz "$${target#*:}" -fuzztime 10s -fuzzminimizetime 10x ./$${target%:*}; \
	done

clean: ## remove what was built
	@rm -rf bin js/node_modules
	@git clean -fdXq js/dist
