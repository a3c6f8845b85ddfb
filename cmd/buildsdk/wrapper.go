package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// buildWrapper bundles the wrapper into dir.
func buildWrapper(ctx context.Context, tc toolchain, dir string, w io.Writer) error {
	files, err := bundleWrapper(ctx, tc, dir)
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
func checkWrapper(ctx context.Context, tc toolchain, dir string) error {
	files, err := bundleWrapper(ctx, tc, dir)
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

// bundleWrapper returns the bundles of js/src as files of dir, without writing
// them. The module must be in dir: the bundles contain the loader of its compiler,
// and inline.js contains the module.
func bundleWrapper(ctx context.Context, tc toolchain, dir string) ([]api.OutputFile, error) {
	base, err := commonOptions(ctx, tc, dir)
	if err != nil {
		return nil, err
	}
	var files []api.OutputFile
	for _, options := range append(mainBundles(base, dir), addOnBundles(base, dir)...) {
		bundled, err := bundle(options)
		if err != nil {
			return nil, err
		}
		files = append(files, bundled...)
	}
	return files, nil
}

// commonOptions returns the options that all bundles share. Their plugins provide
// the loader, the guard and the module in dir.
func commonOptions(ctx context.Context, tc toolchain, dir string) (api.BuildOptions, error) {
	var none api.BuildOptions
	rec, err := readModule(dir)
	if err != nil {
		return none, err
	}
	c, err := findCompiler(ctx, tc, rec.Compiler)
	if err != nil {
		return none, err
	}
	wasmExec, err := wasmExecSource(c)
	if err != nil {
		return none, err
	}
	guard, err := os.ReadFile(filepath.Join(tc.root, "wasm", "internal", "bridge", "guard.js"))
	if err != nil {
		return none, err
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "authsignal.wasm"))
	if err != nil {
		return none, err
	}
	return api.BuildOptions{
		AbsWorkingDir: filepath.Join(tc.root, "js"),
		Bundle:        true,
		Target:        api.ES2021, // Chrome 85, Firefox 79, Safari 14: older than the module needs
		Platform:      api.PlatformNeutral,
		Format:        api.FormatESModule,
		Charset:       api.CharsetUTF8,
		Sourcemap:     api.SourceMapLinked,
		LegalComments: api.LegalCommentsEndOfFile,
		Plugins: []api.Plugin{
			sourcePlugin("wasm_exec", wasmExec),
			sourcePlugin("guard", string(guard)),
			sourcePlugin("record", "export const record = "+strconv.Quote(rec.Build)),
			sourcePlugin("inlined_module", `export const gzip = "`+base64.StdEncoding.EncodeToString(compressGzip(wasm))+`"`),
		},

		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
	}, nil
}

// mainBundles returns the bundles that each contain the wrapper or the loader:
// wasm_exec.js, index.js, index.min.js and inline.js.
func mainBundles(base api.BuildOptions, dir string) []api.BuildOptions {
	raw := base
	raw.EntryPoints = []string{"src/raw.ts"}
	raw.Format = api.FormatIIFE
	raw.Outfile = filepath.Join(dir, "wasm_exec.js")
	raw.Sourcemap = api.SourceMapNone

	module := base
	module.EntryPoints = []string{"src/index.ts"}
	module.Outfile = filepath.Join(dir, "index.js")

	script := base
	script.EntryPoints = []string{"src/tag.ts"}
	script.Format = api.FormatIIFE
	script.IgnoreAnnotations = true // package.json declares index.ts free of side effects, but its entry has one
	script.Outfile = filepath.Join(dir, "index.min.js")
	// A classic script has no import.meta; script.ts records its URL instead.
	script.Inject = []string{"src/script.ts"}
	script.Define = map[string]string{"import.meta.url": "scriptURL"}

	inline := base
	inline.EntryPoints = []string{"src/inline.ts"}
	inline.Outfile = filepath.Join(dir, "inline.js")
	inline.Sourcemap = api.SourceMapNone // it would contain the module a second time

	return []api.BuildOptions{raw, module, script, inline}
}

// addOnBundles returns the bundles that import the main entry, index.js, instead
// of containing a second copy of the wrapper. Each exists a second time for pages
// on which package.json replaces the main entry by the inline one.
func addOnBundles(base api.BuildOptions, dir string) []api.BuildOptions {
	var builds []api.BuildOptions
	for _, main := range []struct{ entry, suffix string }{{"./index.js", ""}, {"./inline.js", "-inline"}} {
		react := base
		react.EntryPoints = []string{"src/react.ts"}
		react.Outfile = filepath.Join(dir, "react"+main.suffix+".js")
		react.JSX = api.JSXAutomatic
		react.Plugins = []api.Plugin{externalPlugin(`^\.\.?/index\.js$`, main.entry), externalPlugin(`^(react|react/jsx-runtime)$`, "")}
		// Frameworks that render on a server must leave these to the page.
		react.Banner = map[string]string{"js": `"use client";`}

		global := base
		global.EntryPoints = []string{"src/global.ts"}
		global.Outfile = filepath.Join(dir, "global"+main.suffix+".js")
		global.Plugins = []api.Plugin{externalPlugin(`^\./index\.js$`, main.entry)}
		global.Sourcemap = api.SourceMapNone

		builds = append(builds, react, global)
	}
	return builds
}

// bundle runs one build. A warning is an error.
func bundle(options api.BuildOptions) ([]api.OutputFile, error) {
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
	return result.OutputFiles, nil
}

// wasmExecSource returns the source of "wasm_exec": the compiler's file inside a
// function whose names hide the page's globals from it, and Node's from bundlers.
// The globals that the file sets (Go, fs, process, path) are then properties of
// the object that the loader passes in, and so are those of the Go program.
func wasmExecSource(c compiler) (string, error) {
	text, err := os.ReadFile(c.wasmExec)
	if err != nil {
		return "", err
	}
	loader := string(text)
	if c.name == "tinygo" {
		// Replaced are functions that this program never calls, polyfills for what
		// every browser has, code for programs that end by themselves, and a
		// command line for Node.
		for _, part := range []struct{ from, to, instead string }{
			{"	// Map multiple JavaScript environments", "	// End of polyfills for common API.", ""},
			{"	var logLine = [];", "	global.Go = class", ""},
			{"			this._callbackTimeouts = new Map();", "			const mem = () => {", ""},
			{"			const wasi_EBADF = 8;", "			this.importObject = {", ""},
			{"			this.exited = false;", "			if (this._inst.exports._start)", ""},
			{"					// https://github.com/WebAssembly/WASI/", "					random_get: ", ""},
			{"					// func sleepTicks(", "					// func finalizeRef(", ""},
			// The references of values are freed after each event, all at once, by
			// forgetter in js/src/loader.ts.
			{"					\"syscall/js.finalizeRef\": (v_ref) => {", "					// func stringVal(", "\"syscall/js.finalizeRef\": () => {},\n"},
			{"					// func valueInstanceOf(", "					// copyBytesToJS(", ""},
			{"			// Go 1.20 uses 'env'", "		}\n\n		async run(", ""},
			{"			if (this._inst.exports._start) {", "		}\n\n		_resume() {", "this._inst.exports._initialize();\n"},
			{"			if (this.exited) {\n				throw", "		}\n\n		_makeFuncWrapper", "this._inst.exports.resume();\n"},
			{"	if (\n		global.require &&", "})();", ""},
		} {
			if loader, err = replace(loader, part.from, part.to, part.instead); err != nil {
				return "", err
			}
		}
	}
	return "/*! wasm_exec.js: Copyright 2018 The Go Authors, BSD-3-Clause */\n" +
		// The page may have replaced these by the time of a call.
		"import { Map, Reflect, String, Uint8Array } from 'guard';\n" +
		"export function load(globalThis) {\n" +
		"const global = globalThis;\n" +
		// The only global that Go's file reads by its bare name.
		"const fs = { writeSync: (fd, data) => globalThis.fs.writeSync(fd, data) };\n" +
		loader + "\nreturn globalThis.Go;\n}\n", nil
}

// replace replaces the part of text that begins with from and ends before to.
func replace(text, from, to, instead string) (string, error) {
	before, rest, ok := strings.Cut(text, from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		return "", fmt.Errorf("wasm_exec.js has no part from %q to %q: it is of another version of the compiler", from, to)
	}
	return before + instead + to + after, nil
}

// sourcePlugin resolves the import of a name to a source that is not a file.
func sourcePlugin(name, source string) api.Plugin {
	return api.Plugin{
		Name: name,
		Setup: func(build api.PluginBuild) {
			build.OnResolve(api.OnResolveOptions{Filter: "^" + name + "$"}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
				return api.OnResolveResult{Path: name + ".js", Namespace: name}, nil
			})
			build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: name}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
				return api.OnLoadResult{Contents: &source, Loader: api.LoaderJS}, nil
			})
		},
	}
}

// externalPlugin keeps the imports that filter matches as imports: of path, or
// unchanged if path is "".
func externalPlugin(filter, path string) api.Plugin {
	return api.Plugin{
		Name: "external",
		Setup: func(build api.PluginBuild) {
			build.OnResolve(api.OnResolveOptions{Filter: filter}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				return api.OnResolveResult{Path: cmp.Or(path, args.Path), External: true}, nil
			})
		},
	}
}
