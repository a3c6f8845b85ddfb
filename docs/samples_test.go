package docs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/rules"
)

// run says where the blocks of a page are run: by the test of that name in that
// file. "" as the name is the whole file.
type run struct{ file, name string }

// ranPages are the pages of which a test runs every block.
var ranPages = map[string]run{
	"docs/setups.md":    {"js/test/setups/setups.mjs", "readSetups"},
	"docs/testing.md":   {"js/test/pages/testing.test.mjs", "the page's blocks are all run"},
	"docs/deploying.md": {"docs/samples_test.go", "TestTheFilesOfSetUpsAreQuoted"},
}

// ran are blocks by page and first line, with the tests that run them. A block
// of commands counts as run where the same programs are built and started with
// the same arguments.
var ran = map[[2]string]run{
	{"README.md", "make wasm js   # once: the server's pages use the browser SDK"}:   {"cmd/authsignal-server/main_test.go", "func command("},
	{"README.md", `import { Authsignal } from "authsignal-wasm";`}:                   {"js/test/package/docs.test.mjs", "lets the user in"},
	{"README.md", `client := authsignal.New(`}:                                       {"docs/samples_test.go", "TestGoSamplesCompile"},
	{"docs/browser-sdk.md", `import { Authsignal } from "authsignal-wasm";`}:         {"js/test/package/docs.test.mjs", "lets the user in"},
	{"docs/browser-sdk.md", "// After a completed challenge"}:                        {"js/test/package/recovery.test.mjs", "// After a completed challenge"},
	{"docs/browser-sdk.md", "// Not ticked by default"}:                              {"js/test/package/recovery.test.mjs", "// Not ticked by default"},
	{"docs/backend.md", "// Before the page asks for a code"}:                        {"js/test/package/recovery.test.mjs", "// Before the page asks for a code"},
	{"docs/backend.md", "go mod edit -require"}:                                      {"docs/samples_test.go", "TestGoSamplesCompile"},
	{"docs/backend.md", `client := authsignal.New(`}:                                 {"docs/samples_test.go", "TestGoSamplesCompile"},
	{"docs/backend.md", `import { Authsignal } from "@authsignal/node";`}:            {"js/test/package/docs.test.mjs", "lets the user in"},
	{"docs/webhooks.md", `event, err := client.VerifyWebhook(`}:                      {"docs/samples_test.go", "TestGoSamplesCompile"},
	{"docs/webhooks.md", "{"}:                                                        {"docs/samples_test.go", "TestTheEventIsRead"},
	{"docs/moving.md", `for _, user := range users {`}:                               {"docs/samples_test.go", "TestGoSamplesCompile"},
	{"docs/moving.md", "authsignal-server -db authsignal.db import -dry-run"}:        {"cmd/authsignal-server/transfer_test.go", "func TestImportOfTheDocumentation"},
	{"docs/moving.md", "userId,secret,algorithm"}:                                    {"cmd/authsignal-server/transfer_test.go", "func TestImportOfTheDocumentation"},
	{"docs/operate.md", "pg_dump --format=custom"}:                                   {"cmd/authsignal-server/restore_test.go", "func TestADumpOfPostgreSQLIsRestored"},
	{"docs/operate.md", "pg_restore --single-transaction"}:                           {"cmd/authsignal-server/restore_test.go", "func TestADumpOfPostgreSQLIsRestored"},
	{"docs/moving.md", "authsignal-server -db authsignal.db export acme"}:            {"cmd/authsignal-server/transfer_test.go", "func TestMoveOfATenant"},
	{"docs/rules.md", "device.isNew && user.isEnrolled"}:                             {"docs/samples_test.go", "TestConditionsCompile"},
	{"docs/operate.md", "tenants:"}:                                                  {"docs/samples_test.go", "TestTheFileIsRead"},
	{"docs/operate.md", "make wasm js   # once: the server's pages use the browser"}: {"cmd/authsignal-server/main_test.go", "func command("},
	{"docs/operate.md", "bin/authsignal-server -public-url"}:                         {"docs/samples_test.go", "TestTheCommandBehindAProxyIsTaken"},
	{"docs/portal.md", "go build -o bin/demo ./demo"}:                                {"js/test/pages/journey.test.mjs", "AUTHSIGNAL_API_URL"},
	{"docs/architecture.md", "demo/                    a Go backend"}:                {"docs/docs_test.go", "TestThePlanHasEveryRoom"},
	{"docs/tinygo.md", "bin/tinygo/bin/tinygo build"}:                                {"docs/samples_test.go", "TestTheCompilersCommandsAreThose"},
	{"js/README.md", `import { Authsignal } from "authsignal-wasm";`}:                {"js/test/package/seed.test.mjs", "presentChallenge"},
	{"js/README.md", "npx esbuild main.js"}:                                          {"js/test/pages/setups.test.mjs", ""},
	{"js/README.md", `import { TotpChallenge, TotpEnroll, useAuthsignal }`}:          {"js/test/package/react.test.mjs", "useAuthsignal"},
	{"docs/browser-sdk.md", `import { useState } from "react";`}:                     {"js/test/pages/react.test.mjs", "docs/browser-sdk.md"},
}

