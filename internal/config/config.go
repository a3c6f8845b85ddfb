// Package config reads the configuration of the API server: flags, environment
// variables, keys, which come from the environment or from a file beside the
// database, and the declarative configuration, which it also applies to a
// database. It keeps the file of keys: it makes, rotates and forgets keys.
//
// It starts nothing. An error names the flag, the variable or the place in the
// file that is wrong, and never quotes a key.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// Config is the configuration of the API server.
type Config struct {
	// Command is the command with its arguments; empty runs the server.
	Command []string
	// Addr is the address to listen on, host:port; port 0 takes a free one.
	Addr string
	// DB is the name of the database; see store.ParseName.
	DB string
	// DBMustExist refuses a database that is missing or empty; otherwise it is made,
	// unless there was one.
	DBMustExist bool
	// Store has the options of the database.
	Store store.Options
	// Origins are those of the pages that may call the client API and, if they
	// are http or https, show the pre-built UI and be its redirect URL, exactly as
	// a browser writes them: scheme, host and port.
	Origins []string
	// PublicURL is the URL at which browsers reach the server, without /v1 and
	// without a slash at its end; empty means http:// and the address.
	PublicURL string
	// TokenTTL is the life of a client token: 1 second to 24 hours.
	TokenTTL time.Duration
	// Issuer is the name that authenticator apps show.
	Issuer string
	// TrustedProxies are believed about clients' addresses in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// RateLimit is how many requests a second one address may send on average, ten
	// times as many at once; 0 is no limit. At the Server API and the management
	// API only requests with a wrong key count, but an address over its limit is
	// refused there with any key.
	RateLimit float64
	// MetricsAddr is the address of Prometheus's /metrics, host:port; if empty,
	// there are none.
	MetricsAddr string
	// Dev treats pages on every port of this machine as those of Origins.
	Dev bool
	// Activate activates the authenticator app of a tenant that is created at the
	// start; -dev sets it.
	Activate bool
	// TrustBrowserDays are the trustBrowserDays of actions that have no settings yet,
	// by action. No flag sets it.
	TrustBrowserDays map[string]int
	// Portal says when the operator's portal is served; empty is never.
	Portal PortalMode
	// File is the path of a declarative configuration to apply at the start, or
	// empty.
	File string
	// WaitDB is how long the start waits for a database that is not available yet;
	// 0 is not at all.
	WaitDB time.Duration
	// Drain is how long requests are served after SIGTERM, or AutoDrain.
	Drain time.Duration
	// Retention is how long tracked actions are kept: 30 days or more.
	Retention time.Duration
	// WebhookURL receives signed events; empty means none.
	WebhookURL string
	// Given are the keys from the environment; see LoadKeys.
	Given Keys
	// Env has the variables that a declarative configuration names; nil is empty.
	Env *Env
	// Settings are the values of all flags and keys with their sources, for people.
	Settings map[string]Setting
}

// Defaults of the flags.
const (
	DefaultAddr     = "127.0.0.1:4000"
	DefaultDB       = "authsignal.db"
	DefaultTokenTTL = 10 * time.Minute
	DefaultIssuer   = "Authsignal"
	// DefaultRateLimit suffices for many users behind one address.
	DefaultRateLimit = 20
	DefaultRetention = 90 * 24 * time.Hour
	DefaultWaitDB    = time.Minute
)

// A PortalMode says when the operator's portal is served.
type PortalMode string

// The modes.
const (
	PortalAuto PortalMode = "auto" // when only this machine can reach it
	PortalOn   PortalMode = "on"
	PortalOff  PortalMode = "off"
)

// AutoDrain means a few seconds if /readyz was requested lately, and none otherwise.
const AutoDrain time.Duration = -1

// maxDrain and maxWaitDB are longer than anybody should wait.
const (
	maxDrain  = 10 * time.Minute
	maxWaitDB = 24 * time.Hour
)

// maxTokenTTL keeps "short-lived" true, and below the life of a pending
// enrollment.
const maxTokenTTL = 24 * time.Hour

// The ranges of -token-ttl and -retention, for sentences. Actions are kept at least
// as long as the API lists them.
var (
	tokenTTLRange  = fmt.Sprintf("from 1s to %.0fh", maxTokenTTL.Hours())
	retentionRange = fmt.Sprintf("%.0fh (%.0f days) or more", api.ActionHistory.Hours(), api.ActionHistory.Hours()/24)
)

