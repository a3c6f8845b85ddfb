package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A compiler builds the module. Only its own loader starts that module.
type compiler struct {
	name    string // "go" or "tinygo"
	version string // such as "1.26.8"
	// wasmExec is the path of the loader, which starts modules of this compiler
	// only: the two are always shipped together.
	wasmExec string
	tc       toolchain
}

func (c compiler) String() string { return c.name + "/" + c.version }

// tinygo is the folder in which make tinygo installs TinyGo, below that of go.mod.
const tinygo = "bin/tinygo"

// errNoTinyGo reports that TinyGo is not installed.
var errNoTinyGo = errors.New(`TinyGo is not installed here: run "make tinygo"`)

// findCompiler returns the compiler of a name. "" means TinyGo if it is
// installed, otherwise Go.
func findCompiler(ctx context.Context, tc toolchain, name string) (compiler, error) {
	program := filepath.Join(tc.root, tinygo, "bin", "tinygo")
	switch name {
	case "":
		if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
			return findCompiler(ctx, tc, "go")
		}
		return findCompiler(ctx, tc, "tinygo")
	case "go":
		return compiler{
			name:     "go",
			version:  strings.TrimPrefix(tc.version, "go"),
			wasmExec: filepath.Join(tc.goroot, "lib", "wasm", "wasm_exec.js"),
			tc:       tc,
		}, nil
	case "tinygo":
		if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
			return compiler{}, errNoTinyGo
		}
		out, err := exec.CommandContext(ctx, program, "version").Output()
		if err != nil {
			return compiler{}, fmt.Errorf("tinygo version: %w", err)
		}
		// tinygo version 0.41.0 linux/amd64 (using go version ...)
		words := strings.Fields(string(out))
		if len(words) < 3 {
			return compiler{}, fmt.Errorf("tinygo version answers %q", out)
		}
		return compiler{
			name:     "tinygo",
			version:  words[2],
			wasmExec: filepath.Join(tc.root, tinygo, "targets", "wasm_exec.js"),
			tc:       tc,
		}, nil
	}
	return compiler{}, fmt.Errorf("-compiler %s: want go or tinygo", name)
}

// compile builds a package of the module in root, such as "./wasm", and returns
// its bytes. The same sources and compiler result in the same bytes, wherever
// root is.
func (c compiler) compile(ctx context.Context, root, pkg string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "buildsdk")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "authsignal.wasm")

	var cmds []*exec.Cmd
	if c.name == "tinygo" {
		cmds = c.tinyGoBuild(ctx, file, pkg)
	} else {
		overlay := filepath.Join(tmp, "overlay.json")
		if err := c.writeOverlay(overlay); err != nil {
			return nil, err
		}
		cmds = c.goBuild(ctx, file, pkg, overlay)
	}
	for _, cmd := range cmds {
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %s: %w\n%s", pkg, filepath.Base(cmd.Path), err, out)
		}
	}
	return os.ReadFile(file)
}

// std contains stand-ins for packages of the standard library, below the folder of
// go.mod; see docs/tinygo.md. TinyGo has them in its root.
const std = "cmd/buildsdk/std"

// writeOverlay writes the file for -overlay that replaces packages of the standard
// library with those of std.
func (c compiler) writeOverlay(file string) error {
	from := filepath.Join(c.tc.root, filepath.FromSlash(std))
	replace := map[string]string{}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		dir, err := filepath.Rel(from, filepath.Dir(name))
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(c.tc.goroot, "src", dir, "*.go"))
		if err != nil {
			return err
		}
		for _, f := range files {
			replace[f] = "" // as if it did not exist
		}
		replace[filepath.Join(c.tc.goroot, "src", dir, "standin.go")] = name
		return nil
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

func (c compiler) goBuild(ctx context.Context, file, pkg, overlay string) []*exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", "build",
		"-overlay="+overlay,
		"-buildvcs=false", // the commit would change the hash
		"-ldflags=-s -w",
		// Without inlining the module is 6 % smaller. The QR encoder keeps it for
		// its speed.
		"-gcflags=all=-l",
		"-gcflags=github.com/skip2/go-qrcode/...=",
		"-o", file, pkg)
	// If not empty, GOFLAGS overrides the caller's and that of go env.
	cmd.Env = append(environ("GOWASM", "GOEXPERIMENT"), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-trimpath",
		// Go 1.26's new collector is for many cores and large heaps; without
		// it the module is 1.7 % smaller. Later versions of Go reject the name.
		"GOEXPERIMENT=nogreenteagc")
	return []*exec.Cmd{cmd}
}

func (c compiler) tinyGoBuild(ctx context.Context, file, pkg string) []*exec.Cmd {
	bin := filepath.Join(c.tc.root, filepath.FromSlash(tinygo), "bin")
	build := exec.CommandContext(ctx, filepath.Join(bin, "tinygo"), "build",
		"-target", filepath.Join(c.tc.root, "cmd", "buildsdk", "tinygo.json"),
		"-opt=z",
		"-no-debug",
		"-panic=trap", // without the texts of panics
		"-o", file, pkg)
	// These would override the settings of the installed compiler.
	build.Env = append(environ("TINYGOROOT", "WASMOPT", "GOWASM", "GOEXPERIMENT", "GOOS", "GOARCH"),
		"GOTOOLCHAIN="+c.tc.version, "GOFLAGS=-trimpath")
	// TinyGo does not remove the names of functions.
	strip := exec.CommandContext(ctx, filepath.Join(bin, "wasm-opt"),
		"-Oz", "--strip-debug", "--strip-producers", "--strip-target-features", file, "-o", file)
	return []*exec.Cmd{build, strip}
}

// environ returns os.Environ without some variables.
func environ(without ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains(without, name)
	})
}
