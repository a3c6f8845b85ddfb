package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/evanw/esbuild/pkg/api"
)

// buildWrapper bundles the wrapper into dir.
func buildWrapper(tc toolchain, dir string, w io.Writer) error {
	files, err := bundleWrapper(tc, dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(f.Path, f.Contents); err != nil {
			return err
		}
		if filepath.Ext(f.Path) == ".js" {
			fmt.Fprintf(w, "%s: raw %d, brotli %d bytes\n",
				filepath.Base(f.Path), len(f.Contents), len(compressBrotli(f.Contents)))
		}
	}
	return nil
}

// checkWrapper compares the wrapper in dir with a new bundle.
func checkWrapper(tc toolchain, dir string) error {
	files, err := bundleWrapper(tc, dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if old, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(old, f.Contents) {
			return errStale
		}
	}
	return nil
}

// bundleWrapper bundles js/src, as an ES module and for a script tag, into
// files of dir that it does not write.
func bundleWrapper(tc toolchain, dir string) ([]api.OutputFile, error) {
	loader, err := os.ReadFile(tc.wasmExec())
	if err != nil {
		return nil, err
	}
	base := api.BuildOptions{
		AbsWorkingDir: filepath.Join(tc.root, "js"),
		EntryPoints:   []string{"src/index.ts"},
		Bundle:        true,
		Target:        api.ES2020,
		Platform:      api.PlatformNeutral,
		Charset:       api.CharsetUTF8,
		Sourcemap:     api.SourceMapLinked,
		LegalComments: api.LegalCommentsEndOfFile,
		Plugins:       []api.Plugin{wasmExecPlugin(string(loader), tc.version)},

		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
	}

	module := base
	module.Format = api.FormatESModule
	module.Outfile = filepath.Join(dir, "index.js")

	script := base
	script.Format = api.FormatIIFE
	script.GlobalName = "authsignal"
	script.Outfile = filepath.Join(dir, "index.min.js")
	// A classic script has no import.meta; script.ts notes its URL instead.
	script.Inject = []string{"src/script.ts"}
	script.Define = map[string]string{"import.meta.url": "scriptURL"}

	var files []api.OutputFile
	for _, options := range []api.BuildOptions{module, script} {
		result := api.Build(options)
		var errs []error
		for _, kind := range []struct {
			kind     api.MessageKind
			messages []api.Message
		}{{api.ErrorMessage, result.Errors}, {api.WarningMessage, result.Warnings}} {
			for _, text := range api.FormatMessages(kind.messages, api.FormatMessagesOptions{Kind: kind.kind}) {
				errs = append(errs, errors.New(text))
			}
		}
		if len(errs) > 0 {
			return nil, fmt.Errorf("bundling %s: %w", filepath.Base(options.Outfile), errors.Join(errs...))
		}
		files = append(files, result.OutputFiles...)
	}
	return files, nil
}

// wasmExecPlugin serves the import "wasm_exec": the toolchain's file, as it
// is, inside a function whose parameter hides the real globalThis. What the
// file publishes (Go, fs, process, path) then lands on the object that the
// wrapper passes in, and so does all that the Go program takes for global.
func wasmExecPlugin(loader, version string) api.Plugin {
	source := "/*! wasm_exec.js: Copyright 2018 The Go Authors. BSD-style license, https://go.dev/LICENSE */\n" +
		"export function load(globalThis) {\n" +
		// The one global that the file reads by its bare name.
		"const fs = { writeSync: (fd, data) => globalThis.fs.writeSync(fd, data) };\n" +
		loader + "\nreturn globalThis.Go;\n}\n" +
		"export const version = " + strconv.Quote(version) + ";\n"
	return api.Plugin{
		Name: "wasm_exec",
		Setup: func(build api.PluginBuild) {
			build.OnResolve(api.OnResolveOptions{Filter: `^wasm_exec$`}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
				return api.OnResolveResult{Path: "wasm_exec.js", Namespace: "go"}, nil
			})
			build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "go"}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
				return api.OnLoadResult{Contents: &source, Loader: api.LoaderJS}, nil
			})
		},
	}
}
