package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// An unknown browser has few guesses, and cannot lock the operator out.
func TestGuessingThePassword(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	operator := d.operator()
	guess := func(address string) int {
		b := d.browser()
		b.header.Set("Test-Address", address)
		return b.post("/sign-in", "password", "a guess").StatusCode
	}
	for range perSource {
		if got := guess("198.51.100.1"); got != http.StatusForbidden {
			t.Fatalf("got %d", got)
		}
	}
	if got := guess("198.51.100.1"); got != http.StatusTooManyRequests {
		t.Errorf("over the limit: got %d", got)
	}
	// Not even the right password is checked from there.
	b := d.browser()
	b.header.Set("Test-Address", "198.51.100.1")
	b.wants(b.post("/sign-in", "password", d.password), http.StatusTooManyRequests)
	// It is the same /64 in IPv6.
	for i := range perSource {
		guess("2001:db8::" + string(rune('a'+i%6)))
	}
	if got := guess("2001:db8::1:2"); got != http.StatusTooManyRequests {
		t.Errorf("another address of the /64: got %d", got)
	}
	// Other addresses may guess, and so may the operator's browser at the same
	// address.
	if got := guess("198.51.100.2"); got != http.StatusForbidden {
		t.Errorf("another address: got %d", got)
	}
	operator.header.Set("Test-Address", "198.51.100.1")
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	// The limit is durable and moves on.
	d.advance(window + time.Second)
	if got := guess("198.51.100.1"); got != http.StatusForbidden {
		t.Errorf("after the window: got %d", got)
	}

	// A password that an operator chose is protected from a flood of guesses from
	// many addresses; the operator's browser is not locked out by it.
	const chosen = "correct horse battery"
	operator.wants(operator.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	d.store.Update(t.Context(), "", func(tx *store.Tx) error {
		for range ofUnknown {
			if err := tx.AddPortalAttempt(unknownBrowsers, d.clock(), d.clock().Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	if got := guess("203.0.113.9"); got != http.StatusTooManyRequests {
		t.Errorf("during a flood: got %d", got)
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", chosen), http.StatusSeeOther)
	// With a new random password, any browser may sign in.
	fresh, err := NewPassword(t.Context(), d.store, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	d.store.Update(t.Context(), "", func(tx *store.Tx) error {
		for range ofUnknown {
			if err := tx.AddPortalAttempt(unknownBrowsers, d.clock(), d.clock().Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	b = d.browser()
	b.wants(b.post("/sign-in", "password", fresh), http.StatusSeeOther)
	operator.wants(operator.get("/account"), http.StatusSeeOther)
}

// Concurrent guesses do not exceed the limit.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	// A known browser: its guesses wait for each other.
	b := d.operator()
	var wg sync.WaitGroup
	var mu sync.Mutex
	checked := 0
	for range 2 * perSource {
		wg.Go(func() {
			r, err := b.client.PostForm(d.url+Path+"/sign-in", url.Values{"password": {"a guess"}})
			if err != nil {
				t.Error(err)
				return
			}
			r.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if r.StatusCode == http.StatusForbidden {
				checked++
			}
		})
	}
	wg.Wait()
	if checked != perSource {
		t.Errorf("%d passwords were checked, want %d", checked, perSource)
	}
}

// When unknown browsers have taken all places, other unknown browsers are refused
// immediately and not counted. Known browsers are not refused.
func TestFloodFromUnknownBrowsers(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	operator := d.operator()
	for range cap(d.portal.hashingUnknown) {
		d.portal.hashingUnknown <- struct{}{}
	}
	unknown := d.browser()
	for range perSource + 1 {
		r := unknown.wants(unknown.post("/sign-in", "password", d.password), http.StatusTooManyRequests)
		if r.Header.Get("Retry-After") != "1" || !strings.Contains(r.text, "at once") {
			t.Errorf("got %v, %s", r.Header, r.text)
		}
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	const chosen = "correct horse battery"
	operator.wants(operator.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	<-d.portal.hashingUnknown
	unknown.wants(unknown.post("/sign-in", "password", chosen), http.StatusSeeOther)
}

// A password that is replaced while it is checked begins no session and cannot
// be changed.
func TestPasswordReplacedWhileChecked(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	r := httptest.NewRequest("POST", Path+"/sign-in", nil)
	v, checked, err := d.portal.try(r, d.password)
	if v != right || err != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	fresh, err := NewPassword(t.Context(), d.store, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []*store.PortalPassword{nil, {Hash: hash("a password chosen with the old one")}} {
		if cookies, ok, err := d.portal.begin(r, checked, next); ok || err != nil || len(cookies) != 0 {
			t.Errorf("got %v, %v, %v", cookies, ok, err)
		}
	}
	b := d.browser()
	b.wants(b.post("/sign-in", "password", fresh), http.StatusSeeOther)
}
