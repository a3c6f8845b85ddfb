package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/totp"
)

const codeUsage = "usage: authsignal-server code SECRET-OR-URI [-step N]"

// code prints the code of a base32 secret or otpauth:// URI, as an authenticator
// app shows it: of the current step, or N steps later. If the argument is a dash,
// the secret is read from standard input, so that it appears neither in the
// process list nor in the shell's history.
func code(args []string, now time.Time, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("code", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	step := f.Int64("step", 0, "")
	// The flag may come before or after the secret, which pages and apps show
	// in groups: pasted without quotes, it is several arguments.
	var secret string
	for rest := args; ; {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprintln(stdout, codeUsage)
				return err
			}
			return errors.New(codeUsage)
		}
		if f.NArg() == 0 {
			break
		}
		secret, rest = secret+f.Arg(0), f.Args()[1:]
	}
	if secret == "-" {
		b, err := io.ReadAll(io.LimitReader(stdin, 1<<16))
		if err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		secret = strings.TrimSpace(string(b))
	}
	if secret == "" {
		return errors.New(codeUsage)
	}
	key, err := parseSecret(secret)
	if err != nil {
		return err
	}
	c, err := totp.Code(key.Secret, key.Step(now)+*step, key.Parameters)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, c)
	return err
}

func parseSecret(s string) (totp.Key, error) {
	if strings.Contains(s, "://") {
		return totp.ParseURI(s)
	}
	secret, err := totp.NormalizeSecret(s)
	return totp.Key{Secret: secret, Parameters: totp.DefaultParameters}, err
}
