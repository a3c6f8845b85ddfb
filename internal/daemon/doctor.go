package daemon

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A Level says how bad a Finding is.
type Level int

// The levels. Their numbers are the exit statuses of the command doctor.
const (
	Fine    Level = iota // nothing is wrong, or it is only a fact
	Warning              // unsafe, or not as expected; the server runs
	Failure              // the server does not start, or cannot serve
)

func (l Level) String() string { return [...]string{"ok", "warning", "failure"}[l] }

// MarshalText returns the name of the level.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Finding is a line of a diagnosis. It has no secret.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"`
	Text  string `json:"text"`
	// Remedy is empty if there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// checkTime limits each check.
const checkTime = 5 * time.Second

// Limits of the checks.
const (
	// lowSpace and noSpace are free bytes of the disk with a SQLite database.
	lowSpace, noSpace = 1 << 30, 64 << 20
	// smallOffset and largeOffset are differences between the clocks of this machine
	// and the database's. From a step of 30 seconds on, codes are accepted by one
	// server and refused by another.
	smallOffset, largeOffset = 2 * time.Second, 30 * time.Second
	// keyLife is how long an encryption key should be in use at most (NIST SP
	// 800-57 part 1, section 5.3.6: two years for symmetric data-encryption keys).
	keyLife = 2 * 365 * 24 * time.Hour
)

// Doctor looks for what is unsafe, unreachable or missing in how a server is to run,
// beside servers that may be running. It changes nothing. It reports each finding and
// returns the worst level.
func Doctor(ctx context.Context, c config.Config, report func(Finding)) (worst Level) {
	d := &doctor{config: c, report: func(f Finding) {
		worst = max(worst, f.Level)
		report(f)
	}}
	d.settings()
	d.unsafe()
	for _, check := range []func(context.Context){d.listening, d.publicURL, d.files, d.disk, d.database} {
		limited, cancel := context.WithTimeout(ctx, checkTime)
		check(limited)
		cancel()
	}
	urls := d.webhooks
	if c.WebhookURL != "" {
		urls = append(urls, c.WebhookURL)
	}
	slices.Sort(urls)
	urls = slices.Compact(urls)
	if len(urls) > maxWebhooks {
		d.note("webhook", fmt.Sprintf("there are %d webhook URLs; the first %d are tried", len(urls), maxWebhooks))
		urls = urls[:maxWebhooks]
	}
	for _, u := range urls {
		limited, cancel := context.WithTimeout(ctx, checkTime)
		d.webhook(limited, u)
		cancel()
	}
	return worst
}

// maxWebhooks is how many webhook URLs are tried.
const maxWebhooks = 20

// Unsafe reports what of a configuration is unsafe, without asking the network or the
// database.
func Unsafe(c config.Config, report func(Finding)) {
	(&doctor{config: c, report: report}).unsafe()
}

type doctor struct {
	config config.Config
	report func(Finding)
	// webhooks are the URLs of the tenants.
	webhooks []string
}

func (d *doctor) note(check, text string) { d.report(Finding{Fine, check, text, ""}) }
func (d *doctor) warn(check, text, remedy string) {
	d.report(Finding{Warning, check, text, remedy})
}
func (d *doctor) fail(check, text, remedy string) {
	d.report(Finding{Failure, check, text, remedy})
}

// settings reports what is configured, and from where.
func (d *doctor) settings() {
	for _, name := range slices.Sorted(maps.Keys(d.config.Settings)) {
		if s := d.config.Settings[name]; s.Source != "default" {
			d.note("setting", fmt.Sprintf("%s is %s, from %s", name, s.Value, s.Source))
		}
	}
	var defaults []string
	for _, name := range slices.Sorted(maps.Keys(d.config.Settings)) {
		if d.config.Settings[name].Source == "default" {
			defaults = append(defaults, name)
		}
	}
	if defaults != nil {
		d.note("setting", "these have their defaults: "+strings.Join(defaults, ", "))
	}
}

