// Package daemon puts a running API server together: keys, store, handler,
// listener. The authsignal-server binary and the demo start it, and so do
// tests that want the true server without a process.
package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/portal"
	"github.com/authsignal-wasm/sdk/internal/prebuilt"
	"github.com/authsignal-wasm/sdk/internal/server"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/webhook"
	"github.com/authsignal-wasm/sdk/js"
)

// A Server is an API server that listens.
type Server struct {
	// BaseURL is what SDKs are given: the address that is listened on, with
	// /v1.
	BaseURL string
	// TenantID and APISecretKey are those in force, given or made.
	TenantID, APISecretKey string

	// PortalURL is where operators sign in; empty when the portal is off.
	// PortalPassword is the password that was made for it now: show it once,
	// and not in a log.
	PortalURL, PortalPassword string

	// MetricsURL is where Prometheus finds the metrics; empty for nowhere.
	MetricsURL string

	log     *slog.Logger
	store   *store.Store
	servers []*http.Server
	done    chan error
	// quit tells what runs beside the servers to end; idle is closed when it
	// has, and nil if it never ran.
	quit func()
	idle chan struct{}
}

// Start opens the store and listens. When it returns, requests are answered.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (*Server, error) {
	// Before anything is made: a file that is wrong must leave nothing behind.
	var file config.File
	if c.File != "" {
		var err error
		if file, err = config.ReadFile(c.File); err != nil {
			return nil, err
		}
	}
	address, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("-addr: %w", err)
	}
	if err := c.CheckExposure(address.IP); err != nil {
		return nil, err
	}
	tighten(c.DB, log)
	var keys config.Keys
	st, err := store.Open(ctx, c.DB, func(fresh bool) ([][]byte, error) {
		var made bool
		var err error
		if keys, made, err = config.LoadKeys(c.Given, c.DB, fresh); made {
			log.Info("made new keys; keep this file safe and backed up", "file", config.KeysFile(c.DB))
		}
		return keys.EncryptionKeys(), err
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		TenantID: keys.TenantID, APISecretKey: keys.APISecretKey,
		log: log, store: st, done: make(chan error, 2), quit: func() {},
	}
	if err := s.start(ctx, c, keys, file); err != nil {
		return nil, errors.Join(err, s.Stop(0))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, c config.Config, keys config.Keys, file config.File) (err error) {
	if err := s.ensureTenant(ctx, c, keys); err != nil {
		return err
	}
	err = file.Apply(ctx, s.store, os.Getenv, time.Now(), func(change string) { s.log.Info("configuration", "change", change) })
	if err != nil {
		return err
	}
	if err := s.revokeShortSecrets(ctx); err != nil {
		return err
	}
	if err := s.warnOfIssuers(ctx); err != nil {
		return err
	}
	ring, err := newKeyring(ctx, s.store, c.TokenTTL, time.Now)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("%w; -addr or AUTHSIGNAL_ADDR names another address", err)
	}
	listeners := []net.Listener{listener}
	defer func() {
		if err != nil { // nothing serves on them yet
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	address := "http://" + reachable(listener.Addr().(*net.TCPAddr))
	publicURL := c.PublicURL
	if publicURL == "" {
		publicURL = address
	}
	tokens := &token.Issuer{
		Keys: ring.current, BaseURL: publicURL, TTL: c.TokenTTL, Now: time.Now,
	}
	sdk, err := js.Dist()
	if err != nil {
		s.log.Warn("pre-built UI", "error", err)
		sdk = nil
	}
	pages, files, err := prebuilt.Pages(prebuilt.Config{
		Store: s.store, Tokens: tokens, Origins: c.Origins, Loopback: c.Dev, SDK: sdk, Log: s.log,
	})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.BaseURL = address + "/v1"
	activateAt := "the management API, a declarative configuration, or the portal (-portal on)"
	if c.ServesPortal(listener.Addr().(*net.TCPAddr).IP) {
		s.PortalURL = publicURL + portal.Path
		activateAt = s.PortalURL
		portalPages, portalFiles, err := portal.Pages(portal.Config{
			Store: s.store, Log: s.log, Now: time.Now, PublicURL: publicURL, OnlyLocal: c.Portal == config.PortalAuto,
			Address: func(r *http.Request) netip.Addr { return server.ClientAddress(r, c.TrustedProxies) },
		})
		if err != nil {
			return err
		}
		maps.Copy(pages, portalPages)
		maps.Copy(files, portalFiles)
		s.log.Info("portal", "url", s.PortalURL)
	}
	var metrics net.Listener
	if c.MetricsAddr != "" {
		if metrics, err = net.Listen("tcp", c.MetricsAddr); err != nil {
			return fmt.Errorf("metrics: %w; -metrics-addr or AUTHSIGNAL_METRICS_ADDR names another address", err)
		}
		listeners = append(listeners, metrics)
	}
	if s.PortalURL != "" {
		// The last that can fail: a password that is stored is also shown.
		if s.PortalPassword, err = portal.FirstPassword(ctx, s.store, time.Now()); err != nil {
			return err
		}
	}
	handler := server.New(server.Config{
		Store: s.store, Tokens: tokens, Version: js.Version(),
		ManagementKey: keys.ManagementKey, SigningKeys: ring,
		PublicURL: publicURL, AllowOrigin: c.AllowOrigin, Pages: pages, Files: files, ActivateAt: activateAt, Log: s.log,
		TrustedProxies: c.TrustedProxies, RateLimit: c.RateLimit, Metrics: registry,
		Now: time.Now, Random: rand.Reader,
	})
	if c.HTTPS() {
		handler = strictTransport(handler)
	}
	s.serve(server.Listener(listener), handler)
	if metrics != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		s.MetricsURL = "http://" + reachable(metrics.Addr().(*net.TCPAddr)) + "/metrics"
		s.serve(metrics, mux)
		s.log.Info("metrics", "url", s.MetricsURL)
	}
	background, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { ring.watch(background, s.log) })
	wg.Go(func() { s.emptyLog(background) })
	wg.Go(func() { s.clean(background, c.Retention, ring) })
	deliverer := &webhook.Deliverer{
		Outbox: s.store, Sender: webhook.NewSender(webhook.DeliverTimeout), Log: s.log, Now: time.Now, Target: s.target,
		Metrics: webhook.NewMetrics(registry, s.store.CountEvents),
	}
	wg.Go(func() { deliverer.Run(background) })
	s.quit, s.idle = cancel, make(chan struct{})
	go func() {
		wg.Wait()
		close(s.idle)
	}()
	return nil
}

