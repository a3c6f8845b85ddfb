package mfa

import (
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// Every state with every event, as a table: an empty cell means refused.
func TestNext(t *testing.T) {
	t.Parallel()
	for from, row := range map[api.State]map[event]api.State{
		untracked: {
			trackedEnrolled: api.StateChallengeRequired, trackedLate: api.StateChallengeRequired, trackedNewcomer: api.StateAllow,
			trackedAllow: api.StateAllow, trackedReview: api.StateReviewRequired, trackedBlock: api.StateBlock,
		},
		api.StateAllow: {
			codeAccepted: api.StateChallengeSucceeded, enrollmentEnded: api.StateChallengeSucceeded,
			codeRefused: api.StateAllow, attemptsExceeded: api.StateAllow, enrollmentBegun: api.StateAllow,
		},
		api.StateChallengeRequired: {
			codeAccepted: api.StateChallengeSucceeded, enrollmentEnded: api.StateChallengeSucceeded,
			codeRefused: api.StateChallengeRequired, attemptsExceeded: api.StateChallengeRequired, enrollmentBegun: api.StateChallengeRequired,
		},
		api.StateChallengeSucceeded: {
			codeAccepted: api.StateChallengeSucceeded, enrollmentEnded: api.StateChallengeSucceeded,
			codeRefused: api.StateChallengeSucceeded, attemptsExceeded: api.StateChallengeSucceeded, enrollmentBegun: api.StateChallengeSucceeded,
		},
		api.StateChallengeFailed: {}, api.StateBlock: {},
		api.StateReviewRequired: {}, api.StateReviewFailed: {},
		api.StateReviewSucceeded: {
			enrollmentEnded: api.StateReviewSucceeded, codeRefused: api.StateReviewSucceeded, attemptsExceeded: api.StateReviewSucceeded, enrollmentBegun: api.StateReviewSucceeded,
		},
	} {
		if from != untracked {
			row[trackedAgain], row[updated] = from, given
		}
		for _, on := range []event{
			trackedAllow, trackedReview, trackedBlock, trackedEnrolled, trackedNewcomer, trackedLate, trackedAgain,
			enrollmentBegun, enrollmentEnded, codeAccepted, codeRefused, attemptsExceeded, updated,
		} {
			want, wantOK := row[on]
			if got, ok := next(from, on); got != want || ok != wantOK {
				t.Errorf("%q, %s: got %q %v, want %q %v", from, on, got, ok, want, wantOK)
			}
		}
	}
	if got, _ := TrackedState("", Factors{{}}, EnrollmentDuty{}); got != api.StateBlock {
		t.Errorf("no outcome: got %s", got)
	}
}

func TestTrackedState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		outcome  api.Outcome
		enrolled bool
		// late is the state after the deadline of a policy, of a user who is not enrolled.
		want, late api.State
	}{
		{api.OutcomeChallenge, true, api.StateChallengeRequired, ""},
		{api.OutcomeChallenge, false, api.StateAllow, api.StateChallengeRequired},
		{api.OutcomeAllow, true, api.StateAllow, ""},
		{api.OutcomeAllow, false, api.StateAllow, api.StateAllow},
		{api.OutcomeReview, true, api.StateReviewRequired, ""},
		{api.OutcomeReview, false, api.StateReviewRequired, api.StateReviewRequired},
		{api.OutcomeBlock, true, api.StateBlock, ""},
		{api.OutcomeBlock, false, api.StateBlock, api.StateBlock},
	} {
		var f Factors
		if tt.enrolled {
			f = Factors{{Method: api.SMS}}
		}
		for _, d := range []EnrollmentDuty{{}, {Applies: true}, {Applies: true, Required: true}} {
			want, newcomer := tt.want, tt.outcome == api.OutcomeChallenge && !tt.enrolled
			if d.Required && !tt.enrolled {
				want, newcomer = tt.late, false
			} else if tt.enrolled {
				d = EnrollmentDuty{} // which DutyOf returns then
			}
			got, gotNewcomer := TrackedState(tt.outcome, f, d)
			if got != want || gotNewcomer != newcomer {
				t.Errorf("%s, enrolled %v, %+v: got %s, newcomer %v, want %s", tt.outcome, tt.enrolled, d, got, gotNewcomer, want)
			}
		}
	}
}
