package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A peer is a server under test with a real store and a clock that the test
// advances.
type peer struct {
	t        testing.TB
	url      string
	database string
	store    *store.Store
	log      *logtest.Buffer

	mu  sync.Mutex
	now time.Time
}

const testSecret = "sk"

var signingKey = bytes.Repeat([]byte{7}, 32)

func newPeer(t testing.TB, change ...func(*Config)) *peer {
	t.Helper()
	return newPeerOn(t, storetest.Database(t), change...)
}

func newPeerOn(t testing.TB, database string, change ...func(*Config)) *peer {
	t.Helper()
	st := storetest.Open(t, database, store.Open)
	p := &peer{t: t, database: database, store: st, log: &logtest.Buffer{}, now: time.Unix(1_700_000_000, 0)}
	p.settings(func(*api.AuthenticatorSettings) {})
	err := st.Update(t.Context(), "t1", func(tx *store.Tx) error { _, _, err := tx.EnsureSecret(testSecret, p.now); return err })
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Store: st,
		Tokens: &token.Issuer{
			Keys:    func() []token.Key { return []token.Key{{ID: "1", Secret: signingKey}} },
			BaseURL: "http://mfa.test", TTL: 10 * time.Minute, Now: p.clock,
		},
		Version:     "1.2.3",
		PublicURL:   "http://mfa.test",
		AllowOrigin: func(origin string) bool { return origin == "https://app.test" },
		Log:         slog.New(slog.NewJSONHandler(p.log, nil)),
		Now:         p.clock, Random: rand.Reader, Metrics: prometheus.NewRegistry(),
	}
	for _, f := range change {
		f(&c)
	}
	h := New(c)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// settings changes the settings of the tenant's authenticator app.
func (p *peer) settings(change func(*api.AuthenticatorSettings)) {
	p.t.Helper()
	s := api.DefaultAuthenticatorSettings("Acme")
	s.Active = true
	change(&s)
	err := p.store.Update(p.t.Context(), "t1", func(tx *store.Tx) error { _, err := tx.PutTenant(s, p.clock()); return err })
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *peer) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

// A response is that of a server. Its body is decoded if it is a JSON object or
// list.
type response struct {
	status int
	header http.Header
	text   string
	object map[string]any
	list   []any
}

func (p *peer) do(method, path, authorization, body string, header ...string) response {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	out := response{status: res.StatusCode, header: res.Header, text: string(b)}
	if len(b) > 0 {
		var v any
		if err := json.Unmarshal(b, &v); err == nil {
			out.object, _ = v.(map[string]any)
			out.list, _ = v.([]any)
		}
	}
	return out
}

// api calls the Server API with the right secret.
func (p *peer) api(method, path, body string) response {
	p.t.Helper()
	return p.do(method, path, basic(testSecret), body)
}

func basic(secret string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(secret, "")
	return r.Header.Get("Authorization")
}

// ok fails the test unless the status is 200.
func (p *peer) ok(r response) response {
	p.t.Helper()
	if r.status != http.StatusOK {
		p.t.Fatalf("got status %d: %s", r.status, r.text)
	}
	return r
}

// track tracks an action and returns the decoded response.
func (p *peer) track(user, action, attributes string) map[string]any {
	p.t.Helper()
	return p.ok(p.api("POST", "/v1/users/"+user+"/actions/"+action, attributes)).object
}

func (p *peer) token(user, action, attributes string) string {
	p.t.Helper()
	return p.track(user, action, attributes)["token"].(string)
}

func (p *peer) enroll(token string) response {
	p.t.Helper()
	return p.do("POST", "/v1/client/user-authenticators/totp", "Bearer "+token, "", "Content-Type", "application/json")
}

func (p *peer) verify(token, code string) response {
	p.t.Helper()
	return p.do("POST", "/v1/client/verify/totp", "Bearer "+token, `{"verificationCode":"`+code+`"}`)
}

// code returns the code of a secret, some steps from now.
func (p *peer) code(secret string, offset int64) string {
	p.t.Helper()
	c, err := totp.Code(secret, totp.DefaultParameters.Step(p.clock())+offset, totp.DefaultParameters)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// wrong returns a well-formed code of no step that may be accepted.
func (p *peer) wrong(secret string) string {
	p.t.Helper()
	taken := map[string]bool{}
	for o := int64(-12); o <= 12; o++ { // more than what a clock that is off may explain
		taken[p.code(secret, o)] = true
	}
	for i := range 26 {
		if c := fmt.Sprintf("%06d", i); !taken[c] {
			return c
		}
	}
	panic("unreachable: 26 codes, 25 taken")
}

// enrolled creates a user with a verified authenticator and returns its secret.
// The current step is used up.
func (p *peer) enrolled(user string) string {
	p.t.Helper()
	tok := p.token(user, "enroll", "")
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	p.accepted(p.verify(tok, p.code(secret, 0)))
	return secret
}

func (p *peer) accepted(r response) response {
	p.t.Helper()
	if p.ok(r); r.object["isVerified"] != true {
		p.t.Fatalf("not verified: %s", r.text)
	}
	return r
}

func (p *peer) refused(r response, reason string) {
	p.t.Helper()
	if p.ok(r); r.text != `{"isVerified":false,"failureReason":"`+reason+`"}`+"\n" {
		p.t.Fatalf("got %s, want failureReason %s", r.text, reason)
	}
}

// fails checks that the response is an error.
func (p *peer) fails(r response, status int, code string) {
	p.t.Helper()
	if r.status != status || r.object["error"] != code || r.object["errorCode"] != code {
		p.t.Errorf("got %d %s, want %d %s", r.status, r.text, status, code)
	}
	if d, _ := r.object["errorDescription"].(string); len(d) < 10 {
		p.t.Errorf("no description: %s", r.text)
	}
	if len(r.object) != 3 {
		p.t.Errorf("an error body has three keys, got %s", r.text)
	}
	if got, want := r.header.Get("Content-Type"), "application/json"; got != want {
		p.t.Errorf("Content-Type: got %q, want %q", got, want)
	}
}

// state returns the state of an action from the Server API.
func (p *peer) state(user, action, key string) string {
	p.t.Helper()
	return p.ok(p.api("GET", "/v1/users/"+user+"/actions/"+action+"/"+key, "")).object["state"].(string)
}
