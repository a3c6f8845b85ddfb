//go:build !js

package main

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the import path of this repository's root.
const module = "github.com/authsignal-wasm/sdk"

// A source is one Go file of the repository.
type source struct {
	// path is relative to the root, with slashes.
	path    string
	imports []string
	text    string
}

// inTree reports whether the file is under dir.
func (s source) inTree(dir string) bool { return strings.HasPrefix(s.path, dir+"/") }

// sources returns the repository's Go files.
func sources(t *testing.T) []source {
	t.Helper()
	const root = ".."
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "bin" || base == "node_modules" || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(rel), text: string(text)}
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("got %d Go files: not the repository", len(all))
	}
	return all
}

func TestJavaScriptStaysInWasm(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(s.imports, "syscall/js") && !s.inTree("wasm") {
			t.Errorf("%s imports syscall/js; only wasm/ may", s.path)
		}
	}
}

// TestFunctionsAreMadeOnce allows js.FuncOf in one room only, whose functions
// live as long as the module: a function for each call would grow its table.
func TestFunctionsAreMadeOnce(t *testing.T) {
	for _, s := range sources(t) {
		if s.inTree("wasm") && !s.inTree("wasm/internal/bridge") && !strings.HasSuffix(s.path, "_test.go") &&
			strings.Contains(s.text, "js.FuncOf") {
			t.Errorf("%s calls js.FuncOf; use bridge.Func", s.path)
		}
	}
}

func TestJSFilesCarryTheirBuildTag(t *testing.T) {
	wants := []string{"//go:build js && wasm", "//go:build js && wasm && !tinygo", "//go:build js && wasm && tinygo"}
	for _, s := range sources(t) {
		named := strings.HasSuffix(s.path, "_js.go") || strings.HasSuffix(s.path, "_js_test.go")
		first, _, _ := strings.Cut(s.text, "\n")
		if named && !slices.Contains(wants, first) {
			t.Errorf("%s: the first line is %q, want one of %q", s.path, first, wants)
		}
		if slices.Contains(s.imports, "syscall/js") && !named {
			t.Errorf("%s imports syscall/js: its name must end in _js.go or _js_test.go", s.path)
		}
		if constraint.IsGoBuild(first) && strings.Contains(first, "js && wasm") && !named {
			t.Errorf("%s is for js/wasm: its name must end in _js.go or _js_test.go", s.path)
		}
	}
}

// rooms lists all rooms of the repository, each with those that it may import. A
// test file may import more: the programs that it runs against each other.
var rooms = map[string][]string{
	"internal/api":              {},
	"internal/qr":               {},
	"internal/address":          {},
	"internal/origin":           {},
	"internal/cookie":           {"internal/origin"},
	"internal/assets":           {},
	"internal/totp":             {},
	"internal/rules":            {"internal/api"},
	"internal/client":           {"internal/api"},
	"internal/token":            {"internal/api"},
	"internal/store":            {"internal/api", "internal/totp", "internal/store/migrations"},
	"internal/store/migrations": {},
	"internal/webhook":          {"internal/api", "internal/store"},
	"internal/mfa":              {"internal/api", "internal/store", "internal/token", "internal/totp", "internal/webhook"},
	"internal/manage":           {"internal/api", "internal/mfa", "internal/origin", "internal/rules", "internal/store", "internal/webhook"},
	"internal/transfer":         {"internal/api", "internal/manage", "internal/mfa", "internal/store", "internal/totp"},
	"internal/server":           {"internal/address", "internal/api", "internal/cookie", "internal/manage", "internal/mfa", "internal/origin", "internal/rules", "internal/store", "internal/token", "internal/totp", "internal/webhook"},
	"internal/prebuilt":         {"internal/api", "internal/assets", "internal/cookie", "internal/manage", "internal/mfa", "internal/origin", "internal/store", "internal/token"},
	"internal/portal":           {"internal/address", "internal/api", "internal/assets", "internal/cookie", "internal/manage", "internal/mfa", "internal/origin", "internal/rules", "internal/store"},
	"internal/config":           {"internal/api", "internal/manage", "internal/origin", "internal/rules", "internal/store", "internal/webhook"},
	"internal/daemon":           {"internal/address", "internal/api", "internal/config", "internal/cookie", "internal/manage", "internal/mfa", "internal/origin", "internal/portal", "internal/prebuilt", "internal/server", "internal/store", "internal/token", "internal/transfer", "internal/webhook", "js"},
	"wasm/internal/bridge":      {},
	"wasm":                      {"internal/api", "internal/client", "internal/qr", "wasm/internal/bridge"},
	"js":                        {},
	"authsignal":                {"internal/api"},
	"cmd/authsignal-server":     {"internal/config", "internal/daemon", "internal/store", "internal/totp", "internal/transfer", "js"},
	"cmd/buildsdk":              {},
	"cmd/benchserver":           {"internal/api", "internal/store", "internal/totp"},
	"demo":                      {"authsignal", "internal/assets", "internal/config", "internal/daemon", "internal/qr", "js"},
	// Shared by tests, and for tests only.
	"internal/attacks":         {},
	"docs":                     {},
	"internal/logtest":         {},
	"internal/torture":         {},
	"internal/store/storetest": {"internal/store/migrations"},
	// Stand-ins for the standard library's, in the browser module only.
	"cmd/buildsdk/std/image/png": {},
	"cmd/buildsdk/std/log":       {},
}

