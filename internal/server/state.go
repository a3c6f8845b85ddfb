package server

import "github.com/authsignal-wasm/sdk/internal/api"

// An outcome is what rules decide of an action when it is tracked. It never
// changes; the state does.
type outcome string

const (
	outcomeAllow     outcome = "ALLOW"
	outcomeChallenge outcome = "CHALLENGE"
	outcomeReview    outcome = "REVIEW"
	outcomeBlock     outcome = "BLOCK"
)

// trackedState is the state in which an action begins (wire contract, section
// 9). A user who has nothing to be challenged with is let through, and the
// backend learns it from isEnrolled.
func trackedState(o outcome, enrolled bool) api.State {
	switch {
	case o == outcomeBlock:
		return api.StateBlock
	case o == outcomeReview:
		return api.StateReviewRequired
	case o == outcomeChallenge && enrolled:
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
