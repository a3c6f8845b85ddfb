package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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
	database                 string
	apiSecret, managementKey string
	consent                  atomic.Int32 // the status that the webhook answers

	mu        sync.Mutex
	forbidden []string // must not be in the log
	// unstored are the bytes that must also not be in the database, in an answer to a
	// call that has them in a wrong place, or in an event.
	unstored []string
	// shown are those answers and events.
	shown bytes.Buffer
}

// never adds s to the texts that must not be in the log, and returns it.
func (r *logRun) never(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forbidden = append(r.forbidden, s)
	return s
}

// secret adds s to the texts that must not appear in the log or in any other place that
// the test reads, and returns it.
func (r *logRun) secret(s string) string {
	r.never(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unstored = append(r.unstored, s)
	return s
}

// show adds a text that others see.
func (r *logRun) show(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown.WriteString(text + "\n")
}

func startLogRun(t *testing.T) *logRun {
	t.Helper()
	r := &logRun{database: storetest.Empty(t)}
	r.consent.Store(http.StatusOK)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.never(req.Header.Get("X-Signature-V2"))
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the server was stopped
		}
		r.show(string(body))
		w.WriteHeader(int(r.consent.Load()))
	}))
	t.Cleanup(hook.Close)
	hookKey := r.secret("hook-key-7263540917")
	file := filepath.Join(t.TempDir(), "config.yaml")
	err := os.WriteFile(file, fmt.Appendf(nil, `
tenants:
  - tenantId: t1
    webhookUrl: %s/hook?key=%s
    authenticator: {active: true, digits: 8}
    actions:
      signIn: {defaultOutcome: CHALLENGE, trustBrowserDays: 30}
      pay: {defaultOutcome: ALLOW, rules: [{name: r, condition: custom.missing > 1, outcome: BLOCK}]}
`, hook.URL, hookKey), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "-addr", "127.0.0.1:0", "-db", r.database, "-config", file)
	r.apiSecret, r.managementKey = r.secret("test-secret-key-of-the-log-test-only"), r.secret("test-management-key-of-the-log-test")
	encryption := r.secret("CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=")
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
		r.secret(token)
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

// recovers lets a user keep recovery codes, use some, and trust browsers, one of which
// is copied. It also puts the codes and tokens in wrong places. It returns the token of
// a browser that is trusted in the end.
func (r *logRun) recovers() (device string) {
	r.t.Helper()
	first := r.track("u2", "enroll")
	r.secret(first.Token)
	secret := r.secret(r.post("/client/user-authenticators/totp", first.Token, "")["secret"].(string))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		r.t.Fatal(err)
	}
	r.secret(string(key))
	full := r.verify(first.Token, r.code(secret, 0))["accessToken"].(string)
	var codes []string
	for _, set := range [][]any{
		r.post("/client/recovery-codes", full, "")["recoveryCodes"].([]any), // replaced by the next
		r.post("/client/recovery-codes", full, "")["recoveryCodes"].([]any),
	} {
		codes = nil
		for _, code := range set {
			text := r.secret(code.(string))
			r.secret(strings.ToLower(text))
			r.secret(strings.ReplaceAll(text, "-", ""))
			codes = append(codes, text)
		}
	}
	confirmed := r.post("/client/recovery-codes/confirm", full, `{"recoveryCode":"`+codes[0]+`"}`)
	second := r.secret(r.track("u2", "recovered").Token)
	wrong := r.post("/client/verify/recovery-code", second, `{"recoveryCode":"`+r.secret("2345-6789-ABCD")+`"}`)
	right := r.post("/client/verify/recovery-code", second, `{"recoveryCode":"`+codes[1]+`"}`)
	again := r.post("/client/verify/recovery-code", second, `{"recoveryCode":"`+codes[1]+`"}`)
	if confirmed["isConfirmed"] != true || wrong["isVerified"] != false || right["isVerified"] != true || again["isVerified"] != false {
		r.t.Fatalf("got %v, %v, %v, %v", confirmed, wrong, right, again)
	}
	r.secret(right["accessToken"].(string))

	trusted := r.verify(r.track("u2", "trusts").Token, r.code(secret, 1))["accessToken"].(string)
	trust := func() string {
		v, err := r.client.ValidateChallenge(r.t.Context(), authsignal.ValidateRequest{Token: trusted, UserID: "u2", TrustBrowser: true})
		if err != nil || v.DeviceToken == "" {
			r.t.Fatalf("got %+v, %v", v, err)
		}
		return r.device(v.DeviceToken)
	}
	device, copied := trust(), trust()
	for _, key := range []string{"used", "copied"} {
		tr, err := r.client.Track(r.t.Context(), authsignal.TrackRequest{
			UserID: "u2", Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: key, DeviceToken: copied},
		})
		if err != nil || (tr.DeviceToken != "") != (key == "used") {
			r.t.Fatalf("%s: got %+v, %v", key, tr, err)
		}
		if tr.DeviceToken != "" {
			r.device(tr.DeviceToken)
		}
	}

	for _, s := range []string{codes[2], device} {
		r.show(r.send("GET", "/client/recovery-codes?recoveryCode="+s, "", second, ""))
		r.send("GET", "/client/recovery-codes/"+s, "", second, "") // the error names an unknown path
		r.show(r.send("POST", "/client/verify/recovery-code", "", second, `{"recoveryCode":{"x":"`+s+`"}}`))
		r.show(r.send("POST", "/client/verify/recovery-code", "", second, `{"recoveryCode":"`+s))
		r.show(r.send("POST", "/client/verify/totp", "", second, `{"verificationCode":"`+s+`"}`))
		r.show(r.send("DELETE", "/client/trusted-browsers/"+s, "", second, ""))
		r.show(r.send("DELETE", "/users/u2/trusted-browsers/"+s, r.apiSecret, "", ""))
		r.show(r.send("POST", "/users/u2/actions/signIn", r.apiSecret, "", `{"deviceToken":["`+s+`"]}`))
		r.show(r.send("POST", "/users/u2/recovery-codes", r.apiSecret, "", `{"x":"`+s+`"}`))
		r.show(r.send("GET", "/users/u2", s, "", ""))
		r.show(r.send("GET", "/client/recovery-codes", "", s, ""))
	}
	return device
}

