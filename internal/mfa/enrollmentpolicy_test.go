package mfa

import (
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

func TestAnActionsPolicyTakesThePlaceOfTheTenants(t *testing.T) {
	t.Parallel()
	tenants := &api.EnrollmentPolicy{RequiredFrom: "2027-03-01T00:00:00Z"}
	own := &api.EnrollmentPolicy{RequiredFrom: "2028-03-01T00:00:00Z"}
	never := &api.EnrollmentPolicy{RequiredFrom: api.Never}
	for _, tt := range []struct{ tenant, action, want *api.EnrollmentPolicy }{
		{nil, nil, nil}, {tenants, nil, tenants}, {nil, own, own}, {tenants, own, own}, {tenants, never, nil}, {nil, never, nil}, {never, nil, nil},
	} {
		if got := PolicyOf(store.Tenant{Enrollment: tt.tenant}, api.ActionSettings{EnrollmentPolicy: tt.action}); got != tt.want {
			t.Errorf("tenant %v, action %v: got %v", tt.tenant, tt.action, got)
		}
	}
}

func TestDutyOf(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	from := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		// first and now are relative to the time from which the policy counts.
		first, now time.Duration
		days       int
		deadline   time.Duration
		required   bool
	}{
		{"before it counts, first sign-in long ago", -100 * day, -1, 14, 0, false},
		{"from then on", -100 * day, 0, 14, 0, true},
		{"first sign-in within the grace before it", -10 * day, 0, 14, 4 * day, false},
		{"the last moment of the grace", -10 * day, 4*day - 1, 14, 4 * day, false},
		{"after the grace", -10 * day, 4 * day, 14, 4 * day, true},
		{"first sign-in after it", 20 * day, 20 * day, 14, 34 * day, false},
		{"without grace", 20 * day, 20 * day, 0, 20 * day, true},
		{"without grace, before it", -day, -day, 0, 0, false},
	} {
		p := &api.EnrollmentPolicy{RequiredFrom: from.Format(time.RFC3339), GraceDays: tt.days}
		u := store.User{FirstTrackedAt: from.Add(tt.first)}
		want := EnrollmentDuty{Applies: true, Required: tt.required, Deadline: from.Add(tt.deadline)}
		if got := DutyOf(p, u, nil, from.Add(tt.now)); got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
		// Any factor is an enrollment, also one that is not challenged here.
		if got := DutyOf(p, u, Factors{{Method: api.EmailOTP}}, from.Add(tt.now)); got != (EnrollmentDuty{}) {
			t.Errorf("%s, enrolled: got %+v", tt.name, got)
		}
	}
	// The grace of a user who has not signed in yet begins now.
	got := DutyOf(&api.EnrollmentPolicy{RequiredFrom: from.Format(time.RFC3339), GraceDays: 1}, store.User{}, nil, from.Add(day))
	if want := (EnrollmentDuty{Applies: true, Deadline: from.Add(2 * day)}); got != want {
		t.Errorf("no sign-in: got %+v", got)
	}
	if got := DutyOf(nil, store.User{}, nil, from); got != (EnrollmentDuty{}) {
		t.Errorf("no policy: got %+v", got)
	}
	// A text that no version has stored fails closed.
	if got := DutyOf(&api.EnrollmentPolicy{RequiredFrom: "soon"}, store.User{FirstTrackedAt: from}, nil, from); !got.Required {
		t.Errorf("a policy that cannot be read: got %+v", got)
	}
}