// Parse reads flags and environment variables. Every flag has a variable, which it
// overrides: that of -public-url is AUTHSIGNAL_PUBLIC_URL. The arguments after the
// flags are the command. If the flags ask for help, it writes it to usage and
// returns flag.ErrHelp.
func Parse(args []string, env *Env, usage io.Writer) (Config, error) {
	c := Config{Env: env}
	f := flag.NewFlagSet("authsignal-server", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	var origins string
	f.StringVar(&c.Addr, "addr", DefaultAddr, "`host:port` to listen on; port 0 takes a free one")
	f.StringVar(&c.DB, "db", DefaultDB, "the database: the `path` of a SQLite file, file:PATH or sqlite:PATH, a postgres:// URL, or libpq's host=... dbname=...")
	f.BoolVar(&c.DBMustExist, "db-must-exist", false, "do not start on a database that is missing or empty; set it after the first start, above all with PostgreSQL")
	f.StringVar(&origins, "origins", "", "comma-separated `origins` of the pages that may call the client API, show the pre-built UI and be returned to, such as https://app.example.com; capacitor://localhost and other origins of app webviews and extensions may call the client API only")
	f.IntVar(&c.Store.Connections, "db-connections", store.DefaultConnections, "at most so many connections to PostgreSQL, a `number` from 1 to 1000")
	f.DurationVar(&c.Store.ConnectionLife, "db-connection-life", store.DefaultConnectionLife, "how long a connection to PostgreSQL is used, a `duration` of 1s or more")
	f.DurationVar(&c.Store.Wait, "db-wait", store.DefaultWait, "how long a call waits for a connection to PostgreSQL, a `duration` from 100ms to 5m")
	f.StringVar(&c.Store.Schema, "db-schema", store.DefaultSchema, "the schema of all tables on PostgreSQL, a `name` of small letters, digits and _; it is created if it does not exist")
	f.StringVar(&c.Store.MigrateDB, "migrate-db", "", "another `URL` of the same PostgreSQL database, to create tables with: past a pooler, or of a role that may; by default that of -db")
	f.StringVar(&c.PublicURL, "public-url", "", "`URL` at which browsers reach the server, without /v1; a proxy removes its path from requests; by default http:// and the address")
	ttl := f.String("token-ttl", DefaultTokenTTL.String(), "life of a client token, a `duration` "+tokenTTLRange)
	f.StringVar(&c.Issuer, "issuer", DefaultIssuer, "`name` that authenticator apps show")
	var proxies string
	f.StringVar(&proxies, "trusted-proxies", "", "comma-separated `networks` of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8")
	limit := f.String("rate-limit", strconv.Itoa(DefaultRateLimit), "`requests` a second that one address may send, ten times as many at once, where those with the right API secret or management key do not count; 0 is no limit")
	f.StringVar(&c.MetricsAddr, "metrics-addr", "", "`host:port` of Prometheus /metrics; by default there are none")
	f.StringVar(&c.File, "config", "", "`path` of a declarative configuration to apply at the start")
	f.DurationVar(&c.WaitDB, "wait-db", DefaultWaitDB, "how long the start waits for a database that is not available yet, a `duration`; 0 is not at all")
	drain := f.String("drain", "auto", "how long requests are served after SIGTERM while /readyz answers 503, a `duration`, or auto: 5s if /readyz was requested in the last minute, otherwise 0")
	f.DurationVar(&c.Retention, "retention", DefaultRetention, "how long tracked actions are kept, a `duration` of "+retentionRange)
	f.StringVar(&c.WebhookURL, "webhook-url", "", "http or https `URL` that takes signed events, and consents to each verification; by default none")
	portal := f.String("portal", string(PortalAuto), "`when` to serve the operator's portal: on (which needs an https -public-url, or a loopback address without a -public-url of another machine), off, or auto, which is on at a loopback address")
	f.BoolVar(&c.Dev, "dev", false, "let pages on every port of this machine do what those of -origins may, and activate the authenticator app of a new tenant; not with a -public-url that is https or of another machine")
	var err error
	if c.Settings, err = parseFlags(f, args, env); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(usage, help)
			f.SetOutput(usage)
			f.PrintDefaults()
			fmt.Fprint(usage, helpKeys)
		}
		return Config{}, err
	}
	c.Command, c.Activate = f.Args(), c.Dev
	if err := c.check(origins, *ttl); err != nil {
		return Config{}, err
	}
	if err := c.checkStore(); err != nil {
		return Config{}, err
	}
	if c.TrustedProxies, err = parseProxies(proxies); err != nil {
		return Config{}, err
	}
	if c.RateLimit, err = strconv.ParseFloat(*limit, 64); err != nil || !(c.RateLimit >= 0 && c.RateLimit <= 1e6) {
		return Config{}, fmt.Errorf("-rate-limit must be a number from 0 to 1000000, not %q", *limit)
	}
	if c.Drain, err = parseDrain(*drain); err != nil {
		return Config{}, err
	}
	if c.WaitDB < 0 || c.WaitDB > maxWaitDB {
		return Config{}, fmt.Errorf("-wait-db must be a duration from 0 to %.0fh, not %s", maxWaitDB.Hours(), c.WaitDB)
	}
	if c.Retention < api.ActionHistory {
		return Config{}, fmt.Errorf("-retention must be %s, not %s", retentionRange, c.Retention)
	}
	if c.MetricsAddr != "" {
		if _, _, err := net.SplitHostPort(c.MetricsAddr); err != nil {
			return Config{}, fmt.Errorf("-metrics-addr must be host:port, not %q", c.MetricsAddr)
		}
	}
	if c.Portal = PortalMode(*portal); !slices.Contains([]PortalMode{PortalAuto, PortalOn, PortalOff}, c.Portal) {
		return Config{}, fmt.Errorf("-portal must be auto, on or off, not %q", c.Portal)
	}
	c.Given, err = keysFromEnv(env)
	return c, err
}

