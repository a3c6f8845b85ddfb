package manage

import (
	"context"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// DryRunDays is for how many days after their last action DryRun counts users: not more
// than actions are kept.
const DryRunDays = 30

// A DryRun says what an enrollment policy would do to the users who were active in the
// last DryRunDays.
type DryRun struct {
	// Active is how many there were, and Without how many of them have no verified
	// authenticator.
	Active, Without int64
	// Stopped is how many of Without the policy would stop now, AtBegin how many when
	// it begins to count, if that is in the future, and Later how many only when their
	// grace ends.
	Stopped, AtBegin, Later int64
	// From is when the policy begins to count; zero if there is none.
	From time.Time
	// Future reports whether From is in the future.
	Future bool
	// Sample is from how many users the numbers are estimated; 0 if all were looked at.
	Sample int64
	// NoChallenge reports whether the action requires no code of any user, so that the
	// policy stops no user there.
	NoChallenge bool
}

// EnrollmentDryRun says what a policy would do, and changes nothing. With an action,
// the policy is that of the action, and users count who were active there. Without one,
// it is the tenant's, and users count who were active where that would apply.
func EnrollmentDryRun(ctx context.Context, st *store.Store, tenantID, action string, p api.EnrollmentPolicy, now time.Time) (d DryRun, err error) {
	if p, err = p.Normal(); err != nil {
		return d, err
	}
	from, never := p.From()
	q := store.EnrollmentQuery{Since: now.Add(-DryRunDays * 24 * time.Hour), Action: action, Now: time.UnixMilli(-1), Later: time.UnixMilli(-1)}
	if !never {
		d.From, d.Future = from, from.After(now)
		q.Later = now.Add(-p.Grace())
		if d.Future {
			q.Later = from.Add(-p.Grace())
		} else {
			q.Now = q.Later
		}
	}
	err = st.View(ctx, tenantID, func(tx *store.Tx) error {
		all, err := tx.AllActionSettings()
		if err != nil {
			return err
		}
		for code, s := range all {
			switch {
			case action == "" && (s.EnrollmentPolicy != nil || !challenges(s)):
				q.Except = append(q.Except, code)
			case action == code:
				d.NoChallenge = !challenges(s)
			}
		}
		slices.Sort(q.Except)
		c, err := tx.CountEnrollments(q)
		d.Active, d.Without, d.Stopped, d.AtBegin = c.Active, c.Without, c.Now, c.Later
		if c.Sampled {
			d.Sample = store.EnrollmentSample
		}
		return err
	})
	if never {
		return d, err
	}
	d.Later = max(0, d.Without-d.AtBegin)
	if d.NoChallenge {
		d.Stopped, d.AtBegin, d.Later = 0, 0, 0
	}
	return d, err
}

// challenges reports whether an action may require a code.
func challenges(s api.ActionSettings) bool {
	return s.DefaultOutcome == api.OutcomeChallenge ||
		slices.ContainsFunc(s.Rules, func(r api.ActionRule) bool { return r.Outcome == api.OutcomeChallenge })
}

// EffectivePolicy returns the policy for an action in the tenant's or in its own
// settings, as a form shows it: with api.Never for none.
func EffectivePolicy(t store.Tenant, own *api.EnrollmentPolicy) api.EnrollmentPolicy {
	if p := mfa.PolicyOf(t, api.ActionSettings{EnrollmentPolicy: own}); p != nil {
		return *p
	}
	return api.EnrollmentPolicy{RequiredFrom: api.Never}
}
