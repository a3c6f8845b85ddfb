# The toolchain that go.mod pins, so that the module has the same bytes
# everywhere. The Go command fetches it when it is not the one installed.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)

# The Go tests run under the race detector, save SQLite and brotli: those are C
# made into Go, slow under it, and none of this project's memory. Not SQLite's
# whole module: the generic functions that another package shares with the
# standard library's must stay instrumented. One set of flags for vet,
# staticcheck and the Go tests: each package is compiled once for all of them.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=github.com/andybalholm/brotli=-race=false

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help demo test test-all tools tinygo wasm js types lint fmt clean native suite suite-go pages engines fuzz soak torture package bench-server bench-sdk screenshots pictures

say = @.ci/say

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: wasm js ## build everything and start the API server and the demo app
	$(say) "building the server and the demo"
	@go build -o bin/demo ./demo
	$(say) "starting the demo (DEMO_ADDR sets its address; Ctrl-C stops it)"
	@exec bin/demo

wasm: ## build the browser module; print its sizes and hash
	$(say) "building the browser module"
	@go run ./cmd/buildsdk module

js: wasm ## build the JavaScript wrapper, one bundle of which has the module inside
	$(say) "building the wrapper"
	@go run ./cmd/buildsdk wrapper

test: tools tinygo wasm js types lint native suite ## check and test it; install what the tests need
	$(say) "all tests passed"
	@.ci/say -table "looking for what the tests need"

