package server

import (
	"slices"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// put sets the state of an action with the Server API.
func (p *peer) put(user, action, key, state string) {
	p.t.Helper()
	got := p.ok(p.api("PATCH", "/v1/users/"+user+"/actions/"+action+"/"+key, `{"state":"`+state+`"}`)).object["state"]
	if got != state {
		p.t.Fatalf("update answers state %v, want %s", got, state)
	}
}

// actionK are the attributes of the action signIn k.
const actionK = `{"idempotencyKey":"k"}`

// stateMachine has the rows of the table in section 9 of the wire contract, in
// order, as a caller sees them. TestTrackedState has the states of outcomes.
var stateMachine = []struct {
	name string
	// do causes the event of the row in its from state, on the action signIn k
	// of the user u1.
	do   func(p *peer)
	want string
}{
	{"track, outcome CHALLENGE, enrolled", func(p *peer) {
		p.enrolled("u1")
		p.track("u1", "signIn", actionK)
	}, "CHALLENGE_REQUIRED"},
	{"track, outcome CHALLENGE, not enrolled", func(p *peer) {
		if got := p.track("u1", "signIn", actionK); got["isEnrolled"] != false || got["token"] == "" {
			p.t.Errorf("got %v", got)
		}
	}, "ALLOW"},
	{"track, outcome CHALLENGE, enrolled with what is not challenged here", func(p *peer) {
		p.ok(p.api("POST", "/v1/users/u1/authenticators", `{"verificationMethod":"SMS","phoneNumber":"1"}`))
		tok := p.token("u1", "signIn", actionK)
		p.fails(p.verify(tok, "123456"), 400, "invalid_request")
		p.fails(p.enroll(tok), 403, "unauthorized")
	}, "CHALLENGE_REQUIRED"},
	{"CHALLENGE_REQUIRED, right code", func(p *peer) {
		secret := p.enrolled("u1")
		p.accepted(p.verify(p.token("u1", "signIn", actionK), p.code(secret, 1)))
	}, "CHALLENGE_SUCCEEDED"},
	{"ALLOW, right code that completes an enrollment", func(p *peer) {
		tok := p.token("u1", "signIn", actionK)
		p.accepted(p.verify(tok, p.code(p.ok(p.enroll(tok)).object["secret"].(string), 0)))
	}, "CHALLENGE_SUCCEEDED"},
	{"CHALLENGE_REQUIRED, right code that completes an enrollment, without a factor that is challenged here", func(p *peer) {
		p.ok(p.api("POST", "/v1/users/u1/authenticators", `{"verificationMethod":"SMS","phoneNumber":"1"}`))
		tok := p.token("u1", "signIn", `{"idempotencyKey":"k","scope":"add:authenticators"}`)
		p.accepted(p.verify(tok, p.code(p.ok(p.enroll(tok)).object["secret"].(string), 0)))
	}, "CHALLENGE_SUCCEEDED"},
	{"ALLOW, enroll", func(p *peer) { p.ok(p.enroll(p.token("u1", "signIn", actionK))) }, "ALLOW"},
	{"REVIEW_REQUIRED, enroll", func(p *peer) {
		tok := p.token("u1", "signIn", actionK)
		p.put("u1", "signIn", "k", "REVIEW_REQUIRED")
		p.fails(p.enroll(tok), 400, "invalid_request")
	}, "REVIEW_REQUIRED"},
	{"REVIEW_SUCCEEDED, right code that completes an enrollment", func(p *peer) {
		secret := p.enrolled("u1")
		tok := p.token("u1", "signIn", `{"idempotencyKey":"k","scope":"add:authenticators"}`)
		p.put("u1", "signIn", "k", "REVIEW_SUCCEEDED")
		p.fails(p.verify(tok, p.code(secret, 1)), 400, "invalid_request")
		second := p.ok(p.enroll(tok)).object["secret"].(string)
		p.refused(p.verify(tok, p.code(secret, 1)), "CODE_INVALID_OR_EXPIRED")
		p.accepted(p.verify(tok, p.code(second, 0)))
	}, "REVIEW_SUCCEEDED"},
	{"CHALLENGE_REQUIRED, wrong code", func(p *peer) {
		secret := p.enrolled("u1")
		p.refused(p.verify(p.token("u1", "signIn", actionK), p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	}, "CHALLENGE_REQUIRED"},
	{"CHALLENGE_REQUIRED, over the limit", func(p *peer) {
		secret := p.enrolled("u1")
		tok := p.token("u1", "signIn", actionK)
		for range 10 {
			p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
		}
		p.refused(p.verify(tok, p.code(secret, 1)), "MAX_ATTEMPTS_EXCEEDED")
	}, "CHALLENGE_REQUIRED"},
	{"CHALLENGE_REQUIRED, token expires", func(p *peer) {
		secret := p.enrolled("u1")
		tok := p.token("u1", "signIn", actionK)
		p.advance(time.Hour)
		p.fails(p.verify(tok, p.code(secret, 0)), 401, "expired_token")
	}, "CHALLENGE_REQUIRED"},
	{"any, validate, get and query", func(p *peer) {
		p.enrolled("u1")
		tok := p.token("u1", "signIn", actionK)
		p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`))
		p.state("u1", "signIn", "k")
		p.ok(p.api("GET", "/v1/users/u1/actions", ""))
	}, "CHALLENGE_REQUIRED"},
	{"CHALLENGE_SUCCEEDED, verify again", func(p *peer) {
		secret := p.enrolled("u1")
		tok := p.token("u1", "signIn", actionK)
		p.accepted(p.verify(tok, p.code(secret, 1)))
		p.refused(p.verify(tok, p.code(secret, 1)), "CODE_INVALID_OR_EXPIRED")
		p.advance(time.Minute)
		p.accepted(p.verify(tok, p.code(secret, 0)))
	}, "CHALLENGE_SUCCEEDED"},
	{"BLOCK, right code", func(p *peer) {
		secret := p.enrolled("u1")
		tok := p.token("u1", "signIn", actionK)
		p.put("u1", "signIn", "k", "BLOCK")
		p.fails(p.verify(tok, p.code(secret, 1)), 400, "invalid_request")
		// The code is not used up.
		p.accepted(p.verify(p.token("u1", "pay", ""), p.code(secret, 1)))
	}, "BLOCK"},
	{"section 11, row 5: validate ALLOW", func(p *peer) {
		tok := p.token("u1", "signIn", actionK)
		if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object; got["isValid"] != false || got["state"] != "ALLOW" {
			p.t.Errorf("got %v", got)
		}
	}, "ALLOW"},
	{"section 11, row 6: track an action again after the user has enrolled", func(p *peer) {
		p.track("u1", "signIn", actionK) // not enrolled: ALLOW
		p.enrolled("u1")
		if got := p.track("u1", "signIn", actionK); got["state"] != "CHALLENGE_REQUIRED" || got["isEnrolled"] != true {
			p.t.Errorf("got %v", got)
		}
	}, "CHALLENGE_REQUIRED"},
	{"section 11, row 6: track again what the backend allowed", func(p *peer) {
		p.track("u1", "signIn", actionK)
		p.put("u1", "signIn", "k", "ALLOW")
		p.enrolled("u1")
		if got := p.track("u1", "signIn", actionK); got["state"] != "ALLOW" || got["isEnrolled"] != true {
			p.t.Errorf("got %v", got)
		}
	}, "ALLOW"},
	{"section 11, row 26: ALLOW, right code", func(p *peer) {
		tok := p.token("u1", "signIn", actionK)
		secret := p.enrolled("u1")
		p.accepted(p.verify(tok, p.code(secret, 1)))
	}, "CHALLENGE_SUCCEEDED"},
}

func TestStateMachine(t *testing.T) {
	t.Parallel()
	for _, row := range stateMachine {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			row.do(p)
			if got := p.state("u1", "signIn", "k"); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// PATCH from any state to any other, and a code in each state (section 11, row
// 17).
func TestUpdateActionMovesFromAnyStateToAny(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	for _, from := range api.States {
		for _, to := range api.States {
			p.put("u1", "signIn", "k", string(from))
			p.put("u1", "signIn", "k", string(to))
			if got := p.state("u1", "signIn", "k"); got != string(to) {
				t.Errorf("%s to %s: got %s", from, to, got)
			}
		}
		p.put("u1", "signIn", "k", string(from))
		r := p.verify(tok, p.wrong(secret))
		if slices.Contains([]api.State{api.StateAllow, api.StateChallengeRequired, api.StateChallengeSucceeded}, from) {
			p.refused(r, "CODE_INVALID_OR_EXPIRED")
		} else {
			p.fails(r, 400, "invalid_request")
		}
		if got := p.state("u1", "signIn", "k"); got != string(from) {
			t.Errorf("%s after a wrong code: got %s", from, got)
		}
	}
}
