package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// hanging starts n receivers that accept connections and never answer. Each
// connection is reported.
func hanging(t *testing.T, n int) (urls []string, accepted <-chan net.Conn) {
	t.Helper()
	connections := make(chan net.Conn, 10*n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				connections <- c // which keeps it open
			}
		}()
		urls = append(urls, "http://"+l.Addr().String())
	}
	return urls, connections
}

// imported imports an authenticator app for a user, and returns its id.
func (p *process) imported(client *authsignal.Client, user string) string {
	p.t.Helper()
	a, err := client.EnrollVerifiedAuthenticator(p.t.Context(), user, authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.AuthenticatorApp, OTPURI: totp.URI("Acme", user, secret, totp.DefaultParameters),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return a.UserAuthenticatorID
}

// hangingTenants returns the path of a configuration with a tenant for each receiver,
// the variables that it reads, and the API secret keys of the tenants.
func hangingTenants(t *testing.T, urls []string) (file string, variables, keys []string) {
	t.Helper()
	var yaml strings.Builder
	yaml.WriteString("tenants:\n")
	for i, url := range urls {
		keys = append(keys, fmt.Sprintf("test-secret-key-of-tenant-number-%04d", i))
		variables = append(variables, fmt.Sprintf("KEY_%d=%s", i, keys[i]))
		fmt.Fprintf(&yaml, "  - {tenantId: hangs%d, apiSecretKeyEnv: KEY_%d, webhookUrl: %q, authenticator: {active: true}}\n", i, i, url)
	}
	file = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(yaml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, variables, keys
}

// holds waits for a number of connections, and keeps them until the end of the test.
func holds(t *testing.T, accepted <-chan net.Conn, n int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for i := range n {
		select {
		case conn := <-accepted:
			t.Cleanup(func() { conn.Close() })
		case <-deadline:
			t.Fatalf("%d requests are on their way", i)
		}
	}
}

// Two hundred tenants whose receivers hang, for events and for consent, hold up
// neither the events nor the verifications of another tenant.
func TestHangingReceiversHoldUpNoOtherTenant(t *testing.T) {
	t.Parallel()
	const tenants = 200
	urls, accepted := hanging(t, tenants)
	file, variables, keys := hangingTenants(t, urls)
	events := make(chan authsignal.Event, 10)
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", storetest.Database(t), "-config", file, "-rate-limit", "0",
		"-webhook-url", backend(t, func(e authsignal.Event) int { events <- e; return 200 }))
	cmd.Env = append(cmd.Env, variables...)
	p := startCommand(t, cmd)
	arrives := func(want string) {
		t.Helper()
		for e := range events {
			if e.TenantID != "t1" {
				t.Errorf("got %+v", e)
			}
			if e.Type == want {
				return
			}
		}
	}

	// Each has two events, and a user who verifies a code.
	var answered atomic.Int32
	var wg sync.WaitGroup
	place := make(chan struct{}, 16)
	for i := range tenants {
		wg.Go(func() {
			place <- struct{}{}
			defer func() { <-place }()
			client := authsignal.New(keys[i], p.url)
			for _, user := range []string{"a", "b"} {
				if err := client.DeleteAuthenticator(t.Context(), user, p.imported(client, user)); err != nil {
					t.Error(err)
				}
			}
			p.imported(client, "u")
			tr, err := client.Track(t.Context(), authsignal.TrackRequest{UserID: "u", Action: "signIn"})
			if err != nil {
				t.Error(err)
				return
			}
			code := codeAt(secret, 0)
			go func() {
				if res, err := p.send("/client/verify/totp", tr.Token, `{"verificationCode":"`+code+`"}`); err == nil {
					res.Body.Close()
					answered.Add(1)
				}
			}()
		})
	}
	wg.Wait()
	holds(t, accepted, tenants)

	began := time.Now()
	id := p.imported(p.client, "a")
	if err := p.client.DeleteAuthenticator(t.Context(), "a", id); err != nil {
		t.Fatal(err)
	}
	// How long two requests take says how busy the machine is with other tests.
	committed := time.Now()
	busy := committed.Sub(began)
	arrives(authsignal.EventAuthenticatorDeleted)
	if took := time.Since(committed); took > 2*time.Second+20*busy {
		t.Errorf("the event took %v, and two requests %v", took, busy)
	}
	p.imported(p.client, "u")
	tr := p.track("u", "k")
	before := answered.Load()
	if !p.verify(tr.Token, codeAt(secret, 0)) {
		t.Error("the code was refused")
	}
	arrives(authsignal.EventActionVerify)
	if now := answered.Load(); now == tenants && before == 0 {
		t.Error("the verification waited for the consent of others")
	}
}
