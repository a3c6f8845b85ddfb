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
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// The logs of a full run contain no secret, no code and no token. Codes have
// eight digits here, so that none appears in a time or a duration by chance.
func TestTheLogsOfAFullRun(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var forbidden []string // must not be in the log
	never := func(s string) string {
		mu.Lock()
		defer mu.Unlock()
		forbidden = append(forbidden, s)
		return s
	}
	consent := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		never(r.Header.Get("X-Signature-V2"))
		w.WriteHeader(consent)
	}))
	t.Cleanup(hook.Close)
	hookKey := never("hook-key-7263540917")
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
	apiSecret, managementKey := never("test-secret-key-of-the-log-test-only"), never("test-management-key-of-the-log-test")
	encryption := never("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=")
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_API_SECRET_KEY="+apiSecret, "AUTHSIGNAL_MANAGEMENT_KEY="+managementKey, "AUTHSIGNAL_ENCRYPTION_KEY="+encryption)
	p := startCommand(t, cmd)
	p.client = authsignal.New(apiSecret, p.url)

	// send sends a request and returns the text of the answer.
	send := func(method, path, user, bearer, body string) string {
		t.Helper()
		req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, "")
		} else {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	parameters := totp.Parameters{Algorithm: totp.SHA1, Digits: 8, Period: 30}
	codeOf := func(secret string, offset int64) string {
		c, err := totp.Code(secret, parameters.Step(time.Now())+offset, parameters)
		if err != nil {
			t.Fatal(err)
		}
		return never(c)
	}
	verify := func(token, code string) map[string]any {
		v, _ := p.try("/client/verify/totp", token, `{"verificationCode":"`+code+`"}`)
		if tok, ok := v["accessToken"].(string); ok {
			never(tok)
		}
		return v
	}

	tr := p.track("u1", "enroll")
	never(tr.Token)
	e := p.post("/client/user-authenticators/totp", tr.Token, "")
	secret := never(e["secret"].(string))
	verify(tr.Token, never("11223344"))
	if verify(tr.Token, codeOf(secret, 0))["isVerified"] != true {
		t.Fatal("the enrollment was refused")
	}
	second := p.track("u1", "second")
	never(second.Token)
	consent = http.StatusForbidden // the webhook refuses: it is logged
	verify(second.Token, codeOf(secret, 1))
	verify(second.Token, codeOf(secret, 1)) // a replay
	for range 12 {                          // over the limit
		verify(second.Token, never("55667788"))
	}
	// A rule that fails, errors of every kind, and secrets in the wrong places.
	send("POST", "/users/u1/actions/pay", apiSecret, "", `{"custom":{"pin":"`+never("90817263")+`"}}`)
	send("POST", "/validate", apiSecret, "", `{"token":"`+second.Token+`"}`)
	send("POST", "/validate", apiSecret, "", `{"token":`+never("66554433"))
	send("GET", "/users/u1?token="+second.Token, apiSecret, "", "")
	send("GET", "/"+second.Token, apiSecret, "", "")
	send("GET", "/users/"+secret+"/actions/"+secret[:20]+"/"+never("44332211"), apiSecret, "", "")
	send("GET", "/users/u1", never("a-wrong-secret-that-is-nearly-right"), "", "")
	send(strings.ToUpper(never("EVILMETHOD"))+"X", "/users/u1", apiSecret, "", "")
	send("POST", "/client/verify/totp", "", never("not.a.token-8172635"), "{}")
	made := send("POST", "/management/tenants/t1/secrets", managementKey, "", "")
	_, rest, _ := strings.Cut(made, `"apiSecretKey":"`)
	fresh, _, _ := strings.Cut(rest, `"`)
	if len(never(fresh)) < 40 {
		t.Fatalf("no new API secret: %s", made)
	}
	send("POST", "/management/signing-keys", managementKey, "", "")
	send("DELETE", "/users/u1?actions=true", apiSecret, "", "")
	res, err := http.Get(strings.TrimSuffix(p.url, "/v1") + "/?token=" + tr.Token)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	logs := p.stderr.Bytes()
	if n := bytes.Count(logs, []byte("\n")); n < 30 {
		t.Fatalf("only %d lines were logged:\n%s", n, logs)
	}
	for _, want := range []string{"a rule could not be evaluated", "webhook did not consent", `"request":"`} {
		if !bytes.Contains(logs, []byte(want)) {
			t.Errorf("the run did not log %q", want)
		}
	}
	if len(forbidden) < 20 {
		t.Fatalf("only %d things to look for", len(forbidden))
	}
	for _, s := range forbidden {
		if bytes.Contains(logs, []byte(s)) {
			t.Errorf("the logs hold %q", s)
		}
		// Nor its end, which is the signature of a token.
		if i := len(s) - 20; i > 0 && bytes.Contains(logs, []byte(s[i:])) {
			t.Errorf("the logs hold the end of %q", s)
		}
	}
	if bytes.Contains(logs, []byte("otpauth:")) {
		t.Error("the logs hold an otpauth URI")
	}
}