// unsafe reports what the configuration alone tells.
func (d *doctor) unsafe() {
	c := d.config
	for _, v := range c.UnknownVariables() {
		d.warn("variables", "the variable "+v.Name+" is ignored: the server does not know it", "rename it to "+v.Nearest+", or unset it")
	}
	for _, o := range c.Origins {
		if strings.HasPrefix(o, "http://") && !origin.IsLoopback(o) {
			d.warn("origins", "pages of "+o+" cross the network in plain text, with codes and tokens", "serve them by https and name that origin in -origins")
		}
	}
	if strings.HasPrefix(c.PublicURL, "http://") && !origin.IsLoopback(origin.Of(c.PublicURL)) {
		d.warn("public-url", "browsers reach the server in plain text, with codes and tokens", "put a proxy with https before it and set -public-url to its URL")
	}
	if host, _, err := net.SplitHostPort(c.Addr); err == nil && c.PublicURL == "" && !isLoopback(host) {
		d.warn("public-url", "the server listens on the network without a -public-url, so tokens and links name http:// and its address", "set -public-url to the https URL at which browsers reach it")
	}
	if c.HTTPS() && c.TrustedProxies == nil {
		d.warn("trusted-proxies", "https ends at a proxy that is not named, so all clients share its address and its limit of requests", "name the proxy's address in -trusted-proxies")
	}
	if c.RateLimit == 0 {
		d.warn("rate-limit", "requests are not limited", "leave -rate-limit out, unless a proxy limits them")
	}
	if host, _, err := net.SplitHostPort(c.MetricsAddr); err == nil && !isLoopback(host) {
		d.warn("metrics-addr", "the metrics are served to the network without a key", "listen on a loopback or a private address, behind a firewall")
	}
	for _, name := range c.Env.Known() {
		if !strings.HasSuffix(name, "_FILE") {
			continue
		}
		path, err := c.Env.Get(name)
		if err != nil || path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
			d.warn("permissions", "every user of this machine may read the file that "+name+" names", "set its mode to 0600 or 0640")
		}
	}
}

// isLoopback reports whether only this machine reaches a host that is listened on.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listening reports whether the address is free, or this server's.
func (d *doctor) listening(ctx context.Context) {
	a, err := net.ResolveTCPAddr("tcp", d.config.Addr)
	if err != nil {
		d.fail("addr", err.Error(), "set -addr to host:port of this machine")
		return
	}
	if err := d.config.CheckExposure(a.IP); err != nil {
		d.fail("exposure", err.Error(), "see the text")
	}
	l, err := net.Listen("tcp", d.config.Addr)
	if err == nil {
		l.Close()
		d.note("addr", "nothing listens on "+d.config.Addr+": the server does not run there")
		return
	}
	if version, healthErr := health(ctx, "http://"+reachable(a)); healthErr == nil {
		d.note("addr", "a server of version "+version+" runs at "+d.config.Addr)
		return
	}
	d.fail("addr", err.Error(), "stop the other program, or name another address in -addr")
}

// health asks for /healthz and returns the version.
func health(ctx context.Context, base string) (version string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return "", err
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return "", err
	}
	var answer struct{ Version *string }
	if res.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Version == nil {
		return "", fmt.Errorf("/healthz answers %s, not as this server does", res.Status)
	}
	return *answer.Version, nil
}

func (d *doctor) publicURL(ctx context.Context) {
	if d.config.PublicURL == "" {
		return
	}
	if version, err := health(ctx, d.config.PublicURL); err != nil {
		d.warn("public-url", "the server does not answer at "+d.config.PublicURL+": "+err.Error(),
			"if it runs, check DNS, the certificate and that the proxy passes requests on, from this machine too")
	} else {
		d.note("public-url", "a server of version "+version+" answers at "+d.config.PublicURL)
	}
}

// files reports the files of a SQLite database that others may read.
func (d *doctor) files(context.Context) {
	if store.IsPostgres(d.config.DB) {
		return
	}
	db := store.FilePath(d.config.DB)
	for _, path := range []string{db, db + "-wal", db + "-shm", db + ".lock", config.KeysFile(d.config.DB)} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			d.fail("permissions", err.Error(), "run the command as the user of the server")
			continue
		}
		if info.Mode().Perm()&0o077 != 0 {
			d.warn("permissions", path+" has the mode "+info.Mode().Perm().String()+": others may read or change it", "set its mode to 0600, or start the server, which does")
		}
	}
	if info, err := os.Stat(filepath.Dir(db)); err != nil {
		d.fail("permissions", err.Error(), "make the folder, owned by the user of the server")
	} else if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		d.warn("permissions", "every user may replace files in the folder of the database", "set the mode of "+filepath.Dir(db)+" to 0700")
	}
	if _, err := os.Stat(config.KeysFile(d.config.DB)); err == nil {
		d.note("keys", "the keys are in "+config.KeysFile(d.config.DB)+", beside the database: whoever copies the folder has both. AUTHSIGNAL_ENCRYPTION_KEY_FILE keeps them apart")
	}
}

func (d *doctor) disk(context.Context) {
	if store.IsPostgres(d.config.DB) {
		return
	}
	folder := filepath.Dir(store.FilePath(d.config.DB))
	free, network, err := diskOf(folder)
	if err != nil {
		return // files has reported a folder that does not exist
	}
	if network != "" {
		d.warn("file-system", "the SQLite database is on "+network+", where locks and shared memory between machines do not work", "use a local disk, or PostgreSQL")
	}
	text := fmt.Sprintf("%d MiB are free for the database", free>>20)
	switch {
	case free < noSpace:
		d.fail("disk", text, "make room")
	case free < lowSpace:
		d.warn("disk", text, "make room")
	default:
		d.note("disk", text)
	}
}

