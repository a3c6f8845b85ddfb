package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The most that the compressed module may have, as a multiple of the least
// that any Go program has; and the most bytes of the compressed wrapper with
// wasm_exec.js in it. Sizes are exact for one toolchain and one compressor.
const (
	maxModuleRatio  = 1.60
	maxWrapperBytes = 9_000
)

// The sizes are those of js/dist, which must be what the sources give: a budget
// that is held on an old build holds nothing.
func TestModuleIsFreshAndWithinBudget(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := checkModule(t.Context(), tc, filepath.Join(tc.root, "js", "dist"))
	if err != nil {
		t.Fatal(err)
	}
	floor := len(compressBrotli(compileEmpty(t)))
	ratio := float64(rec.Brotli) / float64(floor)
	t.Logf("brotli: module %d, empty program %d, ratio %.3f", rec.Brotli, floor, ratio)
	if ratio > maxModuleRatio {
		t.Errorf("authsignal.wasm.br has %d bytes, want at most %.2f times the %d of an empty program", rec.Brotli, maxModuleRatio, floor)
	}
}

// compileEmpty builds a Go program that does nothing, as anyone would.
func compileEmpty(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module empty\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "empty.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "empty.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWrapperIsFreshAndWithinBudget(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(tc.root, "js", "dist")
	if err := checkWrapper(tc, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.js", "index.min.js"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got := len(compressBrotli(data))
		t.Logf("brotli: %s %d", name, got)
		if got > maxWrapperBytes {
			t.Errorf("%s has %d bytes in brotli, want at most %d", name, got, maxWrapperBytes)
		}
	}
}

func TestModuleHasTheSameHashInAnotherFolder(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	here, err := compileModule(t.Context(), tc.root)
	if err != nil {
		t.Fatal(err)
	}
	there, err := compileModule(t.Context(), copyModule(t, tc.root))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hash(there), hash(here); got != want {
		t.Errorf("hash in another folder: %s, want %s", got, want)
	}
}

// copyModule copies what ./wasm is built from to a new folder.
func copyModule(t *testing.T, root string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if and .Module .Module.Main}}{{.Dir}}{{end}}", "./wasm")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list ./wasm:", err)
	}
	dst := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		copyFile(t, filepath.Join(root, name), filepath.Join(dst, name))
	}
	for dir := range strings.FieldsSeq(string(out)) {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			copyFile(t, f, filepath.Join(dst, rel, filepath.Base(f)))
		}
	}
	return dst
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOldLoaderIsRefused(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"authsignal.wasm", "authsignal.wasm.br", "authsignal.wasm.json"} {
		copyFile(t, filepath.Join(tc.root, "js", "dist", name), filepath.Join(dir, name))
	}
	if _, err := checkModule(t.Context(), tc, dir); err != errStale {
		t.Errorf("without wasm_exec.js: %v, want %v", err, errStale)
	}
	copyFile(t, filepath.Join(tc.root, "go.mod"), filepath.Join(dir, "wasm_exec.js"))
	if _, err := checkModule(t.Context(), tc, dir); err != errStale {
		t.Errorf("with another wasm_exec.js: %v, want %v", err, errStale)
	}
}

// What the package carries by others, it carries with their licences.
func TestPackageHasTheLicences(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	js := filepath.Join(tc.root, "js")
	if read(filepath.Join(js, "LICENSE")) != read(filepath.Join(tc.root, "LICENSE")) {
		t.Error("js/LICENSE is not the one of the root")
	}
	notices := read(filepath.Join(js, "THIRD-PARTY-NOTICES"))
	if !strings.Contains(notices, read(filepath.Join(tc.goroot, "LICENSE"))) {
		t.Error("js/THIRD-PARTY-NOTICES lacks Go's licence")
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./wasm")
	cmd.Dir = tc.root
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list ./wasm:", err)
	}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(notices, "== "+path+"\n\n"+read(filepath.Join(dir, "LICENSE"))) {
			t.Errorf("js/THIRD-PARTY-NOTICES lacks the licence of %s", path)
		}
	}
}

func TestStaleModuleIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := readModule(dir); err != errStale {
		t.Errorf("empty folder: %v, want %v", err, errStale)
	}
	for name, text := range map[string]string{
		"authsignal.wasm":      "new",
		"authsignal.wasm.br":   "",
		"authsignal.wasm.json": `{"sha256":"` + hash([]byte("old")) + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readModule(dir); err != errStale {
		t.Errorf("module of another hash: %v, want %v", err, errStale)
	}
}

func TestWriteFileLeavesEqualFilesAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f")
	modTimes := make([]int64, 3)
	for i, text := range []string{"a", "a", "b"} {
		if err := writeFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		modTimes[i] = info.ModTime().UnixNano()
	}
	if modTimes[1] != modTimes[0] {
		t.Error("equal bytes were written again")
	}
	if got, _ := os.ReadFile(name); string(got) != "b" {
		t.Errorf("content %q, want %q", got, "b")
	}
}
