package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// replicas are keyrings with the same database and clock.
type replicas struct {
	t     *testing.T
	now   time.Time
	life  time.Duration
	store *store.Store
	rings []*keyring
}

func newReplicas(t *testing.T, n int) *replicas {
	t.Helper()
	st := storetest.Open(t, storetest.Database(t), store.Open)
	r := &replicas{t: t, now: time.UnixMilli(1_700_000_000_000).UTC(), life: 10 * time.Minute, store: st}
	for range n {
		ring, err := newKeyring(t.Context(), st, r.life, func() time.Time { return r.now })
		if err != nil {
			t.Fatal(err)
		}
		r.rings = append(r.rings, ring)
	}
	return r
}

func (r *replicas) issuer(i int) *token.Issuer {
	return &token.Issuer{Keys: r.rings[i].current, BaseURL: "http://mfa.test", TTL: r.life, Now: func() time.Time { return r.now }}
}

func (r *replicas) issue(i int) string {
	r.t.Helper()
	s, err := r.issuer(i).Issue(token.Claims{TenantID: "t", UserID: "u"})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *replicas) verifies(i int, s string) bool {
	_, err := r.issuer(i).Parse(s)
	return err == nil
}

func (r *replicas) signer(i int) string { return r.rings[i].current()[0].ID }

func (r *replicas) do(change func(context.Context) error) {
	r.t.Helper()
	if err := change(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replicas) withdraw(i int, id string) {
	r.t.Helper()
	r.do(func(ctx context.Context) error { return r.rings[i].Withdraw(ctx, id) })
}

// stored returns the keys of the database.
func (r *replicas) stored() (keys []store.SigningKey) {
	r.t.Helper()
	err := r.store.View(r.t.Context(), "", func(tx *store.Tx) (err error) {
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return keys
}

func (r *replicas) key(id string) store.SigningKey {
	r.t.Helper()
	keys := r.stored()
	i := slices.IndexFunc(keys, func(k store.SigningKey) bool { return k.ID == id })
	if i < 0 {
		r.t.Fatalf("there is no key %s", id)
	}
	return keys[i]
}

func TestConcurrentStartsCreateOneSigningKey(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 3)
	if keys := r.stored(); len(keys) != 1 || r.signer(0) != keys[0].ID || r.signer(2) != keys[0].ID {
		t.Errorf("got %d keys", len(keys))
	}
}

// A new key does not sign until every replica has had time to read it.
func TestANewSigningKeySignsAfterSpread(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	r.now = r.now.Add(spread - time.Millisecond)
	if got := r.signer(0); got != first {
		t.Error("the new key signs too early")
	}
	r.now = r.now.Add(time.Millisecond)
	if got := r.signer(0); got == first {
		t.Error("the new key does not sign")
	}
}

func TestASigningKeyStopsVerifyingWhenItsSuccessorHasSignedForATokensLife(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	want := r.now.Add(spread + r.life)
	if got := r.key(first).VerifiesUntil; !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ids := func() (ids []string) {
		for _, k := range r.rings[0].current() {
			ids = append(ids, k.ID)
		}
		return ids
	}
	r.now = want.Add(-time.Millisecond)
	if !slices.Contains(ids(), first) {
		t.Error("it stops too early")
	}
	r.now = want
	if slices.Contains(ids(), first) {
		t.Error("it goes on verifying")
	}
	if n, err := r.rings[0].clean(t.Context()); err != nil || n != 1 || len(r.stored()) != 1 {
		t.Errorf("cleaned %d, %v; %d keys are left", n, err, len(r.stored()))
	}
}

// A token is valid until it expires, regardless of when and how often keys are
// rotated, on every replica.
func TestRotationsDoNotEndTokens(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 2)
	random := rand.New(rand.NewPCG(1, 2))
	type issued struct {
		token   string
		expires time.Time
	}
	var tokens []issued
	lastLoad := r.now
	for range 1500 {
		switch random.IntN(10) {
		case 0:
			r.do(r.rings[0].Rotate)
		case 1:
			r.do(func(ctx context.Context) error { _, err := r.rings[0].clean(ctx); return err })
		default:
			r.now = r.now.Add(time.Duration(random.IntN(20_000)) * time.Millisecond)
		}
		if r.now.Sub(lastLoad) >= reload { // on the other replica
			r.do(r.rings[1].load)
			lastLoad = r.now
		}
		for i := range r.rings {
			tokens = append(tokens, issued{r.issue(i), r.now.Truncate(time.Second).Add(r.life)})
		}
		tokens = slices.DeleteFunc(tokens, func(i issued) bool { return !r.now.Before(i.expires) })
		if i := random.IntN(len(tokens)); !r.verifies(0, tokens[i].token) || !r.verifies(1, tokens[i].token) {
			t.Fatalf("a token that lives for %v more does not verify", tokens[i].expires.Sub(r.now))
		}
		for i := range r.rings { // the newest and the oldest tokens are valid too
			if !r.verifies(i, tokens[0].token) || !r.verifies(i, tokens[len(tokens)-1].token) || !r.verifies(i, tokens[len(tokens)-2].token) {
				t.Fatalf("replica %d: a token does not verify", i)
			}
		}
	}
	if n := len(r.stored()); n < 3 {
		t.Errorf("there were only %d keys", n)
	}
}

func TestWithdrawingTheSignerCreatesOneThatSignsImmediately(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 2)
	stolen := r.signer(0)
	old := r.issue(0)
	r.withdraw(0, stolen)
	if r.verifies(0, old) {
		t.Error("a token of the withdrawn key verifies")
	}
	fresh := r.issue(0)
	if got := r.signer(0); got == stolen || !r.verifies(0, fresh) {
		t.Error("no new key signs")
	}
	// Another replica uses it when it reloads.
	r.do(r.rings[1].load)
	if r.verifies(1, old) || !r.verifies(1, fresh) {
		t.Error("after a reload the other replica differs")
	}
}

