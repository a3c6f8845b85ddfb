package main

import (
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// startDemoWithPolicy starts the demo with an API server whose tenant requires an
// authenticator from a time on.
func startDemoWithPolicy(t *testing.T, from time.Time) *demo {
	t.Helper()
	const key = "a-management-key-of-32-characters"
	c := config.Config{
		Addr: "127.0.0.1:0", DB: filepath.Join(t.TempDir(), "db"), TokenTTL: time.Minute, Activate: true,
		Given: config.Keys{TenantID: "t1", APISecretKey: "a-secret-key-of-32-characters-or-more", EncryptionKey: make([]byte, 32), ManagementKey: key},
	}
	s, err := daemon.Start(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(grace) })
	req, _ := http.NewRequest("PUT", s.BaseURL+"/management/tenants/t1",
		strings.NewReader(`{"enrollmentPolicy":{"requiredFrom":"`+from.UTC().Format(time.RFC3339)+`","graceDays":0}}`))
	req.SetBasicAuth(key, "")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s", res.Status, body)
	}
	env := map[string]string{
		"DEMO_ADDR": "127.0.0.1:0", "AUTHSIGNAL_API_URL": s.BaseURL,
		"AUTHSIGNAL_API_SECRET_KEY": s.APISecretKey, "AUTHSIGNAL_TENANT_ID": s.TenantID,
	}
	d, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.stop() })
	return d
}

func TestEnrollmentMayWaitUntilTheDeadline(t *testing.T) {
	t.Parallel()
	deadline := time.Now().Add(time.Hour).Truncate(time.Second)
	d := startDemoWithPolicy(t, deadline)
	b, other := newBrowser(t, d), newBrowser(t, d)
	a := jane(t, b, stepEnroll)
	if !a.MayWait || a.Deadline == nil || !a.Deadline.Equal(deadline) {
		t.Errorf("got %v, %v", a.MayWait, a.Deadline)
	}
	b.mustCall("POST", "/api/enroll", nil, stepEnroll) // as the page does
	if a := b.mustCall("POST", "/api/later", nil, stepAccount); a.Deadline == nil || !a.Deadline.Equal(deadline) {
		t.Errorf("signed in, the deadline is %v", a.Deadline)
	}
	if a := b.account(); a.By != byNothing || len(a.Authenticators) != 0 {
		t.Errorf("got by %q, %d authenticators", a.By, len(a.Authenticators))
	}
	b.mustFail("POST", "/api/later", nil, 401, "not_signed_in")
	b.mustFail("POST", "/api/remove-authenticator", map[string]string{"id": "x"}, 403, "confirm")

	// An enrollment elsewhere ends the session without a second factor, and another one
	// is refused.
	late := newBrowser(t, d)
	jane(t, late, stepEnroll)
	other.enroll("jane")
	b.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	b.mustCall("GET", "/api/session", nil, stepSignIn)
	late.mustFail("POST", "/api/later", nil, 401, "not_signed_in")
	late.mustCall("GET", "/api/session", nil, stepEnroll)
}

func TestEnrollmentIsRequiredAfterTheDeadline(t *testing.T) {
	t.Parallel()
	d := startDemoWithPolicy(t, time.Now().Add(-time.Hour))
	b := newBrowser(t, d)
	if a := jane(t, b, stepEnroll); a.MayWait || a.Deadline == nil {
		t.Errorf("got %v, %v", a.MayWait, a.Deadline)
	}
	b.mustFail("POST", "/api/later", nil, 403, "enrollment_required")
	b.enroll("jane")
	if a := b.account(); a.By != authsignal.AuthenticatorApp {
		t.Errorf("enrolled by %q", a.By)
	}
}

// Without a policy the demo requires an app at the first sign-in.
func TestEnrollmentMayNotWaitWithoutAPolicy(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	if a := jane(t, b, stepEnroll); a.MayWait || a.Deadline != nil {
		t.Errorf("got %v, %v", a.MayWait, a.Deadline)
	}
	b.mustFail("POST", "/api/later", nil, 403, "enrollment_required")
}

func TestSessionsWithoutASecondFactorEndAtTheDeadline(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	one := make([]authsignal.UserAuthenticator, 1)
	for _, c := range []struct {
		name string
		s    session
		list []authsignal.UserAuthenticator
		over bool
	}{
		{"by a code", session{by: authsignal.AuthenticatorApp}, one, false},
		{"by a code, of an app that was removed", session{by: authsignal.AuthenticatorApp}, nil, true},
		{"before the deadline", session{by: byNothing, deadline: new(now.Add(1))}, nil, false},
		{"at the deadline", session{by: byNothing, deadline: new(now)}, nil, true},
		{"after an enrollment", session{by: byNothing, deadline: new(now.Add(1))}, one, true},
		{"without a deadline", session{by: byNothing}, nil, true},
	} {
		if err := c.s.over(c.list, now); (err != nil) != c.over {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
