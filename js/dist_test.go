package js

import (
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestDistReturnsTheBuiltFiles(t *testing.T) {
	dir, err := dist(fstest.MapFS{"dist/authsignal.wasm": {}, "dist/index.js": {Data: []byte("js")}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(dir, "index.js"); err != nil || string(got) != "js" {
		t.Errorf("index.js: %q, %v", got, err)
	}
}

func TestDistErrorNamesTheRemedy(t *testing.T) {
	for _, name := range []string{"dist/.placeholder", "dist/authsignal.wasm", "dist/index.js"} {
		if _, err := dist(fstest.MapFS{name: {}}); err != ErrNotBuilt {
			t.Errorf("only %s: %v, want %v", name, err, ErrNotBuilt)
		}
	}
}