func TestWithdrawingTheSignerKeepsKeysThatDoNotSignYet(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	next := r.stored()[1]
	r.withdraw(0, first)
	fresh := r.signer(0)
	if fresh == first || fresh == next.ID {
		t.Fatalf("the signer is %s", fresh)
	}
	if got, want := r.key(fresh).VerifiesUntil, next.SignsFrom.Add(r.life); !got.Equal(want) {
		t.Errorf("the new key verifies until %v, want %v", got, want)
	}
	r.now = next.SignsFrom
	if got := r.signer(0); got != next.ID {
		t.Errorf("then %s signs, want %s", got, next.ID)
	}
}

func TestWithdrawingAKeyThatDoesNotSignYetKeepsTheSigner(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	r.withdraw(0, r.stored()[1].ID)
	if got := r.key(first); r.signer(0) != first || !got.VerifiesUntil.IsZero() || len(r.stored()) != 1 {
		t.Errorf("the signer is %s and verifies until %v", r.signer(0), got.VerifiesUntil)
	}
}

// A key that has been succeeded does not sign again, whatever happens to its
// successors.
func TestASucceededKeyKeepsItsEnd(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	want := r.key(first).VerifiesUntil
	r.now = r.now.Add(spread)
	second := r.signer(0)
	r.now = r.now.Add(time.Minute)
	r.withdraw(0, second)
	if got := r.key(first).VerifiesUntil; r.signer(0) == first || !got.Equal(want) {
		t.Errorf("the signer withdrawn: got %v, want %v", got, want)
	}
	r.do(r.rings[0].Rotate)
	if got := r.key(first).VerifiesUntil; !got.Equal(want) {
		t.Errorf("a rotation: got %v, want %v", got, want)
	}
}

func TestWithdrawingAKeyThatDoesNotExist(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	var refused *api.Error
	if err := r.rings[0].Withdraw(t.Context(), "none"); !errors.As(err, &refused) || refused.Status != 404 || refused.Code != api.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

func TestSigningKeysAreAudited(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 1)
	first := r.signer(0)
	r.do(r.rings[0].Rotate)
	second := r.stored()[1].ID
	r.now = r.now.Add(spread + r.life)
	r.do(func(ctx context.Context) error { _, err := r.rings[0].clean(ctx); return err })
	r.withdraw(0, second)
	var got []string
	err := r.store.View(t.Context(), "", func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 100)
		for _, e := range list {
			got = append(got, e.Detail["what"].(string)+" "+e.Detail["keyId"].(string))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"signing key made " + first, "signing key made " + second, "signing key retired " + first,
		"signing key withdrawn " + second, "signing key made " + r.signer(0),
	}
	slices.Sort(got) // entries with the same time have no order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
