// Package config reads how the API server is to run: flags, their environment
// twins, and the keys, which come from the environment or from a file beside
// the database.
//
// It starts nothing. An error names the flag or variable that is wrong and
// never quotes a key.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// Config is how the API server is to run.
type Config struct {
	// Addr is the address to listen on, host:port; port 0 takes a free one.
	Addr string
	// DB is the path of the SQLite file.
	DB string
	// Origins are the pages that may call the client API, exactly as a
	// browser writes them: scheme, host and port.
	Origins []string
	// PublicURL is where users' browsers reach the server, without /v1 and
	// without a slash at its end; empty means the address.
	PublicURL string
	// TokenTTL is the life of a client token: 1 second to 24 hours.
	TokenTTL time.Duration
	// Issuer is the name that authenticator apps show.
	Issuer string
	// Dev lets pages on every port of this machine call the client API.
	Dev bool
	// WebhookURL takes signed events; empty means none.
	WebhookURL string
	// Given are the keys that the environment gives; see LoadKeys.
	Given Keys
}

// Defaults of the flags.
const (
	DefaultAddr     = "127.0.0.1:4000"
	DefaultDB       = "authsignal.db"
	DefaultTokenTTL = 10 * time.Minute
	DefaultIssuer   = "Authsignal"
)

// maxTokenTTL keeps "short-lived" true, and below the life of a pending
// enrollment.
const maxTokenTTL = 24 * time.Hour

// Parse reads flags and environment; a flag beats its variable. It returns
// flag.ErrHelp when help was asked for, after writing it to usage.
func Parse(args []string, getenv func(string) string, usage io.Writer) (Config, error) {
	c := Config{}
	f := flag.NewFlagSet("authsignal-server", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	var origins string
	f.StringVar(&c.Addr, "addr", or(getenv("AUTHSIGNAL_ADDR"), DefaultAddr), "`host:port` to listen on; port 0 takes a free one (AUTHSIGNAL_ADDR)")
	f.StringVar(&c.DB, "db", or(getenv("AUTHSIGNAL_DB"), DefaultDB), "`path` of the SQLite file (AUTHSIGNAL_DB)")
	f.StringVar(&origins, "origins", getenv("AUTHSIGNAL_ORIGINS"), "comma-separated `origins` of the pages that may call the client API, such as https://app.example.com (AUTHSIGNAL_ORIGINS)")
	f.StringVar(&c.PublicURL, "public-url", getenv("AUTHSIGNAL_PUBLIC_URL"), "`URL` at which browsers reach the server, without /v1; by default http:// and the address (AUTHSIGNAL_PUBLIC_URL)")
	ttl := f.String("token-ttl", or(getenv("AUTHSIGNAL_TOKEN_TTL"), DefaultTokenTTL.String()), "life of a client token, a `duration` from 1s to 24h (AUTHSIGNAL_TOKEN_TTL)")
	f.StringVar(&c.Issuer, "issuer", or(getenv("AUTHSIGNAL_ISSUER"), DefaultIssuer), "`name` that authenticator apps show (AUTHSIGNAL_ISSUER)")
	f.StringVar(&c.WebhookURL, "webhook-url", getenv("AUTHSIGNAL_WEBHOOK_URL"), "http or https `URL` that takes signed events, and consents to each verification; by default none (AUTHSIGNAL_WEBHOOK_URL)")
	f.BoolVar(&c.Dev, "dev", false, "let pages on every port of this machine call the client API")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(usage, "Usage: authsignal-server [flags]\n       authsignal-server code SECRET-OR-URI [-step N]\n\nFlags:\n")
			f.SetOutput(usage)
			f.PrintDefaults()
			fmt.Fprintf(usage, "\nKeys, by environment only: AUTHSIGNAL_TENANT_ID, AUTHSIGNAL_API_SECRET_KEY,\nAUTHSIGNAL_ENCRYPTION_KEY (32 bytes in base64). What is not given is made on\nfirst start and kept beside the database.\n")
		}
		return Config{}, err
	}
	if f.NArg() > 0 {
		return Config{}, fmt.Errorf("unknown command %q; see authsignal-server -help", f.Arg(0))
	}
	if err := c.check(origins, *ttl); err != nil {
		return Config{}, err
	}
	var err error
	c.Given, err = keysFromEnv(getenv)
	return c, err
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (c *Config) check(origins, ttl string) error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("-addr must be host:port, not %q", c.Addr)
	}
	for o := range strings.SplitSeq(origins, ",") {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		origin, err := parseOrigin(o)
		if err != nil {
			return err
		}
		c.Origins = append(c.Origins, origin)
	}
	var err error
	if c.TokenTTL, err = time.ParseDuration(ttl); err != nil || c.TokenTTL < time.Second || c.TokenTTL > maxTokenTTL {
		return fmt.Errorf("-token-ttl must be a duration from 1s to 24h, not %q", ttl)
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("-public-url must be an http or https URL without query, not %q", c.PublicURL)
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	}
	if c.WebhookURL != "" {
		if err := webhook.CheckURL(c.WebhookURL); err != nil {
			return fmt.Errorf("-webhook-url: %w", err)
		}
	}
	if strings.TrimSpace(c.Issuer) == "" || len(c.Issuer) > 256 {
		return errors.New("-issuer must be 1 to 256 bytes")
	}
	return nil
}

// parseOrigin checks that o is an origin and writes it as browsers do: in
// lower case and without the scheme's own port.
func parseOrigin(o string) (string, error) {
	u, err := url.Parse(strings.ToLower(o))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("-origins: %q is not an origin such as https://app.example.com (scheme, host and port, no path)", o)
	}
	if p := u.Port(); u.Scheme == "http" && p == "80" || u.Scheme == "https" && p == "443" {
		u.Host = strings.TrimSuffix(u.Host, ":"+p)
	}
	return u.Scheme + "://" + u.Host, nil
}

// AllowOrigin reports whether pages of an origin may call the client API.
func (c Config) AllowOrigin(origin string) bool {
	for _, o := range c.Origins {
		if o == origin {
			return true
		}
	}
	return c.Dev && loopback(origin)
}

// loopback reports whether an origin is on this machine: localhost and its
// subdomains (RFC 6761, section 6.3), or a loopback address.
func loopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	host := u.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// tenantID is what a tenant may be called: it stands in tokens and paths.
var tenantID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
