package prebuilt

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
)

// A view is what a page begins with, and what follows a challenge; or the
// failure that it shows instead.
type view struct{ start, then, failure string }

// viewOf says what to show of a subject. It promises nothing that the client API
// would refuse, and the API decides again, whatever is shown.
func viewOf(s mfa.Subject, settings, forceEnrollment bool) view {
	settled := false
	switch s.Action.State {
	case api.StateBlock:
		return view{failure: "blocked"}
	case api.StateReviewRequired:
		return view{failure: "review"}
	case api.StateChallengeFailed, api.StateReviewFailed:
		return view{failure: "refused"}
	case api.StateChallengeSucceeded, api.StateReviewSucceeded:
		settled = true
	}
	f, limit := s.Factors(), s.Limit()
	switch {
	case settings && s.Owed():
		return view{start: "challenge", then: "settings"}
	case settings:
		return view{start: "settings", then: "settings"}
	case settled:
		return view{start: "done"}
	case f.Challengeable() && !forceEnrollment:
		return view{start: "challenge", then: "finish"}
	case limit == mfa.NotActive:
		return view{failure: "unavailable"}
	case f.Challengeable() && limit == mfa.OnlyOne:
		return view{failure: "single"}
	case f.Challengeable() && limit == mfa.TooMany:
		return view{failure: "full"}
	case s.MayAdd() == nil:
		return view{start: "enroll", then: "finish"}
	case f.Challengeable() && s.MayAddVerified() == nil:
		return view{start: "challenge", then: "enroll"}
	}
	// Factors that are not challenged here, and no right to add another.
	return view{failure: "unavailable"}
}

// told is what a failure is to the page that opened this one: the code of
// AUTHSIGNAL_API_ERROR and the HTTP status. Status 0 is no error of the API,
// but the way that things stand.
func told(failure string) (code string, status int) {
	switch failure {
	case "missing", "invalid":
		return api.CodeUnauthorized, http.StatusUnauthorized
	case "expired":
		return api.CodeExpiredToken, http.StatusUnauthorized
	case "return":
		return api.CodeInvalidConfiguration, http.StatusBadRequest
	case "unavailable", "single", "full":
		return api.CodeInvalidConfiguration, http.StatusBadRequest
	case "internal":
		return api.CodeInternalError, http.StatusInternalServerError
	}
	return "", 0
}
