// Package daemon assembles and runs an API server: keys, store, handlers,
// listeners, background tasks. It also runs the commands of authsignal-server that
// work on a database or diagnose a configuration. The authsignal-server binary and
// the demo start it, and so do tests that need the whole server without a process.
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
	"slices"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/authsignal-wasm/sdk/internal/address"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/cookie"
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

// A Server is a running API server.
type Server struct {
	// BaseURL is the base URL for SDKs: the address of the listener, with /v1.
	BaseURL string
	// TenantID and APISecretKey are those of the server's tenant, whether they
	// were configured or created.
	TenantID, APISecretKey string

	// PortalURL is the URL of the portal, or empty if the portal is off.
	// PortalPassword is its password if it was created by this start: show it
	// once, and do not log it.
	PortalURL, PortalPassword string

	// MetricsURL is the URL of the metrics, or empty if they are not served.
	MetricsURL string

	log     *slog.Logger
	store   *store.Store
	servers []*serving
	done    chan error
	drain   server.Drain
	// drainFor is how long requests are served after the drain has begun;
	// negative is config.AutoDrain.
	drainFor time.Duration
	// quitWebhooks makes the deliverer of webhooks claim no more events, and quit
	// stops the other background tasks too. idle is closed when all have stopped,
	// and nil if they were not started.
	quitWebhooks, quit func()
	idle               chan struct{}
	// stopControl stops the control socket; nil if it was not started.
	stopControl func()
}

// Start opens the store, which it waits for if it is not available yet, and listens.
// When it returns, requests are answered.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (*Server, error) {
	// The file is read first, so that an invalid file leaves nothing behind.
	var file config.File
	if c.File != "" {
		var err error
		if file, err = config.ReadFile(c.File); err != nil {
			return nil, err
		}
	}
	var in sockets
	var err error
	if in.api, in.metrics, err = passed(); err != nil {
		return nil, err
	}
	var address *net.TCPAddr
	if in.api != nil {
		address = in.api.Addr().(*net.TCPAddr)
		log.Info("listening on the socket that systemd passed; -addr is not used", "address", address.String())
	} else if address, err = net.ResolveTCPAddr("tcp", c.Addr); err != nil {
		return nil, errors.Join(fmt.Errorf("-addr: %w", err), in.Close())
	}
	if err := c.CheckExposure(address.IP); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	tighten(c.DB, log)
	var keys config.Keys
	st, err := await(ctx, c.WaitDB, log, func() (*store.Store, error) {
		return openStore(ctx, c, func(fresh bool) (_ config.Keys, err error) {
			var made bool
			if keys, made, err = config.LoadKeys(c.Given, c.DB, fresh); made {
				log.Info("created new keys; keep this file safe and backed up", "file", config.KeysFile(c.DB))
			}
			return keys, err
		})
	})
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	for _, doubt := range st.Doubts() {
		log.Warn(doubt)
	}
	if err := config.MarkUsed(c.DB); err != nil {
		log.Warn("the keys file does not record that a database was made", "error", err)
	}
	s := &Server{
		TenantID: keys.TenantID, APISecretKey: keys.APISecretKey,
		log: log, store: st, done: make(chan error, 3), drainFor: c.Drain, quitWebhooks: func() {}, quit: func() {},
	}
	if err := s.start(ctx, c, keys, file, in); err != nil {
		return nil, errors.Join(err, s.Stop(0))
	}
	notify(log, systemd.SdNotifyReady, "STATUS=Serving "+s.BaseURL)
	return s, nil
}

// sockets are those that the server listens on; nil ones are not open yet.
type sockets struct{ api, metrics net.Listener }

// listen opens the socket of the API, and that of the metrics if there are any,
// unless they were passed.
func (in *sockets) listen(c config.Config) (err error) {
	if in.api == nil {
		if in.api, err = net.Listen("tcp", c.Addr); err != nil {
			return fmt.Errorf("%w; -addr or AUTHSIGNAL_ADDR names another address", err)
		}
	}
	switch {
	case in.metrics != nil && c.MetricsAddr == "":
		return errNoMetricsAddr
	case in.metrics == nil && c.MetricsAddr != "":
		if in.metrics, err = net.Listen("tcp", c.MetricsAddr); err != nil {
			return fmt.Errorf("metrics: %w; -metrics-addr or AUTHSIGNAL_METRICS_ADDR names another address", err)
		}
	}
	return nil
}

