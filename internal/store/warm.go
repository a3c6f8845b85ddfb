package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// warmConnections is how many connections to PostgreSQL Warm opens, at most.
const warmConnections = 8

// errWarm undoes the transactions of Warm.
var errWarm = errors.New("only to warm up")

// Warm does what the first requests would otherwise wait for: it opens connections,
// and has the database read its catalogs and prepare the statements of a sign-in. For
// that it executes them, for a user of no tenant, and undoes them. An error says
// that the first requests are slow, and nothing else.
func (s *Store) Warm(ctx context.Context, now time.Time) error {
	if s.pool == nil {
		return errors.Join(s.warmWriter(ctx, now), s.warmReader(ctx))
	}
	n := warmConnections
	if most := s.db.Stats().MaxOpenConnections; most > 0 {
		n = min(n, most)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = errors.Join(s.warmWriter(ctx, now), s.warmReader(ctx)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// warmReader executes the statements of a validation, and those of what is cached.
func (s *Store) warmReader(ctx context.Context) error {
	return s.View(ctx, "", func(tx *Tx) error {
		none := func(r rows) error {
			r.Next()
			return nil
		}
		cached := tx.readAll(
			read{selectOwner, []any{[]byte{}}, none}, read{selectTenant, []any{""}, none}, read{selectSettings, []any{"", ""}, none},
		)
		var standing Standing
		return errors.Join(cached, standing.read(tx.readLast, tx.standingReads(&standing, ActionID{}, "")))
	})
}

// warmWriter executes the statements of a track and of verifications.
func (s *Store) warmWriter(ctx context.Context, now time.Time) error {
	err := s.Update(ctx, "", func(tx *Tx) error {
		id := uuid.NewString() // those of other connections must not wait for it
		action := ActionID{UserID: id, Action: id, IdempotencyKey: id}
		if _, err := tx.EnsureStanding(action, now); err != nil {
			return err
		}
		a := Authenticator{ID: id, UserID: id, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now}
		if err := tx.InsertVerified(a, id); err != nil {
			return err
		}
		audit := AuditEvent{At: now, Kind: AuditCodeRefused, ActionID: action}
		// Each step is what a request sends together.
		track := func() error {
			return tx.InsertAction(Action{ActionID: action, State: api.StateChallengeRequired, CreatedAt: now, StateUpdatedAt: now})
		}
		refuse := func() error { return errors.Join(tx.Fail(a, now), tx.Audit(audit)) }
		accept := func() error {
			return errors.Join(tx.AcceptStep(a, 1, now), tx.CompleteAction(action, api.StateChallengeRequired, a, 0, now), tx.Audit(audit))
		}
		for _, step := range []func() error{track, refuse, accept} {
			if err := errors.Join(step(), tx.flush()); err != nil {
				return err
			}
		}
		return errWarm
	})
	if errors.Is(err, errWarm) {
		return nil
	}
	return err
}
