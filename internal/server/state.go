package server

import "github.com/authsignal-wasm/sdk/internal/api"

// trackedState is the state in which an action begins (wire contract, section
// 9). A user who has nothing to be challenged with is let through, and the
// backend learns it from isEnrolled.
func trackedState(o api.Outcome, enrolled bool) api.State {
	switch {
	case o == api.OutcomeBlock:
		return api.StateBlock
	case o == api.OutcomeReview:
		return api.StateReviewRequired
	case o == api.OutcomeChallenge && enrolled:
		return api.StateChallengeRequired
	}
	return api.StateAllow
}

// verifiable reports whether a code may be tried on an action, and whether
// the right one moves it to CHALLENGE_SUCCEEDED (wire contract, section 11,
// rows 17 and 26).
func verifiable(state api.State) (ok, moves bool) {
	switch state {
	case api.StateAllow, api.StateChallengeRequired:
		return true, true
	case api.StateChallengeSucceeded:
		return true, false
	}
	return false, false
}