// Close closes the sockets, on which nothing serves yet.
func (in *sockets) Close() (err error) {
	for _, l := range []net.Listener{in.api, in.metrics} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

func (s *Server) start(ctx context.Context, c config.Config, keys config.Keys, file config.File, in sockets) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	if err := s.prepare(ctx, c, keys, file); err != nil {
		return err
	}
	ring, err := newKeyring(ctx, s.store, c.TokenTTL, time.Now)
	if err != nil {
		return err
	}
	warm := s.warm(ctx)
	defer warm() // a start that fails closes the store
	if err := in.listen(c); err != nil {
		return err
	}
	address := in.api.Addr().(*net.TCPAddr)
	s.BaseURL = "http://" + reachable(address) + "/v1"
	publicURL := c.PublicURL
	if publicURL == "" {
		publicURL = "http://" + reachable(address)
	}
	tokens := &token.Issuer{
		Keys: ring.current, BaseURL: publicURL, TTL: c.TokenTTL, Now: time.Now,
	}
	if c.ServesPortal(address.IP) {
		s.PortalURL = publicURL + portal.Path
	}
	cookies, err := cookie.At(publicURL)
	if err != nil {
		return err
	}
	pages, files, err := s.pages(c, publicURL, cookies, tokens)
	if err != nil {
		return err
	}
	activateAt := cmp.Or(s.PortalURL, "the management API, a declarative configuration, or the portal (-portal on)")
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.PortalURL != "" {
		// This is the last step that can fail: a stored password must be shown.
		if s.PortalPassword, err = portal.FirstPassword(ctx, s.store, time.Now()); err != nil {
			return err
		}
	}
	handler := server.New(server.Config{
		Store: s.store, Tokens: tokens, Version: js.Version(),
		ManagementKey: keys.ManagementKey, SigningKeys: ring,
		PublicURL: publicURL, Cookies: cookies, AllowOrigin: c.AllowOrigin, Pages: pages, Files: files, ActivateAt: activateAt, Log: s.log,
		TrustedProxies: c.TrustedProxies, RateLimit: c.RateLimit, Metrics: registry,
		Drain: &s.drain, Now: time.Now, Random: rand.Reader,
	})
	if c.HTTPS() {
		handler = strictTransport(handler)
	}
	warm()
	s.serve(server.Listener(in.api), handler)
	if in.metrics != nil {
		s.serveMetrics(in.metrics, registry)
	}
	s.runInBackground(c, ring, registry)
	s.stopControl = s.control(c.DB)
	return nil
}

// warmTime bounds how long a start waits until the database is warm.
const warmTime = 500 * time.Millisecond

// warm begins to warm the database up, so that the first requests are not slow, and
// returns a function that waits for that.
func (s *Server) warm(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	done := make(chan error, 1)
	go func() { done <- s.store.Warm(ctx, time.Now()) }()
	return sync.OnceFunc(func() {
		defer cancel()
		if err := <-done; err != nil {
			s.log.Info("the first requests may be slow", "error", err)
		}
	})
}

// prepare applies the configuration to the database.
func (s *Server) prepare(ctx context.Context, c config.Config, keys config.Keys, file config.File) error {
	if err := s.ensureTenant(ctx, c, keys); err != nil {
		return err
	}
	err := file.Apply(ctx, s.store, c.Env, time.Now(), func(change string) { s.log.Info("configuration", "change", change) })
	if err != nil {
		return err
	}
	if err := s.revokeShortSecrets(ctx); err != nil {
		return err
	}
	return s.warnOfIssuers(ctx)
}

// pages returns the handlers of the pre-built UI and, if there is a PortalURL,
// of the portal: pages and their files, by ServeMux pattern.
func (s *Server) pages(c config.Config, publicURL string, cookies cookie.Home, tokens *token.Issuer) (pages, files map[string]http.Handler, err error) {
	sdk, err := js.Dist()
	if err != nil {
		s.log.Warn("pre-built UI", "error", err)
		sdk = nil
	}
	pages, files, err = prebuilt.Pages(prebuilt.Config{
		Store: s.store, Tokens: tokens, Cookies: cookies, Now: time.Now, Origins: c.Origins, Loopback: c.Dev, SDK: sdk, Log: s.log,
	})
	if err != nil || s.PortalURL == "" {
		return pages, files, err
	}
	portalPages, portalFiles, err := portal.Pages(portal.Config{
		Store: s.store, Log: s.log, Now: time.Now, PublicURL: publicURL, OnlyLocal: c.Portal == config.PortalAuto,
		Address: func(r *http.Request) netip.Addr { return address.Client(r, c.TrustedProxies) },
	})
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(pages, portalPages)
	maps.Copy(files, portalFiles)
	s.log.Info("portal", "url", s.PortalURL)
	return pages, files, nil
}

