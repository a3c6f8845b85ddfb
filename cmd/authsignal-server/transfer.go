package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
	"github.com/authsignal-wasm/sdk/internal/transfer"
)

const importUsage = "usage: authsignal-server [flags] import [-tenant TENANT] [-dry-run] [-skip-bad] FILE"

// importUsers runs the command import. Bad lines go to stderr.
func importUsers(ctx context.Context, c config.Config, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("import", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	tenant := f.String("tenant", "", "")
	dryRun := f.Bool("dry-run", false, "")
	skipBad := f.Bool("skip-bad", false, "")
	files, err := parseAround(f, args)
	if err != nil || len(files) != 1 {
		return errors.New(importUsage)
	}
	began := time.Now()
	r, err := daemon.Import(ctx, c, *tenant, files[0], stdin, transfer.ImportOptions{
		DryRun: *dryRun, SkipBad: *skipBad, Now: time.Now,
		Bad: func(line int, reason string) { fmt.Fprintf(stderr, "line %d: %s\n", line, reason) },
	})
	var bad *transfer.BadLinesError
	if err != nil && (r.Lines == 0 || errors.As(err, &bad)) {
		return err
	}
	verb := "imported %d authenticators and created %d users"
	if *dryRun {
		verb = "would import %d authenticators and create %d users"
	}
	took := time.Since(began)
	fmt.Fprintf(stdout, verb+", from %d lines in %s (%.0f lines a second)\n",
		r.Added, r.Users, r.Lines, took.Round(time.Millisecond), float64(r.Lines)/took.Seconds())
	fmt.Fprintf(stdout, "%d were there already, %d of them with an earlier last use; %d lines cannot be imported\n", r.Known, r.Spent, r.Bad)
	if r.Weak > 0 {
		fmt.Fprintf(stdout, "%d secrets have fewer than the 128 bits of RFC 4226: let these users enroll again when it suits\n", r.Weak)
	}
	return err
}

// parseAround parses flags before and after the other arguments, which it returns.
func parseAround(f *flag.FlagSet, args []string) (others []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return others, nil
		}
		others, args = append(others, f.Arg(0)), f.Args()[1:]
	}
}

// exportTenant runs the command export.
func exportTenant(ctx context.Context, c config.Config, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) != 2 { // an argument too many may be the passphrase
		return errors.New("usage: authsignal-server [flags] export TENANT FILE")
	}
	tenant, file := args[0], args[1]
	passphrase, err := readPassphrase(c, stdin, stderr, "Passphrase: ", "The same again: ")
	if err != nil {
		return err
	}
	rows, err := daemon.ExportTenant(ctx, c, tenant, file, passphrase)
	if err == nil {
		fmt.Fprintf(stdout, "exported the tenant %s with %d users and %d authenticators to %s\n", tenant, rows["users"], rows["authenticators"], file)
	}
	return err
}

// importTenant runs the command import-tenant.
func importTenant(ctx context.Context, c config.Config, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: authsignal-server [flags] import-tenant FILE")
	}
	passphrase, err := readPassphrase(c, stdin, stderr, "Passphrase: ")
	if err != nil {
		return err
	}
	tenant, rows, err := daemon.ImportTenant(ctx, c, args[0], passphrase)
	if err == nil {
		fmt.Fprintf(stdout, "imported the tenant %s with %d users and %d authenticators\n", tenant, rows["users"], rows["authenticators"])
	}
	return err
}

// readPassphrase returns the passphrase of the variable or its file, or asks for it
// on a terminal with each of the prompts, to which the answers must be the same. It
// is never an argument, which other users of the machine see.
func readPassphrase(c config.Config, stdin io.Reader, stderr io.Writer, prompts ...string) (string, error) {
	passphrase, err := c.Env.Secret(config.PassphraseVariable)
	if err != nil || passphrase != "" {
		return passphrase, err
	}
	f, ok := stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", fmt.Errorf("the passphrase is missing: set %s or %[1]s_FILE, or run the command on a terminal", config.PassphraseVariable)
	}
	for i, prompt := range prompts {
		fmt.Fprint(stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(stderr)
		if err != nil {
			return "", err
		}
		typed := strings.TrimSpace(string(b))
		if i > 0 && typed != passphrase {
			return "", errors.New("the two passphrases differ")
		}
		passphrase = typed
	}
	return passphrase, nil
}
