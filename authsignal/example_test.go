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
