package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/authsignal-wasm/sdk/js"
)

// version prints the versions of this program and its parts, a line each; compiler
// and module are those of the browser module. It reads no flags and no environment,
// so that it works even if the server does not start.
func version(args []string, stdout io.Writer) error {
	if len(args) > 0 {
		return errors.New("usage: authsignal-server version")
	}
	compiler, module := "none", "not built"
	m, err := js.ReadModule()
	switch {
	case err == nil:
		compiler, module = m.Compiler+" "+m.CompilerVersion, m.Build
	case !errors.Is(err, js.ErrNotBuilt):
		return err
	}
	info, _ := debug.ReadBuildInfo()
	_, err = fmt.Fprintf(stdout, "version  %s\ncommit   %s\ngo       %s\ncompiler %s\nmodule   %s\n",
		js.Version(), commit(info), runtime.Version(), compiler, module)
	return err
}

// commit returns the commit that a program was built from, with "-dirty" if the
// files differed from the commit. It returns "unknown" if go build ran outside of a
// clone of the repository or with -buildvcs=false.
func commit(info *debug.BuildInfo) string {
	if info == nil {
		return "unknown"
	}
	setting := func(key string) string {
		i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
		if i < 0 {
			return ""
		}
		return info.Settings[i].Value
	}
	revision := setting("vcs.revision")
	switch {
	case revision == "":
		return "unknown"
	case setting("vcs.modified") == "true":
		return revision + "-dirty"
	}
	return revision
}
