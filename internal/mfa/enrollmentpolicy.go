package mfa

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// An EnrollmentDuty is what an enrollment policy asks of a user. The zero value is that
// of a user who is enrolled, and of an action without a policy.
type EnrollmentDuty struct {
	// Applies reports whether the user is to enroll, and Required whether the
	// deadline has passed.
	Applies, Required bool
	// Deadline is the end of the time in which the user may sign in without an
	// authenticator.
	Deadline time.Time
}

// PolicyOf returns the policy for an action: its own, or else the tenant's; nil for
// none.
func PolicyOf(t store.Tenant, s api.ActionSettings) *api.EnrollmentPolicy {
	p := t.Enrollment
	if s.EnrollmentPolicy != nil {
		p = s.EnrollmentPolicy
	}
	if p == nil {
		return nil
	}
	if _, never := p.From(); never {
		return nil
	}
	return p
}

// DutyOf returns what a policy, which may be nil, asks of a user with these factors.
// The grace begins with the user's first sign-in, which is now if none was tracked
// yet. So a user who loses the last factor long after that must enroll at once: the
// grace is for newcomers, and does not begin again.
func DutyOf(p *api.EnrollmentPolicy, u store.User, f Factors, now time.Time) EnrollmentDuty {
	if p == nil || f.Enrolled() {
		return EnrollmentDuty{}
	}
	from, never := p.From()
	if never {
		return EnrollmentDuty{}
	}
	first := u.FirstTrackedAt
	if first.IsZero() {
		first = now
	}
	d := EnrollmentDuty{Applies: true, Deadline: from}
	if end := first.Add(p.Grace()); end.After(from) {
		d.Deadline = end
	}
	d.Required = !now.Before(d.Deadline)
	return d
}
