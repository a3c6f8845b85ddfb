package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// buildOf returns the name of a build: the package's version, the compiler, and a
// hash of the module and its loader. Both contain it, so that a loader refuses
// every other module. checkRecord in js/src/loader.ts recognizes a name by its
// first part.
func buildOf(c compiler, wasm []byte) (string, error) {
	sum := sha256.New()
	sum.Write(wasm)
	loader, err := wasmExecSource(c)
	if err != nil {
		return "", err
	}
	io.WriteString(sum, loader)
	for _, name := range []string{
		filepath.Join(c.tc.root, "wasm", "internal", "bridge", "guard.js"),
		filepath.Join(c.tc.root, "js", "src", "loader.ts"),
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	version, err := packageVersion(c.tc)
	if err != nil {
		return "", err
	}
	return "authsignal-wasm/" + version + " " + c.String() + " build/" + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// packageVersion reads the version of the npm package.
func packageVersion(tc toolchain) (string, error) {
	text, err := os.ReadFile(filepath.Join(tc.root, "js", "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ Version string }
	if err := json.Unmarshal(text, &p); err != nil {
		return "", err
	}
	return p.Version, nil
}

// exportSection is the id of a module's section of exports (WebAssembly 2.0
// specification, 5.5.2).
const exportSection = 7

var errNoExports = errors.New("the module has no section of exports")

// addExport adds an export of the module's memory under a name. A loader can read
// the names of exports from a module and from an instance, but custom sections
// from a module only.
func addExport(wasm []byte, name string) ([]byte, error) {
	const header = 8 // magic and version
	if len(wasm) < header {
		return nil, errNoExports
	}
	for rest := wasm[header:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || uint64(len(rest)-1-n) < size {
			return nil, errNoExports
		}
		content := rest[1+n:][:size]
		if id != exportSection {
			rest = rest[1+n+int(size):]
			continue
		}
		count, n2 := binary.Uvarint(content)
		if n2 <= 0 {
			return nil, errNoExports
		}
		body := binary.AppendUvarint(nil, count+1)
		body = append(body, content[n2:]...)
		body = binary.AppendUvarint(body, uint64(len(name)))
		body = append(body, name...)
		body = append(body, 2, 0) // memory 0

		before := wasm[:len(wasm)-len(rest)]
		after := rest[1+n+int(size):]
		return bytes.Join([][]byte{before, {exportSection}, binary.AppendUvarint(nil, uint64(len(body))), body, after}, nil), nil
	}
	return nil, errNoExports
}