// notRun are blocks that no test runs, and why.
var notRun = map[[2]string]string{
	{"README.md", "make demo"}:                             "it serves until it is stopped; js/test/pages/demo.test.mjs builds and uses the same program",
	{"README.md", "backend"}:                               "the flow, drawn",
	{"docs/prebuilt-ui.md", "// backend"}:                  "three ways to launch in one block, of which a page takes one; js/test/package/launch.test.mjs and prebuilt.test.mjs take each",
	{"CONTRIBUTING.md", "make demo"}:                       "they are what CI runs; the demo serves until it is stopped",
	{"docs/setups.md", "Content-Security-Policy: default"}: "a header, which the tests of the set-ups send",
}

func TestEveryBlockIsRun(t *testing.T) {
	used := map[[2]string]bool{}
	for _, page := range pages(t) {
		blocks, _ := split(page, read(t, page))
		if r, ok := ranPages[page]; ok {
			checkRun(t, page, r)
			continue
		}
	next:
		for _, b := range blocks {
			for key, r := range ran {
				if key[0] == page && strings.HasPrefix(b.first(), key[1]) {
					used[key] = true
					checkRun(t, page, r)
					continue next
				}
			}
			for key := range notRun {
				if key[0] == page && strings.HasPrefix(b.first(), key[1]) {
					used[key] = true
					continue next
				}
			}
			t.Errorf("%s, %s: no test runs the block that begins with %q; name the test in ran, or the reason in notRun", page, b.heading, b.first())
		}
	}
	for key := range ran {
		if !used[key] {
			t.Errorf("ran has %q, which no page has", key)
		}
	}
	for key := range notRun {
		if _, whole := ranPages[key[0]]; !used[key] && !whole {
			t.Errorf("notRun has %q, which no page has", key)
		}
	}
}

func checkRun(t *testing.T, page string, r run) {
	t.Helper()
	if !strings.Contains(read(t, r.file), r.name) {
		t.Errorf("%s: %s does not have %q", page, r.file, r.name)
	}
}

// prelude is what the samples in Go leave to the application.
const prelude = `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/authsignal-wasm/sdk/authsignal"
)

var (
	_ = fmt.Errorf
	_ = os.Getenv
)

func main() {}
`

// goSamples are the samples in Go: where they stand, what declares the names
// that they use, and what uses the names that they declare.
var goSamples = []struct{ page, heading, before, after string }{
	{"README.md", "Use it", "ctx context.Context, token string", "_ = action"},
	{"docs/backend.md", "Go", "ctx context.Context, token string", "_ = action"},
	{"docs/webhooks.md", "Webhooks", "client *authsignal.Client, body []byte, r *http.Request", "_ = data"},
	{"docs/moving.md", "The Server API", "ctx context.Context, client *authsignal.Client, users []struct{ ID, Secret string }", "return nil"},
}

// The samples compile in a module that has the SDK as docs/backend.md says, by
// its commands.
func TestGoSamplesCompile(t *testing.T) {
	dir := t.TempDir()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	program := prelude
	for i, s := range goSamples {
		text := blocksOf(t, s.page, s.heading, "go")[0]
		after, result := s.after, ""
		if after == "_ = data" {
			// The sample's variable of a switch, which each case may use.
			text, after = strings.ReplaceAll(text, "case authsignal.AuthenticatorDeleted:", "_ = data\n\tcase authsignal.AuthenticatorDeleted:"), ""
		}
		if after == "return nil" {
			result = " error"
		}
		program += "\nfunc sample" + string(rune('A'+i)) + "(" + s.before + ")" + result + " {\n" + text + after + "\n}\n"
	}
	for name, text := range map[string]string{"go.mod": "module example.com/app\n\ngo 1.26\n", "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	commands := strings.ReplaceAll(blocksOf(t, "docs/backend.md", "Go", "")[0], "<path to this repository>", repository)
	for _, command := range append(strings.Split(strings.TrimSpace(commands), "\n"), "go vet ./...") {
		command, _, _ = strings.Cut(command, "   #")
		words := strings.Fields(command)
		cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "PWD="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", command, err, out, program)
		}
	}
}

