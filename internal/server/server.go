// Package server answers the Authsignal API over HTTP: routes, authentication,
// JSON, and the decisions about actions and codes. The wire contract is its
// law.
//
// It opens no database and listens on no port; internal/daemon does both and
// is its caller. It never logs a secret, a code or a token: the access log
// names routes, not paths.
package server

import (
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// A Tenant is whose users the server authenticates.
type Tenant struct {
	ID string
	// APISecretKey authenticates the tenant's backends.
	APISecretKey string
	// Issuer is the name that authenticator apps show.
	Issuer string
	// Parameters are those of new authenticators; Digits is 6 or 8.
	totp.Parameters
	// Drift is how many steps a code may be early or late: 0 to 2.
	Drift int
	Limits
	// WebhookURL takes the tenant's events, signed with its API secret key;
	// empty means that there are none, and that no code waits for consent.
	WebhookURL string
}

// target is where the tenant's events go.
func (t Tenant) target() webhook.Target {
	return webhook.Target{URL: t.WebhookURL, Secrets: []string{t.APISecretKey}}
}

// Limits bound the guessing of codes, per authenticator.
type Limits struct {
	// Failures within Window that block an authenticator until the window
	// has moved on.
	Failures int
	Window   time.Duration
	// InARow is how many failures without a success block it for good.
	InARow int
}

// DefaultLimits are the documented 10 in 5 minutes, and the 100 in a row of
// NIST SP 800-63B, section 5.2.2.
var DefaultLimits = Limits{Failures: 10, Window: 5 * time.Minute, InARow: 100}

// Config is what a server is made of; every field is required but
// VerifyTimeout.
type Config struct {
	Store  *store.Store
	Tokens *token.Issuer
	Tenant Tenant
	// PublicURL is where users' browsers reach the server, without /v1.
	PublicURL string
	// AllowOrigin says which pages may call the client API.
	AllowOrigin func(origin string) bool
	Log         *slog.Logger
	// Now and Random are the clock and the source of secrets.
	Now    func() time.Time
	Random io.Reader
	// VerifyTimeout bounds an action.verify webhook; 0 means
	// webhook.VerifyTimeout.
	VerifyTimeout time.Duration
}

type server struct {
	Config
	// sender asks the webhook for consent.
	sender *webhook.Sender
	// secretSum is compared instead of the key, so that the comparison takes
	// the same time for keys of every length.
	secretSum [sha256.Size]byte
}

// New returns the handler of the whole API.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Tenant.ID == "":
		return nil, errors.New("no tenant id")
	case c.Tenant.APISecretKey == "":
		return nil, errors.New("no API secret key")
	case c.Tenant.Issuer == "":
		return nil, errors.New("no issuer")
	case c.Tenant.Drift < 0 || c.Tenant.Drift > 2:
		return nil, errors.New("drift must be 0 to 2 steps")
	}
	if err := c.Tenant.Validate(); err != nil {
		return nil, err
	}
	if c.Tenant.WebhookURL != "" {
		if err := webhook.CheckURL(c.Tenant.WebhookURL); err != nil {
			return nil, err
		}
	}
	if c.VerifyTimeout == 0 {
		c.VerifyTimeout = webhook.VerifyTimeout
	}
	s := &server{
		Config: c, sender: webhook.NewSender(c.VerifyTimeout),
		secretSum: sha256.Sum256([]byte(c.Tenant.APISecretKey)),
	}
	return s.handler(), nil
}