const help = `Usage: authsignal-server [flags]                      run the server
       authsignal-server [flags] apply FILE           set tenants, actions and rules from a YAML file
       authsignal-server [flags] backup FILE          copy a SQLite database, in use or not
       authsignal-server [flags] restore FILE         replace a SQLite database by a backup; the server must be stopped
       authsignal-server [flags] check                look for what is wrong in a database, in use or not; exit status 1 if something is
       authsignal-server [flags] doctor [-json]       say what is configured, unsafe or unreachable
       authsignal-server [flags] rotate-key           seal all secrets with a new encryption key
       authsignal-server [flags] import FILE          import users of another system: CSV or JSON lines, - for standard input
                    after import: [-tenant TENANT] [-dry-run] [-skip-bad]
       authsignal-server [flags] export TENANT FILE   write a tenant to a file, sealed with a passphrase
       authsignal-server [flags] import-tenant FILE   create the tenant of an export
       authsignal-server [flags] delete-tenant TENANT delete a tenant with everything of it
       authsignal-server [flags] portal-password      make a new password for the portal
       authsignal-server code SECRET-OR-URI [-step N] print a code, as an authenticator app does
       authsignal-server version                      print the version, the commit, Go's version and the browser module's

Flags:
`

var helpKeys = fmt.Sprintf(`
Every flag has a variable, which it overrides. Space and line ends around a
value do not count.

Keys, by environment only: AUTHSIGNAL_TENANT_ID, AUTHSIGNAL_API_SECRET_KEY (%[1]d
characters or more), AUTHSIGNAL_ENCRYPTION_KEY (%[2]s), and for a
rotation AUTHSIGNAL_OLD_ENCRYPTION_KEYS; AUTHSIGNAL_MANAGEMENT_KEY (%[1]d
characters or more) opens the management API, AUTHSIGNAL_EXPORT_PASSPHRASE
seals exports. On SQLite, any of the first three
that is missing is made on first start and kept beside the database.

Each key but the tenant, and what may hold a password (AUTHSIGNAL_DB,
AUTHSIGNAL_MIGRATE_DB, AUTHSIGNAL_WEBHOOK_URL), can be in a file instead: the variable with _FILE at
its end, such as AUTHSIGNAL_API_SECRET_KEY_FILE, is its path.
`, manage.MinKey, keyForm)

func (c *Config) check(origins, ttl string) error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("-addr must be host:port, not %q", c.Addr)
	}
	for o := range strings.SplitSeq(origins, ",") {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		o, err := origin.Parse(o)
		if err != nil {
			return fmt.Errorf("-origins: %w", err)
		}
		c.Origins = append(c.Origins, o)
	}
	if _, err := store.ParseName(c.DB); err != nil {
		return fmt.Errorf("-db: %w", err)
	}
	var err error
	if c.TokenTTL, err = time.ParseDuration(ttl); err != nil || c.TokenTTL < time.Second || c.TokenTTL > maxTokenTTL {
		return fmt.Errorf("-token-ttl must be a duration %s, not %q", tokenTTLRange, ttl)
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if strings.Contains(c.PublicURL, "@") { // it may have a password, and is not quoted
			return errors.New("-public-url must be an http or https URL without user name and password")
		}
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("-public-url must be an http or https URL without query, not %q", c.PublicURL)
		}
		if !publicPath.MatchString(u.EscapedPath()) {
			return fmt.Errorf("the path of -public-url must consist of names such as /mfa, not %q", u.EscapedPath())
		}
		if slices.Contains(strings.Split(u.Path, "/"), "v1") {
			return errors.New("-public-url is the URL without /v1, which base URLs of the API have")
		}
		c.PublicURL = strings.TrimRight(u.String(), "/") // with the scheme in lower case
	}
	if c.WebhookURL != "" {
		if err := webhook.CheckURL(c.WebhookURL); err != nil {
			return fmt.Errorf("-webhook-url: %w", err)
		}
	}
	if err := api.CheckIssuer(c.Issuer); err != nil {
		return fmt.Errorf("-issuer: %s", manage.Text(err))
	}
	return nil
}

