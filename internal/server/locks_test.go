package server

import (
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
)

// The webhook hears of each time that an authenticator is blocked, whichever code was
// wrong, and of its unlocking.
func TestEventsOfLocks(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.settings(func(s *api.AuthenticatorSettings) { s.MaxFailures, s.MaxFailuresInARow = 3, 7 })
	secret, _ := p.recoverable("u1")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	wrong := func(codes int) {
		t.Helper()
		for range codes {
			p.refused(p.verify(p.token("u1", "signIn", ""), p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
		}
	}
	locks := func() (out []authsignal.AuthenticatorLocked) {
		p.deliver(st, h)
		for _, e := range h.of(authsignal.EventAuthenticatorLocked) {
			out = append(out, e.Data.(authsignal.AuthenticatorLocked))
		}
		return out
	}
	wrong(2)
	p.refused(p.recover(p.token("u1", "signIn", ""), "2222-2222-2222"), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)), "MAX_ATTEMPTS_EXCEEDED")
	if got := locks(); len(got) != 1 || got[0].UserAuthenticatorID != id || got[0].UserID != "u1" || got[0].FailuresInARow != 3 || got[0].NeedsUnlock {
		t.Fatalf("after three: got %+v", got)
	}
	// The window moves on: two more are compared, and then another blocks again.
	p.advance(5*time.Minute + time.Second)
	wrong(2)
	if got := locks(); len(got) != 1 {
		t.Errorf("after five: got %+v", got)
	}
	wrong(1)
	p.advance(5*time.Minute + time.Second)
	wrong(1)
	got := locks()
	stopped := 0
	for _, l := range got {
		if l.NeedsUnlock {
			stopped++
		}
	}
	if len(got) != 3 || stopped != 1 {
		t.Errorf("after seven: got %+v", got)
	}
	p.ok(p.manage("POST", "tenants/t1/users/u1/authenticators/"+id+"/unlock", ""))
	p.deliver(st, h)
	if events := h.of(authsignal.EventAuthenticatorUnlocked); len(events) != 1 || events[0].Data.(authsignal.AuthenticatorUnlocked).UserAuthenticatorID != id {
		t.Errorf("unlocked: got %+v", events)
	}
}

// The webhook hears once of a hundred codes that were guessed, of the app or for
// recovery, although right ones came between them; and again after another hundred of a
// later month.
func TestAnEventOfAHundredGuesses(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	secret, codes := p.recoverable("u1")
	events := func() []authsignal.Event {
		p.deliver(st, h)
		return h.of(authsignal.EventCodesGuessed)
	}
	guess := func(n int) {
		t.Helper()
		for i := range n {
			if i%10 == 0 {
				p.advance(5*time.Minute + time.Second)
				p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)))
			}
			tok := p.token("u1", "signIn", "")
			if i%2 == 0 {
				p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
			} else {
				p.refused(p.recover(tok, "2222-2222-2222"), "CODE_INVALID_OR_EXPIRED")
			}
		}
	}
	since := p.clock().Add(5*time.Minute + time.Second)
	guess(99)
	// None of these is a guess: a code twice, one that is late, and malformed ones.
	p.advance(5*time.Minute + time.Second)
	tok := p.token("u1", "signIn", "")
	p.accepted(p.verify(tok, p.code(secret, 0)))
	p.refused(p.verify(tok, p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.verify(tok, p.code(secret, -5)), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.verify(tok, "1"), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.recover(tok, "1"), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.recover(tok, codes[0]))
	p.refused(p.recover(tok, codes[0]), "CODE_INVALID_OR_EXPIRED")
	if got := events(); len(got) != 0 {
		t.Fatalf("after 99: got %+v", got)
	}
	guess(20)
	got := events()
	if len(got) != 1 {
		t.Fatalf("after 119: got %d events", len(got))
	}
	if d := got[0].Data.(authsignal.CodesGuessed); d.UserID != "u1" || d.WrongCodes != 100 || !d.Since.Equal(since) || d.NoticedAt.Before(since.Add(50*time.Minute)) {
		t.Errorf("got %+v", d)
	}
	p.advance(30 * 24 * time.Hour)
	guess(99)
	if got := events(); len(got) != 1 {
		t.Errorf("after 99 of another month: got %d events", len(got))
	}
	guess(1)
	if got := events(); len(got) != 2 {
		t.Errorf("after 100 of another month: got %d events", len(got))
	}
}