func (d *doctor) database(ctx context.Context) {
	c := d.config
	if err := config.CheckFile(c); err != nil {
		d.fail("database", err.Error(), "restore it, or name the right one in -db")
		return
	}
	if !store.IsPostgres(c.DB) {
		if _, err := os.Stat(store.FilePath(c.DB)); errors.Is(err, fs.ErrNotExist) {
			d.warn("database", "there is no database at "+store.FilePath(c.DB)+": the server makes a new one, in which no user is enrolled", "if there was one, name it in -db")
			return
		}
		if f, err := os.OpenFile(store.FilePath(c.DB), os.O_RDWR, 0); err != nil {
			d.fail("database", "it cannot be changed: "+err.Error(), "run as the user of the server, on a file system that is not read-only")
		} else {
			f.Close()
		}
	}
	const fresh = false
	keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
	if err != nil {
		d.fail("keys", err.Error(), "see the text")
		return
	}
	st, err := store.OpenToCheck(ctx, c.DB, c.Store, keys.EncryptionKeys())
	if err != nil {
		d.fail("database", err.Error(), "check that it runs, its address, user and password, and the network between")
		return
	}
	defer st.Close()
	f, err := st.Facts(ctx)
	if err != nil {
		d.fail("database", err.Error(), "check that it runs, its address, user and password, and the network between")
		return
	}
	d.facts(f)
	if f.Empty || f.KeyMissing || f.Version != f.Newest {
		return
	}
	tenants, err := st.Tenants(ctx)
	if err != nil {
		d.fail("database", err.Error(), "see the log of the database")
		return
	}
	if len(tenants) == 0 {
		d.warn("tenants", "there is no tenant", "create one by apply, the management API or AUTHSIGNAL_TENANT_ID")
	}
	for _, t := range tenants {
		if !t.Authenticator.Active {
			d.warn("tenants", "the authenticator app of the tenant "+t.ID+" is not active: its actions cannot be tracked", "activate it in the portal, a declarative configuration or by the management API")
		}
		if t.WebhookURL != "" {
			d.webhooks = append(d.webhooks, t.WebhookURL)
		}
	}
}

func (d *doctor) facts(f store.Facts) {
	if f.ReadOnly {
		d.fail("database", "it accepts no changes: it is a standby, or its role is read-only", "name the primary in -db, or several hosts with target_session_attrs=read-write")
	}
	switch offset := time.Since(f.Clock).Abs().Round(time.Millisecond); {
	case offset >= largeOffset:
		d.fail("clock", fmt.Sprintf("this machine's clock and the database's differ by %s: right codes are refused", offset), "let both follow NTP")
	case offset >= smallOffset:
		d.warn("clock", fmt.Sprintf("this machine's clock and the database's differ by %s", offset), "let both follow NTP")
	}
	switch {
	case f.Empty:
		d.warn("database", "it is empty: in it no user is enrolled", "if there was one, name it in -db")
		return
	case f.Version > f.Newest:
		d.fail("database", fmt.Sprintf("its schema is at version %d, and this program knows %d", f.Version, f.Newest), "run the newer version of the server")
		return
	case f.Version < f.Newest:
		d.note("database", fmt.Sprintf("its schema is at version %d; the next start brings it to %d", f.Version, f.Newest))
	default:
		d.note("database", fmt.Sprintf("it answers, with the schema of this version (%d)", f.Version))
	}
	if f.KeyMissing {
		d.fail("keys", "the encryption key is not the one that the database was used with", "give the right one, or restore the keys file")
	} else if age := time.Since(f.KeySince); age > keyLife {
		d.warn("keys", fmt.Sprintf("the encryption key is in use since %s, longer than two years", f.KeySince.UTC().Format(time.DateOnly)), "run rotate-key")
	}
}

// webhook reports whether a webhook's host can be connected to. It sends nothing, and
// shows neither path nor query, which may hold a secret.
func (d *doctor) webhook(ctx context.Context, text string) {
	u, err := url.Parse(text)
	if err != nil {
		return // it was checked when it was set
	}
	host := u.Scheme + "://" + u.Host
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if u.Scheme == "http" && !origin.IsLoopback(origin.Of(host)) {
		d.warn("webhook", "events for "+host+" cross the network in plain text", "set an https URL")
	}
	address := net.JoinHostPort(u.Hostname(), port)
	var conn net.Conn
	if u.Scheme == "https" {
		conn, err = new(tls.Dialer).DialContext(ctx, "tcp", address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		d.warn("webhook", "the receiver at "+host+" cannot be reached: "+err.Error(), "check that it runs, DNS, the firewall and its certificate")
		return
	}
	conn.Close()
	d.note("webhook", "the receiver at "+host+" can be reached")
}
