package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A logRun is a server whose calls cover all that is logged, and the secrets, codes
// and tokens that must not be. Codes have eight digits here, so that none
// appears in a time or a duration by chance.
type logRun struct {
	*process
	apiSecret, managementKey string
	consent                  atomic.Int32 // the status that the webhook answers

	mu        sync.Mutex
	forbidden []string // must not be in the log
}

// never adds s to the texts that must not be in the log, and returns it.
func (r *logRun) never(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forbidden = append(r.forbidden, s)
	return s
}

func startLogRun(t *testing.T) *logRun {
	t.Helper()
	r := &logRun{}
	r.consent.Store(http.StatusOK)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.never(req.Header.Get("X-Signature-V2"))
		w.WriteHeader(int(r.consent.Load()))
	}))
	t.Cleanup(hook.Close)
	hookKey := r.never("hook-key-7263540917")
	file := filepath.Join(t.TempDir(), "config.yaml")
	err := os.WriteFile(file, fmt.Appendf(nil, `
tenants:
  - tenantId: t1
    webhookUrl: %s/hook?key=%s
    authenticator: {active: true, digits: 8}
    actions:
      pay: {defaultOutcome: ALLOW, rules: [{name: r, condition: custom.missing > 1, outcome: BLOCK}]}
`, hook.URL, hookKey), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "-addr", "127.0.0.1:0", "-db", storetest.Empty(t), "-config", file)
	r.apiSecret, r.managementKey = r.never("test-secret-key-of-the-log-test-only"), r.never("test-management-key-of-the-log-test")
	encryption := r.never("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=")
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_API_SECRET_KEY="+r.apiSecret, "AUTHSIGNAL_MANAGEMENT_KEY="+r.managementKey, "AUTHSIGNAL_ENCRYPTION_KEY="+encryption)
	r.process = startCommand(t, cmd)
	r.client = authsignal.New(r.apiSecret, r.url)
	return r
}

// send sends a request and returns the text of the answer.
func (r *logRun) send(method, path, user, bearer, body string) string {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, "")
	} else {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func (r *logRun) code(secret string, offset int64) string {
	r.t.Helper()
	parameters := totp.Parameters{Algorithm: totp.SHA1, Digits: 8, Period: 30}
	c, err := totp.Code(secret, parameters.Step(time.Now())+offset, parameters)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.never(c)
}

func (r *logRun) verify(token, code string) map[string]any {
	r.t.Helper()
	v, _ := r.try("/client/verify/totp", token, `{"verificationCode":"`+code+`"}`)
	if token, ok := v["accessToken"].(string); ok {
		r.never(token)
	}
	return v
}

// signIn enrolls a user and lets codes be accepted, refused by the webhook,
// replayed and wrong until the limit. It returns a token and the secret.
func (r *logRun) signIn() (token, secret string) {
	r.t.Helper()
	first := r.track("u1", "enroll")
	r.never(first.Token)
	e := r.post("/client/user-authenticators/totp", first.Token, "")
	secret = r.never(e["secret"].(string))
	r.verify(first.Token, r.never("11223344"))
	if r.verify(first.Token, r.code(secret, 0))["isVerified"] != true {
		r.t.Fatal("the enrollment was refused")
	}
	second := r.track("u1", "second")
	r.never(second.Token)
	r.consent.Store(http.StatusForbidden) // the webhook refuses: it is logged
	r.verify(second.Token, r.code(secret, 1))
	r.verify(second.Token, r.code(secret, 1)) // a replay
	for range 12 {                            // over the limit
		r.verify(second.Token, r.never("55667788"))
	}
	return second.Token, secret
}

// misuse makes a rule fail, causes errors of every kind, and puts secrets in the
// wrong places.
func (r *logRun) misuse(token, secret string) {
	r.t.Helper()
	r.send("POST", "/users/u1/actions/pay", r.apiSecret, "", `{"custom":{"pin":"`+r.never("90817263")+`"}}`)
	r.send("POST", "/validate", r.apiSecret, "", `{"token":"`+token+`"}`)
	r.send("POST", "/validate", r.apiSecret, "", `{"token":`+r.never("66554433"))
	r.send("GET", "/users/u1?token="+token, r.apiSecret, "", "")
	r.send("GET", "/"+token, r.apiSecret, "", "")
	r.send("GET", "/users/"+secret+"/actions/"+secret[:20]+"/"+r.never("44332211"), r.apiSecret, "", "")
	r.send("GET", "/users/u1", r.never("a-wrong-secret-that-is-nearly-right"), "", "")
	r.send(strings.ToUpper(r.never("EVILMETHOD"))+"X", "/users/u1", r.apiSecret, "", "")
	r.send("POST", "/client/verify/totp", "", r.never("not.a.token-8172635"), "{}")
	created := r.send("POST", "/management/tenants/t1/secrets", r.managementKey, "", "")
	_, rest, _ := strings.Cut(created, `"apiSecretKey":"`)
	fresh, _, _ := strings.Cut(rest, `"`)
	if len(r.never(fresh)) < 40 {
		r.t.Fatalf("no new API secret: %s", created)
	}
	r.send("POST", "/management/signing-keys", r.managementKey, "", "")
	r.send("DELETE", "/users/u1?actions=true", r.apiSecret, "", "")
	res, err := http.Get(strings.TrimSuffix(r.url, "/v1") + "/?token=" + token)
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
}

// stop ends the server and returns all that it logged.
func (r *logRun) stop() []byte {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatal(err)
	}
	return r.stderr.Bytes()
}

// The logs of a full run contain no secret, no code and no token.
func TestTheLogsOfAFullRun(t *testing.T) {
	t.Parallel()
	r := startLogRun(t)
	r.misuse(r.signIn())
	logs := r.stop()

	if n := bytes.Count(logs, []byte("\n")); n < 30 {
		t.Fatalf("only %d lines were logged:\n%s", n, logs)
	}
	for _, want := range []string{"a rule could not be evaluated", "webhook did not consent", `"request":"`} {
		if !bytes.Contains(logs, []byte(want)) {
			t.Errorf("the run did not log %q", want)
		}
	}
	if len(r.forbidden) < 20 {
		t.Fatalf("only %d texts to look for", len(r.forbidden))
	}
	for _, s := range r.forbidden {
		if bytes.Contains(logs, []byte(s)) {
			t.Errorf("the logs contain %q", s)
		}
		// Nor its end, which is the signature of a token.
		if i := len(s) - 20; i > 0 && bytes.Contains(logs, []byte(s[i:])) {
			t.Errorf("the logs contain the end of %q", s)
		}
	}
	if bytes.Contains(logs, []byte("otpauth:")) {
		t.Error("the logs contain an otpauth URI")
	}
}
