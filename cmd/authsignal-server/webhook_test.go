package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// backend takes webhooks: it verifies them, hands them on, and answers with a
// status.
func backend(t *testing.T, answer func(authsignal.Event) int) string {
	t.Helper()
	client := authsignal.New("sk", "")
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
		case <-time.After(20 * time.Second):
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

// A kill -9 between the two transactions of a verification: the code is used
// up, the action has not moved, and the next code moves it.
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
	// The three steps that the server takes are spent one by one. The oldest
	// may go out of reach just now; the one after it does not.
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
