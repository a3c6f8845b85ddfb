package assets

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"
)

var files = fstest.MapFS{
	"app.js":      {Data: []byte(strings.Repeat("export const a = 1;\n", 100))},
	"icon.svg":    {Data: []byte("<svg/>")},
	"big.wasm":    {Data: []byte("the module")},
	"big.wasm.br": {Data: []byte("the module, compressed")},
}

func get(t *testing.T, s *Set, path, accept string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept-Encoding", accept)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func TestTextsAreCompressed(t *testing.T) {
	s := New("/assets/")
	base, err := s.AddFolder(Source{From: files, Name: "app.js", As: "deep/app.js"}, Source{From: files, Name: "icon.svg", As: "icon.svg"})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^/assets/[0-9a-f]{16}$`).MatchString(base) {
		t.Errorf("folder %q", base)
	}
	res, body := get(t, s, base+"/deep/app.js", "br")
	plain, err := io.ReadAll(brotli.NewReader(strings.NewReader(body)))
	if err != nil || string(plain) != string(files["app.js"].Data) || res.Header.Get("Content-Encoding") != "br" || len(body) > len(plain)/10 {
		t.Errorf("%d bytes in encoding %q: %v", len(body), res.Header.Get("Content-Encoding"), err)
	}
	if res, body := get(t, s, base+"/icon.svg", "br"); res.Header.Get("Content-Encoding") != "" || body != "<svg/>" {
		t.Errorf("a file too small to compress: %q in encoding %q", body, res.Header.Get("Content-Encoding"))
	}
}

func TestCompressedTwinIsServedAsItIs(t *testing.T) {
	s := New("/assets/")
	at, err := s.Add(files, "big.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if res, body := get(t, s, at, "gzip, br"); body != "the module, compressed" || res.Header.Get("Content-Type") != "application/wasm" {
		t.Errorf("%q of type %q", body, res.Header.Get("Content-Type"))
	}
}

func TestMissingFiles(t *testing.T) {
	s := New("/assets/")
	if _, err := s.Add(files, "none.wasm"); err == nil {
		t.Error("a missing file is no error")
	}
	if _, err := s.AddFolder(Source{From: files, Name: "none.js", As: "none.js"}); err == nil {
		t.Error("a missing file of a folder is no error")
	}
	if _, err := s.AddFolder(Source{From: files, Name: "none.js", As: "none.js", Optional: true}); err != nil {
		t.Error("a missing file that is optional:", err)
	}
	if res, _ := get(t, s, "/assets/none", ""); res.StatusCode != http.StatusNotFound || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("unknown path: %s, Cache-Control %q", res.Status, res.Header.Get("Cache-Control"))
	}
}
