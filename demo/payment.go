package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// maxAmount is the maximum amount of a payment. It has no currency.
const maxAmount = 1_000_000

// A receipt is a payment as the page sees it.
type receipt struct {
	Amount float64 `json:"amount"`
	Paid   bool    `json:"paid"`
	// Token is for setToken of the browser SDK, if a code must confirm the
	// payment.
	Token string `json:"token,omitempty"`
}

// pay tracks a payment as an action, whose amount rules can read. The outcome
// determines whether a code must confirm it. The amount is kept in the session, so
// that the page cannot change it later.
func (a *app) pay(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Amount float64 `json:"amount"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if !(in.Amount > 0 && in.Amount <= maxAmount) {
		return nil, &failure{http.StatusBadRequest, "bad_amount", fmt.Sprintf("Enter an amount above 0, of at most %d.", maxAmount)}
	}
	attributes := attributesOf(r, s)
	attributes.Custom = map[string]any{"amount": in.Amount}
	tracked, err := a.api.Track(r.Context(), authsignal.TrackRequest{UserID: s.username, Action: actionPayment, Attributes: attributes})
	if err != nil {
		return nil, err
	}
	a.log.Info("tracked", "action", actionPayment, "state", tracked.State)
	switch tracked.State {
	case authsignal.StateAllow:
		s.payment = payment{}
	case authsignal.StateChallengeRequired:
		s.payment = payment{in.Amount, tracked.IdempotencyKey, tracked.Token}
	default:
		return nil, &failure{http.StatusForbidden, "blocked", "This payment is not allowed."}
	}
	if !a.sessions.replace(sessionID(r), s) {
		return nil, errNotSignedIn
	}
	return receipt{in.Amount, s.payment.token == "", s.payment.token}, nil
}

// paid completes the payment that requires a code, if the API says that its
// challenge succeeded. The token is as for verified.
func (a *app) paid(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Token string `json:"token"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if s.payment == (payment{}) {
		return nil, errNotPaid
	}
	result, err := a.api.ValidateChallenge(r.Context(), authsignal.ValidateRequest{
		Token: or(in.Token, s.payment.token), UserID: s.username, Action: actionPayment, IdempotencyKey: s.payment.idempotencyKey,
	})
	if errors.Is(err, authsignal.ErrOtherAction) || err == nil && !result.IsValid {
		return nil, errNotPaid
	}
	if err != nil {
		return nil, err
	}
	// Of two requests for a payment, the second finds none.
	amount, ok := a.sessions.takePayment(sessionID(r), s.payment.idempotencyKey)
	if !ok {
		return nil, errNotPaid
	}
	a.log.Info("paid", "state", result.State)
	return receipt{Amount: amount, Paid: true}, nil
}
