package main

import (
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/js"
)

func TestVersionHasALineForEachPart(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "-version", "--version"} {
		cmd := command(t, arg)
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_TOKEN_TTL=wrong", "AUTHSIGNAL_API_SECRET_KEY=short")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := `^version  ` + regexp.QuoteMeta(js.Version()) + `
commit   (unknown|[0-9a-f]{40,64}(-dirty)?)
go       go1\.\S+
compiler (none|go 1\.\S+|tinygo \S+)
module   (not built|authsignal-wasm/` + regexp.QuoteMeta(js.Version()) + ` \S+ build/[0-9a-f]{16})
$`
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: got\n%s", arg, out)
		}
	}
}

func TestVersionTakesNoArguments(t *testing.T) {
	t.Parallel()
	var stdout strings.Builder
	if err := version([]string{"-db", "x"}, &stdout); err == nil || !strings.Contains(err.Error(), "usage") || stdout.Len() > 0 {
		t.Errorf("got %v, %q", err, stdout.String())
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "ae88840"}
	for _, tt := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "unknown"},
		{&debug.BuildInfo{}, "unknown"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, revision, {Key: "vcs.modified", Value: "false"}}}, "ae88840"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}}, "ae88840-dirty"},
	} {
		if got := commit(tt.info); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.info, got, tt.want)
		}
	}
}
