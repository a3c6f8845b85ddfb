// Package js embeds the built browser SDK for Go programs that serve it to pages,
// such as the demo, and has the version of the release. It contains no other
// logic; cmd/buildsdk writes its folder dist, which is never committed.
package js

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// ErrNotBuilt reports that this program was built before the browser SDK was.
var ErrNotBuilt = errors.New(`this program was built without the browser SDK: run "make wasm js", and build the program again`)

// Dist returns the built files: authsignal.wasm, authsignal.wasm.br,
// authsignal.wasm.json, wasm_exec.js, index.js, index.min.js, inline.js and
// react.js. The error is ErrNotBuilt if the module or the wrapper is missing.
func Dist() (fs.FS, error) {
	return dist(files)
}

func dist(files fs.FS) (fs.FS, error) {
	for _, name := range []string{"dist/authsignal.wasm", "dist/index.js"} {
		if _, err := fs.Stat(files, name); err != nil {
			return nil, ErrNotBuilt
		}
	}
	return fs.Sub(files, "dist")
}
