// Package daemon puts a running API server together: keys, store, handler,
// listener. The authsignal-server binary and the demo start it, and so do
// tests that want the true server without a process.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/server"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// A Server is an API server that listens.
type Server struct {
	// BaseURL is what SDKs are given: the address that is listened on, with
	// /v1.
	BaseURL string
	// TenantID and APISecretKey are those in force, given or made.
	TenantID, APISecretKey string

	store *store.Store
	http  *http.Server
	done  chan error
	// stopDelivery stops the webhooks; delivered is closed when they have.
	stopDelivery context.CancelFunc
	delivered    chan struct{}
}

// Start opens the store and listens. When it returns, requests are answered.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (*Server, error) {
	var keys config.Keys
	st, err := store.Open(ctx, c.DB, func() ([]byte, error) {
		var made bool
		var err error
		if keys, made, err = config.LoadKeys(c.Given, c.DB); made {
			log.Info("made new keys; keep this file safe and backed up", "file", config.KeysFile(c.DB))
		}
		return keys.EncryptionKey, err
	})
	if err != nil {
		return nil, err
	}
	s, err := start(c, keys, st, log)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

func start(c config.Config, keys config.Keys, st *store.Store, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	address := "http://" + reachable(listener.Addr().(*net.TCPAddr))
	publicURL := c.PublicURL
	if publicURL == "" {
		publicURL = address
	}
	tokens, err := token.New([]token.Key{{ID: "1", Secret: keys.SigningKey}}, publicURL, c.TokenTTL, time.Now)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	handler, err := server.New(server.Config{
		Store: st, Tokens: tokens, PublicURL: publicURL, AllowOrigin: c.AllowOrigin, Log: log,
		Now: time.Now, Random: rand.Reader,
		Tenant: server.Tenant{
			ID: keys.TenantID, APISecretKey: keys.APISecretKey, Issuer: c.Issuer,
			Parameters: totp.DefaultParameters, Drift: 1, Limits: server.DefaultLimits, WebhookURL: c.WebhookURL,
		},
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{
		BaseURL: address + "/v1", TenantID: keys.TenantID, APISecretKey: keys.APISecretKey,
		store: st, done: make(chan error, 1), delivered: make(chan struct{}),
		http: &http.Server{
			Handler: handler,
			// A client that sends or reads slowly must not hold a connection
			// for ever.
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       15 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}
	go func() { s.done <- s.http.Serve(listener) }()
	deliverer := &webhook.Deliverer{
		Outbox: st, Sender: webhook.NewSender(webhook.DeliverTimeout), Log: log, Now: time.Now,
		Target: func(_ context.Context, tenantID string) (webhook.Target, error) {
			if tenantID != keys.TenantID {
				return webhook.Target{}, nil
			}
			return webhook.Target{URL: c.WebhookURL, Secrets: []string{keys.APISecretKey}}, nil
		},
	}
	var ctx context.Context
	ctx, s.stopDelivery = context.WithCancel(context.Background())
	go func() {
		defer close(s.delivered)
		deliverer.Run(ctx)
	}()
	return s, nil
}

// reachable is an address that this machine can connect to.
func reachable(a *net.TCPAddr) string {
	if a.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", a.Port)
	}
	return a.String()
}

// Wait returns when ctx ends or the listener fails, after a graceful stop: no
// new requests, those under way answered within grace, then the store closed.
func (s *Server) Wait(ctx context.Context, grace time.Duration) error {
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.done:
	}
	return errors.Join(failed, s.Stop(grace))
}

// Stop answers the requests under way and lets the webhooks under way arrive,
// for at most grace, and closes the store.
func (s *Server) Stop(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.stopDelivery()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop: %w", err), s.http.Close())
	}
	select {
	case <-s.delivered:
	case <-ctx.Done():
		// What is still on its way will be sent again.
	}
	return errors.Join(err, s.store.Close())
}
