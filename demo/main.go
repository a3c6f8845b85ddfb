// Command demo is a small web app that protects its sign-in with an
// authenticator app: a Go backend on the server SDK, and one page on the
// browser SDK. It shows how the parts fit together; it is not a user store.
//
// It is configured by environment variables:
//
//	DEMO_ADDR  host:port to listen on (default 127.0.0.1:3000); port 0 takes a
//	           free one. At 0.0.0.0 phones in the same network can open the
//	           page, at the address of this machine's default route; with more
//	           networks than one, write this machine's address in the one that
//	           is meant.
//	DEMO_DATA  folder of the API server's database (default .demo)
//
//	AUTHSIGNAL_API_URL, AUTHSIGNAL_API_SECRET_KEY, AUTHSIGNAL_TENANT_ID
//	           use this API server, which must allow the demo's origin;
//	           without them the demo starts one inside itself, on its own port.
//	           The key can be in a file: AUTHSIGNAL_API_SECRET_KEY_FILE is its
//	           path.
//
// It prints the address to open and a line for each thing to try, and logs on
// standard error. SIGINT and SIGTERM stop it gracefully; a second one stops it at
// once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
	"github.com/authsignal-wasm/sdk/js"
)

const (
	defaultPort = "3000"
	defaultAddr = "127.0.0.1:" + defaultPort
	defaultData = ".demo"
	// apiPort is the port of the API server inside, if it is free.
	apiPort = "4000"
	// issuer is the name that authenticator apps show.
	issuer = "Authsignal demo"
	// grace is how long a stop waits for requests under way.
	grace = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, config.NewEnv(os.Environ()), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run serves the demo until ctx ends.
func run(ctx context.Context, env *config.Env, stdout, stderr io.Writer) error {
	sdk, err := js.Dist()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	d, err := start(ctx, env, sdk, stdout, log)
	if err != nil {
		return err
	}
	if err := d.tour(stdout, kindOf(stdout)); err != nil {
		return errors.Join(err, d.stop())
	}
	return d.wait(ctx)
}

// A tenant is the address of the API and the credentials of the demo there.
type tenant struct {
	apiURL, secretKey, id string
}

// outside reads which API server to use; the zero tenant means one of our own.
func outside(env *config.Env) (tenant, error) {
	const url, key, id = "AUTHSIGNAL_API_URL", "AUTHSIGNAL_API_SECRET_KEY", "AUTHSIGNAL_TENANT_ID"
	var t tenant
	var errs [3]error
	t.apiURL, errs[0] = env.Get(url)
	t.secretKey, errs[1] = env.Secret(key)
	t.id, errs[2] = env.Get(id)
	if err := errors.Join(errs[:]...); err != nil || t == (tenant{}) {
		return tenant{}, err
	}
	t.apiURL = strings.TrimRight(t.apiURL, "/")
	var missing []string
	for _, v := range []struct{ name, value string }{{url, t.apiURL}, {key, t.secretKey}, {id, t.id}} {
		if v.value == "" {
			missing = append(missing, v.name)
		}
	}
	if missing != nil {
		return t, fmt.Errorf("to use an outside API server also set %s; to start one inside the demo set none of %s, %s and %s",
			strings.Join(missing, " and "), url, key, id)
	}
	_, err := originOf(t.apiURL)
	return t, err
}

// originOf gives the origin of the API, as the page's policy names it.
func originOf(apiURL string) (string, error) {
	u, err := url.Parse(apiURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		// It may hold a password: it is not quoted.
		return "", errors.New("AUTHSIGNAL_API_URL must be a URL such as https://api.authsignal.com/v1")
	}
	return u.Scheme + "://" + u.Host, nil
}

// A demo is a running app, with the API server inside it if there is one.
type demo struct {
	url    string
	tenant tenant
	// network reports whether the address to open is one for other machines.
	network bool
	data    string // DEMO_DATA

	http *http.Server
	api  *daemon.Server
	done chan error
}

// start listens. When it returns, requests are answered. The notices to users go to
// mail.
func start(ctx context.Context, env *config.Env, sdk fs.FS, mail io.Writer, log *slog.Logger) (_ *demo, err error) {
	d := &demo{done: make(chan error, 1)}
	if d.data, err = env.Get("DEMO_DATA"); err != nil {
		return nil, err
	}
	d.data = or(d.data, defaultData)
	if d.tenant, err = outside(env); err != nil {
		return nil, err
	}
	addr, err := env.Get("DEMO_ADDR")
	if err != nil {
		return nil, err
	}
	addr = or(addr, defaultAddr)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("DEMO_ADDR must be host:port, not %q", addr)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; DEMO_ADDR names another address", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, listener.Close())
		}
	}()
	// The API server has to know the page's origin, which is known only now.
	at := listener.Addr().(*net.TCPAddr)
	ip := at.IP
	if ip.IsUnspecified() {
		if ip, err = networkIP(); err != nil {
			return nil, err
		}
	}
	name, _ := os.Hostname() // without one the page has one origin less
	origins := pageOrigins(host, at, ip, name)
	d.url, d.network = origins[0], !ip.IsLoopback()
	if d.tenant.apiURL == "" {
		if d.api, err = startAPI(ctx, d.data, ip, port, origins, webhookURL(at), log); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, d.api.Stop(grace))
			}
		}()
		d.tenant = tenant{d.api.BaseURL, d.api.APISecretKey, d.api.TenantID}
	}
	pages, err := newAssets(sdk, d.tenant)
	if err != nil {
		return nil, err
	}
	d.http = &http.Server{
		Handler: newApp(authsignal.New(d.tenant.secretKey, d.tenant.apiURL), pages, mail, log),
		// A client that sends or reads slowly must not hold a connection for
		// ever; a slow one needs some minutes for the module.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() { d.done <- d.http.Serve(listener) }()
	return d, nil
}

// startAPI starts the API server at the address at which browsers open the demo,
// on a port of its own, which is a free one if the demo's is "0". Browsers may be
// trusted for signing in, and events go to the demo.
func startAPI(ctx context.Context, data string, ip net.IP, demoPort string, origins []string, webhookURL string, log *slog.Logger) (*daemon.Server, error) {
	// Only this user may read the database.
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	port := apiPort
	if demoPort == "0" {
		port = "0"
	}
	c := config.Config{
		Addr:     net.JoinHostPort(ip.String(), port),
		DB:       filepath.Join(data, config.DefaultDB),
		Origins:  origins,
		TokenTTL: config.DefaultTokenTTL,
		Issuer:   issuer,
		Activate: true,
		Portal:   config.PortalAuto,

		TrustBrowserDays: map[string]int{actionSignIn: trustDays},
		WebhookURL:       webhookURL,
	}
	log = log.With("part", "api")
	s, err := daemon.Start(ctx, c, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		c.Addr = net.JoinHostPort(ip.String(), "0")
		s, err = daemon.Start(ctx, c, log)
	}
	return s, err
}

// wait returns when ctx ends or the listener fails, after a graceful stop.
func (d *demo) wait(ctx context.Context) error {
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-d.done:
	}
	return errors.Join(failed, d.stop())
}

// stop answers the requests under way, then stops the API server inside.
func (d *demo) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := d.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, d.http.Close())
	}
	if d.api != nil {
		err = errors.Join(err, d.api.Stop(grace))
	}
	return err
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
