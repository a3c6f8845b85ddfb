// Command authsignal-server serves the Authsignal API for authenticator-app (TOTP)
// MFA. See authsignal-server -help, and docs/operate.md.
//
// When it is ready, it prints its base URL on standard output, then the address of
// the portal and, once, the portal's first password. It writes JSON logs to
// standard error. SIGINT and SIGTERM stop it gracefully, and a second signal at
// once; see -drain for SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// grace is the time that a stop waits for requests in progress.
const grace = 20 * time.Second

func main() {
	ctx, stop := untilSignal()
	err := run(ctx, os.Args[1:], config.NewEnv(os.Environ()), os.Stdin, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "authsignal-server:", err)
		var diagnosed diagnosis
		if errors.As(err, &diagnosed) {
			os.Exit(int(diagnosed))
		}
		os.Exit(1)
	}
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM; the cause
// of the latter is daemon.ErrTerminated. A second signal ends the process at once.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		if s == syscall.SIGTERM {
			cancel(daemon.ErrTerminated)
		} else {
			cancel(nil)
		}
	}()
	return ctx, func() { signal.Stop(signals) }
}

func run(ctx context.Context, args []string, env *config.Env, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "code":
			return code(args[1:], time.Now(), stdin, stdout)
		case "version", "-version", "--version":
			return version(args[1:], stdout)
		}
	}
	c, err := config.Parse(args, env, stdout)
	if err != nil {
		if slices.Contains(args, "doctor") && !errors.Is(err, flag.ErrHelp) {
			err = fmt.Errorf("%w: %w", err, diagnosis(daemon.Failure))
		}
		return err
	}
	if len(c.Command) > 0 && c.Command[0] == "doctor" {
		return doctor(ctx, c, stdout)
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	for _, v := range c.UnknownVariables() {
		if len(c.Command) == 0 {
			break // serve reports them with all else that is unsafe
		}
		log.Warn("a variable that the server does not know is ignored", "variable", v.Name, "nearest", v.Nearest)
	}
	if len(c.Command) == 0 {
		return serve(ctx, c, stdout, log)
	}
	return runCommand(ctx, c, stdin, stdout, stderr)
}

// runCommand runs a command on a database.
func runCommand(ctx context.Context, c config.Config, stdin io.Reader, stdout, stderr io.Writer) error {
	switch {
	case c.Command[0] == "apply" && len(c.Command) == 2:
		changes := 0
		err := daemon.Apply(ctx, c, c.Command[1], func(change string) {
			changes++
			fmt.Fprintln(stdout, change)
		})
		if err == nil && changes == 0 {
			fmt.Fprintln(stdout, "nothing to change")
		}
		return err
	case c.Command[0] == "backup" && len(c.Command) == 2:
		return store.Backup(ctx, c.DB, c.Command[1])
	case c.Command[0] == "restore" && len(c.Command) == 2:
		kept, err := daemon.Restore(ctx, c, c.Command[1], func(finding string) { fmt.Fprintln(stdout, "found:", finding) })
		if err == nil && kept != "" {
			fmt.Fprintln(stdout, "restored; the database before is kept as", kept)
		} else if err == nil {
			fmt.Fprintln(stdout, "restored; there was no database before")
		}
		return err
	case c.Command[0] == "check" && len(c.Command) == 1:
		n, err := daemon.Check(ctx, c, func(finding string) { fmt.Fprintln(stdout, finding) })
		switch {
		case err != nil:
			return err
		case n == 1:
			return errors.New("check: 1 finding")
		case n > 1:
			return fmt.Errorf("check: %d findings", n)
		}
		fmt.Fprintln(stdout, "nothing is wrong")
		return nil
	case c.Command[0] == "portal-password" && len(c.Command) == 1:
		password, err := daemon.PortalPassword(ctx, c)
		if err == nil {
			fmt.Fprintln(stdout, password)
		}
		return err
	case c.Command[0] == "import":
		return importUsers(ctx, c, c.Command[1:], stdin, stdout, stderr)
	case c.Command[0] == "export":
		return exportTenant(ctx, c, c.Command[1:], stdin, stdout, stderr)
	case c.Command[0] == "import-tenant":
		return importTenant(ctx, c, c.Command[1:], stdin, stdout, stderr)
	case c.Command[0] == "delete-tenant" && len(c.Command) == 2:
		n, err := daemon.DeleteTenant(ctx, c, c.Command[1])
		if err == nil {
			fmt.Fprintf(stdout, "deleted the tenant %s and %d rows of it\n", c.Command[1], n)
		}
		return err
	case c.Command[0] == "rotate-key" && len(c.Command) == 1:
		n, err := daemon.RotateKey(ctx, c)
		if err == nil {
			fmt.Fprintf(stdout, "sealed %d secrets with the new key\n", n)
		}
		return err
	}
	return fmt.Errorf("%q is not a command; see authsignal-server -help", strings.Join(c.Command, " "))
}

// garbage is how much a server's memory may grow before a collection, in percent of
// what is in use, unless GOGC says otherwise. That is little: with twice Go's default
// a request takes 8 % less CPU and the server 8 MiB more.
const garbage = 200

func serve(ctx context.Context, c config.Config, stdout io.Writer, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}

	given := map[string]config.Setting{}
	for name, s := range c.Settings {
		if s.Source != "default" {
			given[name] = s
		}
	}
	log.Info("settings", "given", given)
	daemon.Unsafe(c, func(f daemon.Finding) { log.Warn(f.Text, "check", f.Check, "remedy", f.Remedy) })
	s, err := daemon.Start(ctx, c, log)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was stopped before it was ready
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, s.BaseURL)
	if s.PortalURL != "" {
		fmt.Fprintln(stdout, "portal:", s.PortalURL)
	}
	if s.PortalPassword != "" {
		fmt.Fprintln(stdout, "portal password, shown this once:", s.PortalPassword)
	}
	return s.Wait(ctx, grace)
}
