package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"unicode"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestFoldUserID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"jane": "jane", "Jane": "jane", " JANE\t": "jane", "jane\u00a0": "jane",
		"jos\u00e9": "jos\u00e9", "jose\u0301": "jos\u00e9", "JOSE\u0301": "jos\u00e9",
		"\u03a3\u03c2": "\u03c3\u03c3", "\u1e9e": "\u00df", "\u212a\u017f": "ks", "\u13a0": "\uab70", "\uab70": "\uab70",
		"a b": "a b", "": "", "  ": "", "J@E.org": "j@e.org", "\uff2a": "\uff4a",
	} {
		if got := FoldUserID(id); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
	for r := rune(0); r < 0x20000; r++ {
		folded := FoldUserID("a" + string(r))
		if again := FoldUserID(folded); again != folded {
			t.Errorf("%U: %q folds to %q", r, folded, again)
		}
		if like := unicode.SimpleFold(r); FoldUserID("a"+string(like)) != folded {
			t.Errorf("%U and %U fold to different ids", r, like)
		}
	}
}

func setUserIDs(t *testing.T, s *Store, mode api.UserIDs) (alike int) {
	t.Helper()
	update(t, s, "t", func(tx *Tx) (err error) {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("T"), now); err != nil {
			return err
		}
		_, alike, err = tx.SetUserIDs(mode)
		return err
	})
	return alike
}

// ensure creates a user in both ways that the store has.
func ensure(t *testing.T, s *Store, id string) (err, standing error) {
	t.Helper()
	standing = s.Update(t.Context(), "t", func(tx *Tx) error {
		_, err := tx.EnsureStanding(ActionID{UserID: id, Action: "a", IdempotencyKey: "k"}, now)
		return err
	})
	err = s.Update(t.Context(), "t", func(tx *Tx) error {
		_, err := tx.EnsureUser(id, now)
		return err
	})
	return err, standing
}

func TestLookAlikesAreRefused(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for _, id := range []string{"Jane", "jane", "Bob"} {
		if err, standing := ensure(t, s, id); err != nil || standing != nil {
			t.Fatal(err, standing)
		}
	}
	if alike := setUserIDs(t, s, api.UserIDsRefuse); alike != 1 {
		t.Errorf("got %d that look like an earlier one, want 1", alike)
	}
	for id, want := range map[string]error{
		"Jane": nil, "jane": nil, "Bob": nil, "new": nil, // users that exist, and one that is like none
		"JANE": ErrLookAlike, "bob": ErrLookAlike, "Bob ": ErrLookAlike,
	} {
		if err, standing := ensure(t, s, id); !errors.Is(err, want) || !errors.Is(standing, want) {
			t.Errorf("%q: got %v and %v, want %v", id, err, standing, want)
		}
	}
	// Of those that look alike, one that is left takes the place of the deleted one.
	update(t, s, "t", func(tx *Tx) error { return tx.DeleteUser("Jane") })
	for id, want := range map[string]error{"jane": nil, "Jane": ErrLookAlike, "JANE": ErrLookAlike} {
		if err, standing := ensure(t, s, id); !errors.Is(err, want) || !errors.Is(standing, want) {
			t.Errorf("after one of two was deleted, %q: got %v and %v, want %v", id, err, standing, want)
		}
	}
	update(t, s, "t", func(tx *Tx) error { return tx.DeleteUser("jane") })
	if err, standing := ensure(t, s, "JANE"); err != nil || standing != nil {
		t.Errorf("after both were deleted: %v, %v", err, standing)
	}
	// An id that was deleted is free.
	update(t, s, "t", func(tx *Tx) error { return tx.DeleteUser("Bob") })
	if err, standing := ensure(t, s, "bob"); err != nil || standing != nil {
		t.Errorf("after the other was deleted: %v, %v", err, standing)
	}
	// Other tenants do not matter.
	update(t, s, "other", func(tx *Tx) error {
		_, err := tx.EnsureUser("NEW", now)
		return err
	})
	// Back and forth, with a user that was created meanwhile.
	setUserIDs(t, s, api.UserIDsExact)
	if err, standing := ensure(t, s, "NEW"); err != nil || standing != nil {
		t.Errorf("exactly: %v, %v", err, standing)
	}
	if alike := setUserIDs(t, s, api.UserIDsRefuse); alike != 1 {
		t.Errorf("got %d that look like an earlier one, want 1", alike)
	}
}

func TestFoldNeedsFoldedIDs(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	setUserIDs(t, s, api.UserIDsExact)
	for _, id := range []string{"Jane", "bob"} {
		if err, _ := ensure(t, s, id); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		_, _, err := tx.SetUserIDs(api.UserIDsFold)
		return err
	})
	if got := new(NotFoldedError); !errors.As(err, &got) || got.Users != 1 {
		t.Fatalf("got %v", err)
	}
	update(t, s, "t", func(tx *Tx) error { return tx.DeleteUser("Jane") })
	if alike := setUserIDs(t, s, api.UserIDsFold); alike != 0 {
		t.Errorf("got %d", alike)
	}
	tenant, _, err := s.Tenant(t.Context(), "t")
	if err != nil || tenant.UserID(" Jane") != "jane" {
		t.Errorf("got %+v, %v", tenant, err)
	}
	// A replica that does not know the setting yet must not create a user of another
	// id, even if there is none that looks alike.
	for _, id := range []string{"Bob", "Carol"} {
		if err, standing := ensure(t, s, id); !errors.Is(err, ErrLookAlike) || !errors.Is(standing, ErrLookAlike) {
			t.Errorf("%s: got %v and %v", id, err, standing)
		}
	}
	if err, standing := ensure(t, s, "carol"); err != nil || standing != nil {
		t.Errorf("got %v and %v", err, standing)
	}
}

// Of users that look alike and are created at once, by different replicas too, one
// is created.
func TestLookAlikesAtOnce(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	stores := []*Store{mustOpen(t, database)}
	if storetest.Postgres() {
		stores = append(stores, mustOpen(t, database))
	}
	setUserIDs(t, stores[0], api.UserIDsRefuse)
	for turn := range 10 {
		var wg sync.WaitGroup
		created := make(chan string, 8)
		for i, id := range []string{"jane", "Jane", "JANE", "jane ", "JANe", "jAne", "jaNe", "janE"} {
			wg.Go(func() {
				_, err := ensure(t, stores[i%len(stores)], fmt.Sprintf("%d%s", turn, id))
				if err == nil {
					created <- id
				} else if !errors.Is(err, ErrLookAlike) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(created) != 1 {
			t.Errorf("turn %d: created %d users", turn, len(created))
		}
	}
}

// No user is created unseen while the setting changes.
func TestUserIDsChangeWhileUsersAreCreated(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	other := s
	if storetest.Postgres() {
		other = mustOpen(t, database)
	}
	setUserIDs(t, s, api.UserIDsExact)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 100 {
			for _, id := range []string{"user", "USER"} {
				if err, standing := ensure(t, other, fmt.Sprintf("%s%d", id, i)); err != nil && !errors.Is(err, ErrLookAlike) {
					t.Error(err, standing)
				}
			}
		}
	})
	alike := setUserIDs(t, s, api.UserIDsRefuse)
	wg.Wait()
	var without int
	if err := s.queryRow(t.Context(), `SELECT COUNT(*) FROM users WHERE id_fold IS NULL`).Scan(&without); err != nil {
		t.Fatal(err)
	}
	if without != alike {
		t.Errorf("%d users have no folded id, want the %d that looked like an earlier one", without, alike)
	}
}
