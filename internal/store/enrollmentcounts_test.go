package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestCountEnrollments(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	const day = 24 * time.Hour
	for _, u := range []struct {
		tenant, id string
		first      time.Duration // before now
		actions    []string      // an action, and how many days ago
		enrolled   bool
	}{
		{"t", "enrolled", 90 * day, []string{"signIn 1"}, true},
		{"t", "early", 90 * day, []string{"signIn 29", "signIn 31"}, false},
		{"t", "late", 2 * day, []string{"pay 2", "signIn 1"}, false},
		{"t", "payer", 40 * day, []string{"pay 29"}, false},
		{"t", "gone", 90 * day, []string{"signIn 31"}, false},
		{"other", "early", 90 * day, []string{"signIn 1"}, false},
		{"other", "enrolled", 90 * day, []string{"signIn 1"}, false},
	} {
		update(t, s, u.tenant, func(tx *Tx) error {
			if _, err := tx.EnsureStanding(ActionID{u.id, "signIn", "k"}, now.Add(-u.first)); err != nil {
				return err
			}
			for i, action := range u.actions {
				var days int
				var code string
				if _, err := fmt.Sscan(action, &code, &days); err != nil {
					return err
				}
				at := now.Add(-time.Duration(days) * day)
				if err := tx.InsertAction(Action{ActionID: ActionID{u.id, code, fmt.Sprint(i)}, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at}); err != nil {
					return err
				}
			}
			if !u.enrolled {
				return nil
			}
			return tx.InsertVerified(Authenticator{ID: u.id, UserID: u.id, Method: api.SMS, PhoneNumber: "1", CreatedAt: now, VerifiedAt: now}, "")
		})
	}
	update(t, s, "t", func(tx *Tx) error { _, err := tx.EnsureUser("never", now); return err })
	for name, tt := range map[string]struct {
		q    EnrollmentQuery
		want EnrollmentCounts
	}{
		"all":                  {EnrollmentQuery{Now: now.Add(-60 * day), Later: now.Add(-40 * day)}, EnrollmentCounts{Active: 4, Without: 3, Now: 1, Later: 2}},
		"none stopped yet":     {EnrollmentQuery{Now: time.UnixMilli(-1), Later: now}, EnrollmentCounts{Active: 4, Without: 3, Later: 3}},
		"of an action":         {EnrollmentQuery{Action: "pay", Now: now, Later: now}, EnrollmentCounts{Active: 2, Without: 2, Now: 2, Later: 2}},
		"but two":              {EnrollmentQuery{Except: []string{"pay", "x"}, Now: now, Later: now}, EnrollmentCounts{Active: 3, Without: 2, Now: 2, Later: 2}},
		"of an unknown action": {EnrollmentQuery{Action: "none", Now: now, Later: now}, EnrollmentCounts{}},
	} {
		tt.q.Since = now.Add(-30 * day)
		view(t, s, "t", func(tx *Tx) error {
			if got, err := tx.CountEnrollments(tt.q); err != nil || got != tt.want {
				t.Errorf("%s: got %+v, %v, want %+v", name, got, err, tt.want)
			}
			return nil
		})
	}
	// Users that existed before first tracks were stored count from their creation.
	storetest.Exec(t, database, `UPDATE users SET first_tracked_at = 0, created_at = `+fmt.Sprint(now.Add(-50*day).UnixMilli())+` WHERE user_id = 'late'`)
	view(t, s, "t", func(tx *Tx) error {
		got, err := tx.CountEnrollments(EnrollmentQuery{Since: now.Add(-30 * day), Now: now.Add(-60 * day), Later: now.Add(-50 * day)})
		if want := (EnrollmentCounts{Active: 4, Without: 3, Now: 1, Later: 2}); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		return nil
	})
}

// Of many users a sample is counted: neither all actions nor all authenticators are
// read. With AUTHSIGNAL_TEST_ROWS it logs how long that takes with that many rows.
func TestCountEnrollmentsOfASample(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	total := int64(storetest.Rows(t))
	storetest.Fill(t, database, "t", int(total), now)
	storetest.Exec(t, database, `DELETE FROM authenticators WHERE user_id LIKE '%3' OR user_id LIKE '%4'`)
	since := now.Add(-31 * 24 * time.Hour)
	sample := min(total/2, EnrollmentSample)
	for _, tt := range []struct {
		q       EnrollmentQuery
		percent [4]int64 // of all users
	}{
		{EnrollmentQuery{}, [4]int64{100, 20, 7, 13}},
		{EnrollmentQuery{Action: "pay"}, [4]int64{33, 7, 2, 4}},
		{EnrollmentQuery{Except: []string{"pay"}}, [4]int64{67, 13, 4, 9}},
	} {
		tt.q.Since, tt.q.Now, tt.q.Later = since, now.Add(-20*24*time.Hour), now.Add(-10*24*time.Hour)
		start := time.Now()
		view(t, s, "t", func(tx *Tx) error {
			got, err := tx.countEnrollments(tt.q, sample)
			if err != nil || !got.Sampled {
				t.Errorf("got %+v, %v", got, err)
			}
			for i, n := range []int64{got.Active, got.Without, got.Now, got.Later} {
				if off := n*100 - tt.percent[i]*total; off > 3*total || off < -3*total {
					t.Errorf("%+v: got %+v of %d, want about %d percent", tt.q, got, total, tt.percent)
				}
			}
			return nil
		})
		t.Logf("an enrollment policy's users, %d of %d rows in %s", sample, total, time.Since(start).Round(time.Millisecond))
		query, args := (&Tx{tenant: "t", dialect: s.dialect}).enrollmentQuery(tt.q, 1, 1<<16)
		plan := strings.Join(explain(t, s, query, args), "\n")
		for _, whole := range []string{"Seq Scan on actions", "Seq Scan on authenticators", "Hash", "SCAN a\n", "SCAN a "} {
			if strings.Contains(plan+"\n", whole) {
				t.Errorf("%+v: %s\n%s", tt.q, whole, plan)
			}
		}
	}
}
