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

// inTree says whether the file is under dir.
func (s source) inTree(dir string) bool { return strings.HasPrefix(s.path, dir+"/") }

// sources reads the repository's Go files.
func sources(t *testing.T) []source {
	t.Helper()
	const root = ".."
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata") {
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

// TestFunctionsAreCounted keeps js.FuncOf in one room, so that the soak test's
// count of unreleased functions is complete.
func TestFunctionsAreCounted(t *testing.T) {
	for _, s := range sources(t) {
		if s.inTree("wasm") && !s.inTree("wasm/internal/bridge") && !strings.HasSuffix(s.path, "_test.go") &&
			strings.Contains(s.text, "js.FuncOf") {
			t.Errorf("%s calls js.FuncOf; use bridge.Func", s.path)
		}
	}
}

func TestJSFilesCarryTheirBuildTag(t *testing.T) {
	const want = "//go:build js && wasm"
	for _, s := range sources(t) {
		named := strings.HasSuffix(s.path, "_js.go") || strings.HasSuffix(s.path, "_js_test.go")
		first, _, _ := strings.Cut(s.text, "\n")
		if named && first != want {
			t.Errorf("%s: the first line is %q, want %q", s.path, first, want)
		}
		if slices.Contains(s.imports, "syscall/js") && !named {
			t.Errorf("%s imports syscall/js: its name must end in _js.go or _js_test.go", s.path)
		}
		if constraint.IsGoBuild(first) && strings.Contains(first, "js && wasm") && !named {
			t.Errorf("%s is for js/wasm: its name must end in _js.go or _js_test.go", s.path)
		}
	}
}

func TestRooms(t *testing.T) {
	// A room's files, tests aside, may import of this repository only what
	// stands here.
	rooms := map[string][]string{
		"internal/api":         {},
		"internal/qr":          {},
		"internal/client":      {"internal/api"},
		"wasm/internal/bridge": {"internal/api"},
		"wasm/internal/fetch":  {"internal/client", "wasm/internal/bridge"},
		"wasm":                 {"internal/api", "internal/client", "internal/qr", "wasm/internal/bridge", "wasm/internal/fetch"},
	}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		for _, i := range s.imports {
			imported, ours := strings.CutPrefix(i, module+"/")
			if !ours || strings.HasSuffix(s.path, "_test.go") {
				continue
			}
			if allowed, ok := rooms[dir]; ok && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s; %s may import %v", s.path, imported, dir, allowed)
			}
			if s.inTree("internal/server") && imported == "internal/client" {
				t.Errorf("%s imports internal/client: server and client meet in internal/api alone", s.path)
			}
		}
	}
}

// TestWordsOfTheWireHaveNoCodec: the browser module links internal/api.
func TestWordsOfTheWireHaveNoCodec(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if s.inTree("internal/api") && !strings.HasSuffix(s.path, "_test.go") && i != "time" {
				t.Errorf("%s imports %s; internal/api is words only", s.path, i)
			}
		}
	}
}

// TestNoImageEncoder: the picture is an SVG. go-qrcode links image/png, but
// none of our code in the module calls an encoder.
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

// TestModuleLinksNothingHeavy: what JavaScript has, the module does not bring.
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
