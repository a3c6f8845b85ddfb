// Package assets serves files under names that hold a hash of what is in them,
// so that browsers cache them for good: the browser SDK, style sheets, scripts
// and images of pages. The demo, the pre-built UI and the portal call it.
package assets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

// Immutable is the Cache-Control of a file whose name has the hash of its content.
const Immutable = "public, max-age=31536000, immutable"

// A Set is a set of files by URL path. All are in memory: they are small, and the
// browser SDK's module is embedded anyway. Add all files before serving.
type Set struct {
	prefix string
	files  map[string]file
}

type file struct {
	contentType string
	body        []byte
	// brotli returns the compressed body, or nil if that is not shorter.
	brotli func() []byte
}

// New returns an empty set below a prefix, such as "/assets/".
func New(prefix string) *Set { return &Set{prefix: prefix, files: map[string]file{}} }

// Add adds a file with its own hash and returns its URL path. It is for the module,
// the largest file by far: browsers cache its compiled code as long as its URL does
// not change.
func (s *Set) Add(from fs.FS, name string) (string, error) {
	f, err := read(from, name)
	if err != nil {
		return "", err
	}
	ext := path.Ext(name)
	at := s.prefix + strings.TrimSuffix(name, ext) + "." + shortHash(f.body) + ext
	s.files[at] = f
	return at, nil
}

// A Source is a file of a folder.
type Source struct {
	From fs.FS
	// Name is its path in From, As its path in the folder.
	Name, As string
	// Optional files may be missing.
	Optional bool
}

// AddFolder adds files that can import each other by relative URLs, and returns the
// URL path of their folder, without a slash at its end. It has the hash of all of
// them.
func (s *Set) AddFolder(sources ...Source) (string, error) {
	folder := map[string]file{}
	var all bytes.Buffer
	for _, src := range sources {
		f, err := read(src.From, src.Name)
		if src.Optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		folder[src.As] = f
		fmt.Fprintf(&all, "%s %d\n%s", src.As, len(f.body), f.body)
	}
	base := s.prefix + shortHash(all.Bytes())
	for name, f := range folder {
		s.files[base+"/"+name] = f
	}
	return base, nil
}

// read reads a file, and its compressed copy NAME.br if there is one. Without one,
// the file is compressed at the first request.
func read(from fs.FS, name string) (file, error) {
	body, err := fs.ReadFile(from, name)
	if err != nil {
		return file{}, err
	}
	f := file{contentType: contentType(name), body: body}
	compressed, err := fs.ReadFile(from, name+".br")
	if errors.Is(err, fs.ErrNotExist) {
		f.brotli = sync.OnceValue(func() []byte { return compress(body) })
		return f, nil
	}
	f.brotli = func() []byte { return compressed }
	return f, err
}

// compress returns a compressed text, or nil if that is not shorter.
func compress(text []byte) []byte {
	var out bytes.Buffer
	// The highest level saves 8 % more and takes ten times as long. The default
	// window, which these texts do not need, takes a table of 32 MB.
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 9, LGWin: 16})
	_, _ = w.Write(text) // writing to memory does not fail
	_ = w.Close()
	if out.Len() >= len(text) {
		return nil
	}
	return out.Bytes()
}

// contentType is the type of a file by its name. The table of package mime depends
// on the machine, so the types that matter are here.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".wasm":
		return "application/wasm"
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

// shortHash is the first 64 bits of a hash, in hexadecimal.
func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// ServeHTTP serves the files to GET and HEAD, compressed if the browser accepts
// that. Any other path is 404.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	f, ok := s.files[r.URL.Path]
	if !ok {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "The file does not exist.", http.StatusNotFound)
		return
	}
	h.Set("Cache-Control", Immutable)
	body := f.body
	if compressed := f.brotli(); compressed != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsBrotli(r.Header.Values("Accept-Encoding")) {
			h.Set("Content-Encoding", "br")
			body = compressed
		}
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// An error is one of the connection, and cannot be answered. For HEAD net/http
	// omits the body.
	_, _ = w.Write(body)
}

// acceptsBrotli reports whether an Accept-Encoding (RFC 9110, section 12.5.3)
// includes br.
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
