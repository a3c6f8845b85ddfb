// Package server answers the Authsignal API over HTTP: routes, authentication,
// JSON and limits. What may happen is decided by internal/mfa and internal/rules.
// The wire contract is its law.
//
// It opens no database and listens on no port; internal/daemon does both and
// is its caller. It never logs a secret, a code or a token: the access log
// names routes, not paths.
package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// Config is what a server is made of; every field is required unless it says
// otherwise.
type Config struct {
	Store  *store.Store
	Tokens *token.Issuer
	// ManagementKey authenticates operators; if empty, the management API is
	// closed.
	ManagementKey string
	// SigningKeys changes the keys of Tokens, which are in Store, for the
	// management API.
	SigningKeys SigningKeys
	// PublicURL is where users' browsers reach the server, without /v1.
	PublicURL string
	// AllowOrigin says which pages may call the client API, whichever tenant
	// they are of; each tenant's own origins may besides.
	AllowOrigin func(origin string) bool
	// Pages are handlers by ServeMux pattern, outside /v1/: the portal and
	// the pre-built UI. They share the API's log and RateLimit.
	Pages map[string]http.Handler
	// Files are handlers of the files of Pages. RateLimit does not count them.
	Files map[string]http.Handler
	// ActivateAt tells the log where an operator activates the authenticator
	// app of a tenant: a URL, or how else.
	ActivateAt string
	Log        *slog.Logger
	// TrustedProxies are believed about clients' addresses in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// RateLimit is how many requests a second one address may send in the long
	// run, ten times as many at once: to the client API, Pages and unknown
	// paths, and with wrong keys to the rest; and as many preflights besides. 0
	// means no limit.
	RateLimit float64
	// Metrics takes the server's counters.
	Metrics prometheus.Registerer
	// Now and Random are the clock and the source of secrets.
	Now    func() time.Time
	Random io.Reader
	// VerifyTimeout bounds an action.verify webhook; 0 means
	// webhook.VerifyTimeout.
	VerifyTimeout time.Duration
}

// SigningKeys changes the keys that sign client tokens.
type SigningKeys interface {
	// Rotate makes a new key, which signs when every replica knows it.
	Rotate(ctx context.Context) error
	// Withdraw removes a key at once; a key that does not exist is an
	// *api.Error of status 404.
	Withdraw(ctx context.Context, keyID string) error
}

type server struct {
	Config
	// sender asks webhooks for consent.
	sender  *webhook.Sender
	limiter *limiter
	// preflights has a limit of its own, or a page would count double.
	preflights *limiter
	// files limits how many requests for files are logged.
	files *limiter
	// wrongKeys limits guessing at keys; refusals coalesces what is told of it.
	wrongKeys  *limiter
	refusals   refusals
	metrics    *metrics
	conditions rules.Cache
	turns      turns
	inactive   reminder // by tenant
	// refusedOrigins are the origins that are not allowed, together.
	refusedOrigins reminder
}

// New returns the handler of the whole API.
func New(c Config) http.Handler {
	c.Log = slog.New(requestHandler{c.Log.Handler()})
	if c.VerifyTimeout == 0 {
		c.VerifyTimeout = webhook.VerifyTimeout
	}
	s := &server{
		Config: c, sender: webhook.NewSender(c.VerifyTimeout),
		limiter: newLimiter(c.RateLimit, c.Now), preflights: newLimiter(c.RateLimit, c.Now), wrongKeys: newLimiter(c.RateLimit, c.Now), files: newLimiter(c.RateLimit, c.Now),
		metrics: newMetrics(c.Metrics),
	}
	return s.handler()
}
