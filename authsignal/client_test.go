package authsignal_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// server starts the API server.
func server(t *testing.T) *daemon.Server {
	t.Helper()
	s, err := daemon.Start(t.Context(), config.Config{
		Addr: "127.0.0.1:0", DB: filepath.Join(t.TempDir(), "a.db"), TokenTTL: time.Minute, Issuer: "Acme", Activate: true,
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

func TestEnrollAndValidate(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL+"/")
	ctx := t.Context()

	// A user id with all characters that need care in a URL.
	const user = "jane doe/ä?#%25&+@x"
	u, err := c.User(ctx, user)
	if err != nil || u.IsEnrolled {
		t.Fatalf("unknown user: got %+v, %v", u, err)
	}
	tr, err := c.Track(ctx, authsignal.TrackRequest{UserID: user, Action: "signIn", Attributes: authsignal.Attributes{
		Email: "jane@example.com", Custom: map[string]any{"amount": 12.5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if tr.State != authsignal.StateAllow || tr.IsEnrolled || tr.Token == "" || tr.IdempotencyKey == "" || !strings.Contains(tr.URL, "?token=") {
		t.Errorf("track: got %+v", tr)
	}
	a, err := c.Action(ctx, user, "signIn", tr.IdempotencyKey)
	if err != nil || a.State != authsignal.StateAllow || a.CreatedAt.IsZero() || a.Output.Custom["amount"] != 12.5 {
		t.Errorf("action: got %+v, %v", a, err)
	}
	v, err := c.ValidateChallenge(ctx, authsignal.ValidateRequest{
		Token: tr.Token, UserID: user, Action: "signIn", IdempotencyKey: tr.IdempotencyKey,
	})
	if err != nil || v.IsValid || v.State != authsignal.StateAllow || v.UserID != user || v.Action != "signIn" {
		t.Errorf("validate: got %+v, %v", v, err)
	}
	v, err = c.ValidateChallenge(ctx, authsignal.ValidateRequest{Token: tr.Token, UserID: "someone else"})
	if err != nil || v.IsValid || v.Error != "User is invalid." {
		t.Errorf("another user: got %+v, %v", v, err)
	}
	list, err := c.Authenticators(ctx, user)
	if err != nil || len(list) != 0 {
		t.Errorf("authenticators: got %v, %v", list, err)
	}
	err = c.DeleteAuthenticator(ctx, user, "none")
	if e := apiError(t, err); e.Status != 404 || e.Code != "not_found" {
		t.Errorf("delete: got %+v", e)
	}
	u, err = c.User(ctx, user)
	if err != nil || u.Email != "jane@example.com" {
		t.Errorf("user: got %+v, %v", u, err)
	}
}

// A token of an earlier sign-in of the same user, even a completed one, does
// not complete another.
func TestValidateComparesTheIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL)
	ctx := t.Context()
	var tokens, keys []string
	for range 2 {
		tr, err := c.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
		if err != nil {
			t.Fatal(err)
		}
		tokens, keys = append(tokens, tr.Token), append(keys, tr.IdempotencyKey)
	}
	if _, err := c.UpdateAction(ctx, "u1", "signIn", keys[0], authsignal.StateChallengeSucceeded); err != nil {
		t.Fatal(err)
	}
	validate := func(token, key string) (authsignal.ValidateResponse, error) {
		return c.ValidateChallenge(ctx, authsignal.ValidateRequest{Token: token, UserID: "u1", Action: "signIn", IdempotencyKey: key})
	}
	if v, err := validate(tokens[0], keys[0]); err != nil || !v.IsValid || v.IdempotencyKey != keys[0] {
		t.Errorf("its own token: got %+v, %v", v, err)
	}
	v, err := validate(tokens[0], keys[1])
	if !errors.Is(err, authsignal.ErrOtherAction) || v != (authsignal.ValidateResponse{}) {
		t.Errorf("the token of the earlier one: got %+v, %v", v, err)
	}
	if strings.Contains(err.Error(), keys[0]) || strings.Contains(err.Error(), keys[1]) {
		t.Errorf("the error quotes a key: %v", err)
	}
	if v, err := validate(tokens[1], keys[0]); !errors.Is(err, authsignal.ErrOtherAction) || v.State != "" {
		t.Errorf("the token of the later one: got %+v, %v", v, err)
	}
	if v, err := validate("no token", keys[1]); err != nil || v.IsValid || v.Error != "Token is invalid." {
		t.Errorf("a refused token: got %+v, %v", v, err)
	}
}

// The API has no idempotency key in this request. An answer without one belongs to
// another action.
func TestValidateSendsNoIdempotencyKey(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{"isValid":true,"state":"CHALLENGE_SUCCEEDED"}`, `{"isValid":true,"error":"Token is invalid."}`, `{}`} {
		var body string
		c := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
			io.WriteString(w, answer)
		})
		v, err := c.ValidateChallenge(t.Context(), authsignal.ValidateRequest{Token: "t", UserID: "u", Action: "a", IdempotencyKey: "k"})
		if want := `{"token":"t","userId":"u","action":"a"}`; body != want {
			t.Errorf("sent %s, want %s", body, want)
		}
		if !errors.Is(err, authsignal.ErrOtherAction) || v.IsValid {
			t.Errorf("%s: got %+v, %v", answer, v, err)
		}
	}
}

func TestEndTokens(t *testing.T) {
	t.Parallel()
	c := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Method+" "+r.URL.EscapedPath(), "DELETE /v1/users/a%2Fb%3F/tokens"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		io.WriteString(w, `{"success":true}`)
	})
	if err := c.EndTokens(t.Context(), "a/b?"); err != nil {
		t.Error(err)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL)
	ctx := t.Context()
	track := func(action, key string) {
		t.Helper()
		_, err := c.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: action, Attributes: authsignal.Attributes{
			IdempotencyKey: key, UserAgent: "UA",
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	track("signIn", "k/1?")
	track("pay", "k2")
	a, err := c.UpdateAction(ctx, "u1", "signIn", "k/1?", authsignal.StateReviewRequired)
	if err != nil || a.State != authsignal.StateReviewRequired {
		t.Errorf("update: got %+v, %v", a, err)
	}
	_, err = c.UpdateAction(ctx, "u1", "signIn", "none", authsignal.StateBlock)
	if e := apiError(t, err); e.Status != 404 {
		t.Errorf("update of none: got %+v", e)
	}
	for _, tt := range []struct {
		name   string
		filter authsignal.ActionFilter
		want   int
	}{
		{"all", authsignal.ActionFilter{}, 2},
		{"actions", authsignal.ActionFilter{Actions: []string{"pay", "other"}}, 1},
		{"state", authsignal.ActionFilter{State: authsignal.StateReviewRequired}, 1},
		{"an hour", authsignal.ActionFilter{FromDate: time.Now().Add(-time.Hour).In(time.FixedZone("", 3600))}, 2},
		{"from tomorrow", authsignal.ActionFilter{FromDate: time.Now().Add(24 * time.Hour)}, 0},
	} {
		list, err := c.QueryActions(ctx, "u1", tt.filter)
		if err != nil || len(list) != tt.want {
			t.Errorf("%s: got %+v, %v, want %d", tt.name, list, err, tt.want)
		}
		for _, a := range list {
			if a.ActionCode == "" || a.CreatedAt.IsZero() || a.UserAgent != "UA" {
				t.Errorf("%s: got %+v", tt.name, a)
			}
		}
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL)
	ctx := t.Context()
	u, err := c.UpdateUser(ctx, "u1", authsignal.UserAttributes{
		Email: new("jane+x@example.com"), EmailVerified: new(true), Username: new("jane"), DisplayName: new("Jane"),
		Custom: map[string]any{"plan": "pro"},
	})
	if err != nil || u.UserID != "u1" || u.Email != "jane+x@example.com" || !u.EmailVerified || u.Custom["plan"] != "pro" {
		t.Errorf("update: got %+v, %v", u, err)
	}
	u, err = c.UpdateUser(ctx, "u1", authsignal.UserAttributes{Username: new(""), Custom: map[string]any{}})
	if err != nil || u.Username != "" || u.DisplayName != "Jane" || len(u.Custom) != 0 {
		t.Errorf("clear: got %+v, %v", u, err)
	}
	if _, err := c.UpdateUser(ctx, "u2", authsignal.UserAttributes{Email: new("jane+x@example.com")}); err != nil {
		t.Fatal(err)
	}
	page, err := c.QueryUsers(ctx, authsignal.UserFilter{Email: "jane+x@example.com", Limit: 1})
	if err != nil || len(page.Users) != 1 || page.Users[0].UserID != "u1" || page.LastEvaluatedUserID != "u1" {
		t.Errorf("first page: got %+v, %v", page, err)
	}
	page, err = c.QueryUsers(ctx, authsignal.UserFilter{Email: "jane+x@example.com", After: "u1"})
	if err != nil || len(page.Users) != 1 || page.Users[0].UserID != "u2" || page.LastEvaluatedUserID != "" {
		t.Errorf("second page: got %+v, %v", page, err)
	}
	_, err = c.QueryUsers(ctx, authsignal.UserFilter{})
	if e := apiError(t, err); e.Status != 400 {
		t.Errorf("no filter: got %+v", e)
	}
	all := ""
	for after := ""; ; {
		page, err := c.ListUsers(ctx, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			all += u.UserID + " "
		}
		if after = page.LastEvaluatedUserID; after == "" {
			break
		}
	}
	if all != "u1 u2 " {
		t.Errorf("all users: got %q", all)
	}
	tr, err := c.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		t.Fatal(err)
	}
	page, err = c.QueryUsers(ctx, authsignal.UserFilter{Token: tr.Token})
	if err != nil || len(page.Users) != 1 || page.Users[0].UserID != "u1" {
		t.Errorf("by token: got %+v, %v", page, err)
	}
	if err := c.DeleteUser(ctx, "u1"); err != nil {
		t.Error(err)
	}
	if a, err := c.Action(ctx, "u1", "signIn", tr.IdempotencyKey); err != nil || a.State != authsignal.StateAllow {
		t.Errorf("the action is gone with its user: %+v, %v", a, err)
	}
	if err := c.DeleteUserAndActions(ctx, "u1"); err != nil {
		t.Error(err)
	}
	_, err = c.Action(ctx, "u1", "signIn", tr.IdempotencyKey)
	if e := apiError(t, err); e.Status != 404 {
		t.Errorf("got %+v", e)
	}
	if v, err := c.ValidateChallenge(ctx, authsignal.ValidateRequest{Token: tr.Token}); err != nil || v.Error != "Token is invalid." {
		t.Errorf("a token of a deleted user: got %+v, %v", v, err)
	}
}

func TestEnrollVerifiedAuthenticator(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL)
	ctx := t.Context()
	app, err := c.EnrollVerifiedAuthenticator(ctx, "u1", authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.AuthenticatorApp,
		OTPURI:             "otpauth://totp/Acme:jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme",
	})
	if err != nil || app.UserID != "u1" || app.UserAuthenticatorID == "" || app.VerifiedAt == nil || !app.IsDefault {
		t.Errorf("app: got %+v, %v", app, err)
	}
	sms, err := c.EnrollVerifiedAuthenticator(ctx, "u1", authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.SMS, PhoneNumber: "+1234", IsDefault: true,
	})
	if err != nil || sms.PhoneNumber != "+1234" || !sms.IsDefault {
		t.Errorf("SMS: got %+v, %v", sms, err)
	}
	list, err := c.Authenticators(ctx, "u1")
	if err != nil || len(list) != 2 {
		t.Errorf("list: got %+v, %v", list, err)
	}
	u, err := c.User(ctx, "u1")
	if err != nil || !u.IsEnrolled || len(u.EnrolledVerificationMethods) != 2 || u.DefaultVerificationMethod != authsignal.SMS {
		t.Errorf("user: got %+v, %v", u, err)
	}
	for _, a := range list {
		if err := c.DeleteAuthenticator(ctx, "u1", a.UserAuthenticatorID); err != nil {
			t.Error(err)
		}
	}
	_, err = c.EnrollVerifiedAuthenticator(ctx, "u1", authsignal.EnrollVerifiedRequest{VerificationMethod: authsignal.AuthenticatorApp})
	if e := apiError(t, err); e.Status != 400 || e.Code != "invalid_request" || !strings.Contains(e.Description, "otpUri") {
		t.Errorf("without a URI: got %+v", e)
	}
}

func apiError(t *testing.T, err error) *authsignal.Error {
	t.Helper()
	var e *authsignal.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *authsignal.Error", err)
	}
	return e
}

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	s := server(t)
	_, err := authsignal.New("wrong", s.BaseURL).User(t.Context(), "u1")
	if e := apiError(t, err); e.Status != 401 || e.Code != "unauthorized" {
		t.Errorf("got %+v", e)
	}
	want := "authsignal: user: unauthorized: The request is unauthorized. Check that your API key and region base URL are correctly configured."
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	_, err = authsignal.New(s.APISecretKey, s.BaseURL).Track(t.Context(), authsignal.TrackRequest{UserID: "u1", Action: "sign in"})
	if e := apiError(t, err); e.Status != 400 || e.Code != "invalid_request" {
		t.Errorf("got %+v", e)
	}
}

func TestMissingArgumentsSendNothing(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	c := scripted(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"UserID":         func() error { _, err := c.Track(ctx, authsignal.TrackRequest{Action: "a"}); return err },
		"Action":         func() error { _, err := c.Track(ctx, authsignal.TrackRequest{UserID: "u"}); return err },
		"Token":          func() error { _, err := c.ValidateChallenge(ctx, authsignal.ValidateRequest{}); return err },
		"idempotencyKey": func() error { _, err := c.Action(ctx, "u", "a", ""); return err },
		"userID": func() error {
			if err := c.EndTokens(ctx, ""); err == nil {
				return nil
			}
			_, err := c.User(ctx, "")
			return err
		},
		"VerificationMethod": func() error {
			_, err := c.EnrollVerifiedAuthenticator(ctx, "u", authsignal.EnrollVerifiedRequest{})
			return err
		},
		"state":           func() error { _, err := c.UpdateAction(ctx, "u", "a", "k", ""); return err },
		"authenticatorID": func() error { return c.DeleteAuthenticator(ctx, "u", "") },
		"approvedBy":      func() error { _, err := c.ApproveRecoveryLink(ctx, "u", "l", ""); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
	_, err := c.IssueRecoveryLink(ctx, authsignal.IssueRecoveryLinkRequest{UserID: "u", ExpiresIn: 90*time.Second + time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "ExpiresIn must be whole seconds") {
		t.Errorf("part of a second: got %v", err)
	}
	if got := requests.Load(); got != 0 {
		t.Errorf("%d requests were sent", got)
	}
}

func scripted(t *testing.T, h http.HandlerFunc) *authsignal.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return authsignal.New("sk", s.URL+"/v1")
}

// A call is retried after a lost answer or a server fault if a second request has
// no further effect. It is never retried after a refusal.
func TestRetries(t *testing.T) {
	t.Parallel()
	type call struct {
		name string
		do   func(context.Context, *authsignal.Client) error
		safe bool
	}
	calls := []call{
		{"track", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.Track(ctx, authsignal.TrackRequest{UserID: "u", Action: "a"})
			return err
		}, true},
		{"validate", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.ValidateChallenge(ctx, authsignal.ValidateRequest{Token: "t"})
			return err
		}, true},
		{"user", func(ctx context.Context, c *authsignal.Client) error { _, err := c.User(ctx, "u"); return err }, true},
		{"end tokens", func(ctx context.Context, c *authsignal.Client) error { return c.EndTokens(ctx, "u") }, true},
		{"query users", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.QueryUsers(ctx, authsignal.UserFilter{Email: "e"})
			return err
		}, true},
		{"query actions", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.QueryActions(ctx, "u", authsignal.ActionFilter{})
			return err
		}, true},
		{"update action", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.UpdateAction(ctx, "u", "a", "k", authsignal.StateBlock)
			return err
		}, false},
		{"update user", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.UpdateUser(ctx, "u", authsignal.UserAttributes{})
			return err
		}, false},
		{"delete user", func(ctx context.Context, c *authsignal.Client) error { return c.DeleteUser(ctx, "u") }, false},
		{"enroll verified", func(ctx context.Context, c *authsignal.Client) error {
			_, err := c.EnrollVerifiedAuthenticator(ctx, "u", authsignal.EnrollVerifiedRequest{VerificationMethod: authsignal.SMS})
			return err
		}, false},
		{"delete", func(ctx context.Context, c *authsignal.Client) error { return c.DeleteAuthenticator(ctx, "u", "a") }, false},
	}
	lose := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			w.Write([]byte(`{"error":"x","errorCode":"x","errorDescription":"y"}`))
		}
	}
	for _, fault := range []struct {
		name  string
		h     http.HandlerFunc
		retry bool
	}{
		{"lost answer", lose, true}, {"500", status(500), true}, {"503", status(503), true},
		{"429", status(429), false}, {"400", status(400), false},
	} {
		for _, c := range calls {
			t.Run(fault.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				client := scripted(t, func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					fault.h(w, r)
				})
				if err := c.do(t.Context(), client); err == nil {
					t.Error("no error")
				}
				want := int32(1)
				if fault.retry && c.safe {
					want = 3
				}
				if got := requests.Load(); got != want {
					t.Errorf("got %d requests, want %d", got, want)
				}
			})
		}
	}
}

func TestTrackRetriesWithOneKey(t *testing.T) {
	t.Parallel()
	var keys []string
	c := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1000)
		n, _ := r.Body.Read(b)
		keys = append(keys, string(b[:n]))
		if len(keys) < 3 {
			panic(http.ErrAbortHandler)
		}
		w.Write([]byte(`{"state":"ALLOW"}`))
	})
	r, err := c.Track(t.Context(), authsignal.TrackRequest{UserID: "u", Action: "a"})
	if err != nil || r.State != authsignal.StateAllow {
		t.Fatalf("got %+v, %v", r, err)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] != keys[2] || !strings.Contains(keys[0], `"idempotencyKey":"`) {
		t.Errorf("got %q", keys)
	}
}

func TestAnswersOfOtherServers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"HTML with 200": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte("<html>secret proxy page</html>"))
		}, "text/html"},
		"HTML with 404": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(404)
			w.Write([]byte("<html>secret proxy page</html>"))
		}, "404"},
		"empty": {func(http.ResponseWriter, *http.Request) {}, "no content type"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		}, "302"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := scripted(t, tt.h).ValidateChallenge(t.Context(), authsignal.ValidateRequest{Token: "t"})
			e := apiError(t, err)
			if e.Code != "invalid_response" || !strings.Contains(e.Description, tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := scripted(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c.Timeout = 20 * time.Millisecond
	if _, err := c.User(t.Context(), "u"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.User(ctx, "u"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutASecretKeyNothingIsSent(t *testing.T) {
	t.Parallel()
	var sent atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Store(true) }))
	t.Cleanup(s.Close)
	_, err := authsignal.New("", s.URL).User(t.Context(), "u")
	if err == nil || !strings.Contains(err.Error(), "secret key is required") || sent.Load() {
		t.Errorf("got %v", err)
	}
}

// Query parameters are part of the URL, which must not be in an error.
func TestErrorsQuoteNoQuery(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c := authsignal.New("hunter2", s.URL)
	for _, filter := range []authsignal.UserFilter{{Token: "eyJ-token"}, {Email: "jane@example.com"}} {
		_, err := c.QueryUsers(t.Context(), filter)
		if err == nil || strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "jane") || !strings.Contains(err.Error(), strings.TrimPrefix(s.URL, "http://")) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAServerThatIsDown(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := authsignal.New("hunter2", s.URL).User(t.Context(), "u")
	if err == nil || !strings.HasPrefix(err.Error(), "authsignal: user: ") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := authsignal.New(s.APISecretKey, s.BaseURL)
	ctx := t.Context()
	if status, err := c.RecoveryCodes(ctx, "u1"); err != nil || status != (authsignal.RecoveryCodesStatus{}) {
		t.Errorf("an unknown user: got %+v, %v", status, err)
	}
	_, err := c.MakeRecoveryCodes(ctx, "u1")
	if e := apiError(t, err); e.Status != 400 || e.Code != "invalid_request" {
		t.Errorf("without an authenticator app: got %+v", e)
	}
	_, err = c.EnrollVerifiedAuthenticator(ctx, "u1", authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.AuthenticatorApp,
		OTPURI:             "otpauth://totp/Acme:jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme",
	})
	if err != nil {
		t.Fatal(err)
	}
	codes, err := c.MakeRecoveryCodes(ctx, "u1")
	if err != nil || len(codes) != 10 {
		t.Errorf("got %d codes, %v", len(codes), err)
	}
	status, err := c.RecoveryCodes(ctx, "u1")
	if err != nil || status.Total != 10 || status.Left != 10 || status.IsPending || status.ConfirmedAt == nil || time.Since(*status.ConfirmedAt) > time.Minute {
		t.Errorf("got %+v, %v", status, err)
	}
	if err := c.VoidRecoveryCodes(ctx, "u1"); err != nil {
		t.Error(err)
	}
	if status, err := c.RecoveryCodes(ctx, "u1"); err != nil || status.Total != 0 {
		t.Errorf("after they were voided: got %+v, %v", status, err)
	}
}
