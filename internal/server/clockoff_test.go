package server

import (
	"testing"
	"time"
)

// off answers a challenge with a code of a step that is some steps from now.
func (p *peer) off(secret string, steps int64) response {
	p.t.Helper()
	return p.ok(p.verify(p.token("u1", "signIn", ""), p.code(secret, steps)))
}

func (p *peer) says(r response, seconds float64) {
	p.t.Helper()
	if r.object["isVerified"] != false || r.object["failureReason"] != "CODE_INVALID_OR_EXPIRED" ||
		r.object["failureDetail"] != "DEVICE_CLOCK_IS_OFF" || r.object["clockOffSeconds"] != seconds {
		p.t.Errorf("got %s, want a clock that is off by %v s", r.text, seconds)
	}
}

func (p *peer) saysNothing(r response) {
	p.t.Helper()
	p.refused(r, "CODE_INVALID_OR_EXPIRED")
}

// Two refused codes in a row that fit the same clock tell by how much it is off.
func TestAClockThatIsOff(t *testing.T) {
	t.Parallel()
	for _, steps := range []int64{-10, -8, -2, 2, 9} {
		p := newPeer(t)
		secret := p.enrolled("u1")
		p.advance(time.Hour)
		p.saysNothing(p.off(secret, steps))
		p.saysNothing(p.off(secret, steps)) // the same code tells no more
		p.advance(30 * time.Second)
		p.says(p.off(secret, steps), float64(steps*30))
		p.advance(5 * time.Minute)
		p.says(p.off(secret, steps), float64(steps*30))
		// The right code is accepted, and then a code must be refused twice again.
		p.accepted(p.off(secret, 0))
		p.advance(30 * time.Second)
		p.saysNothing(p.off(secret, steps))
	}
}

// What is not two codes in a row of the same clock within ten minutes tells nothing.
func TestASingleCodeTellsNothing(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(p *peer, secret string){
		"another distance": func(p *peer, secret string) { p.saysNothing(p.off(secret, -3)) },
		"a wrong code":     func(p *peer, secret string) { p.saysNothing(p.verify(p.token("u1", "signIn", ""), p.wrong(secret))) },
		"another sign":     func(p *peer, secret string) { p.saysNothing(p.off(secret, 6)) },
		"time":             func(p *peer, secret string) { p.advance(10 * time.Minute) },
		"a recovery code": func(p *peer, secret string) {
			p.ok(p.api("POST", "/v1/users/u1/recovery-codes", ""))
			p.refused(p.recover(p.token("u1", "signIn", ""), "2222-2222-2222"), "CODE_INVALID_OR_EXPIRED")
		},
	} {
		p := newPeer(t)
		secret := p.enrolled("u1")
		p.advance(time.Hour)
		p.saysNothing(p.off(secret, -6))
		between(p, secret)
		p.advance(time.Second)
		p.advance(30 * time.Second)
		if r := p.off(secret, -6); r.object["failureDetail"] != nil {
			t.Errorf("%s: got %s", name, r.text)
		}
	}
	// A code whose distance differs by a step is of the same clock; one that is too
	// far away is not searched for.
	p := newPeer(t)
	secret := p.enrolled("u1")
	p.advance(time.Hour)
	p.saysNothing(p.off(secret, -5))
	p.advance(40 * time.Second)
	p.says(p.off(secret, -6), -180)
	p.advance(40 * time.Second)
	p.saysNothing(p.off(secret, -11))
	p.advance(40 * time.Second)
	p.saysNothing(p.off(secret, -11))
}
