// Package server serves the Authsignal API over HTTP: routes, authentication, JSON
// and limits, as the wire contract defines them. Decisions are made by
// internal/mfa and internal/rules.
//
// It does not open a database or listen on a port; internal/daemon, its only
// caller outside tests, does both. It never logs a secret, a code or a token:
// the log has routes and not paths.
package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// Config configures a server. Every field is required unless it says otherwise.
type Config struct {
	Store  *store.Store
	Tokens *token.Issuer
	// ManagementKey authenticates operators; if empty, the management API is
	// closed.
	ManagementKey string
	// SigningKeys changes the keys of Tokens, which are in Store, for the
	// management API.
	SigningKeys SigningKeys
	// PublicURL is the URL at which browsers reach the server, without /v1.
	PublicURL string
	// Cookies is the place of the server's cookies: cookie.At of PublicURL.
	Cookies cookie.Home
	// AllowOrigin reports whether pages of an origin may call the client API for
	// any tenant. Pages of a tenant's origins may too.
	AllowOrigin func(origin string) bool
	// Pages are handlers by ServeMux pattern, outside /v1/: the portal and
	// the pre-built UI. They share the API's log and RateLimit.
	Pages map[string]http.Handler
	// Files are handlers of the files of Pages. They do not count against
	// RateLimit.
	Files map[string]http.Handler
	// ActivateAt says for the log where an operator activates the authenticator
	// app of a tenant: a URL or a description.
	ActivateAt string
	Log        *slog.Logger
	// TrustedProxies are the proxies whose X-Forwarded-For is trusted.
	TrustedProxies []netip.Prefix
	// RateLimit is the number of requests per second that an address may send
	// in the long run, with bursts of ten times as many: to the client API,
	// Pages and unknown paths, and with wrong keys to the rest. Preflights have
	// the same limit separately. 0 means no limit.
	RateLimit float64
	// Version is that of the release, for the health check.
	Version string
	// Metrics is where the server registers its metrics.
	Metrics prometheus.Registerer
	// Now and Random are the clock and the source of secrets.
	Now    func() time.Time
	Random io.Reader
	// Drain, if not nil, tells /readyz when the server is about to stop.
	Drain *Drain
	// VerifyTimeout is the timeout of an action.verify webhook. 0 means
	// webhook.VerifyTimeout.
	VerifyTimeout time.Duration
}

// SigningKeys changes the keys that sign client tokens.
type SigningKeys interface {
	// Rotate creates a new key, which signs when every replica has read it.
	Rotate(ctx context.Context) error
	// Withdraw removes a key. If it does not exist, the error is an *api.Error
	// with status 404.
	Withdraw(ctx context.Context, keyID string) error
}

type server struct {
	Config
	// sender requests consent from webhooks.
	sender  *webhook.Sender
	limiter *limiter
	// preflights limits preflights separately, so that the requests of a page do
	// not count twice.
	preflights *limiter
	// files limits how many requests for files are logged.
	files *limiter
	// wrongKeys limits wrong keys, and refusals combines their audit entries.
	wrongKeys  *limiter
	refusals   refusals
	metrics    *metrics
	conditions rules.Cache
	turns      turns
	inactive   reminder // by tenant
	// unready is the reason why the server was not ready when it was last asked.
	unready lastReason
	// refusedOrigins are the origins that are not allowed, together.
	refusedOrigins reminder
}

// New returns the handler of the whole API.
func New(c Config) http.Handler {
	c.Log = slog.New(requestHandler{c.Log.Handler()})
	if c.VerifyTimeout == 0 {
		c.VerifyTimeout = webhook.VerifyTimeout
	}
	if c.Drain == nil {
		c.Drain = &Drain{}
	}
	s := &server{
		Config: c, sender: webhook.NewSender(c.VerifyTimeout),
		limiter: newLimiter(c.RateLimit, c.Now), preflights: newLimiter(c.RateLimit, c.Now), wrongKeys: newLimiter(c.RateLimit, c.Now), files: newLimiter(c.RateLimit, c.Now),
		metrics: newMetrics(c.Metrics),
	}
	return s.handler()
}