// parseDrain reads a duration or auto.
func parseDrain(text string) (time.Duration, error) {
	if text == "auto" {
		return AutoDrain, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDrain {
		return 0, fmt.Errorf("-drain must be auto or a duration from 0 to %s, not %q", maxDrain, text)
	}
	return d, nil
}

// checkStore checks the options of the database.
func (c *Config) checkStore() error {
	if !store.IsPostgres(c.DB) {
		for _, name := range []string{"db-connections", "db-connection-life", "db-wait", "db-schema", "migrate-db"} {
			if c.Settings["-"+name].Source != "default" {
				return fmt.Errorf("-%s is for PostgreSQL, and -db is a SQLite file", name)
			}
		}
		c.Store = store.Options{}
		return nil
	}
	switch o := c.Store; {
	case o.Connections < 1 || o.Connections > 1000:
		return fmt.Errorf("-db-connections must be a number from 1 to 1000, not %d", o.Connections)
	case o.ConnectionLife < time.Second:
		return fmt.Errorf("-db-connection-life must be a duration of 1s or more, not %s", o.ConnectionLife)
	case o.Wait < 100*time.Millisecond || o.Wait > 5*time.Minute:
		return fmt.Errorf("-db-wait must be a duration from 100ms to 5m, not %s", o.Wait)
	}
	if err := store.CheckSchema(c.Store.Schema); err != nil {
		return fmt.Errorf("-db-schema: %w", err)
	}
	if c.Store.MigrateDB != "" {
		if name, err := store.ParseName(c.Store.MigrateDB); err != nil {
			return fmt.Errorf("-migrate-db: %w", err)
		} else if name.Postgres == "" {
			return errors.New("-migrate-db must be a URL of PostgreSQL, as -db is")
		}
	}
	// What the name of the database says counts unless a flag says otherwise.
	if c.Settings["-db-connections"].Source == "default" {
		c.Store.Connections = 0
	}
	if c.Settings["-db-connection-life"].Source == "default" {
		c.Store.ConnectionLife = 0
	}
	return nil
}

// parseProxies reads networks and single addresses, separated by commas.
func parseProxies(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if a, addrErr := netip.ParseAddr(s); addrErr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("-trusted-proxies: %q is not a network such as 10.0.0.0/8 or an address", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// UnknownVariables returns the variables that look like the server's and are none:
// neither Parse knows them, nor a declarative configuration to apply.
func (c Config) UnknownVariables() []UnknownVariable {
	files := []string{c.File}
	if len(c.Command) == 2 && c.Command[0] == "apply" {
		files = append(files, c.Command[1])
	}
	var known []string
	for _, path := range files {
		// Whoever applies a file that cannot be read reports it.
		file, _ := ReadFile(path)
		for _, t := range file.Tenants {
			for _, v := range t.variables() {
				known = append(known, v.name, v.name+fileSuffix)
			}
		}
	}
	return c.Env.Unknown(known...)
}

// CheckExposure returns an error if a server that listens on an address would show
// pages for operators or developers to a network.
func (c Config) CheckExposure(at net.IP) error {
	if c.Portal == PortalOn && !c.HTTPS() && !c.local(at) {
		return errors.New("-portal on: the portal's password and session cookies would cross the network in plain text; put an https proxy before the server and set -public-url to its https URL, or listen on a loopback address (-addr 127.0.0.1:4000) without a -public-url of another machine")
	}
	if c.Dev && c.PublicURL != "" && (c.HTTPS() || !origin.IsLoopback(origin.Of(c.PublicURL))) {
		return errors.New("-dev is for one machine: with it -public-url must be an http URL of a loopback address such as http://localhost:4000; for a public server leave -dev out and name the pages by -origins")
	}
	return nil
}

// publicPath is the path of a public URL: characters that proxies and browsers do
// not write in several ways, and no dot segments.
var publicPath = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/*$`)

// HTTPS reports whether browsers reach the server over https.
func (c Config) HTTPS() bool { return strings.HasPrefix(c.PublicURL, "https://") }

// local reports whether only this machine reaches a server that listens on an
// address.
func (c Config) local(at net.IP) bool {
	return at.IsLoopback() && (c.PublicURL == "" || origin.IsLoopback(origin.Of(c.PublicURL)))
}

// ServesPortal reports whether the portal is on for a server that listens on
// an address.
func (c Config) ServesPortal(at net.IP) bool {
	switch c.Portal {
	case PortalOn:
		return true
	case PortalAuto:
		return c.local(at)
	}
	return false
}

// AllowOrigin reports whether pages of an origin may call the client API.
func (c Config) AllowOrigin(o string) bool {
	return slices.Contains(c.Origins, o) || c.Dev && origin.IsLoopback(o)
}
