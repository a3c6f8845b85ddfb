package prebuilt

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
)

// A section is a part of the page. The values are the ids of the template's
// sections.
type section string

const (
	sectionEnroll    section = "enroll"
	sectionChallenge section = "challenge"
	sectionSettings  section = "settings"
	sectionDone      section = "done"
	sectionFailure   section = "failure"
	// sectionLink begins with a recovery link. sectionLinked is no section of the
	// template: the page ends after the enrollment.
	sectionLink   section = "link"
	sectionLinked section = "linked"
	// sectionFinish is no section of the template: the page ends after the
	// challenge.
	sectionFinish section = "finish"
)

// A failure is the reason for which the page shows sectionFailure. Its texts have
// the keys failure.NAME.title and failure.NAME.text. The page's script has
// further failures of its own.
type failure string

const (
	failureNoToken failure = "missing"
	failureExpired failure = "expired"
	failureInvalid failure = "invalid"
	// failureUnavailable: there is no factor that is challenged here, and none
	// may be added.
	failureUnavailable failure = "unavailable"
	// failureOnlyOne and failureTooMany: the user has as many authenticators as
	// the tenant allows, one or several.
	failureOnlyOne failure = "single"
	failureTooMany failure = "full"
	failureBlocked failure = "blocked"
	failureReview  failure = "review"
	failureRefused failure = "refused"
	// The failures of recovery links.
	failureLink        failure = "link"
	failureLinkUsed    failure = "linkUsed"
	failureLinkExpired failure = "linkExpired"
	failureLinkPending failure = "linkPending"
	// failureReturn: the redirectUrl of the action is not allowed.
	failureReturn   failure = "return"
	failureInternal failure = "internal"
)

// failures are all failures that the server can show.
var failures = []failure{
	failureNoToken, failureExpired, failureInvalid, failureUnavailable, failureOnlyOne, failureTooMany,
	failureBlocked, failureReview, failureRefused, failureReturn, failureInternal,
	failureLink, failureLinkUsed, failureLinkExpired, failureLinkPending,
}

// linkFailures are the failures of the errors of recovery links.
var linkFailures = map[error]failure{
	mfa.ErrNoLink: failureLink, mfa.ErrLinkUsed: failureLinkUsed, mfa.ErrLinkExpired: failureLinkExpired, mfa.ErrLinkPending: failureLinkPending,
}

// apiError returns the error that the page that opened this one gets: the code of
// AUTHSIGNAL_API_ERROR and the HTTP status. A failure that is a state of the
// action, and not an error, has no code and the status 0.
func (f failure) apiError() (code string, status int) {
	switch f {
	case failureNoToken, failureInvalid:
		return api.CodeUnauthorized, http.StatusUnauthorized
	case failureLink:
		return api.CodeNotFound, http.StatusNotFound
	case failureLinkUsed, failureLinkExpired:
		return api.CodeInvalidRequest, http.StatusGone
	case failureLinkPending:
		return api.CodeUnauthorized, http.StatusForbidden
	case failureExpired:
		return api.CodeExpiredToken, http.StatusUnauthorized
	case failureReturn, failureUnavailable, failureOnlyOne, failureTooMany:
		return api.CodeInvalidConfiguration, http.StatusBadRequest
	case failureInternal:
		return api.CodeInternalError, http.StatusInternalServerError
	}
	return "", 0
}

// A view is the section that is shown first and the one that follows a challenge,
// or else a failure.
type view struct {
	start, then section
	failure     failure
}

// A purpose holds the options of a url.
type purpose struct{ settings, forceEnrollment bool }

// viewOf returns what to show of a subject. It offers nothing that the client
// API would refuse, and the API decides again, whatever is shown.
func viewOf(s mfa.Subject, p purpose) view {
	settled := false
	switch s.Action.State {
	case api.StateBlock:
		return view{failure: failureBlocked}
	case api.StateReviewRequired:
		return view{failure: failureReview}
	case api.StateChallengeFailed, api.StateReviewFailed:
		return view{failure: failureRefused}
	case api.StateChallengeSucceeded:
		settled = s.Valid()
	case api.StateReviewSucceeded:
		settled = true
	}
	f, limit := s.Factors(), s.Limit()
	switch {
	case p.settings && s.Owed():
		return view{start: sectionChallenge, then: sectionSettings}
	case p.settings:
		return view{start: sectionSettings, then: sectionSettings}
	case settled:
		return view{start: sectionDone}
	case f.Challengeable() && !p.forceEnrollment:
		return view{start: sectionChallenge, then: sectionFinish}
	case limit == mfa.NotActive:
		return view{failure: failureUnavailable}
	case f.Challengeable() && limit == mfa.OnlyOne:
		return view{failure: failureOnlyOne}
	case f.Challengeable() && limit == mfa.TooMany:
		return view{failure: failureTooMany}
	case s.MayAdd() == nil:
		return view{start: sectionEnroll, then: sectionFinish}
	case f.Challengeable() && s.MayAddVerified() == nil:
		return view{start: sectionChallenge, then: sectionEnroll}
	}
	// Factors that are not challenged here, and no right to add another.
	return view{failure: failureUnavailable}
}