func TestRooms(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		allowed, known := rooms[dir]
		seen[dir] = true
		if !known {
			t.Errorf("%s is in a room that the table of rooms lacks", s.path)
		}
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, i := range s.imports {
			imported, ours := strings.CutPrefix(i, module+"/")
			if ours && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s; %s may import %v", s.path, imported, dir, allowed)
			}
		}
	}
	for room, imports := range rooms {
		if !seen[room] {
			t.Errorf("the table has the room %s, which does not exist", room)
		}
		for _, i := range imports {
			if slices.Contains(reach(i), room) {
				t.Errorf("%s and %s import each other", room, i)
			}
		}
	}
}

// reach returns all rooms that a room may import, directly or through others.
func reach(room string) (all []string) {
	for _, i := range rooms[room] {
		all = append(append(all, i), reach(i)...)
	}
	return all
}

// TestDecisionsKnowNoHTTP: internal/mfa decides without the HTTP request.
func TestDecisionsKnowNoHTTP(t *testing.T) {
	for _, s := range sources(t) {
		if s.inTree("internal/mfa") && slices.Contains(s.imports, "net/http") {
			t.Errorf("%s imports net/http", s.path)
		}
	}
}

// TestRightsAreDecidedInOneRoom: only internal/mfa decides about rights, and the
// other rooms call it.
func TestRightsAreDecidedInOneRoom(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || !s.inTree("internal/server") && !s.inTree("internal/prebuilt") &&
			!s.inTree("internal/portal") && !s.inTree("internal/manage") {
			continue
		}
		for _, word := range []string{
			".Has(", "ScopeAdd", "ScopeRemove", "MaxFailures", ".Failures >", "Incarnation ==", "Incarnation !=", "Epoch ==", "Epoch !=",
			"AllowMultiple", "MaxAuthenticators", "totp.Match", "AcceptStep", ".Fail(", "CompleteAction", "InsertPending", "InsertVerified", ".DeleteAuthenticator(", "StateChallengeSucceeded {",
		} {
			if at := strings.Index(s.text, word); at >= 0 && !excused[s.path+" "+word] {
				t.Errorf("%s has %q: internal/mfa decides about rights", s.path, word)
			}
		}
	}
}

// excused lists uses of those words that do not decide about a right.
var excused = map[string]bool{
	// The choices that the settings offer, and the forms that set limits.
	"internal/prebuilt/prebuilt.go AllowMultiple":         true,
	"internal/prebuilt/prebuilt.go MaxAuthenticators":     true,
	"internal/portal/authenticators.go AllowMultiple":     true,
	"internal/portal/authenticators.go MaxAuthenticators": true,
	"internal/portal/authenticators.go MaxFailures":       true,
}

// TestWordsOfTheWireHaveNoCodec: the browser module links internal/api, except
// the files with the tag !js, so the others import nothing.
func TestWordsOfTheWireHaveNoCodec(t *testing.T) {
	for _, s := range sources(t) {
		if !s.inTree("internal/api") || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, i := range s.imports {
			if !strings.HasPrefix(s.text, "//go:build !js\n") || i != "time" && i != "strings" {
				t.Errorf("%s imports %s; internal/api is words only", s.path, i)
			}
		}
	}
}

// TestNoImageEncoder: the picture is an SVG. go-qrcode links image/png, but no
// code of this repository in the module calls an encoder.
func TestNoImageEncoder(t *testing.T) {
	for _, s := range sources(t) {
		if !(s.inTree("wasm") || s.inTree("internal/qr") || s.inTree("internal/client")) || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, i := range s.imports {
			if i == "image" || strings.HasPrefix(i, "image/") {
				t.Errorf("%s imports %s", s.path, i)
			}
		}
		for _, call := range []string{".PNG(", ".Image(", ".Write(", ".WriteFile(", "qrcode.Encode("} {
			if slices.Contains(s.imports, "github.com/skip2/go-qrcode") && strings.Contains(s.text, call) {
				t.Errorf("%s calls %s): it encodes an image", s.path, call)
			}
		}
	}
}

// TestModuleLinksNothingHeavy: the module contains no code for what JavaScript
// provides.
// Each of these costs 40 kB to 1.3 MB after compression.
func TestModuleLinksNothingHeavy(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(output))
	if !slices.Contains(deps, "github.com/skip2/go-qrcode") {
		t.Fatalf("got %d packages without go-qrcode: not the module", len(deps))
	}
	for _, heavy := range []string{"net/http", "net", "net/url", "encoding/json", "crypto/tls"} {
		if slices.Contains(deps, heavy) {
			t.Errorf("the browser module links %s", heavy)
		}
	}
}