// serveMetrics serves the metrics of a registry on a listener.
func (s *Server) serveMetrics(listener net.Listener, registry *prometheus.Registry) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s.MetricsURL = "http://" + reachable(listener.Addr().(*net.TCPAddr)) + "/metrics"
	s.serve(listener, mux)
	s.log.Info("metrics", "url", s.MetricsURL)
}

// runInBackground starts the background tasks, which run until quit is called.
func (s *Server) runInBackground(c config.Config, ring *keyring, registry *prometheus.Registry) {
	background, cancel := context.WithCancel(context.Background())
	delivering, cancelWebhooks := context.WithCancel(background)
	var wg sync.WaitGroup
	wg.Go(func() { ring.watch(background, s.log) })
	wg.Go(func() { s.emptyLog(background) })
	wg.Go(func() { s.clean(background, c.Retention, ring) })
	wg.Go(func() { s.erase(background) })
	deliverer := &webhook.Deliverer{
		Outbox: s.store, Sender: webhook.NewSender(webhook.DeliverTimeout), Log: s.log, Now: time.Now, Target: s.target,
		Metrics: webhook.NewMetrics(registry, s.store.CountEvents),
	}
	wg.Go(func() { deliverer.Run(delivering) })
	wg.Go(func() { watchdog(background, s.log) })
	wg.Go(func() { s.checkUnclean(background) })
	s.quitWebhooks, s.quit, s.idle = cancelWebhooks, cancel, make(chan struct{})
	go func() {
		wg.Wait()
		close(s.idle)
	}()
}

// checkUnclean stops the server if the database file, which was not closed, is
// damaged.
func (s *Server) checkUnclean(ctx context.Context) {
	switch err := s.store.CheckUnclean(ctx); {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrReplaced):
		s.log.Error("the server stops", "error", err)
		s.done <- err
	default:
		s.log.Warn("the database file could not be checked", "error", err)
	}
}

// target returns the webhook of a tenant.
func (s *Server) target(ctx context.Context, tenantID string) (webhook.Target, error) {
	t, found, err := s.store.Tenant(ctx, tenantID)
	if err != nil || !found || t.WebhookURL == "" {
		return webhook.Target{}, err
	}
	secrets, err := s.store.SigningSecrets(ctx, tenantID, time.Now())
	return webhook.Target{URL: t.WebhookURL, Secrets: secrets}, err
}

// auditLife is how long audit entries are kept.
const auditLife = 400 * 24 * time.Hour

// clean deletes expired data, now and every hour.
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

// eraseInterval is how often erase looks for deleted tenants.
const eraseInterval = 10 * time.Second

