package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// verifyTOTP answers POST /v1/client/verify/totp (wire contract, 5.2): it
// completes an enrollment or a challenge. A refused code is an ordinary answer.
func (s *server) verifyTOTP(r *http.Request) (any, error) {
	var in struct {
		VerificationCode *string `json:"verificationCode"`
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.VerificationCode == nil {
		return nil, api.InvalidRequest("verificationCode is required and must be a string.")
	}
	code := strings.Trim(*in.VerificationCode, " ")
	// A guess counts even if its client does not wait for the response.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), settleTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	// One transaction reads, judges and writes. Only if a webhook must consent,
	// a second one changes the state of the action.
	var out api.VerifyTOTPResponse
	var consent *mfa.Consent
	verify := func(tx *store.Tx, subject mfa.Subject) (err error) {
		out, consent, err = mfa.Verify(tx, s.Tokens, subject, code, s.Now())
		return err
	}
	err := s.updateSubject(r, verify)
	if errors.Is(err, store.ErrChanged) { // for example, the action was deleted because it is old; nothing was used up
		err = s.updateSubject(r, verify)
	}
	if err == nil && consent != nil {
		err = s.requestConsent(r.Context(), *consent)
	}
	if err != nil {
		return nil, err
	}
	s.metrics.verified(out.IsVerified, out.FailureReason)
	if out.FailureDetail == api.ServerClockWasAhead {
		s.Log.WarnContext(r.Context(), "refused a right code: an earlier one was accepted while the clock of a server was ahead; "+
			"the entry code.refused of the tenant's audit log names the user, and unlocking the authenticator helps", "tenant", tenant(r).ID)
	}
	return out, nil
}
