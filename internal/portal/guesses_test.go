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

// A stranger has few guesses, and cannot keep the operator out.
func TestGuessingThePassword(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
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
	// Not even the right password is looked at from there.
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
	// Others may, and so may the operator's own browser from the same address.
	if got := guess("198.51.100.2"); got != http.StatusForbidden {
		t.Errorf("another address: got %d", got)
	}
	operator.header.Set("Test-Address", "198.51.100.1")
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	// The limit is durable and moves on.
	d.advance(window + time.Second)
	if got := guess("198.51.100.1"); got != http.StatusForbidden {
		t.Errorf("later: got %d", got)
	}

	// A password that a person thought of is guarded against a flood from
	// everywhere; the operator's browser is not kept out by it.
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
		t.Errorf("in a flood: got %d", got)
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", chosen), http.StatusSeeOther)
	// Who has the machine gets in from any browser: the new password is random.
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

// Many guesses at once are not more than the limit.
func TestGuessingAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	// A known browser: its guesses wait for each other.
	b := d.operator()
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
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
				looked++
			}
		})
	}
	wg.Wait()
	if looked != perSource {
		t.Errorf("%d passwords were looked at, want %d", looked, perSource)
	}
}

// Strangers who take all their places keep out other strangers, who are refused
// at once and not counted, but not a known browser.
func TestAFloodOfStrangers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	operator := d.operator()
	for range cap(d.portal.hashingUnknown) {
		d.portal.hashingUnknown <- struct{}{}
	}
	stranger := d.browser()
	for range perSource + 1 {
		r := stranger.wants(stranger.post("/sign-in", "password", d.password), http.StatusTooManyRequests)
		if r.Header.Get("Retry-After") != "1" || !strings.Contains(r.text, "at once") {
			t.Errorf("got %v, %s", r.Header, r.text)
		}
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	const chosen = "correct horse battery"
	operator.wants(operator.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	<-d.portal.hashingUnknown
	stranger.wants(stranger.post("/sign-in", "password", chosen), http.StatusSeeOther)
}

// A password that is replaced while it is checked begins no session and sets no
// other one.
func TestPasswordReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := httptest.NewRequest("POST", Path+"/sign-in", nil)
	v, checked, err := d.portal.try(r, d.password)
	if v != right || err != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	fresh, err := NewPassword(t.Context(), d.store, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []*store.PortalPassword{nil, {Hash: hash("of the one who had the old one")}} {
		if cookies, ok, err := d.portal.begin(r, checked, next); ok || err != nil || len(cookies) != 0 {
			t.Errorf("got %v, %v, %v", cookies, ok, err)
		}
	}
	b := d.browser()
	b.wants(b.post("/sign-in", "password", fresh), http.StatusSeeOther)
}
