package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// settleTimeout is the timeout of each transaction of a verification.
const settleTimeout = 10 * time.Second

// consentOf returns the result of a request for consent: "consented", "refused" if
// the webhook answered with another status, or "failed" without a response.
func consentOf(err error) string {
	var status webhook.StatusError
	switch {
	case err == nil:
		return "consented"
	case errors.As(err, &status):
		return "refused"
	}
	return "failed"
}

// audit writes an audit entry in a transaction of its own. An error does not
// change the response, but is logged.
func (s *server) audit(ctx context.Context, tenantID string, e store.AuditEvent) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err := s.Store.Update(ctx, tenantID, func(tx *store.Tx) error { return tx.Audit(e) })
	if err != nil {
		s.Log.ErrorContext(ctx, "audit", "kind", e.Kind, "error", err)
	}
}

// requestConsent asks the webhook whether an action may become
// CHALLENGE_SUCCEEDED, and changes its state if so (wire contract, section 11). No
// transaction is open during the request. A transaction before it has used up
// the code and, for an enrollment, completed it; a transaction after it changes
// the state of the action, if that is still possible.
//
// Failures in between fail closed: the state of the action does not change, the
// code is used up, and the user must enter a new one. This holds if the webhook
// refuses, fails or is late, if the database fails afterwards, and if this
// process ends at any point. If it ends after the webhook's consent, the webhook
// has consented to a success that did not happen; it gets another request with
// the next code, with the same idempotency key. So for a receiver, action.verify
// is a question and not a proof: /validate tells what was verified.
//
// Two right codes of different steps at the same time, on one replica or on two,
// cause two requests. The first consent changes the state, and the second finds
// it changed.
func (s *server) requestConsent(ctx context.Context, c mfa.Consent) error {
	// If the page disconnects, the webhook and the action must still agree.
	ctx = context.WithoutCancel(ctx)
	t := c.Subject.Tenant
	event, err := webhook.NewEvent(t.ID, api.EventActionVerify, c.Question(), c.VerifiedAt)
	if err != nil {
		return s.incomplete(ctx, c, err)
	}
	secrets, err := s.Store.SigningSecrets(ctx, t.ID, s.Now())
	if err != nil {
		return s.incomplete(ctx, c, err)
	}
	target := webhook.Target{URL: t.WebhookURL, Secrets: secrets}
	start := time.Now()
	err = s.sender.Send(ctx, target, event.Body, s.Now())
	result := consentOf(err)
	s.metrics.consent(result, time.Since(start))
	if err != nil {
		s.Log.WarnContext(ctx, "webhook did not consent", "type", event.Type, "eventId", event.ID, "error", err)
		s.audit(ctx, t.ID, store.AuditEvent{At: s.Now(), Kind: store.AuditWebhookRefused, ActionID: c.Subject.Action.ActionID, Detail: map[string]any{
			"eventId": event.ID, "userAuthenticatorId": c.Authenticator.ID, "result": result,
		}})
		return api.InvalidRequest("The webhook did not consent to the verification. " + c.Remedy())
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err = s.Store.Update(ctx, t.ID, func(tx *store.Tx) error { return c.Complete(tx, s.Now()) })
	if errors.Is(err, store.ErrChanged) {
		return api.InvalidRequest("The action was changed while it was verified. " + c.Remedy())
	}
	var refused *api.Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return s.incomplete(ctx, c, err)
}

// incomplete returns the internal error for the time after a code was used up:
// unlike after other internal errors, the caller needs a new code.
func (s *server) incomplete(ctx context.Context, c mfa.Consent, err error) error {
	s.Log.ErrorContext(ctx, "complete a verification", "userAuthenticatorId", c.Authenticator.ID, "error", err)
	return &api.Error{
		Status: http.StatusInternalServerError, Code: api.CodeInternalError,
		Description: "The server could not complete the verification. " + c.Remedy(),
	}
}
