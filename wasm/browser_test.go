//go:build !js

// The tests of the browser module run in Chromium; their files end in
// _js_test.go. This file starts the servers that
// they call, and runs them.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// TestBrowser runs the module's tests in Chromium, against the API server and
// against a server that is broken in every way.
func TestBrowser(t *testing.T) {
	chromium := findChromium(t)
	// The cache of go test depends on the files that this process reads, but
	// another process reads the sources of the module.
	sources(t)
	server := startServer(t, 10*time.Minute)
	shortLived := startServer(t, time.Second)
	peer := httptest.NewServer(newPeer(server, shortLived))
	t.Cleanup(peer.Close)
	// The path that never answers would block Close.
	t.Cleanup(peer.CloseClientConnections)

	runner := filepath.Join(t.TempDir(), "wasmbrowsertest")
	goCommand(t, nil, "build", "-o", runner, "github.com/agnivade/wasmbrowsertest")
	args := []string{"test", "-count=1", "-p=1", "-timeout=5m", "-exec=" + runner}
	if testing.Verbose() {
		args = append(args, "-v")
	}
	goCommand(t, []string{
		"GOOS=js", "GOARCH=wasm",
		// chromedp looks for a browser in the path.
		"PATH=" + filepath.Dir(chromium) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"AUTHSIGNAL_TEST_PEER=" + peer.URL,
		"AUTHSIGNAL_TEST_DOWN=" + closedPort(t),
		"AUTHSIGNAL_TEST_API=" + server.BaseURL,
		"AUTHSIGNAL_TEST_SHORT_LIVED_API=" + shortLived.BaseURL,
	}, append(args, "./...")...)
}

// findChromium returns the path of the browser. It fails the test, rather than
// skipping it, if there is none: the module would not be tested.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("the tests of the browser module need Chromium or Chrome in the path: apt-get install chromium")
	return ""
}

// goCommand runs the go command in wasm/. Of the environment it passes on only
// what Go and Chromium need: wasm_exec.js gives all of it to the test program,
// which has room for about 8 kB.
func goCommand(t *testing.T, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case name == "GOOS", name == "GOARCH", name == "GOROOT":
		case name == "PATH", name == "HOME", name == "TMPDIR", strings.HasPrefix(name, "XDG_"),
			strings.HasPrefix(name, "GO"), strings.HasSuffix(strings.ToLower(name), "_proxy"):
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	// After a time-out the browser must end too.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	if testing.Verbose() {
		t.Logf("%s", output)
	}
}

// startServer starts an API server whose tokens are valid for ttl.
func startServer(t *testing.T, ttl time.Duration) *daemon.Server {
	t.Helper()
	s, err := daemon.Start(t.Context(), config.Config{
		Addr:     "127.0.0.1:0",
		DB:       filepath.Join(t.TempDir(), "test.db"),
		TokenTTL: ttl,
		Issuer:   "Test",
		Dev:      true, // the test page's port is not known beforehand
		Activate: true,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return s
}

// closedPort returns the base URL of a server that is down.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String() + "/v1"
}

// newPeer returns the server that the tests in the browser call beside the API
// server: broken API servers, each under a path of its own, and the backend of an
// application. The tokens of shortLived expire soon.
func newPeer(server, shortLived *daemon.Server) http.Handler {
	mux := http.NewServeMux()
	addBrokenServers(mux)
	addBackend(mux, server, shortLived)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "authorization, content-type")
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// addBrokenServers adds API servers with unusual answers. /echo/client/ returns
// the request.
func addBrokenServers(mux *http.ServeMux) {
	answer := func(path string, status int, body string) {
		mux.HandleFunc("POST "+path+"/client/", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	answer("/html", 200, "<!DOCTYPE html><title>Hello</title>")
	answer("/html502", 502, "<html>Bad Gateway</html>")
	answer("/empty", 200, "")
	answer("/no-content", 204, "")
	answer("/null", 200, "null")
	answer("/string", 200, `"text"`)
	answer("/number", 200, "7")
	answer("/array", 200, "[]")
	answer("/cut", 200, `{"uri":"otpauth://totp/x`)
	answer("/404", 404, `{"message":"Not Found"}`)
	answer("/429", 429, `{"message":"Slow down"}`)
	answer("/429-html", 429, "<html>Slow down</html>")
	answer("/500", 500, "{}")
	answer("/error-null", 200, `{"error":null}`)
	answer("/error-only", 400, `{"error":"invalid_request"}`)
	answer("/error-empty", 400, `{"error":"e","errorCode":"c","errorDescription":""}`)
	answer("/error-raw", 400, `{"error":{"a":1},"errorCode":7,"errorDescription":["b"]}`)
	answer("/error", 403, `{"error":"unauthorized","errorCode":"unauthorized","errorDescription":"No scope."}`)
	answer("/expired", 401, `{"error":"expired_token","errorCode":"expired_token","errorDescription":"The token has expired."}`)
	answer("/unknown", 200, `{"token":"first","isVerified":true,"accessToken":"new","later":{"a":[1,null]}}`)
	answer("/not-a-uri", 200, `{"uri":7,"secret":"s"}`)
	answer("/long-uri", 200, `{"uri":"`+strings.Repeat("a", 4000)+`","secret":"s"}`)
	answer("/long-account", 200, `{"uri":"`+strings.Repeat("a", 2500)+`","secret":"s"}`)
	mux.HandleFunc("POST /never/client/", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /slow-body/client/", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"uri":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /huge/client/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<30))
		io.WriteString(w, `{"uri":"`)
		spaces := bytes.Repeat([]byte(" "), 1<<16)
		for {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("POST /reset/client/", func(w http.ResponseWriter, r *http.Request) {
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("POST /redirect/client/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/echo"+strings.TrimPrefix(r.URL.Path, "/redirect"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("POST /echo/client/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]any{
			"path": r.URL.Path, "authorization": r.Header.Get("Authorization"),
			"contentType": r.Header.Get("Content-Type"), "cookie": r.Header.Get("Cookie"), "body": string(body),
		})
	})
}

// addBackend adds the backend of an application, since the Server API is not for
// browsers: /track returns a token for a user, /validate validates one.
func addBackend(mux *http.ServeMux, server, shortLived *daemon.Server) {
	backend := func(s *daemon.Server) *authsignal.Client { return authsignal.New(s.APISecretKey, s.BaseURL) }
	reply := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("POST /track", func(w http.ResponseWriter, r *http.Request) {
		s := server
		if r.FormValue("shortLived") != "" {
			s = shortLived
		}
		answer, err := backend(s).Track(r.Context(), authsignal.TrackRequest{UserID: r.FormValue("user"), Action: "signIn"})
		reply(w, answer, err)
	})
	mux.HandleFunc("POST /validate", func(w http.ResponseWriter, r *http.Request) {
		answer, err := backend(server).ValidateChallenge(r.Context(), authsignal.ValidateRequest{Token: r.FormValue("token")})
		reply(w, answer, err)
	})
}
