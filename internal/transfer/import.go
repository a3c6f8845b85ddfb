// Package transfer moves users into a server and tenants between servers, by
// files: authenticator apps of another system in CSV or JSON lines, and whole
// tenants in files of its own, sealed with a passphrase.
//
// What may be imported is decided in internal/mfa, and rows are read and stored by
// internal/store. Only internal/daemon calls it, for the server's commands; their
// program has its options and errors.
package transfer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// ImportOptions are the options of Import.
type ImportOptions struct {
	// DryRun checks everything and writes nothing.
	DryRun bool
	// SkipBad imports the other lines if some are bad. Otherwise nothing is
	// imported.
	SkipBad bool
	Now     func() time.Time
	// Bad is called for each bad line, in the order of the file. The reason quotes
	// no value.
	Bad func(line int, reason string)
}

// An ImportResult has the numbers of an import or a dry run.
type ImportResult struct {
	// Lines are those with a record. Each is bad, of an authenticator that is
	// known, or one that is added.
	Lines, Bad, Known, Added int
	// Users is how many users were created, Spent how many known authenticators
	// were used after what the server knew, and Weak how many of those that were
	// added have a secret shorter than RFC 4226 requires.
	Users, Spent, Weak int
}

// A BadLinesError reports that nothing was imported because lines are bad.
type BadLinesError struct{ Bad, Lines int }

func (e *BadLinesError) Error() string {
	return fmt.Sprintf("%d of %d lines cannot be imported; nothing was imported. Correct them, or leave them out with -skip-bad", e.Bad, e.Lines)
}

// Import imports the authenticator apps of a file into a tenant. It reads the file
// twice: first to check all of it, and then to import it, store.ImportBatch lines in a
// transaction. An import that is interrupted can be run again: what was imported is
// then known.
func Import(ctx context.Context, st *store.Store, t store.Tenant, file io.ReadSeeker, o ImportOptions) (ImportResult, error) {
	i := &importer{store: st, importer: mfa.Importer{Tenant: t, Now: o.Now}, o: o, plan: true, reported: map[int]bool{}}
	if err := i.run(ctx, file); err != nil {
		return i.result, err
	}
	if i.result.Bad > 0 && !o.SkipBad {
		return i.result, &BadLinesError{i.result.Bad, i.result.Lines}
	}
	if o.DryRun {
		return i.result, nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return ImportResult{}, fmt.Errorf("read the file again: %w", err)
	}
	i = &importer{store: st, importer: mfa.Importer{Tenant: t, Now: o.Now}, o: o, reported: i.reported}
	err := i.run(ctx, file)
	return i.result, err
}

type importer struct {
	store    *store.Store
	importer mfa.Importer
	o        ImportOptions
	plan     bool // check only
	result   ImportResult
	// reported are the lines that were reported as bad. The import has those of the
	// check, so that it reports each line once.
	reported map[int]bool

	rows  []mfa.ImportRow
	lines []int
	bad   []badLine
}

type badLine struct {
	line   int
	reason string
}

func (i *importer) run(ctx context.Context, file io.Reader) error {
	err := records(file, func(rec record) error {
		i.result.Lines++
		r, err := mfa.ImportRow{}, rec.err
		if err == nil {
			r, err = row(rec.values, i.o.Now())
		}
		if err != nil {
			i.bad = append(i.bad, badLine{rec.line, err.Error()})
		} else {
			i.rows, i.lines = append(i.rows, r), append(i.lines, rec.line)
		}
		if len(i.rows)+len(i.bad) < store.ImportBatch {
			return nil
		}
		return i.flush(ctx)
	})
	if err == nil {
		err = i.flush(ctx)
	}
	return err
}

// flush checks or imports the rows that were read.
func (i *importer) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	outcomes, err := i.batch(ctx)
	if err != nil {
		return err
	}
	for n, out := range outcomes {
		switch {
		case out.Refused != nil:
			i.bad = append(i.bad, badLine{i.lines[n], manage.Text(out.Refused)})
			continue
		case out.Known:
			i.result.Known++
		default:
			i.result.Added++
			if totp.SecretBits(i.rows[n].Key.Secret) < mfa.StrongBits {
				i.result.Weak++
			}
		}
		if out.NewUser {
			i.result.Users++
		}
		if out.Spent {
			i.result.Spent++
		}
	}
	slices.SortFunc(i.bad, func(a, b badLine) int { return a.line - b.line })
	i.result.Bad += len(i.bad)
	for _, b := range i.bad {
		if !i.reported[b.line] {
			i.reported[b.line] = true
			i.o.Bad(b.line, b.reason)
		}
	}
	i.rows, i.lines, i.bad = i.rows[:0], i.lines[:0], i.bad[:0]
	return nil
}

func (i *importer) batch(ctx context.Context) (outcomes []mfa.ImportOutcome, err error) {
	if len(i.rows) == 0 {
		return nil, nil
	}
	if i.plan {
		err = i.store.View(ctx, i.importer.Tenant.ID, func(tx *store.Tx) (err error) {
			outcomes, err = i.importer.Plan(tx, i.rows)
			return err
		})
		return outcomes, err
	}
	err = i.store.Update(ctx, i.importer.Tenant.ID, func(tx *store.Tx) (err error) {
		if outcomes, err = i.importer.Import(tx, i.rows); err != nil || i.o.SkipBad {
			return err
		}
		for n, out := range outcomes {
			if out.Refused != nil { // since it was checked
				return fmt.Errorf("line %d: %s; %d authenticators were imported before, and the import can be run again", i.lines[n], manage.Text(out.Refused), i.result.Added)
			}
		}
		return nil
	})
	return outcomes, err
}