test-all: wasm js types $(patsubst %/package.json,%/node_modules/.package-lock.json,$(wildcard js/test/setups/*/package.json)) ## run the tests that take longer, after make test; CONTRIBUTING.md lists them
	@$(MAKE) pages && $(MAKE) engines && $(MAKE) suite-go
	$(say) "killing servers in mid-load, on SQLite"
	@AUTHSIGNAL_TEST_KILLS=40 go test $(RACE) -count=1 -v -run KillInMid ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|over [0-9]+ kills'
	$(say) "killing replicas in mid-load, on PostgreSQL"
	@AUTHSIGNAL_TEST_KILLS=40 .ci/with-postgres go test $(RACE) -count=1 -v -run KillInMid ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|over [0-9]+ kills'
	$(say) "switching over from a primary of PostgreSQL to its standby"
	@AUTHSIGNAL_TEST_SWITCH_OVERS=all .ci/with-postgres go test $(RACE) -count=1 -v -run 'SwitchOver|Standby' ./cmd/authsignal-server | grep -E '^ *(ok|FAIL|---)|first success'
	$(say) "importing 100,000 users, killed three times, on both stores"
	@AUTHSIGNAL_TEST_ROWS=100000 go test -count=1 -v -run ImportSurvivesKills ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|killed'
	@AUTHSIGNAL_TEST_ROWS=100000 .ci/with-postgres go test -count=1 -v -run ImportSurvivesKills ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|killed'
	$(say) "100,000 random calls beside the model of the flow, on both stores"
	@AUTHSIGNAL_TEST_STEPS=100000 go test -count=1 -timeout 30m -run Model ./internal/attacks
	@AUTHSIGNAL_TEST_STEPS=100000 .ci/with-postgres go test -count=1 -timeout 30m -run Model ./internal/attacks
	$(say) "100,000 calls of sixteen clients under kills, pauses, switch-overs and clock steps on each store, checked for linearizability, and servers with planted faults"
	@AUTHSIGNAL_TEST_OPERATIONS=100000 go test -count=1 -v -timeout 30m ./internal/torture
	$(say) "the portal's lists and the command check among a million users and a million actions, on both stores"
	@AUTHSIGNAL_TEST_ROWS=1000000 go test -count=1 -v -timeout 30m -run 'PortalLists|PagesAreSmall|CheckAmong|OfASample' ./internal/store ./internal/portal ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|rows in|among|checked'
	@AUTHSIGNAL_TEST_ROWS=1000000 .ci/with-postgres go test -count=1 -v -timeout 30m -run 'PortalLists|PagesAreSmall|CheckAmong|OfASample' ./internal/store ./internal/portal ./cmd/authsignal-server | grep -E '^(ok|FAIL|---)|rows in|among|checked'
	$(say) "the server's benchmark, in short"
	@.ci/with-postgres go run ./cmd/benchserver -seconds 0.2 -users 2000 -o bin/bench-server.svg
	$(say) "fuzzing"
	@$(MAKE) fuzz
	$(say) "trying the files of docs/deploying: nginx, Caddy, systemd, a container, PgBouncer, a standby"
	@for file in js/test/deploying/*.test.mjs; do .ci/sandbox node --test --test-reporter=spec "$$file"; done
	$(say) "building the set-ups with Next.js, Parcel and older Vite, and the tarball in two folders"
	@npm --prefix js run test:long
	$(say) "reading 2,000 QR codes with three decoders"
	@ENGINES=Chromium QR_TEXTS=2000 node --test --test-reporter=spec js/test/package/qr.test.mjs
	$(say) "30,000 random calls of the module, many at once"
	@RANDOM_CALLS=30000 node --test --test-reporter=spec js/test/package/random.test.mjs
	@$(MAKE) soak
	$(say) "the longer tests passed"
	@.ci/say -table "running the tests of pages in Chromium"

tools:
	$(say) "looking for what the tests need"
	@.ci/tools

tinygo: ## install and build TinyGo, which builds the small module
	$(say) "looking for TinyGo"
	@.ci/tinygo

# npm's own copy of the lock file is as new as the last install. Nothing here
# needs the packages' own install scripts.
%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	$(say) "installing the npm packages of $*"
	@npm --prefix $* ci --ignore-scripts --no-audit --no-fund
	@touch $@

# A bundler's package of another platform is optional, and not every registry
# has it; npm ci would refuse the whole lock for it.
js/test/setups/%/node_modules/.package-lock.json: js/test/setups/%/package.json js/test/setups/%/package-lock.json
	$(say) "installing the npm packages of js/test/setups/$*"
	@npm --prefix js/test/setups/$* install --no-save --ignore-scripts --no-audit --no-fund
	@touch $@

types: js/node_modules/.package-lock.json
	$(say) "checking types and writing declarations"
	@npm --prefix js run --silent types

# All that is packed is made now, save the module where it is that of the
# sources: nothing of an earlier version is left in it.
package: ## build the npm package's tarball, the same bytes everywhere; print its size and hash
	@$(MAKE) tinygo
	@find js/dist -type f ! -name .placeholder ! -name 'authsignal.wasm*' -delete
	@$(MAKE) wasm js types
	$(say) "packing"
	@find js/dist -type f -exec chmod 644 {} + # npm packs files with the rights that they have
	@chmod 644 js/package.json js/README.md js/LICENSE js/THIRD-PARTY-NOTICES
	@mkdir -p bin
	@name=$$(cd js && npm pack --silent --pack-destination ../bin) && \
		echo "$$name: $$(wc -c <"bin/$$name") bytes" && \
		echo "$$name: sha256 $$(sha256sum <"bin/$$name" | cut -d ' ' -f 1)"

# The packages of the browser module: those that are all js && wasm are invisible
# to a native run.
module_packages := ./wasm/... ./internal/client ./internal/qr ./internal/api

lint: js/node_modules/.package-lock.json ## gofmt, go vet and staticcheck, natively and for js/wasm; Biome for JavaScript and TypeScript
	$(say) "linting"
	@js/node_modules/.bin/biome ci --error-on-warnings
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	@go vet $(RACE) ./...
	@staticcheck="$$(go tool -n staticcheck)" && GOFLAGS='$(RACE)' "$$staticcheck" ./...
	@GOOS=js GOARCH=wasm go vet $(module_packages)
	@staticcheck="$$(go tool -n staticcheck)" && GOOS=js GOARCH=wasm "$$staticcheck" $(module_packages)

# The browser tests of ./wasm run in Chromium, started by its native test. In
# the second run the Go command repeats what asks for the database alone, and
# cannot tell it of cmd/buildsdk, whose tests write what they read.
native: wasm js
	$(say) "running the Go tests, native and in the browser"
	@go test $(RACE) ./...
	$(say) "running what touches the database again, on a throwaway PostgreSQL"
	@.ci/with-postgres go test $(RACE) $$(go list ./... | grep -v /cmd/buildsdk)

# js/test/package has the tests of the package by itself and with the server, and
# of a page that has the samples of the documentation; js/test/pages those of the
# pages that are made with them. What asks for engines runs in every one.
package_tests = $(wildcard js/test/package/*.test.mjs)
page_tests = $(wildcard js/test/pages/*.test.mjs)
engine_tests = $(shell grep -lE '^import .*\b(everywhere|inEngines|engines)\b' $(package_tests) $(page_tests))

run_tests = node --test --test-reporter=spec --test-concurrency=2
# For the programs that the tests start: programBuild in js/test/lib/harness.mjs,
# and internal/attacks.
native suite suite-go pages engines: export AUTHSIGNAL_TEST_GOFLAGS := $(RACE)

suite: wasm js types js/test/official-react/node_modules/.package-lock.json ## run the package's tests in Chromium
	$(say) "running the package's tests in Chromium; Firefox and WebKit, and the tests of pages, are in make test-all"
	@ENGINES=Chromium QR_TEXTS=40 $(run_tests) $(package_tests)

# The suite on the module that Go builds, which the demo has where there is no
# TinyGo. js/dist is TinyGo's again when it has passed.
suite-go: js/test/official-react/node_modules/.package-lock.json ## run the package's tests on the module that Go builds
	@go run ./cmd/buildsdk -compiler go
	$(say) "running the package's tests in Chromium on the module that Go builds"
	@ENGINES=Chromium QR_TEXTS=40 $(run_tests) $(filter-out js/test/package/package.test.mjs,$(package_tests))
	@$(MAKE) wasm js

pages: wasm js types $(patsubst %,js/test/%/node_modules/.package-lock.json,setups/bundlers setups/testing official-react) ## test the demo, the portal, the pre-built UI and the set-ups in Chromium, and the official SDKs on PostgreSQL
	$(say) "running the tests of pages in Chromium"
	@ENGINES=Chromium $(run_tests) $(page_tests)
	$(say) "running the official SDKs against the server on a throwaway PostgreSQL"
	@.ci/with-postgres $(run_tests) js/test/package/browser.test.mjs js/test/package/node.test.mjs

engines: wasm js types ## run the package and page tests in Firefox and WebKit
	$(say) "running the package and page tests in Firefox and WebKit"
	@ENGINES=Firefox,WebKit QR_TEXTS=40 $(run_tests) $(engine_tests)

screenshots: wasm js js/node_modules/.package-lock.json ## take pictures of every page into screenshots/; NAMES are sets
	@node js/screenshots.mjs screenshots $(NAMES)

pictures: wasm js js/node_modules/.package-lock.json ## take the pictures of the README into docs/pictures/, which are committed
	@node js/screenshots.mjs docs/pictures readme

bench-server: ## measure the API server on both stores, beside bare commits; table and SVG chart
	@POSTGRES_FSYNC=on .ci/with-postgres go run ./cmd/benchserver $(BENCH)

bench-sdk: wasm js types ## measure the browser SDK beside the official one with npm qrcode; table and SVG chart
	@node js/bench/sdk.mjs $(BENCH)

torture: ## a million calls under kills, switch-overs and other faults, checked for linearizability; OPERATIONS and AUTHSIGNAL_TEST_SEED set others
	@AUTHSIGNAL_TEST_OPERATIONS=$(or $(OPERATIONS),1000000) go test -count=1 -v -timeout 3h -run PostgreSQL ./internal/torture
	@AUTHSIGNAL_TEST_OPERATIONS=$(or $(OPERATIONS),100000) go test -count=1 -v -timeout 3h -run SQLite ./internal/torture

soak: wasm js js/node_modules/.package-lock.json ## enroll and verify SOAK_ROUNDS times (500) in Chromium, on both compilers' builds: does anything grow?
	$(say) "soaking the package"
	@go run ./cmd/buildsdk -compiler go -o bin/dist-go >/dev/null
	@node js/test/lib/soak.mjs js/dist bin/dist-go

fmt: js/node_modules/.package-lock.json ## format the Go, JavaScript and TypeScript code
	@gofmt -w $$(git ls-files '*.go')
	@js/node_modules/.bin/biome format --write

# Counted, not timed: when its time is over in mid-work, the Go command may call
# that a failure.
fuzz: ## fuzz what parses, some ten seconds a target
	@for target in internal/totp:FuzzParseURI:400000 internal/totp:FuzzMatch:400000 internal/transfer:FuzzRecords:40000 internal/token:FuzzParse:300000 \
		internal/rules:FuzzCompile:40000 internal/rules:FuzzDecide:5000 internal/server:FuzzBodies:3000 internal/config:FuzzIdentifiersAreTexts:20000 internal/config:FuzzParseFile:20000 authsignal:FuzzVerifyWebhook:10000; do \
		IFS=: read -r dir name count <<<"$$target"; \
		go test -run '^$$' -fuzz "^$$name$$" -fuzztime "$${count}x" -fuzzminimizetime 10x ./$$dir; \
	done

clean: ## remove what was built
	@rm -rf bin js/node_modules js/test/official-react/node_modules js/test/setups/*/{node_modules,work}
	@git clean -fdXq js/dist