// erase erases the rows of deleted tenants, now and every eraseInterval.
func (s *Server) erase(ctx context.Context) {
	for tick := time.Tick(eraseInterval); ; {
		rows, _, err := s.store.EraseDeleted(ctx, time.Now())
		for tenant, n := range rows {
			s.log.Info("erased a deleted tenant", "tenant", tenant, "rows", n)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("erase deleted tenants; it goes on later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// emptyLog empties SQLite's write-ahead log every minute, so that deleted data does
// not remain in a file of the database.
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

// ensureTenant creates the tenant of the keys if it does not exist, and stores its
// API secret key. If the keys have no tenant, it is the only one of the database.
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
			return fmt.Errorf("AUTHSIGNAL_TENANT_ID is required with AUTHSIGNAL_API_SECRET_KEY: this database has %d tenants", len(tenants))
		}
		s.TenantID = keys.TenantID
	}
	if keys.TenantID == "" {
		s.log.Warn("there is no tenant yet; create one with AUTHSIGNAL_TENANT_ID and AUTHSIGNAL_API_SECRET_KEY, a declarative configuration or the management API")
		return nil
	}
	var actions []manage.CheckedAction
	for action, days := range c.TrustBrowserDays {
		settings, err := manage.CheckAction(action, api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, TrustBrowserDays: days})
		if err != nil {
			return err
		}
		actions = append(actions, settings)
	}
	now := time.Now()
	err := s.store.Update(ctx, keys.TenantID, func(tx *store.Tx) error {
		if deleted, found, err := tx.Deleted(); err != nil || found {
			return errors.Join(err, deletedTenant(deleted, c))
		}
		settings := api.DefaultAuthenticatorSettings(cmp.Or(c.Issuer, config.DefaultIssuer))
		settings.Active = c.Activate
		created, err := manage.EnsureTenant(tx, settings, now)
		if err != nil {
			return err
		}
		if created {
			s.log.Info("created tenant", "tenant", keys.TenantID)
		}
		if c.WebhookURL != "" {
			if _, err := manage.Tenant(tx, manage.TenantChange{WebhookURL: &c.WebhookURL}, now); err != nil {
				return err
			}
		}
		for _, action := range actions {
			if err := manage.EnsureAction(tx, action, now); err != nil {
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
		s.log.Warn("the API secret key that the server was started with was revoked or has expired: it is refused", "tenant", keys.TenantID)
	}
	return err
}

// deletedTenant is the error of a start that would create a deleted tenant again.
func deletedTenant(d store.DeletedTenant, c config.Config) error {
	remedy := "unset AUTHSIGNAL_TENANT_ID and AUTHSIGNAL_API_SECRET_KEY, or give those of another tenant"
	if c.Given.TenantID == "" {
		remedy = "take tenantId and apiSecretKey out of " + config.KeysFile(c.DB) + ", but not encryptionKey"
	}
	return fmt.Errorf("the tenant %s, which this server is started with, was deleted at %s and is not created again: %s",
		d.ID, d.DeletedAt.Format(time.RFC3339), remedy)
}

// revokeShortSecrets revokes API secret keys that an earlier version accepted
// although they can be guessed.
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

// warnOfIssuers logs tenants whose issuer an earlier version accepted although
// authenticator apps misread it.
func (s *Server) warnOfIssuers(ctx context.Context) error {
	tenants, err := s.store.Tenants(ctx)
	for _, t := range tenants {
		if err := api.CheckIssuer(t.Authenticator.Issuer); err != nil {
			s.log.Warn("a tenant's issuer is still used, but would be refused if it were set again; set another one for new enrollments",
				"tenant", t.ID, "issuer", t.Authenticator.Issuer, "error", manage.Text(err))
		}
	}
	return err
}

// strictTransport tells browsers to use only https for a year (RFC 6797, section
// 6.1). It does not include subdomains, which may not belong to this server.
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// serve serves a handler on a listener in the background.
func (s *Server) serve(listener net.Listener, handler http.Handler) {
	s.servers = append(s.servers, serve(listener, handler, s.log, s.done))
}

// reachable returns an address that this machine can connect to.
func reachable(a *net.TCPAddr) string {
	if a.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", a.Port)
	}
	return a.String()
}

// ErrTerminated is the cause of a context whose end tells Wait to stop with a drain:
// the process is about to be replaced, and a proxy may still send requests to it.
var ErrTerminated = errors.New("terminated")

const (
	// probeAge is how long ago the last request for /readyz may be if a proxy
	// follows it, and autoDrain how long requests are then served after it
	// answers 503: time for two probes that are two seconds apart.
	probeAge  = time.Minute
	autoDrain = 5 * time.Second
)

// Wait waits until ctx ends or a listener fails, and then calls Stop, after a drain
// if the cause of the end is ErrTerminated.
func (s *Server) Wait(ctx context.Context, grace time.Duration) error {
	var failed error
	select {
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), ErrTerminated) {
			failed = s.Drain(grace)
		}
	case failed = <-s.done:
	}
	return errors.Join(failed, s.Stop(grace))
}

// Drain makes /readyz answer 503, and serves requests for the time of -drain, so that
// proxies notice before connections are refused. It returns early if a listener
// fails. grace is that of Stop, which is to follow.
func (s *Server) Drain(grace time.Duration) error {
	d := s.drainFor
	if d == config.AutoDrain {
		if d = 0; s.drain.Probed(probeAge) {
			d = autoDrain
		}
	}
	s.drain.Begin()
	s.quitWebhooks()
	s.log.Info("stopping", "drain", d.String())
	// systemd's own time-out begins with its SIGTERM.
	notify(s.log, systemd.SdNotifyStopping, "STATUS=Stopping", extend(d+grace+stopping))
	select {
	case <-time.After(d):
		return nil
	case err := <-s.done:
		return err
	}
}

// stopping bounds what a stop does after the time for requests.
const stopping = 5 * time.Second

// Stop stops the server, in this order: it claims no more webhooks, accepts no new
// requests, waits for at most grace for requests and webhooks in progress, stops
// the background tasks, and closes the store. Undelivered events stay in the
// outbox.
func (s *Server) Stop(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.drain.Begin()
	s.quitWebhooks()
	if s.stopControl != nil {
		s.stopControl()
	}
	errs := make([]error, len(s.servers))
	var wg sync.WaitGroup
	for i, h := range s.servers {
		wg.Go(func() { errs[i] = h.stop(ctx) })
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err != nil {
		err = fmt.Errorf("stop: %w", err)
	}
	s.quit()
	if s.idle != nil {
		select {
		case <-s.idle:
		case <-ctx.Done():
			err = errors.Join(err, errors.New("stop: webhooks were still in progress; undelivered events will be sent again"))
		}
	}
	return errors.Join(err, s.store.Close())
}
