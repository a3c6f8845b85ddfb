//go:build !js

package api

import "time"

// An EnrollmentPolicy says from when on users must have an authenticator. A user
// without one may sign in until RequiredFrom or, if that is later, until GraceDays
// after the first sign-in. It is our own addition.
type EnrollmentPolicy struct {
	// RequiredFrom is a time of RFC 3339 in whole seconds, a date, which begins in
	// UTC, or Never.
	RequiredFrom string `json:"requiredFrom"`
	// GraceDays are days of 24 hours: 0 to MaxGraceDays.
	GraceDays int `json:"graceDays"`
}

// Never is the RequiredFrom of an action for which the tenant's policy does not count.
// For a tenant it removes the policy.
const Never = "never"

// MaxGraceDays is the maximum of GraceDays.
const MaxGraceDays = 365

// Normal returns the policy with RequiredFrom as a time in UTC or Never. The error
// names what is wrong.
func (p EnrollmentPolicy) Normal() (EnrollmentPolicy, error) {
	if p.GraceDays < 0 || p.GraceDays > MaxGraceDays {
		return p, InvalidRequest("enrollmentPolicy: graceDays must be 0 to 365.")
	}
	if p.RequiredFrom == Never {
		if p.GraceDays != 0 {
			return p, InvalidRequest("enrollmentPolicy: with requiredFrom never, leave out graceDays.")
		}
		return p, nil
	}
	at, err := time.Parse(time.DateOnly, p.RequiredFrom)
	if err != nil {
		at, err = time.Parse(time.RFC3339, p.RequiredFrom)
	}
	if at = at.UTC(); err != nil || at.Nanosecond() != 0 || at.Year() < 1 || at.Year() > 9999 {
		return p, InvalidRequest("enrollmentPolicy: requiredFrom must be a date such as 2027-03-01, a time in whole seconds such as 2027-03-01T09:00:00+01:00, or never.")
	}
	p.RequiredFrom = at.Format(time.RFC3339)
	return p, nil
}

// From returns the time of a normal policy; never reports whether there is none. A
// text that Normal would refuse means that enrollment is required already.
func (p EnrollmentPolicy) From() (at time.Time, never bool) {
	if p.RequiredFrom == Never {
		return time.Time{}, true
	}
	at, err := time.Parse(time.RFC3339, p.RequiredFrom)
	if err != nil {
		return time.Time{}, false
	}
	return at.UTC(), false
}

// Grace returns GraceDays as a duration.
func (p EnrollmentPolicy) Grace() time.Duration { return time.Duration(p.GraceDays) * 24 * time.Hour }
