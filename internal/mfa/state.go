package mfa

import (
	"slices"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// An event is a cause of a change of an action's state.
type event string

const (
	trackedAllow     event = "track, outcome ALLOW"
	trackedReview    event = "track, outcome REVIEW"
	trackedBlock     event = "track, outcome BLOCK"
	trackedEnrolled  event = "track, outcome CHALLENGE, user enrolled"
	trackedNewcomer  event = "track, outcome CHALLENGE, user not enrolled"
	trackedLate      event = "track, outcome CHALLENGE, user not enrolled after the deadline of a policy"
	trackedAgain     event = "track, idempotency key known"
	enrollmentBegun  event = "enroll"
	enrollmentEnded  event = "right code that completes an enrollment"
	codeAccepted     event = "right code of a factor"
	browserAccepted  event = "use of a trusted browser"
	codeRefused      event = "wrong, used or late code"
	attemptsExceeded event = "code over the limit"
	updated          event = "update by the backend"
)

// untracked is the state of an action that does not exist yet. unchanged and given
// stand for the states to which an event leads if these are not fixed: the state
// before, and the state that the backend sets.
const (
	untracked api.State = ""
	unchanged api.State = "the state before"
	given     api.State = "the state given"
)

// transitions is the state machine of an action: wire contract, section 9,
// with section 4.2 and section 11, rows 6, 7, 17 and 26. What is not in it is
// refused; TrackedAgain has the exceptions to row 6. Expiry of tokens,
// validate, get and query change nothing and are not events.
//
// A user is enrolled with any verified factor, even one that cannot be challenged
// here: such a user gets CHALLENGE_REQUIRED and not ALLOW, and only the backend,
// which verifies that factor and updates the action, can let the user in. A user
// without a factor who had to enroll gets CHALLENGE_REQUIRED too, which the enrollment
// completes.
var transitions = []struct {
	from []api.State
	on   []event
	to   api.State
}{
	{states(untracked), events(trackedEnrolled, trackedLate), api.StateChallengeRequired},
	{states(untracked), events(trackedNewcomer), api.StateAllow},
	{states(untracked), events(trackedAllow), api.StateAllow},
	{states(untracked), events(trackedBlock), api.StateBlock},
	{states(untracked), events(trackedReview), api.StateReviewRequired},
	{api.States, events(trackedAgain), unchanged},
	{states(api.StateChallengeRequired, api.StateAllow), events(codeAccepted, enrollmentEnded), api.StateChallengeSucceeded},
	{states(api.StateChallengeSucceeded), events(codeAccepted, enrollmentEnded), unchanged},
	{states(api.StateChallengeRequired), events(browserAccepted), api.StateChallengeSucceeded},
	// A review that has succeeded requires no code, and accepts one only to
	// complete an enrollment.
	{states(api.StateReviewSucceeded), events(enrollmentEnded), unchanged},
	{acceptingCodes, events(enrollmentBegun, codeRefused, attemptsExceeded), unchanged},
	{api.States, events(updated), given},
}

// acceptingCodes are the states in which codes are compared.
var acceptingCodes = states(api.StateChallengeRequired, api.StateAllow, api.StateChallengeSucceeded, api.StateReviewSucceeded)

func states(s ...api.State) []api.State { return s }
func events(e ...event) []event         { return e }

// next returns the state to which an event leads. If the action does not accept the
// event in its state, ok is false.
func next(from api.State, on event) (to api.State, ok bool) {
	for _, t := range transitions {
		if slices.Contains(t.from, from) && slices.Contains(t.on, on) {
			if t.to == unchanged {
				return from, true
			}
			return t.to, true
		}
	}
	return "", false
}

// accepts reports whether an action in a state accepts an event.
func accepts(state api.State, on event) bool {
	_, ok := next(state, on)
	return ok
}

// TrackedAgain returns a known action after it is tracked again. It does not change
// (wire contract, section 11, row 6), unless the reason for its state is gone: an
// ALLOW because the user was not enrolled, when the user is or had to be by now, and a
// success or an ALLOW of a trusted browser, when the user's tokens have been ended
// since. Such an action starts again with a challenge.
func TrackedAgain(a store.Action, u store.User, f Factors, d EnrollmentDuty) (again store.Action, changed bool) {
	allowed := a.State == api.StateAllow
	enrolled := allowed && a.Newcomer && (f.Enrolled() || d.Required)
	ended := (Succeeded(a) || allowed && a.Trusted) && a.Epoch != u.Epoch
	if !enrolled && !ended {
		return a, false
	}
	a.State, a.Newcomer = TrackedState(api.OutcomeChallenge, f, d)
	a.Epoch, a.VerificationMethod, a.AuthenticatorID, a.Trusted = u.Epoch, "", "", false
	return a, true
}

// StateWithoutToken returns the state of an action for a caller that shows no token of
// it, such as a track. The browser that the caller serves is perhaps not the trusted one
// that has completed the action, which has a token to show for that: see Valid.
func StateWithoutToken(a store.Action) api.State {
	if Succeeded(a) && a.Trusted {
		return api.StateChallengeRequired
	}
	return a.State
}

// TrackedState returns the first state of an action. If the outcome is CHALLENGE
// and the user has no factor, it is ALLOW and newcomer is true; isEnrolled tells
// the backend. After the deadline of an enrollment policy it is CHALLENGE_REQUIRED.
// A policy changes no other outcome: an enrolled user is not asked for a code either.
func TrackedState(o api.Outcome, f Factors, d EnrollmentDuty) (state api.State, newcomer bool) {
	on := map[api.Outcome]event{api.OutcomeAllow: trackedAllow, api.OutcomeReview: trackedReview, api.OutcomeBlock: trackedBlock}[o]
	if o == api.OutcomeChallenge {
		switch {
		case f.Enrolled():
			on = trackedEnrolled
		case d.Required:
			on = trackedLate
		default:
			on = trackedNewcomer
		}
	}
	state, ok := next(untracked, on)
	if !ok {
		return api.StateBlock, false // an unknown outcome fails closed
	}
	return state, on == trackedNewcomer
}
