// Command buildsdk builds the browser SDK: the Go module compiled to WebAssembly,
// and the TypeScript wrapper around it. It needs only the Go toolchain; esbuild
// and brotli are Go libraries. With TinyGo, which make tinygo installs, the module
// has a fourteenth of the size.
//
//	go run ./cmd/buildsdk [-o dir] [-compiler go|tinygo] [-check] [module] [wrapper]
//
// Without arguments it builds both, into js/dist:
//
//	authsignal.wasm       the browser module
//	authsignal.wasm.br    the same, compressed by brotli at the best level
//	authsignal.wasm.json  its hash, sizes and compiler
//	wasm_exec.js          the loader of the same build, for pages without the wrapper
//	index.js              the wrapper as an ES module
//	index.min.js          the wrapper for a script tag, as the global "authsignal"
//	inline.js             the wrapper with the module inside
//	react.js              components for React, on top of index.js
//	global.js             sets the global "authsignal", on top of index.js
//	react-inline.js       react.js on top of inline.js
//	global-inline.js      global.js on top of inline.js
//
// With -standin it builds another package in place of the module, for tests of the
// wrapper, into the file of -o.
//
// With -check it writes nothing, and fails if the files in dir differ from a new
// build.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "buildsdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("buildsdk", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "", "write to this `dir` (default js/dist of this module)")
	name := flags.String("compiler", "", "compile the module with `name`: go or tinygo (default tinygo if it is installed)")
	standIn := flags.String("standin", "", "build this `package` in place of the module of js/dist, into the file of -o")
	check := flags.Bool("check", false, "write nothing; fail if the built files are missing or stale")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: go run ./cmd/buildsdk [-o dir] [-compiler go|tinygo] [-check] [module] [wrapper]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	parts := flags.Args()
	if len(parts) == 0 {
		parts = []string{"module", "wrapper"}
	}
	for _, p := range parts {
		if p != "module" && p != "wrapper" {
			flags.Usage()
			return fmt.Errorf("%q is neither module nor wrapper", p)
		}
	}

	tc, err := findToolchain(ctx)
	if err != nil {
		return err
	}
	if *standIn != "" {
		file, err := filepath.Abs(*out)
		if err != nil {
			return err
		}
		return buildStandIn(ctx, tc, *standIn, file)
	}
	dir := *out
	if dir == "" {
		dir = filepath.Join(tc.root, "js", "dist")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}

	if *check {
		if slices.Contains(parts, "module") {
			if _, err := checkModule(ctx, tc, dir); err != nil {
				return err
			}
		}
		if slices.Contains(parts, "wrapper") {
			return checkWrapper(ctx, tc, dir)
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if slices.Contains(parts, "module") {
		c, err := findCompiler(ctx, tc, *name)
		if err != nil {
			return err
		}
		if *name == "" && c.name == "go" {
			fmt.Fprintln(stdout, `authsignal.wasm: TinyGo is not installed, so Go builds the module, at fourteen times the size; "make tinygo" installs it`)
		}
		if err := buildModule(ctx, c, dir, stdout); err != nil {
			return err
		}
	}
	if slices.Contains(parts, "wrapper") {
		if err := buildWrapper(ctx, tc, dir, stdout); err != nil {
			return err
		}
	}
	return nil
}

// A toolchain is a go command and the Go module that it builds.
type toolchain struct {
	version string // such as "go1.26.8"
	goroot  string
	root    string // the folder of go.mod
}

// findToolchain runs go env in the current directory, so that the toolchain line
// of go.mod applies.
func findToolchain(ctx context.Context) (toolchain, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOROOT", "GOMOD").Output()
	if err != nil {
		return toolchain{}, fmt.Errorf("go env: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 || filepath.Base(lines[2]) != "go.mod" {
		return toolchain{}, errors.New("run buildsdk inside the folder of go.mod")
	}
	return toolchain{version: lines[0], goroot: lines[1], root: filepath.Dir(lines[2])}, nil
}

// writeFile writes a file atomically. It does not touch a file that has these
// bytes already, so that packages that embed it are not rebuilt.
func writeFile(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(data) {
		return nil
	}
	// Beside the folder, not in it: Go embeds all files of the folder.
	f, err := os.CreateTemp(filepath.Dir(filepath.Dir(name)), ".buildsdk-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
