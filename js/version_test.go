package js

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestVersion(t *testing.T) {
	// Semantic Versioning 2.0.0, without build metadata: npm and Go both take it.
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(Version()) {
		t.Errorf("got %q", Version())
	}
}

// Files that repeat the version repeat this one.
func TestTheVersionIsTheSameEverywhere(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var lock struct {
		Version  string
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal([]byte(read("package-lock.json")), &lock); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{lock.Version, lock.Packages[""].Version} {
		if got != Version() {
			t.Errorf("package-lock.json has version %s, want %s: npm --prefix js install --package-lock-only", got, Version())
		}
	}
	if !regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(Version()) + ` `).MatchString(read("../CHANGELOG.md")) {
		t.Errorf("CHANGELOG.md has no entry for %s", Version())
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md", "README.md") {
		for _, tarball := range regexp.MustCompile(`authsignal-wasm-[0-9][^\s>)]*\.tgz`).FindAllString(read(page), -1) {
			if want := "authsignal-wasm-" + Version() + ".tgz"; tarball != want {
				t.Errorf("%s names %s, want %s", page, tarball, want)
			}
		}
	}
}

func TestReadModule(t *testing.T) {
	got, err := readModule(fstest.MapFS{"authsignal.wasm.json": {Data: []byte(
		`{"sha256":"00","build":"authsignal-wasm/1.2.3 tinygo/0.41.0 build/ab","compiler":"tinygo","compilerVersion":"0.41.0","raw":1}`)}})
	if want := (Module{"authsignal-wasm/1.2.3 tinygo/0.41.0 build/ab", "tinygo", "0.41.0"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := readModule(fstest.MapFS{}); err != ErrNotBuilt {
		t.Errorf("without a record: %v, want %v", err, ErrNotBuilt)
	}
}

// The module in js/dist is the build of this version.
func TestTheBuiltModuleHasTheVersion(t *testing.T) {
	m, err := ReadModule()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.Build, "authsignal-wasm/"+Version()+" "+m.Compiler+"/"+m.CompilerVersion+" build/") {
		t.Errorf("the build is called %q", m.Build)
	}
}
