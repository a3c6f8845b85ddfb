package authsignal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// demoServer starts the API server for the examples.
func demoServer() (*daemon.Server, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	s, err := daemon.Start(context.Background(), config.Config{
		Addr: "127.0.0.1:0", DB: filepath.Join(dir, "a.db"), TokenTTL: time.Minute, Issuer: "Acme", Activate: true,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		s.Stop(time.Second)
		os.RemoveAll(dir)
	}
}

// Track an action, pass the token to the page, and validate the token that comes
// back.
func Example() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	action, err := client.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(action.State, "enrolled:", action.IsEnrolled)

	// The page calls setToken(action.Token) and totp.enroll or totp.verify,
	// and sends a token back. The session has kept the idempotency key.
	result, err := client.ValidateChallenge(ctx, authsignal.ValidateRequest{
		Token: action.Token, UserID: "u1", Action: "signIn", IdempotencyKey: action.IdempotencyKey,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State, "valid:", result.IsValid)
	// Output:
	// ALLOW enrolled: false
	// ALLOW valid: false
}

// A token of an earlier sign-in does not complete this one.
func ExampleClient_ValidateChallenge() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	earlier, err := client.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		log.Fatal(err)
	}
	action, err := client.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.ValidateChallenge(ctx, authsignal.ValidateRequest{
		Token: earlier.Token, UserID: "u1", Action: "signIn", IdempotencyKey: action.IdempotencyKey,
	})
	fmt.Println(errors.Is(err, authsignal.ErrOtherAction))
	// Output: true
}

// Errors of the API carry a status and a stable code.
func ExampleError() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New("not the secret", server.BaseURL)

	_, err := client.User(context.Background(), "u1")
	var e *authsignal.Error
	if errors.As(err, &e) {
		fmt.Println(e.Status, e.Code)
	}
	// Output: 401 unauthorized
}

// A user from another system keeps the authenticator app.
func ExampleClient_EnrollVerifiedAuthenticator() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	_, err := client.EnrollVerifiedAuthenticator(ctx, "u1", authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.AuthenticatorApp,
		OTPURI:             "otpauth://totp/Acme:jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme",
	})
	if err != nil {
		log.Fatal(err)
	}
	action, err := client.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(action.State)
	// Output: CHALLENGE_REQUIRED
}

// List a user's recent actions, and review one of them.
func ExampleClient_QueryActions() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	_, err := client.Track(ctx, authsignal.TrackRequest{
		UserID: "u1", Action: "withdraw", Attributes: authsignal.Attributes{IdempotencyKey: "order-1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.UpdateAction(ctx, "u1", "withdraw", "order-1", authsignal.StateReviewRequired); err != nil {
		log.Fatal(err)
	}
	list, err := client.QueryActions(ctx, "u1", authsignal.ActionFilter{
		Actions: []string{"withdraw"}, FromDate: time.Now().Add(-time.Hour),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range list {
		fmt.Println(a.ActionCode, a.IdempotencyKey, a.State)
	}
	// Output: withdraw order-1 REVIEW_REQUIRED
}

// Change the attributes of a user, find the user by them, and delete the user.
func ExampleClient_QueryUsers() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	_, err := client.UpdateUser(ctx, "u1", authsignal.UserAttributes{Email: new("jane@example.com"), DisplayName: new("Jane")})
	if err != nil {
		log.Fatal(err)
	}
	for filter := (authsignal.UserFilter{Email: "jane@example.com"}); ; {
		page, err := client.QueryUsers(ctx, filter)
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range page.Users {
			fmt.Println(u.UserID, u.DisplayName)
		}
		if filter.After = page.LastEvaluatedUserID; filter.After == "" {
			break
		}
	}
	if err := client.DeleteUser(ctx, "u1"); err != nil {
		log.Fatal(err)
	}
	// Output: u1 Jane
}

// List all users, a page at a time.
func ExampleClient_ListUsers() {
	server, stop := demoServer()
	defer stop()
	client := authsignal.New(server.APISecretKey, server.BaseURL)
	ctx := context.Background()

	for _, id := range []string{"u1", "u2", "u3"} {
		if _, err := client.UpdateUser(ctx, id, authsignal.UserAttributes{}); err != nil {
			log.Fatal(err)
		}
	}
	for after := ""; ; {
		page, err := client.ListUsers(ctx, after, 2)
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range page.Users {
			fmt.Println(u.UserID, u.IsEnrolled)
		}
		if after = page.LastEvaluatedUserID; after == "" {
			break
		}
	}
	// Output:
	// u1 false
	// u2 false
	// u3 false
}

// A receiver of webhooks verifies the raw body before it uses it.
func ExampleClient_VerifyWebhook() {
	client := authsignal.New("test-secret-key-123", "http://127.0.0.1:4000/v1")
	receiver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		// The signature of the example is old; in a program pass
		// authsignal.DefaultWebhookTolerance.
		event, err := client.VerifyWebhook(payload, r.Header.Get(authsignal.WebhookSignatureHeader), 0)
		if err != nil {
			fmt.Println(err)
			http.Error(w, "not from Authsignal", http.StatusUnauthorized)
			return
		}
		switch data := event.Data.(type) {
		case authsignal.AuthenticatorCreated:
			fmt.Println(data.UserID, "enrolled", data.VerificationMethod)
		case authsignal.AuthenticatorDeleted:
			fmt.Println(data.UserID, "lost", data.UserAuthenticatorID)
		case authsignal.ActionVerify:
			// The server waits: 200 consents, 403 does not.
			fmt.Println("may", data.UserID, data.Action)
		}
	})

	body := `{"version":1,"type":"authenticator.created","id":"1","source":"https://authsignal.com",` +
		`"time":"2025-01-01T00:00:00.000Z","tenantId":"t","data":{"userId":"u","verificationMethod":"AUTHENTICATOR_APP"}}`
	for _, body := range []string{body, strings.Replace(body, `"u"`, `"v"`, 1)} {
		r := httptest.NewRequest("POST", "/webhooks", strings.NewReader(body))
		r.Header.Set("X-Signature-V2", "t=1740016316,v2=Z7d4Ji2nBI7+vUaAQ3RijPkhlYoyZwbVc4+eSe0mWhc")
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, r)
		fmt.Println(answer.Code)
	}
	// Output:
	// u enrolled AUTHENTICATOR_APP
	// 200
	// authsignal: verify webhook: no signature matches the payload and the key
	// 401
}
