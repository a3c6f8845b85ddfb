package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// backend receives webhooks: it verifies them, calls answer, and answers with the
// status that answer returns.
func backend(t *testing.T, answer func(authsignal.Event) int) string {
	t.Helper()
	client := authsignal.New(apiSecretKey, "")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server was killed
		}
		e, err := client.VerifyWebhook(body, r.Header.Get(authsignal.WebhookSignatureHeader), authsignal.DefaultWebhookTolerance)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(answer(e))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestWebhooksArrive(t *testing.T) {
	t.Parallel()
	events := make(chan authsignal.Event, 10)
	url := backend(t, func(e authsignal.Event) int { events <- e; return 200 })
	p := start(t, filepath.Join(t.TempDir(), "a.db"), "-webhook-url", url)
	tok := p.track("u1", "k1").Token
	secret := p.post("/client/user-authenticators/totp", tok, "")["secret"].(string)
	if !p.verify(tok, oathtool(t, secret, time.Now())) {
		t.Fatal("the code was refused")
	}
	for _, want := range []string{authsignal.EventActionVerify, authsignal.EventAuthenticatorCreated} {
		select {
		case e := <-events:
			if e.Type != want || e.TenantID != "t1" {
				t.Errorf("got %+v, want %s", e, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no %s", want)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, p.stderr.String())
	}
}

// After a kill -9 between the two transactions of a verification the code is
// spent, the action has its old state, and the next code completes it.
func TestAKillWhileTheWebhookIsAskedFailsClosed(t *testing.T) {
	t.Parallel()
	asked, killed := make(chan struct{}), make(chan struct{})
	url := backend(t, func(e authsignal.Event) int {
		if d, ok := e.Data.(authsignal.ActionVerify); ok && d.IdempotencyKey == "k2" {
			select {
			case <-killed:
			default:
				close(asked)
				<-killed
			}
		}
		return 200
	})
	db := filepath.Join(t.TempDir(), "a.db")
	p := start(t, db, "-webhook-url", url)
	first := p.track("u1", "k1").Token
	secret := p.post("/client/user-authenticators/totp", first, "")["secret"].(string)
	// The three steps that the server accepts are spent one by one. The oldest
	// may leave the drift at this moment; the one after it does not.
	now := time.Now()
	if !p.verify(first, oathtool(t, secret, now.Add(-30*time.Second))) {
		now = time.Now()
		if !p.verify(first, oathtool(t, secret, now.Add(-30*time.Second))) {
			t.Fatal("the code was refused")
		}
	}
	second, code := p.track("u1", "k2").Token, oathtool(t, secret, now)
	lost := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("POST", p.url+"/client/verify/totp", strings.NewReader(`{"verificationCode":"`+code+`"}`))
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+second)
			_, err = http.DefaultTransport.RoundTrip(req)
		}
		lost <- err
	}()
	<-asked
	kill(t, p)
	close(killed)
	if err := <-lost; err == nil {
		t.Error("the page got an answer from a dead server")
	}

	p = start(t, db, "-webhook-url", url)
	if got := p.track("u1", "k2").State; got != authsignal.StateChallengeRequired {
		t.Errorf("after the kill: state %s", got)
	}
	if p.verify(second, code) {
		t.Error("after the kill: a spent code was accepted")
	}
	if !p.verify(second, oathtool(t, secret, now.Add(30*time.Second))) {
		t.Error("after the kill: the next code was refused")
	}
	if got := p.track("u1", "k2").State; got != authsignal.StateChallengeSucceeded {
		t.Errorf("after the next code: state %s", got)
	}
}

// The audit log contains the changes of the configuration at the start, and those
// of the server as a whole.
func TestTheStartAndTheKeysAreAudited(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	const key = "test-management-key-of-32-characters"
	audit := func(p *process, method, path string) (whats []string) {
		t.Helper()
		req, err := http.NewRequest(method, p.url+"/management/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", path, res.StatusCode)
		}
		if method == "POST" {
			return nil
		}
		var lines []struct {
			Detail struct{ What string }
		}
		if err := json.NewDecoder(res.Body).Decode(&lines); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			whats = append(whats, l.Detail.What)
		}
		slices.Sort(whats)
		return whats
	}
	started := func(args ...string) *process {
		cmd := command(t, append([]string{"-addr", "127.0.0.1:0", "-db", db}, args...)...)
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_MANAGEMENT_KEY="+key)
		return startCommand(t, cmd)
	}
	p := started("-webhook-url", "https://hooks.test/x")
	audit(p, "POST", "signing-keys")
	kill(t, p)
	p = started("-webhook-url", "https://hooks.test/x") // changes nothing
	if got, want := audit(p, "GET", "tenants/t1/audit"), []string{"API secret made", "tenant", "webhook"}; !slices.Equal(got, want) {
		t.Errorf("of the tenant: got %v, want %v", got, want)
	}
	if got, want := audit(p, "GET", "audit"), []string{"signing key made", "signing key made"}; !slices.Equal(got, want) {
		t.Errorf("of the server: got %v, want %v", got, want)
	}
}
