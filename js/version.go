package js

import (
	_ "embed"
	"encoding/json"
	"io/fs"
	"sync"
)

// The npm package, the Go module and the programs have the same version, that in
// package.json.
//
//go:embed package.json
var packageJSON []byte

// Version returns the version of this release, such as "0.1.0": of the npm
// package, the Go module and the programs alike.
var Version = sync.OnceValue(func() string {
	var p struct{ Version string }
	if err := json.Unmarshal(packageJSON, &p); err != nil {
		panic("js/package.json: " + err.Error()) // it is embedded, and tested
	}
	return p.Version
})

// A Module describes the build of authsignal.wasm.
type Module struct {
	// Build is the name of the build: the package's version, the compiler, and a hash of
	// the module and its loader.
	Build string `json:"build"`
	// Compiler and CompilerVersion are those of the compiler, such as "tinygo"
	// and "0.41.0".
	Compiler        string `json:"compiler"`
	CompilerVersion string `json:"compilerVersion"`
}

// ReadModule reads the record of the built module, authsignal.wasm.json. The
// error is ErrNotBuilt if the SDK is not built.
func ReadModule() (Module, error) {
	dir, err := Dist()
	if err != nil {
		return Module{}, err
	}
	return readModule(dir)
}

func readModule(dir fs.FS) (Module, error) {
	var m Module
	text, err := fs.ReadFile(dir, "authsignal.wasm.json")
	if err != nil {
		return m, ErrNotBuilt
	}
	err = json.Unmarshal(text, &m)
	return m, err
}