// links issues recovery links for a user, uses one of them, and puts their secrets in
// wrong places.
func (r *logRun) links() {
	r.t.Helper()
	if _, err := r.client.UpdateUser(r.t.Context(), "u3", authsignal.UserAttributes{}); err != nil {
		r.t.Fatal(err)
	}
	issue := func() string {
		l, err := r.client.IssueRecoveryLink(r.t.Context(), authsignal.IssueRecoveryLinkRequest{UserID: "u3", IssuedBy: "Jo"})
		_, text, ok := strings.Cut(l.URL, "/?recovery=rl1_")
		b, decoded := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !ok || decoded != nil || len(b) != 32 {
			r.t.Fatalf("got %v, %v", err, decoded)
		}
		r.secret(string(b))
		return r.secret("rl1_" + text)
	}
	r.send("POST", "/recovery/enroll", "", "", `{"secret":"`+issue()+`"}`) // replaced by the next
	used := issue()
	var enrolled struct{ Secret string }
	if err := json.Unmarshal([]byte(r.send("POST", "/recovery/enroll", "", "", `{"secret":"`+used+`"}`)), &enrolled); err != nil || enrolled.Secret == "" {
		r.t.Fatalf("no secret of an app: %v", err)
	}
	r.secret(enrolled.Secret)
	for _, tt := range [][2]string{{r.never("99887766"), `"isVerified":false`}, {r.code(enrolled.Secret, 0), `"isVerified":true`}} {
		answer := r.send("POST", "/recovery/verify", "", "", `{"secret":"`+used+`","verificationCode":"`+tt[0]+`"}`)
		if r.show(answer); !strings.Contains(answer, tt[1]) {
			r.t.Fatalf("got %s, want %s", answer, tt[1])
		}
	}
	open := issue()
	r.show(r.send("GET", "/users/u3/recovery-links", r.apiSecret, "", ""))
	for _, s := range []string{used, open} {
		for _, query := range []string{"/?recovery=" + s, "/?token=" + s, "/?recovery=" + s + "x"} {
			res, err := http.Get(strings.TrimSuffix(r.url, "/v1") + query)
			if err != nil {
				r.t.Fatal(err)
			}
			page, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil {
				r.t.Fatal(err)
			}
			r.show(string(page))
		}
		r.send("GET", "/recovery/"+s, "", "", "") // the error names an unknown path
		r.show(r.send("POST", "/recovery/enroll?secret="+s, "", "", ""))
		r.show(r.send("POST", "/recovery/verify", "", "", `{"secret":["`+s+`"]}`))
		r.show(r.send("POST", "/recovery/verify", "", "", `{"secret":"`+s))
		r.show(r.send("POST", "/recovery/verify", "", "", `{"secret":"`+s+`","verificationCode":"`+s+`"}`))
		r.show(r.send("POST", "/validate", r.apiSecret, "", `{"token":"`+s+`"}`))
		r.show(r.send("GET", "/users?token="+s, r.apiSecret, "", ""))
		r.show(r.send("GET", "/users/u3", s, "", ""))
		r.show(r.send("POST", "/client/user-authenticators/totp", "", s, ""))
		r.show(r.send("POST", "/users/u3/recovery-links/"+s+"/approve", r.apiSecret, "", `{"approvedBy":"Al"}`))
		r.show(r.send("DELETE", "/users/u3/recovery-links/"+s, r.apiSecret, "", ""))
		r.show(r.send("POST", "/users/u3/recovery-links", r.apiSecret, "", `{"void":["`+s+`"]}`))
	}
}

