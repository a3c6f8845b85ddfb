package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The maximum sizes in bytes of the compressed module by each compiler, and of the
// compressed wrapper with its loader. Sizes are exact for one compiler and one
// compressor.
var maxModuleBytes = map[string]int{"tinygo": 40_000, "go": 560_000}

const maxWrapperBytes = 9_400

// find returns the toolchain, and a compiler; TinyGo must be installed.
func find(t *testing.T, name string) (toolchain, compiler) {
	t.Helper()
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := findCompiler(t.Context(), tc, name)
	if err != nil {
		t.Fatal(err)
	}
	return tc, c
}

// The sizes of an old build prove nothing: js/dist must match the sources, and be
// built by TinyGo, as the released package is.
func TestModuleIsFresh(t *testing.T) {
	tc, _ := find(t, "tinygo")
	rec, err := checkModule(t.Context(), tc, filepath.Join(tc.root, "js", "dist"))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Compiler != "tinygo" {
		t.Errorf(`js/dist is the build of %s: run "make tinygo wasm js"`, rec.Compiler)
	}
}

func TestModuleIsWithinBudget(t *testing.T) {
	for name, most := range maxModuleBytes {
		tc, c := find(t, name)
		wasm, _, err := compileModule(t.Context(), c, tc.root)
		if err != nil {
			t.Fatal(err)
		}
		got := len(compressBrotli(wasm))
		t.Logf("%s: raw %d, brotli %d", c, len(wasm), got)
		if got > most {
			t.Errorf("%s: the module has %d bytes in brotli, want at most %d", c, got, most)
		}
	}
}

func TestWrapperIsFreshAndWithinBudget(t *testing.T) {
	tc, err := findToolchain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(tc.root, "js", "dist")
	if err := checkWrapper(t.Context(), tc, dir); err != nil {
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
	for name := range maxModuleBytes {
		tc, c := find(t, name)
		here, build, err := compileModule(t.Context(), c, tc.root)
		if err != nil {
			t.Fatal(err)
		}
		there, otherBuild, err := compileModule(t.Context(), c, copyModule(t, tc.root))
		if err != nil {
			t.Fatal(err)
		}
		if hash(there) != hash(here) || otherBuild != build {
			t.Errorf("%s: build and hash in another folder: %s, %s, want %s, %s", c, otherBuild, hash(there), build, hash(here))
		}
	}
}

// The module and the loader of a build contain its name, and no other's.
func TestRecord(t *testing.T) {
	tc, c := find(t, "")
	dir := filepath.Join(tc.root, "js", "dist")
	rec, err := readModule(dir)
	if err != nil {
		t.Fatal(err)
	}
	version, err := packageVersion(tc)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(rec.Build, "authsignal-wasm/"+version+" "+c.String()+" build/") {
		t.Errorf("got build %q", rec.Build)
	}
	for _, name := range []string{"authsignal.wasm", "wasm_exec.js", "index.js", "index.min.js", "inline.js"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), rec.Build); n != 1 && name != "inline.js" || n == 0 {
			t.Errorf("%s has the build's name %d times", name, n)
		}
	}
}

func TestAddExport(t *testing.T) {
	const magic = "\x00asm\x01\x00\x00\x00"
	got, err := addExport([]byte(magic+"\x05\x03\x01\x00\x01"+"\x07\x05\x01\x01m\x02\x00"+"\x00\x01\x00"), "ab")
	if want := magic + "\x05\x03\x01\x00\x01" + "\x07\x0a\x02\x01m\x02\x00\x02ab\x02\x00" + "\x00\x01\x00"; err != nil || string(got) != want {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	for _, broken := range []string{"", "\x00asm", magic, magic + "\x05\x03\x01\x00\x01", magic + "\x07", magic + "\x07\x7f\x01", magic + "\x07\x00"} {
		if _, err := addExport([]byte(broken), "ab"); err != errNoExports {
			t.Errorf("%q: error %v, want %v", broken, err, errNoExports)
		}
	}
}

func TestFindCompiler(t *testing.T) {
	tc, _ := find(t, "go")
	if _, err := findCompiler(t.Context(), tc, "gcc"); err == nil {
		t.Error("got no error for the compiler gcc")
	}
	// If TinyGo is not installed.
	tc.root = t.TempDir()
	if _, err := findCompiler(t.Context(), tc, "tinygo"); err != errNoTinyGo {
		t.Errorf("TinyGo: error %v, want %v", err, errNoTinyGo)
	}
	if c, err := findCompiler(t.Context(), tc, ""); err != nil || c.name != "go" {
		t.Errorf("no name: got %s, error %v, want Go", c, err)
	}
}

// copyModule copies the sources of ./wasm to a new folder.
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

func TestOldWrapperIsRefused(t *testing.T) {
	tc, _ := find(t, "")
	dir := t.TempDir()
	for _, name := range []string{"authsignal.wasm", "authsignal.wasm.br", "authsignal.wasm.json"} {
		copyFile(t, filepath.Join(tc.root, "js", "dist", name), filepath.Join(dir, name))
	}
	if err := checkWrapper(t.Context(), tc, dir); err != errStale {
		t.Errorf("without a wrapper: %v, want %v", err, errStale)
	}
	for _, name := range []string{"wasm_exec.js", "index.js"} {
		copyFile(t, filepath.Join(tc.root, "go.mod"), filepath.Join(dir, name))
		if err := checkWrapper(t.Context(), tc, dir); err != errStale {
			t.Errorf("with another %s: %v, want %v", name, err, errStale)
		}
	}
}

// The package contains the licences of the code by others in it.
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
	if !strings.Contains(notices, read(filepath.Join(tc.root, filepath.FromSlash(tinygo), "LICENSE"))) {
		t.Error("js/THIRD-PARTY-NOTICES lacks TinyGo's licence")
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
