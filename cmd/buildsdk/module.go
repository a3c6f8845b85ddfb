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
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
)

// maxBrotli is the budget of the compressed module in bytes. The size is exact
// for one toolchain, so a test holds it.
const maxBrotli = 700_000

// A record describes a built module; it lies beside it as authsignal.wasm.json.
type record struct {
	// SHA256 is the hash of authsignal.wasm in hexadecimal.
	SHA256 string `json:"sha256"`
	// GoVersion is the toolchain that built the module and wasm_exec.js.
	GoVersion string `json:"goVersion"`
	// Raw, Gzip and Brotli are sizes in bytes, compressed at the best level.
	Raw    int `json:"raw"`
	Gzip   int `json:"gzip"`
	Brotli int `json:"brotli"`
}

// errStale says what to do about a module that is missing or old.
var errStale = errors.New(`the built browser SDK is missing or stale: run "make wasm js"`)

// compileModule builds ./wasm of the module in root and returns its bytes. The
// same sources and toolchain give the same bytes, wherever root is.
func compileModule(ctx context.Context, root string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "buildsdk")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "authsignal.wasm")

	cmd := exec.CommandContext(ctx, "go", "build",
		"-buildvcs=false", // the commit would change the hash
		"-ldflags=-s -w",
		// Without inlining the module is 6 % smaller; where QR codes are
		// made, inlining is worth its bytes.
		"-gcflags=all=-l",
		"-gcflags=github.com/skip2/go-qrcode/...=",
		"-o", file, "./wasm")
	cmd.Dir = root
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == "GOWASM" || name == "GOEXPERIMENT"
	})
	// A GOFLAGS that is not empty overrides both the caller's and go env's.
	cmd.Env = append(cmd.Env, "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-trimpath",
		// Go 1.26's new collector is for many cores and large heaps; without
		// it the module is 1.7 % smaller. A later Go refuses the name.
		"GOEXPERIMENT=nogreenteagc")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./wasm: %w\n%s", err, out)
	}
	return os.ReadFile(file)
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// buildModule builds the module into dir, with its compressed copy, its record
// and the toolchain's loader.
func buildModule(ctx context.Context, tc toolchain, dir string, w io.Writer) error {
	fmt.Fprintf(w, "authsignal.wasm: compiling with %s\n", tc.version)
	wasm, err := compileModule(ctx, tc.root)
	if err != nil {
		return err
	}
	loader, err := os.ReadFile(tc.wasmExec())
	if err != nil {
		return err
	}

	rec, err := readModule(dir)
	if err != nil || rec.SHA256 != hash(wasm) || rec.GoVersion != tc.version {
		fmt.Fprintln(w, "authsignal.wasm: compressing (some ten seconds; only when the module has changed)")
		start := time.Now()
		zipped, br := compressGzip(wasm), compressBrotli(wasm)
		fmt.Fprintf(w, "authsignal.wasm: compressed in %.1f s\n", time.Since(start).Seconds())
		rec = record{SHA256: hash(wasm), GoVersion: tc.version, Raw: len(wasm), Gzip: len(zipped), Brotli: len(br)}
		text, err := json.MarshalIndent(rec, "", "  ")
		if err != nil {
			return err
		}
		// The record comes last: it vouches for the others.
		if err := errors.Join(
			writeFile(filepath.Join(dir, "authsignal.wasm"), wasm),
			writeFile(filepath.Join(dir, "authsignal.wasm.br"), br),
			writeFile(filepath.Join(dir, "authsignal.wasm.json"), append(text, '\n')),
		); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(dir, "wasm_exec.js"), loader); err != nil {
		return err
	}
	fmt.Fprintf(w, "authsignal.wasm: raw %d, gzip %d, brotli %d bytes\nauthsignal.wasm: sha256 %s\n",
		rec.Raw, rec.Gzip, rec.Brotli, rec.SHA256)
	return nil
}

// compressBrotli compresses at the best quality, with the largest window that
// browsers take.
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

// readModule reads the record in dir and holds the files beside it to it. All
// that is wrong with them is errStale.
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

// checkModule reads the module in dir and compares it and its loader with a
// new build.
func checkModule(ctx context.Context, tc toolchain, dir string) (record, error) {
	rec, err := readModule(dir)
	if err != nil {
		return record{}, err
	}
	wasm, err := compileModule(ctx, tc.root)
	if err != nil {
		return record{}, err
	}
	if hash(wasm) != rec.SHA256 {
		return record{}, errStale
	}
	loader, err := os.ReadFile(tc.wasmExec())
	if err != nil {
		return record{}, err
	}
	if old, err := os.ReadFile(filepath.Join(dir, "wasm_exec.js")); err != nil || !bytes.Equal(old, loader) {
		return record{}, errStale
	}
	return rec, nil
}
