package authsignal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// demoServer starts the true API server for the examples.
func demoServer() (*daemon.Server, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	s, err := daemon.Start(context.Background(), config.Config{
		Addr: "127.0.0.1:0", DB: filepath.Join(dir, "a.db"), TokenTTL: time.Minute, Issuer: "Acme",
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		s.Stop(time.Second)
		os.RemoveAll(dir)
	}
}

// Track an action, hand the token to the page, and validate what comes back.
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
	// and brings a token back.
	result, err := client.ValidateChallenge(ctx, authsignal.ValidateRequest{
		Token: action.Token, UserID: "u1", Action: "signIn",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State, "valid:", result.IsValid)
	// Output:
	// ALLOW enrolled: false
	// ALLOW valid: false
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

// A user who comes from another system keeps the authenticator app.
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

// What a user did lately, and a verdict of your own on it.
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

// Change what is known of a user, find the user by it, and delete the user.
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
