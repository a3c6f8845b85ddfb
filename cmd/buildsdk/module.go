package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/andybalholm/brotli"
)

// A record describes a built module. It is the file authsignal.wasm.json beside
// the module.
type record struct {
	// SHA256 is the hash of authsignal.wasm in hexadecimal.
	SHA256 string `json:"sha256"`
	// Build names the build, in the module, in wasm_exec.js and in the wrapper.
	Build string `json:"build"`
	// Compiler and CompilerVersion are those of the compiler that built the
	// module, such as "tinygo" and "0.41.0".
	Compiler        string `json:"compiler"`
	CompilerVersion string `json:"compilerVersion"`
	// Raw, Gzip and Brotli are sizes in bytes, compressed at the best level.
	Raw    int `json:"raw"`
	Gzip   int `json:"gzip"`
	Brotli int `json:"brotli"`
}

// errStale reports that built files are missing or do not match the sources.
var errStale = errors.New(`the built browser SDK is missing or stale: run "make wasm js"`)

// compileModule builds the module, with the name of its build as an export.
func compileModule(ctx context.Context, c compiler, root string) (wasm []byte, build string, err error) {
	wasm, err = c.compile(ctx, root, "./wasm")
	if err != nil {
		return nil, "", err
	}
	build, err = buildOf(c, wasm)
	if err != nil {
		return nil, "", err
	}
	wasm, err = addExport(wasm, build)
	return wasm, build, err
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// buildModule builds the module into dir, with its compressed copy and its
// record.
func buildModule(ctx context.Context, c compiler, dir string, w io.Writer) error {
	fmt.Fprintf(w, "authsignal.wasm: compiling with %s\n", c)
	wasm, build, err := compileModule(ctx, c, c.tc.root)
	if err != nil {
		return err
	}
	rec, err := readModule(dir)
	if err != nil || rec.SHA256 != hash(wasm) || rec.Build != build {
		zipped, br := compressGzip(wasm), compressBrotli(wasm)
		rec = record{
			SHA256: hash(wasm), Build: build, Compiler: c.name, CompilerVersion: c.version,
			Raw: len(wasm), Gzip: len(zipped), Brotli: len(br),
		}
		text, err := json.MarshalIndent(rec, "", "  ")
		if err != nil {
			return err
		}
		// The record comes last: readModule checks the others against it.
		if err := errors.Join(
			writeFile(filepath.Join(dir, "authsignal.wasm"), wasm),
			writeFile(filepath.Join(dir, "authsignal.wasm.br"), br),
			writeFile(filepath.Join(dir, "authsignal.wasm.json"), append(text, '\n')),
		); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "authsignal.wasm: raw %d, gzip %d, brotli %d bytes\nauthsignal.wasm: sha256 %s\n",
		rec.Raw, rec.Gzip, rec.Brotli, rec.SHA256)
	return nil
}

// buildStandIn builds a package in place of the module, into a file. The compiler
// and the name of the build are those of the module in js/dist, so that its loader
// accepts the file.
func buildStandIn(ctx context.Context, tc toolchain, pkg, file string) error {
	rec, err := readModule(filepath.Join(tc.root, "js", "dist"))
	if err != nil {
		return err
	}
	c, err := findCompiler(ctx, tc, rec.Compiler)
	if err != nil {
		return err
	}
	wasm, err := c.compile(ctx, tc.root, pkg)
	if err != nil {
		return err
	}
	if wasm, err = addExport(wasm, rec.Build); err != nil {
		return err
	}
	return os.WriteFile(file, wasm, 0o644)
}

// compressBrotli compresses at the best quality, with the largest window that
// browsers support.
func compressBrotli(data []byte) []byte {
	var buf bytes.Buffer
	w := brotli.NewWriterOptions(&buf, brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 24})
	w.Write(data) // to memory, which does not fail
	w.Close()
	return buf.Bytes()
}

// compressGzip compresses at the best level.
func compressGzip(data []byte) []byte {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is right
	}
	w.Write(data) // to memory, which does not fail
	w.Close()
	return buf.Bytes()
}

// readModule reads the record in dir and checks the files beside it against it.
// The error is errStale if one is missing or does not match.
func readModule(dir string) (record, error) {
	var rec record
	text, err := os.ReadFile(filepath.Join(dir, "authsignal.wasm.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, errStale
	}
	if err != nil {
		return record{}, err
	}
	if json.Unmarshal(text, &rec) != nil {
		return record{}, errStale
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "authsignal.wasm"))
	if err != nil || hash(wasm) != rec.SHA256 {
		return record{}, errStale
	}
	br, err := os.ReadFile(filepath.Join(dir, "authsignal.wasm.br"))
	if err != nil || len(br) != rec.Brotli {
		return record{}, errStale
	}
	plain, err := io.ReadAll(brotli.NewReader(bytes.NewReader(br)))
	if err != nil || !bytes.Equal(plain, wasm) {
		return record{}, errStale
	}
	return rec, nil
}

// checkModule reads the module in dir and compares it with a new build by the
// same compiler.
func checkModule(ctx context.Context, tc toolchain, dir string) (record, error) {
	rec, err := readModule(dir)
	if err != nil {
		return record{}, err
	}
	c, err := findCompiler(ctx, tc, rec.Compiler)
	if err != nil {
		return record{}, err
	}
	wasm, build, err := compileModule(ctx, c, tc.root)
	if err != nil {
		return record{}, err
	}
	if hash(wasm) != rec.SHA256 || build != rec.Build {
		return record{}, errStale
	}
	return rec, nil
}