func TestConditionsCompile(t *testing.T) {
	conditions := strings.Split(strings.TrimSpace(blocksOf(t, "docs/rules.md", "Conditions", "")[0]), "\n")
	if len(conditions) < 5 {
		t.Fatalf("got %d conditions", len(conditions))
	}
	for _, condition := range conditions {
		_, err := rules.Check(api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{{Name: "sample", Condition: condition, Outcome: api.OutcomeBlock}}})
		if err != nil {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

// The event is signed here as the page says, for receivers in other languages.
func TestTheEventIsRead(t *testing.T) {
	body := blocksOf(t, "docs/webhooks.md", "Webhooks", "json")[0]
	const secret = "a-webhook-secret-of-32-characters"
	at := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at, body)
	header := fmt.Sprintf("t=%d,v2=%s", at, base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	event, err := authsignal.New(secret, "").VerifyWebhook([]byte(body), header, authsignal.DefaultWebhookTolerance)
	if err != nil {
		t.Fatal(err)
	}
	if data, ok := event.Data.(authsignal.RecoveryCodeUsed); !ok || data.UserID != "u1" || data.RecoveryCodesLeft != 9 || event.TenantID != "acme" {
		t.Errorf("got %+v", event)
	}
}

func TestTheFileIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(blocksOf(t, "docs/operate.md", "Tenants and actions in a file", "yaml")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tenants) != 1 || len(f.Tenants[0].Actions) != 1 {
		t.Errorf("got %+v", f)
	}
}

func TestTheCommandBehindAProxyIsTaken(t *testing.T) {
	words := strings.Fields(blocksOf(t, "docs/operate.md", "Behind a proxy", "")[0])
	c, err := config.Parse(words[1:], config.NewEnv(nil), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicURL != "https://mfa.example.com" || len(c.Origins) != 1 || len(c.TrustedProxies) != 1 {
		t.Errorf("got %+v", c)
	}
}

// The commands of docs/tinygo.md are those that cmd/buildsdk runs.
func TestTheCompilersCommandsAreThose(t *testing.T) {
	source := read(t, "cmd/buildsdk/compiler.go")
	words := 0
	for _, command := range blocksOf(t, "docs/tinygo.md", "How TinyGo is had", "") {
		for _, word := range strings.Fields(command) {
			if !strings.HasPrefix(word, "-") || word == "-target" || word == "-o" {
				continue
			}
			words++
			if !strings.Contains(source, `"`+word+`"`) {
				t.Errorf("cmd/buildsdk does not run %s", word)
			}
		}
	}
	if words < 5 {
		t.Errorf("the page has %d options of the commands", words)
	}
}

// Every block of the page is a file of a set-up, word for word; every file is quoted,
// and a test runs it, which make test-all runs.
func TestTheFilesOfSetUpsAreQuoted(t *testing.T) {
	files, err := filepath.Glob("deploying/*")
	if err != nil {
		t.Fatal(err)
	}
	tests := read(t, "js/test/lib/deploying.mjs")
	names, err := filepath.Glob("../js/test/deploying/*.test.mjs")
	if err != nil || len(names) == 0 {
		t.Fatalf("the tests of the set-ups: %v, %v", names, err)
	}
	for _, name := range names {
		tests += read(t, strings.TrimPrefix(name, "../"))
	}
	texts := map[string]string{}
	for _, name := range files {
		texts[strings.TrimSpace(read(t, "docs/"+name))] = name
		if base := filepath.Base(name); !strings.Contains(tests, `"`+base+`"`) {
			t.Errorf("no test uses %s", base)
		}
	}
	blocks, _ := split("docs/deploying.md", read(t, "docs/deploying.md"))
	for _, b := range blocks {
		text := strings.TrimSpace(b.text)
		if texts[text] == "" {
			t.Errorf("the block that begins with %q is no file of docs/deploying", b.first())
		}
		delete(texts, text)
	}
	for _, name := range texts {
		t.Errorf("the page does not have docs/%s as it stands", name)
	}
	if !strings.Contains(read(t, "Makefile"), "js/test/deploying/*.test.mjs") {
		t.Error("make test-all does not run the tests of the set-ups")
	}
}
