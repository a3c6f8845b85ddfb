package server

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A round trip to PostgreSQL costs more than most statements.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite runs in the process
	}
	database, trips := storetest.Counted(t, storetest.Database(t))
	p := newPeerOn(t, database)
	secret := p.enrolled("u")
	key := 0
	track := func() string {
		key++
		return p.token("u", "signIn", `{"idempotencyKey":"`+strconv.Itoa(key)+`"}`)
	}
	for _, tt := range []struct {
		name string
		want int64
		// prepare returns the call that is counted.
		prepare func() func()
	}{
		{"track", 2, func() func() { return func() { track() } }},
		{"track again", 2, func() func() {
			track()
			return func() { p.token("u", "signIn", `{"idempotencyKey":"`+strconv.Itoa(key)+`"}`) }
		}},
		{"track a user who has not signed in yet", 2, func() func() {
			key++
			user := "new-" + strconv.Itoa(key)
			p.ok(p.api("PATCH", "/v1/users/"+user, `{}`))
			return func() { p.token(user, "signIn", "") }
		}},
		{"verify a right code", 2, func() func() {
			token := track()
			p.advance(30 * time.Second)
			return func() { p.accepted(p.verify(token, p.code(secret, 0))) }
		}},
		{"verify a wrong code", 2, func() func() {
			p.advance(30 * time.Second)
			p.accepted(p.verify(track(), p.code(secret, 0))) // which deletes the failures
			token := track()
			return func() { p.refused(p.verify(token, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED") }
		}},
		{"verify a right code after a wrong one", 2, func() func() {
			token := track()
			p.refused(p.verify(token, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
			p.advance(30 * time.Second)
			return func() { p.accepted(p.verify(token, p.code(secret, 0))) }
		}},
		{"verify a code again", 2, func() func() {
			p.advance(30 * time.Second)
			code := p.code(secret, 0)
			p.accepted(p.verify(track(), code))
			token := track()
			return func() { p.refused(p.verify(token, code), "CODE_INVALID_OR_EXPIRED") }
		}},
		{"verify a wrong code of a tenant with a webhook", 2, func() func() {
			p.webhook("")
			p.advance(30 * time.Second)
			p.accepted(p.verify(track(), p.code(secret, 0))) // which deletes the failures
			p.webhook("https://app.test/hook")
			token := track()
			p.refused(p.verify(token, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED") // which reads what is cached
			return func() { p.refused(p.verify(token, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED") }
		}},
		{"validate", 1, func() func() {
			token := track()
			return func() { p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`"}`)) }
		}},
	} {
		// The first calls prepare statements, and what is cached is read once a second.
		least := int64(math.MaxInt64)
		for range 6 {
			call := tt.prepare()
			before := trips.Load()
			call()
			least = min(least, trips.Load()-before)
		}
		if least != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, least, tt.want)
		}
	}
}

// After Warm, the first requests wait for no connection and no statement to be
// prepared: they only read what is cached from then on.
func TestRoundTripsOfTheFirstRequests(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite runs in the process
	}
	database := storetest.Database(t)
	secret := newPeerOn(t, database).enrolled("u")
	counted, trips := storetest.Counted(t, database)
	p := newPeerOn(t, counted)
	if err := p.store.Warm(t.Context(), p.clock()); err != nil {
		t.Fatal(err)
	}
	p.advance(time.Minute)
	before := trips.Load()
	token := p.token("u", "signIn", "")
	p.accepted(p.verify(token, p.code(secret, 0)))
	// Four of them, the API secret key, the tenant, and the action's settings.
	const cached, again = 3, 2 // what is cached is read again after a second
	if got := trips.Load() - before; got < 4 || got > 4+cached+again {
		t.Errorf("%d round trips, want 4 and %d for what is cached", got, cached)
	}
}