// target is where a tenant's events go.
func (s *Server) target(ctx context.Context, tenantID string) (webhook.Target, error) {
	t, found, err := s.store.Tenant(ctx, tenantID)
	if err != nil || !found || t.WebhookURL == "" {
		return webhook.Target{}, err
	}
	secrets, err := s.store.ActiveSecrets(ctx, tenantID, time.Now())
	return webhook.Target{URL: t.WebhookURL, Secrets: secrets}, err
}

// auditLife is how long the audit log is kept.
const auditLife = 400 * 24 * time.Hour

// clean deletes, now and every hour, what is older than it need be kept.
func (s *Server) clean(ctx context.Context, actions time.Duration, ring *keyring) {
	if actions == 0 {
		actions = config.DefaultRetention
	}
	r := store.Retention{Actions: actions, Audit: auditLife, Pending: mfa.PendingLife}
	for tick := time.Tick(time.Hour); ; {
		if n, err := s.store.Clean(ctx, r, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Warn("clean", "error", err)
		} else if n > 0 {
			s.log.Info("cleaned", "rows", n)
		}
		if n, err := ring.clean(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("delete retired signing keys", "error", err)
		} else if n > 0 {
			s.log.Info("deleted retired signing keys", "keys", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// emptyLog empties SQLite's write-ahead log every minute, so that what was
// deleted is in no file of the database.
func (s *Server) emptyLog(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.store.EmptyLog(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("empty the write-ahead log", "error", err)
			}
		}
	}
}

// ensureTenant makes the tenant that the keys name, if there is none, and lets
// its secret in. Where no tenant is named, it is the one that the database has.
func (s *Server) ensureTenant(ctx context.Context, c config.Config, keys config.Keys) error {
	if keys.TenantID == "" {
		tenants, err := s.store.Tenants(ctx)
		if err != nil {
			return err
		}
		switch {
		case len(tenants) == 1:
			keys.TenantID = tenants[0].ID
		case keys.APISecretKey != "":
			return fmt.Errorf("AUTHSIGNAL_TENANT_ID is required beside AUTHSIGNAL_API_SECRET_KEY: this database has %d tenants", len(tenants))
		}
		s.TenantID = keys.TenantID
	}
	if keys.TenantID == "" {
		s.log.Warn("there is no tenant yet; make one by AUTHSIGNAL_TENANT_ID and AUTHSIGNAL_API_SECRET_KEY, a declarative configuration or the management API")
		return nil
	}
	now := time.Now()
	err := s.store.Update(ctx, keys.TenantID, func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings(cmp.Or(c.Issuer, config.DefaultIssuer))
		settings.Active = c.Activate
		made, err := manage.EnsureTenant(tx, settings, now)
		if err != nil {
			return err
		}
		if made {
			s.log.Info("made tenant", "tenant", keys.TenantID)
		}
		if c.WebhookURL != "" {
			if _, err := manage.Tenant(tx, manage.TenantChange{WebhookURL: &c.WebhookURL}, now); err != nil {
				return err
			}
		}
		if keys.APISecretKey == "" {
			return nil
		}
		_, err = manage.EnsureSecret(tx, keys.APISecretKey, now)
		return err
	})
	if err != nil || keys.APISecretKey == "" {
		return err
	}
	_, inForce, err := s.store.TenantOfSecret(ctx, keys.APISecretKey, now)
	if err == nil && !inForce {
		s.log.Warn("the API secret key that the server is started with was revoked or has expired: it is not let in", "tenant", keys.TenantID)
	}
	return err
}

// revokeShortSecrets takes the API secret keys out of force that a version
// before this one accepted although they can be guessed.
func (s *Server) revokeShortSecrets(ctx context.Context) error {
	tenants, err := s.store.Tenants(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	short := func(key string) bool { return manage.CheckKey(key) != nil }
	for _, t := range tenants {
		active, err := s.store.ActiveSecrets(ctx, t.ID, now)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(active, short) {
			continue
		}
		var n int
		err = s.store.Update(ctx, t.ID, func(tx *store.Tx) (err error) {
			n, err = manage.RevokeShortSecrets(tx, now)
			return err
		})
		if err != nil {
			return err
		}
		s.log.Warn("revoked API secret keys of fewer than 32 characters; give the tenant's backends a new one", "tenant", t.ID, "keys", n)
	}
	return nil
}

// warnOfIssuers names the tenants whose issuer a version before this one
// accepted although authenticator apps read it wrongly.
func (s *Server) warnOfIssuers(ctx context.Context) error {
	tenants, err := s.store.Tenants(ctx)
	for _, t := range tenants {
		if err := api.CheckIssuer(t.Authenticator.Issuer); err != nil {
			s.log.Warn("a tenant's issuer is still used, and is refused when it is set anew; set another one for new enrollments",
				"tenant", t.ID, "issuer", t.Authenticator.Issuer, "error", manage.Text(err))
		}
	}
	return err
}

// strictTransport tells browsers to use https alone for a year (RFC 6797,
// section 6.1). Other hosts of the domain are not this server's to speak for.
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// serve answers on a listener in the background.
func (s *Server) serve(listener net.Listener, handler http.Handler) {
	h := &http.Server{
		Handler: handler,
		// A client that sends or reads slowly must not hold a connection for
		// ever.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.servers = append(s.servers, h)
	go func() { s.done <- h.Serve(listener) }()
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
// for at most grace, and closes the store. Events that come meanwhile stay in
// the outbox.
func (s *Server) Stop(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.quit()
	var err error
	for _, h := range s.servers {
		if stopErr := h.Shutdown(ctx); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stop: %w", stopErr), h.Close())
		}
	}
	if s.idle != nil {
		select {
		case <-s.idle:
		case <-ctx.Done():
			err = errors.Join(err, errors.New("stop: webhooks were under way; what has not arrived is sent again"))
		}
	}
	return errors.Join(err, s.store.Close())
}
