package mfa

import (
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// candidates returns the authenticator apps that a code may belong to: the pending
// one that the token's action began, then the verified ones. A pending one counts
// only while an enrollment is still allowed, and a verified one only if the
// action accepts a challenge.
func (s Subject) candidates() []store.Authenticator {
	mayAdd := s.MayAdd() == nil
	mayVerify := accepts(s.Action.State, codeAccepted)
	var pending, verified []store.Authenticator
	for _, a := range s.Authenticators {
		switch {
		case a.Method != api.AuthenticatorApp:
		case a.Verified() && mayVerify:
			verified = append(verified, a)
		case !a.Verified() && mayAdd && a.Began == s.Action.ActionID:
			pending = append(pending, a)
		}
	}
	return append(pending, verified...)
}

// A verdict is the result of judge: the authenticator that accepted the code, or
// the reason why none did.
type verdict struct {
	accepted *store.Authenticator
	reason   api.FailureReason
	// refusal explains to operators why a code was refused that was compared.
	refusal Refusal
	// clockOff is by how much the clock of the user's device is off, if that is known:
	// negative if it is behind.
	clockOff time.Duration
}

// judge compares a code with each candidate that is not blocked, and uses up the
// step of the first that matches. A wrong code counts as a failure of every
// candidate that it was compared with. A replayed code does not count, because
// it proves knowledge of the secret, and neither does a malformed one.
func judge(tx *store.Tx, candidates []store.Authenticator, code string, now time.Time, t store.Tenant) (verdict, error) {
	settings := t.Authenticator
	var open []store.Authenticator
	var compared []comparison
	for _, a := range candidates {
		block, err := BlockOf(tx, a, now, settings)
		if err != nil {
			return verdict{}, err
		}
		if block == NotBlocked {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return verdict{reason: api.MaxAttemptsExceeded}, nil
	}
	refused := verdict{reason: api.CodeInvalidOrExpired}
	replayed, ahead := false, int64(0)
	for _, a := range open {
		if !wellFormed(code, a.Digits) {
			continue
		}
		secret, err := tx.Secret(a)
		if err != nil {
			return verdict{}, err
		}
		step, match, err := totp.Match(code, secret, a.Parameters, now, drift(a, settings), a.LastStep)
		if err != nil {
			return verdict{}, err
		}
		switch match {
		case totp.Matched:
			return verdict{accepted: &a}, tx.AcceptStep(a, step, now)
		case totp.Replayed:
			replayed, ahead = true, max(ahead, Ahead(a, now))
		}
		// The same work for every refused code, so that its time reveals nothing.
		steps, near, err := totp.Offset(code, secret, a.Parameters, now, explained)
		if err != nil {
			return verdict{}, err
		}
		compared = append(compared, comparison{a, steps, near})
	}
	refused.refusal = explain(compared, replayed, ahead)
	if replayed {
		return refused, nil
	}
	for _, c := range compared {
		miss := c.miss(now)
		if off, ok := clockOff(c.authenticator, miss); ok {
			refused.clockOff = off
		}
		c.authenticator.Miss = miss
		if err := fail(tx, t, c.authenticator, now); err != nil {
			return verdict{}, err
		}
	}
	return refused, nil
}

// driftStep is the step in seconds of the tenant's drift for authenticators whose
// period is not that of the tenant (RFC 6238, section 5.2, recommends steps of
// 30 seconds).
const driftStep = 30

// drift returns the number of steps that a code of an authenticator may be early or
// late. If an imported authenticator has a longer period, the drift has as many
// seconds, and so fewer steps.
func drift(a store.Authenticator, settings api.AuthenticatorSettings) int {
	if a.Period == settings.Period {
		return settings.Drift
	}
	return settings.Drift * driftStep / a.Period
}

// A Block is the reason why an authenticator accepts no code.
type Block int

const (
	// NotBlocked means that codes are compared.
	NotBlocked Block = iota
	// BlockedForNow means that too many codes were refused within the tenant's
	// window, which moves on.
	BlockedForNow
	// Stopped means that too many codes were refused in a row: an operator must
	// unlock the authenticator.
	Stopped
)

// BlockOf returns whether too many codes of an authenticator were refused. While it
// is blocked, the right code is refused too (wire contract, section 11, row 7).
func BlockOf(tx *store.Tx, a store.Authenticator, now time.Time, settings api.AuthenticatorSettings) (Block, error) {
	if a.Failures >= settings.MaxFailuresInARow {
		return Stopped, nil
	}
	if a.Failures < settings.MaxFailures {
		return NotBlocked, nil
	}
	n, err := tx.FailuresSince(a, now.Add(-window(settings)))
	if err != nil || n >= settings.MaxFailures {
		return BlockedForNow, err
	}
	return NotBlocked, nil
}

// wellFormed reports whether a code has the right number of digits and nothing
// else.
func wellFormed(code string, digits int) bool {
	return len(code) == digits && strings.Trim(code, "0123456789") == ""
}
