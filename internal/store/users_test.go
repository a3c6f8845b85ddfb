package store

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestUserRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	var want User
	update(t, s, "t", func(tx *Tx) (err error) {
		if want, err = tx.EnsureUser("u", now); err != nil {
			return err
		}
		if want.Incarnation == "" || !reflect.DeepEqual(want, User{ID: "u", Custom: map[string]any{}, Incarnation: want.Incarnation, CreatedAt: now}) {
			t.Errorf("new: got %+v", want)
		}
		want = User{
			"u", "e@x.org", true, "123", true, "name", "Display", "de",
			api.SMS, map[string]any{"n": 1.5, "b": true}, want.Incarnation, 0, 7, now.Add(time.Minute), now, time.Time{},
		}
		if err := tx.PutWrongCodes(want); err != nil {
			return err
		}
		return tx.PutUser(want)
	})
	update(t, s, "t", func(tx *Tx) error {
		if u, err := tx.EnsureUser("u", now.Add(time.Hour)); err != nil || !reflect.DeepEqual(u, want) {
			t.Errorf("again: got %+v, %v", u, err)
		}
		return nil
	})
	update(t, s, "t", func(tx *Tx) error {
		if got, found, err := tx.User("u"); err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		return nil
	})
	update(t, s, "another tenant", func(tx *Tx) error {
		if _, found, err := tx.User("u"); err != nil || found {
			t.Errorf("another tenant sees the user: %v, %v", found, err)
		}
		return nil
	})
}

// The first track of a user is stored once, whether the user existed before or not.
func TestFirstTrackedAt(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureStanding(ActionID{"tracked", "signIn", "k"}, now); err != nil {
			return err
		}
		_, err := tx.EnsureUser("made", now)
		return err
	})
	later := now.Add(time.Hour)
	for id, want := range map[string]time.Time{"tracked": now, "made": later} {
		update(t, s, "t", func(tx *Tx) error {
			if u, _, err := tx.User(id); err != nil || id == "made" && !u.FirstTrackedAt.IsZero() {
				t.Errorf("%s: got %v, %v", id, u.FirstTrackedAt, err)
			}
			return tx.SetFirstTracked(id, later)
		})
		update(t, s, "t", func(tx *Tx) error {
			standing, err := tx.EnsureStanding(ActionID{id, "signIn", "k"}, later.Add(time.Hour))
			if err != nil || !standing.User.FirstTrackedAt.Equal(want) {
				t.Errorf("%s: got %v, want %v: %v", id, standing.User.FirstTrackedAt, want, err)
			}
			return tx.SetFirstTracked(id, later.Add(time.Hour))
		})
		view(t, s, "t", func(tx *Tx) error {
			u, _, err := tx.User(id)
			if !u.FirstTrackedAt.Equal(want) {
				t.Errorf("%s: later it is %v, want %v", id, u.FirstTrackedAt, want)
			}
			return err
		})
	}
}

func TestEndTokensBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureUser("u", now); err != nil {
			return err
		}
		for id, want := range map[string]bool{"u": true, "another": false} {
			epoch, found, err := tx.EndTokens(id)
			if err != nil || found != want || found && epoch != 1 {
				t.Errorf("%s: got %v, epoch %d, %v, want %v", id, found, epoch, err, want)
			}
		}
		return nil
	})
}

func TestRecreatedUserHasAnotherIncarnation(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	first := pending(t, s, "t", "u", "a", "SECRET")
	seen := map[string]bool{}
	for range 3 {
		update(t, s, "t", func(tx *Tx) error {
			u, err := tx.EnsureUser("u", now)
			if err != nil {
				return err
			}
			seen[u.Incarnation] = true
			return tx.DeleteUser("u")
		})
	}
	if len(seen) != 3 {
		t.Errorf("got incarnations %v", seen)
	}
	update(t, s, "t", func(tx *Tx) error {
		if list, err := tx.Authenticators(first.UserID); err != nil || len(list) != 0 {
			t.Errorf("authenticators outlive their user: %v, %v", list, err)
		}
		return nil
	})
}

func TestEnsureUserWhileOthersDelete(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				err := s.Update(context.Background(), "t", func(tx *Tx) error {
					if i%2 == 0 {
						if _, _, err := tx.LockUser("u"); err != nil {
							return err
						}
						return tx.DeleteUser("u")
					}
					if _, err := tx.EnsureUser("u", now); err != nil {
						return err
					}
					// Not without the user's row.
					return tx.InsertVerified(Authenticator{
						ID: uuid.NewString(), UserID: "u", Method: api.SMS, PhoneNumber: "1", CreatedAt: now, VerifiedAt: now,
					}, "")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A look-up that the database ends is an error, and not a user that does not exist.
func TestAFailedLookUpFindsNoAbsence(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite has one writer, and no locks of rows
	}
	// As behind a pooler: the columns of a row are answered before it is looked up.
	s := mustOpen(t, storetest.Database(t)+"&default_query_exec_mode=exec")
	pending(t, s, "t", "u", "a", "SECRET")
	for name, look := range map[string]func(*Tx) (found bool, err error){
		"LockUser":  func(tx *Tx) (found bool, err error) { _, found, err = tx.LockUser("u"); return found, err },
		"EndTokens": func(tx *Tx) (found bool, err error) { _, found, err = tx.EndTokens("u"); return found, err },
	} {
		update(t, s, "t", func(tx *Tx) error {
			if _, _, err := tx.LockUser("u"); err != nil {
				return err
			}
			err := s.Update(t.Context(), "t", func(other *Tx) error {
				if _, err := other.exec(`SET LOCAL lock_timeout = '20ms'`); err != nil {
					return err
				}
				found, err := look(other)
				if err == nil {
					t.Errorf("%s: found is %v, and there is no error", name, found)
				}
				return err
			})
			if err == nil {
				t.Errorf("%s: it was committed", name)
			}
			return nil
		})
	}
}

// The lists must stay fast with many users: each filter uses an index.
func TestListsUseTheirIndexes(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its planner reads small tables whole, whatever there is
	}
	s := mustOpen(t, storetest.Database(t))
	for query, index := range map[string]string{
		`SELECT * FROM users WHERE tenant_id = ? AND email = ? AND email <> '' ORDER BY user_id`:                       "users_email",
		`SELECT * FROM users WHERE tenant_id = ? AND phone_number = ? AND phone_number <> '' ORDER BY user_id`:         "users_phone_number",
		`SELECT * FROM users WHERE tenant_id = ? AND username = ? AND username <> '' AND user_id > ? ORDER BY user_id`: "users_username",
		`SELECT * FROM actions WHERE tenant_id = ? AND user_id = ? AND created_at >= ? ORDER BY created_at DESC`:       "actions_newest",
	} {
		rows, err := s.db.Query(`EXPLAIN QUERY PLAN `+query, "t", "x", "x", "x")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(detail + "; ")
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if got := plan.String(); !strings.Contains(got, index) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s: got %s", query, got)
		}
	}
}
