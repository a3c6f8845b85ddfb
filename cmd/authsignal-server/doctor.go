package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/daemon"
)

// A diagnosis is the error of the command doctor, and the exit status of the
// process.
type diagnosis daemon.Level

func (d diagnosis) Error() string {
	if daemon.Level(d) == daemon.Failure {
		return "the server cannot serve"
	}
	return "there are warnings"
}

// doctor prints a diagnosis, a line for each finding, or a JSON object for each with
// -json.
func doctor(ctx context.Context, c config.Config, stdout io.Writer) error {
	asJSON := len(c.Command) == 2 && c.Command[1] == "-json"
	if len(c.Command) > 1 && !asJSON {
		return fmt.Errorf("doctor takes -json and nothing else: %w", diagnosis(daemon.Failure))
	}
	worst := daemon.Doctor(ctx, c, func(f daemon.Finding) {
		if asJSON {
			json.NewEncoder(stdout).Encode(f)
			return
		}
		fmt.Fprintf(stdout, "%-8s %s: %s\n", f.Level, f.Check, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(stdout, "         %s\n", f.Remedy)
		}
	})
	if worst > daemon.Fine {
		return diagnosis(worst)
	}
	return nil
}
