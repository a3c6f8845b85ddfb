package main

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	built "github.com/authsignal-wasm/sdk/internal/assets"
)

//go:embed page
var pageFiles embed.FS

// assets serves the page and its files.
type assets struct {
	index  []byte
	files  *built.Set
	policy string
}

// newAssets returns the page and its files, which have these paths:
//
//	/assets/<hash>/app.js ...         the files of the page, and sdk/ with the wrapper
//	/assets/authsignal.<hash>.wasm    the module
func newAssets(sdk fs.FS, t tenant) (*assets, error) {
	a := &assets{files: built.New("/assets/")}
	origin, err := originOf(t.apiURL)
	if err != nil {
		return nil, err
	}
	// Only files of this origin and the API, whose pre-built UI may be shown in
	// a frame. The QR codes are data: URLs.
	a.policy = strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"style-src 'self'",
		"img-src 'self' data:",
		"connect-src 'self' " + origin,
		"frame-src " + origin,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")

	wasmURL, err := a.files.Add(sdk, "authsignal.wasm")
	if err != nil {
		return nil, err
	}
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	modules, err := fs.Glob(page, "*.js")
	if err != nil {
		return nil, err
	}
	var sources []built.Source
	for _, name := range append(modules, "style.css", "icon.svg") {
		sources = append(sources, built.Source{From: page, Name: name, As: name})
	}
	base, err := a.files.AddFolder(append(sources,
		built.Source{From: sdk, Name: "index.js", As: "sdk/index.js"},
		// Only for developer tools.
		built.Source{From: sdk, Name: "index.js.map", As: "sdk/index.js.map", Optional: true},
	)...)
	if err != nil {
		return nil, err
	}

	tmpl, err := template.ParseFS(page, "index.html")
	if err != nil {
		return nil, err
	}
	var index bytes.Buffer
	err = tmpl.Execute(&index, struct {
		Assets, WasmURL, APIURL, TenantID string
		Modules                           []string // of app.js, for the browser to load at once
		TrustDays                         int
	}{base, wasmURL, t.apiURL, t.id, slices.DeleteFunc(modules, func(name string) bool { return name == "app.js" }), trustDays})
	if err != nil {
		return nil, err
	}
	a.index = index.Bytes()
	return a, nil
}

// secured sets the headers of all responses.
func (a *assets) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		// The pre-built UI in a window reads the origin of its opener from the
		// referrer.
		h.Set("Referrer-Policy", "strict-origin")
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP serves the page and its files.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "This takes GET only.", http.StatusMethodNotAllowed)
	case r.URL.Path == "/":
		// The page links to the files of this build, so it must be revalidated.
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(a.index)))
		// An error here is one of the connection, so it cannot be reported to the client.
		_, _ = w.Write(a.index)
	case strings.HasPrefix(r.URL.Path, "/assets/"):
		a.files.ServeHTTP(w, r)
	default:
		h.Set("Cache-Control", "no-store")
		http.Error(w, "There is no such page. Go to /", http.StatusNotFound)
	}
}
