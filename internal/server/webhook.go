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

// settling bounds each transaction of a verification.
const settling = 10 * time.Second

// consentOf names how a webhook was asked: "consented", "refused" by its status,
// or "failed" without one.
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

// audit writes a line that stands for itself. It must not change the answer:
// without the database it goes to the log.
func (s *server) audit(ctx context.Context, tenantID string, e store.AuditEvent) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	err := s.Store.Update(ctx, tenantID, func(tx *store.Tx) error { return tx.Audit(e) })
	if err != nil {
		s.Log.ErrorContext(ctx, "audit", "kind", e.Kind, "error", err)
	}
}

// ask asks the webhook whether an action may become CHALLENGE_SUCCEEDED, and
// moves it if so (wire contract, section 11). No transaction is open meanwhile.
// Before, one has spent the code and completed the enrollment, if it was one;
// after, a second one moves the action, if it still can.
//
// Whatever happens in between, the action fails closed: it has not moved, the
// code is used up, and the user enters a new one. That is so when the webhook
// refuses, fails or is late, when the database is gone afterwards, and when
// this process dies, at any point. If the process dies after the webhook's
// consent, the webhook believes in a success that the action has not had; it is
// asked again with the next code, under the same idempotency key. So for a
// receiver action.verify is a question and not a proof: what was verified,
// /validate tells.
//
// Two right codes at once, of two steps, here or on two replicas, ask twice;
// the first answer moves the action, and the second finds it moved.
func (s *server) ask(ctx context.Context, c mfa.Consent) error {
	// A page that goes away must not leave the webhook and the action at odds.
	ctx = context.WithoutCancel(ctx)
	t := c.Subject.Tenant
	event, err := webhook.NewEvent(t.ID, api.EventActionVerify, c.Question(), c.VerifiedAt)
	if err != nil {
		return s.incomplete(ctx, c, err)
	}
	secrets, err := s.Store.ActiveSecrets(ctx, t.ID, s.Now())
	if err != nil {
		return s.incomplete(ctx, c, err)
	}
	target := webhook.Target{URL: t.WebhookURL, Secrets: secrets}
	began := time.Now()
	err = s.sender.Send(ctx, target, event.Body, s.Now())
	result := consentOf(err)
	s.metrics.consent(result, time.Since(began))
	if err != nil {
		s.Log.WarnContext(ctx, "webhook did not consent", "type", event.Type, "eventId", event.ID, "error", err)
		s.audit(ctx, t.ID, store.AuditEvent{At: s.Now(), Kind: store.AuditWebhookRefused, ActionID: c.Subject.Action.ActionID, Detail: map[string]any{
			"eventId": event.ID, "userAuthenticatorId": c.Authenticator.ID, "result": result,
		}})
		return api.InvalidRequest("The webhook did not consent to the verification. The code is used up; enter a new one to try again.")
	}
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	err = s.Store.Update(ctx, t.ID, func(tx *store.Tx) error { return c.Complete(tx, s.Now()) })
	if errors.Is(err, store.ErrActionMoved) {
		return api.InvalidRequest("The action was changed while it was verified. The code is used up.")
	}
	var refused *api.Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return s.incomplete(ctx, c, err)
}

// incomplete is an error of the server's own once a code is spent: what the
// caller may do differs from what it may after other such errors.
func (s *server) incomplete(ctx context.Context, c mfa.Consent, err error) error {
	s.Log.ErrorContext(ctx, "complete a verification", "userAuthenticatorId", c.Authenticator.ID, "error", err)
	return &api.Error{
		Status: http.StatusInternalServerError, Code: api.CodeInternalError,
		Description: "The server could not complete the verification. The code is used up; enter a new one to try again.",
	}
}
