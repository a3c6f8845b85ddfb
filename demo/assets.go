package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// immutable is for what has its content's hash in its name.
const immutable = "public, max-age=31536000, immutable"

// assets serves the page and its files. All are small enough to stay in
// memory; the module is embedded anyway.
type assets struct {
	index  []byte
	files  map[string]asset // by URL path
	policy string
}

// An asset is a file under a name that changes with it.
type asset struct {
	contentType string
	body        []byte
	// brotli is the body compressed, if it is there.
	brotli []byte
}

// newAssets lays out the files:
//
//	/assets/<hash>/app.js ...         the page's own, and sdk/ with the wrapper
//	/assets/authsignal.<hash>.wasm    the module
//
// The folder's hash is that of all its files, so that they can import each
// other by relative URLs. The module has its own: it is the largest by far, and
// browsers keep its compiled code for as long as its URL stays.
func newAssets(sdk fs.FS, t tenant) (*assets, error) {
	a := &assets{files: map[string]asset{}}
	origin, err := originOf(t.apiURL)
	if err != nil {
		return nil, err
	}
	// Nothing but our own files and the API. Images as data: are the QR codes.
	a.policy = strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"style-src 'self'",
		"img-src 'self' data:",
		"connect-src 'self' " + origin,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")

	module, err := readAsset(sdk, "authsignal.wasm", "application/wasm")
	if err != nil {
		return nil, err
	}
	wasmURL := "/assets/authsignal." + shortHash(module.body) + ".wasm"
	a.files[wasmURL] = module

	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	folder := map[string]asset{}
	var all bytes.Buffer
	for _, f := range []struct {
		from     fs.FS
		name, as string
		optional bool
	}{
		{page, "app.js", "app.js", false},
		{page, "style.css", "style.css", false},
		{page, "icon.svg", "icon.svg", false},
		{sdk, "index.js", "sdk/index.js", false},
		// For developers' tools only.
		{sdk, "index.js.map", "sdk/index.js.map", true},
	} {
		file, err := readAsset(f.from, f.name, contentType(f.name))
		if f.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		folder[f.as] = file
		fmt.Fprintf(&all, "%s %d\n%s", f.as, len(file.body), file.body)
	}
	base := "/assets/" + shortHash(all.Bytes())
	for name, file := range folder {
		a.files[base+"/"+name] = file
	}

	tmpl, err := template.ParseFS(page, "index.html")
	if err != nil {
		return nil, err
	}
	var index bytes.Buffer
	if err := tmpl.Execute(&index, struct{ Assets, WasmURL, APIURL, TenantID string }{base, wasmURL, t.apiURL, t.id}); err != nil {
		return nil, err
	}
	a.index = index.Bytes()
	return a, nil
}

func readAsset(from fs.FS, name, contentType string) (asset, error) {
	body, err := fs.ReadFile(from, name)
	if err != nil {
		return asset{}, err
	}
	brotli, err := fs.ReadFile(from, name+".br")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return asset{}, err
	}
	return asset{contentType, body, brotli}, nil
}

// contentType is the type of a file by its name. The types that matter are
// written out: those that mime knows depend on the machine.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".map":
		return "application/json"
	default:
		return mime.TypeByExtension(ext)
	}
}

// shortHash is as much of a hash as a name needs.
func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// secured sets the headers that every answer carries.
func (a *assets) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP serves the page and the files that it names.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "This takes GET only.", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" {
		// It names the files of this build: always ask for it anew.
		w.Header().Set("Cache-Control", "no-cache")
		send(w, "text/html; charset=utf-8", a.index)
		return
	}
	file, ok := a.files[r.URL.Path]
	if !ok {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "There is no such page. Go to /", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", immutable)
	body := file.body
	if file.brotli != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsBrotli(r.Header.Values("Accept-Encoding")) {
			h.Set("Content-Encoding", "br")
			body = file.brotli
		}
	}
	send(w, file.contentType, body)
}

// send writes an answer; to HEAD, the server leaves the body out.
func send(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// What fails here is the connection; nobody is left to be told.
	_, _ = w.Write(body)
}

// acceptsBrotli reads Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsBrotli(header []string) bool {
	for coding := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "br") {
			continue
		}
		_, q, found := strings.Cut(weight, "=")
		if !found {
			return true
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return err == nil && v > 0
	}
	return false
}