// cookies lets the page of the server remember a browser of a user by a cookie, and use
// it twice. The cookie is also in wrong places.
func (r *logRun) cookies() {
	r.t.Helper()
	first := r.secret(r.track("u4", "enroll").Token)
	secret := r.secret(r.post("/client/user-authenticators/totp", first, "")["secret"].(string))
	full := r.verify(first, r.code(secret, 0))["accessToken"].(string)
	var kept *http.Cookie
	use := func(path, token string) {
		r.t.Helper()
		req, err := http.NewRequest("POST", r.url+path, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if kept != nil {
			req.AddCookie(kept)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
			r.t.Fatalf("%s: got %d %s with %d cookies, %v", path, res.StatusCode, b, len(res.Cookies()), err)
		}
		kept = res.Cookies()[0]
		r.device(kept.Value)
	}
	use("/client/trusted-browsers", full)
	for _, key := range []string{"remembered", "again"} {
		token := r.secret(r.track("u4", key).Token)
		use("/client/verify/trusted-browser", token)
		r.show(r.send("POST", "/client/verify/trusted-browser?cookie="+kept.Value, "", token, ""))
		r.show(r.send("POST", "/client/verify/trusted-browser", "", token, `{"cookie":["`+kept.Value+`"]`))
		r.show(r.send("POST", "/client/token", "", token, `{"scope":"`+kept.Value+`"}`))
	}
}

// device adds the token of a browser, and its random parts, to the texts that must not
// be anywhere, and returns it.
func (r *logRun) device(token string) string {
	r.t.Helper()
	_, text, _ := strings.Cut(token, "_")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != 80 { // an id and two random parts
		r.t.Fatalf("the token of a browser has %d bytes, %v", len(b), err)
	}
	r.secret(string(b[16:48]))
	r.secret(string(b[48:]))
	return r.secret(token)
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
	r.recovers()
	r.links()
	r.cookies()
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

// Recovery codes, recovery links, the tokens of trusted browsers, and secrets are nowhere in the
// database, in a backup of it, in the audit log, in an event or in an error.
func TestNothingSecretIsStoredInTheClear(t *testing.T) {
	t.Parallel()
	r := startLogRun(t)
	device := r.recovers()
	r.links()
	r.cookies()
	r.show(r.send("GET", "/management/tenants/t1/audit?limit=1000", r.managementKey, "", ""))
	for _, event := range []string{authsignal.EventTrustedBrowserCopied, authsignal.EventRecoveryCodeUsed, authsignal.EventRecoveryLinkUsed} {
		eventually(t, event, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return bytes.Contains(r.shown.Bytes(), []byte(event))
		})
	}
	files := map[string][]byte{}
	if storetest.Postgres() {
		cmd := exec.CommandContext(t.Context(), "pg_dump", "-d", r.database)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("pg_dump (Debian package postgresql-client): %v", err)
		}
		files["the dump"] = out
		r.stop()
	} else {
		backup := filepath.Join(t.TempDir(), "backup.db")
		printed(t, command(t, "-db", r.database, "backup", backup))
		read := func(what, file string) {
			t.Helper()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files[what] = b
		}
		read("the backup", backup)
		read("the log of the running server's file", r.database+"-wal")
		r.stop()
		read("the file", r.database)
	}
	text := r.shown.Bytes()
	for _, want := range []string{`"browser.copied"`, "invalid_request"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the answers and events have no %s", want)
		}
	}
	files["an answer or an event"] = text
	in := func(b []byte, s string) bool {
		return bytes.Contains(b, []byte(s)) || bytes.Contains(b, []byte(hex.EncodeToString([]byte(s))))
	}
	// What is looked for would be found: the hash of a token's part is stored.
	raw, err := base64.RawURLEncoding.DecodeString(device[len("tb1_"):])
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(raw[16:48])
	for what, b := range files {
		if what != "an answer or an event" && !in(b, string(hash[:])) {
			t.Errorf("%s, of %d bytes, does not have the hash of a token", what, len(b))
		}
		for _, s := range r.unstored {
			if in(b, s) {
				t.Errorf("%s contains %q", what, s)
			}
		}
	}
	if len(r.unstored) < 60 {
		t.Errorf("only %d texts to look for", len(r.unstored))
	}
}
