//go:build !js

package api

import (
	"testing"
	"time"
)

func TestEnrollmentPolicyInItsNormalForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from string
		days int
		want string // empty if it is refused
	}{
		{"2027-03-01", 0, "2027-03-01T00:00:00Z"},
		{"2027-03-01T09:00:00+01:00", 365, "2027-03-01T08:00:00Z"},
		{"2027-03-01T08:00:00Z", 14, "2027-03-01T08:00:00Z"},
		{"1999-12-31", 14, "1999-12-31T00:00:00Z"},
		{"never", 0, "never"},
		{"never", 1, ""},
		{"", 0, ""},
		{"soon", 0, ""},
		{"Never", 0, ""},
		{"2027-02-29", 0, ""},
		{"2027-03-01T09:00", 0, ""},
		{"2027-03-01 09:00:00Z", 0, ""},
		{"2027-03-01T09:00:00.5Z", 0, ""},
		{"0000-01-01", 0, ""},
		{"9999-12-31T23:59:59-01:00", 0, ""},
		{"2027-03-01", -1, ""},
		{"2027-03-01", 366, ""},
	} {
		got, err := EnrollmentPolicy{tt.from, tt.days}.Normal()
		if (err == nil) != (tt.want != "") || err == nil && (got != EnrollmentPolicy{tt.want, tt.days}) {
			t.Errorf("%q, %d: got %v, %v, want %q", tt.from, tt.days, got, err, tt.want)
		}
		if err != nil {
			continue
		}
		if again, err := got.Normal(); err != nil || again != got {
			t.Errorf("%q: the normal form of %v is %v: %v", tt.from, got, again, err)
		}
		if at, never := got.From(); never != (tt.want == Never) || !never && at.Format(time.RFC3339) != tt.want {
			t.Errorf("%q: got %v, %v", tt.from, at, never)
		}
	}
}
