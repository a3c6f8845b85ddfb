package mfa

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A recovery link lets its holder enroll one authenticator app for a user, and nothing
// else. Its secret is not a client token and stands for no action: there is nothing
// that a backend could validate, so that a link alone is no sign-in. The user signs
// in with the first factor and a code of the new app, as before.

const (
	linkPrefix = "rl1_"
	linkBytes  = 32 // of a secret
)

// The errors of a secret that may not enroll. ErrNoLink is for all secrets that are not
// known; the others are for the holder of a secret that is right.
var (
	ErrNoLink      error = api.NotFound("The recovery link is not valid. Ask for a new one.")
	ErrLinkUsed    error = &api.Error{Status: 410, Code: api.CodeInvalidRequest, Description: "The recovery link has been used."}
	ErrLinkExpired error = &api.Error{Status: 410, Code: api.CodeInvalidRequest, Description: "The recovery link has expired. Ask for a new one."}
	ErrLinkPending error = api.Forbidden("The recovery link has not been approved yet.")
)

// errNoLinkOfUser reports that the user has no link of the id.
var errNoLinkOfUser error = api.NotFound("The user has no such recovery link.")

// An Agent issues, approves or revokes a recovery link.
type Agent struct {
	By Channel
	// Name is the name of a person. It is as it was given: the server has no accounts
	// of operators, and cannot check it.
	Name string
	// Session names the portal's session of an operator. It is not its secret.
	Session string
}

// checked returns the agent with a checked name. field is that of the name in the
// request.
func (a Agent) checked(field string) (Agent, error) {
	var err error
	if a.Name, err = checkName(field, a.Name); err != nil {
		return Agent{}, err
	}
	if a.By == ByOperator && a.Name == "" {
		return Agent{}, api.InvalidRequest("Enter your name. The activity shows it.")
	}
	return a, nil
}

// audit returns the entry of what the agent does with a link.
func (a Agent) audit(kind store.AuditKind, l store.RecoveryLink, now time.Time) store.AuditEvent {
	detail := map[string]any{"recoveryLinkId": l.ID, "by": a.By}
	if a.Name != "" {
		detail["name"] = a.Name
	}
	if a.Session != "" {
		detail["session"] = a.Session
	}
	return store.AuditEvent{At: now, Kind: kind, ActionID: store.ActionID{UserID: l.UserID}, Detail: detail}
}

// A LinkRequest is what a recovery link is to be.
type LinkRequest struct {
	// Seconds is its life.
	Seconds int64
	Void    []api.RecoveryLinkVoid
}

// check returns the request without repetitions, or an error.
func (in LinkRequest) check() (LinkRequest, error) {
	if in.Seconds < api.MinRecoveryLinkLife || in.Seconds > api.MaxRecoveryLinkLife {
		return in, api.InvalidRequest(fmt.Sprintf("expiresInSeconds must be %d to %d.", api.MinRecoveryLinkLife, api.MaxRecoveryLinkLife))
	}
	void := []api.RecoveryLinkVoid{}
	for _, v := range []api.RecoveryLinkVoid{api.VoidAuthenticators, api.VoidRecoveryCodes} {
		if slices.Contains(in.Void, v) {
			void = append(void, v)
		}
	}
	for _, v := range in.Void {
		if !slices.Contains(void, v) {
			return in, api.InvalidRequest("void must contain only authenticators and recoveryCodes.")
		}
	}
	in.Void = void
	return in, nil
}

// IssueRecoveryLink issues a recovery link for a user of the transaction's tenant, in
// place of the one before, and returns it with its secret. The user must exist. The
// link waits for an approval if the tenant's settings say so now.
func IssueRecoveryLink(tx *store.Tx, userID string, in LinkRequest, agent Agent, now time.Time) (api.RecoveryLink, string, error) {
	none := api.RecoveryLink{}
	in, err := in.check()
	if err != nil {
		return none, "", err
	}
	if agent, err = agent.checked("issuedBy"); err != nil {
		return none, "", err
	}
	t, _, err := tx.Tenant() // not a cached one
	if err != nil {
		return none, "", err
	}
	u, found, err := tx.LockUser(userID)
	if err != nil {
		return none, "", err
	}
	if !found {
		return none, "", api.NotFound("The user does not exist.")
	}
	list, err := tx.Authenticators(userID)
	if err != nil {
		return none, "", err
	}
	r := Recovery{Tenant: t, User: u, Authenticators: list, Link: store.RecoveryLink{
		ID: uuid.NewString(), UserID: u.ID, Incarnation: u.Incarnation, Void: in.Void,
		IssuedBy: string(agent.By), Issuer: agent.Name, IssuingSession: agent.Session, NeedsApproval: t.RecoveryLinks.Approval,
		CreatedAt: now, ExpiresAt: now.Add(time.Duration(in.Seconds) * time.Second),
	}}
	if err := r.mayAdd(); err != nil {
		return none, "", err
	}
	if err := revokeLink(tx, u.ID, agent, now); err != nil {
		return none, "", err
	}
	b := make([]byte, linkBytes)
	rand.Read(b) // it never fails
	secret := linkPrefix + base64.RawURLEncoding.EncodeToString(b)
	if err := tx.InsertRecoveryLink(r.Link, secret); err != nil {
		return none, "", err
	}
	e := agent.audit(store.AuditRecoveryLinkIssued, r.Link, now)
	e.Detail = with(with(with(e.Detail, "expiresAt", api.Time{Time: r.Link.ExpiresAt}), "void", in.Void), "needsApproval", r.Link.NeedsApproval)
	if err := tx.Audit(e); err != nil {
		return none, "", err
	}
	return shownLink(r.Link, now), secret, enqueue(tx, t, api.EventRecoveryLinkIssued, api.RecoveryLinkIssued{
		UserID: u.ID, RecoveryLinkID: r.Link.ID, IssuedAt: api.Time{Time: now}, ExpiresAt: api.Time{Time: r.Link.ExpiresAt},
		IssuedBy: agent.Name, Void: in.Void, NeedsApproval: r.Link.NeedsApproval,
	}, now)
}

// ApproveRecoveryLink approves a link that waits for it. The agent must differ from the
// one that issued it, as far as the server can tell them apart: by the channel, the
// session of the portal and the name.
func ApproveRecoveryLink(tx *store.Tx, t store.Tenant, userID, linkID string, agent Agent, now time.Time) (api.RecoveryLink, error) {
	agent, err := agent.checked("approvedBy")
	if err != nil {
		return api.RecoveryLink{}, err
	}
	if agent.Name == "" {
		return api.RecoveryLink{}, api.InvalidRequest("approvedBy is required: the name of the person who approves the recovery link.")
	}
	l, err := lockLink(tx, userID, linkID)
	if err != nil {
		return api.RecoveryLink{}, err
	}
	switch stateOf(l, now) {
	case api.LinkUsed:
		return api.RecoveryLink{}, ErrLinkUsed
	case api.LinkExpired:
		return api.RecoveryLink{}, ErrLinkExpired
	case api.LinkActive:
		return api.RecoveryLink{}, api.InvalidRequest("The recovery link does not wait for an approval.")
	}
	if err := agent.mayApprove(l); err != nil {
		return api.RecoveryLink{}, err
	}
	approved, err := tx.ApproveRecoveryLink(l.ID, string(agent.By), agent.Name, now)
	if err == nil && !approved {
		err = store.ErrChanged
	}
	if err != nil {
		return api.RecoveryLink{}, err
	}
	l.ApprovedAt, l.ApprovedBy, l.Approver = now, string(agent.By), agent.Name
	if err := tx.Audit(agent.audit(store.AuditRecoveryLinkApproved, l, now)); err != nil {
		return api.RecoveryLink{}, err
	}
	return shownLink(l, now), enqueue(tx, t, api.EventRecoveryLinkApproved, api.RecoveryLinkApproved{
		UserID: l.UserID, RecoveryLinkID: l.ID, ApprovedAt: api.Time{Time: now}, ApprovedBy: agent.Name,
	}, now)
}

// mayApprove returns an error if the agent may not approve a link.
func (a Agent) mayApprove(l store.RecoveryLink) error {
	switch {
	case a.By == ByBackend && l.IssuedBy == string(ByBackend):
		return api.Forbidden("The recovery link was issued through the Server API. It must be approved in the portal.")
	case a.By == ByOperator && a.Session == l.IssuingSession:
		return api.Forbidden("The recovery link was issued in this session of the portal. Another operator must approve it.")
	case strings.EqualFold(a.Name, l.Issuer):
		return api.Forbidden("The recovery link was issued under the same name. Another operator must approve it.")
	}
	return nil
}

// RevokeRecoveryLink revokes a link of a user.
func RevokeRecoveryLink(tx *store.Tx, userID, linkID string, agent Agent, now time.Time) error {
	agent, err := agent.checked("name")
	if err != nil {
		return err
	}
	if _, err := lockLink(tx, userID, linkID); err != nil {
		return err
	}
	return revokeLink(tx, userID, agent, now)
}

// lockLink locks a user and returns the user's link of the id.
func lockLink(tx *store.Tx, userID, linkID string) (store.RecoveryLink, error) {
	if _, _, err := tx.LockUser(userID); err != nil {
		return store.RecoveryLink{}, err
	}
	l, err := tx.RecoveryLink(userID)
	if err != nil {
		return store.RecoveryLink{}, err
	}
	if l == nil || l.ID != linkID {
		return store.RecoveryLink{}, errNoLinkOfUser
	}
	return *l, nil
}

// revokeLink deletes the link of a locked user, if there is one. One that could no
// longer be used is not worth an audit entry.
func revokeLink(tx *store.Tx, userID string, agent Agent, now time.Time) error {
	l, err := tx.RecoveryLink(userID)
	if err != nil || l == nil {
		return err
	}
	if _, err := tx.DeleteRecoveryLink(userID); err != nil {
		return err
	}
	if state := stateOf(*l, now); state == api.LinkUsed || state == api.LinkExpired {
		return nil
	}
	return tx.Audit(agent.audit(store.AuditRecoveryLinkRevoked, *l, now))
}

// VoidRecoveryLink revokes the link of a locked user whose tokens are ended.
func VoidRecoveryLink(tx *store.Tx, userID string, by Channel, now time.Time) error {
	return revokeLink(tx, userID, Agent{By: by}, now)
}

// RecoveryLinks returns the recovery link of a user, if there is one, without its
// secret.
func RecoveryLinks(tx *store.Tx, userID string, now time.Time) ([]api.RecoveryLink, error) {
	l, err := tx.RecoveryLink(userID)
	if err != nil || l == nil {
		return []api.RecoveryLink{}, err
	}
	return []api.RecoveryLink{shownLink(*l, now)}, nil
}

// stateOf returns the state of a link.
func stateOf(l store.RecoveryLink, now time.Time) api.RecoveryLinkState {
	switch {
	case !l.UsedAt.IsZero():
		return api.LinkUsed
	case !now.Before(l.ExpiresAt):
		return api.LinkExpired
	case l.NeedsApproval && l.ApprovedAt.IsZero():
		return api.LinkPending
	}
	return api.LinkActive
}

func shownLink(l store.RecoveryLink, now time.Time) api.RecoveryLink {
	out := api.RecoveryLink{
		RecoveryLinkID: l.ID, UserID: l.UserID, State: stateOf(l, now), Void: l.Void,
		IssuedBy: l.Issuer, ApprovedBy: l.Approver, CreatedAt: api.Time{Time: l.CreatedAt}, ExpiresAt: api.Time{Time: l.ExpiresAt},
	}
	if out.Void == nil {
		out.Void = []api.RecoveryLinkVoid{}
	}
	if !l.ApprovedAt.IsZero() {
		out.ApprovedAt = &api.Time{Time: l.ApprovedAt}
	}
	if !l.UsedAt.IsZero() {
		out.UsedAt = &api.Time{Time: l.UsedAt}
	}
	return out
}

// A Recovery is a recovery link with its user and the user's authenticators. It has
// the right to add an authenticator app, and no other.
type Recovery struct {
	Tenant         store.Tenant
	User           store.User
	Authenticators []store.Authenticator
	Link           store.RecoveryLink
}

// IsLinkSecret reports whether a text has the form of the secret of a recovery link.
func IsLinkSecret(text string) bool {
	encoded, ok := strings.CutPrefix(text, linkPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return ok && err == nil && len(b) == linkBytes
}

// RecoveryURL returns the link with a secret. publicURL is that of the server.
func RecoveryURL(publicURL, secret string) string {
	return publicURL + "/?" + api.QueryRecovery + "=" + secret
}

// TenantOfLink returns the tenant of the secret of a recovery link. The error is
// ErrNoLink if there is none.
func TenantOfLink(ctx context.Context, st *store.Store, secret string) (store.Tenant, error) {
	if !IsLinkSecret(secret) {
		return store.Tenant{}, ErrNoLink
	}
	id, err := st.TenantOfRecoveryLink(ctx, secret)
	if err != nil {
		return store.Tenant{}, err
	}
	if id == "" {
		return store.Tenant{}, ErrNoLink
	}
	t, found, err := st.Tenant(ctx, id)
	if err == nil && !found {
		err = ErrNoLink
	}
	return t, err
}

// LockRecovery returns the recovery of a secret in a transaction that writes. The error
// is one of those of secrets, if it may not enroll.
func LockRecovery(tx *store.Tx, t store.Tenant, secret string, now time.Time) (Recovery, error) {
	return recovery(tx, t, secret, tx.LockUser, now)
}

// ReadRecovery is LockRecovery in a transaction that only reads.
func ReadRecovery(tx *store.Tx, t store.Tenant, secret string, now time.Time) (Recovery, error) {
	return recovery(tx, t, secret, tx.User, now)
}

func recovery(tx *store.Tx, t store.Tenant, secret string, user func(string) (store.User, bool, error), now time.Time) (Recovery, error) {
	l, err := tx.RecoveryLinkOf(secret)
	if err != nil {
		return Recovery{}, err
	}
	if l == nil {
		return Recovery{}, ErrNoLink
	}
	r := Recovery{Tenant: t}
	found := false
	if r.User, found, err = user(l.UserID); err != nil {
		return Recovery{}, err
	}
	// It is read again: the lock is that of the user.
	if l, err = tx.RecoveryLinkOf(secret); err != nil {
		return Recovery{}, err
	}
	if l == nil || !found || l.UserID != r.User.ID || l.Incarnation != r.User.Incarnation {
		return Recovery{}, ErrNoLink
	}
	r.Link = *l
	switch stateOf(r.Link, now) {
	case api.LinkUsed:
		return r, ErrLinkUsed
	case api.LinkExpired:
		return r, ErrLinkExpired
	case api.LinkPending:
		return r, ErrLinkPending
	}
	r.Authenticators, err = tx.Authenticators(r.User.ID)
	return r, err
}

// mayAdd returns an error if the tenant allows the user no other authenticator beside
// those that the link keeps.
func (r Recovery) mayAdd() error {
	kept := r.Authenticators
	if r.voids(api.VoidAuthenticators) {
		kept = nil
	}
	const remedy = " Issue a recovery link that voids the authenticators, or remove one first."
	switch (Subject{Standing: store.Standing{Authenticators: kept}, Tenant: r.Tenant}).Limit() {
	case NotActive:
		return errNotActive
	case OnlyOne:
		return api.InvalidRequest("The user already has an authenticator, and the tenant allows one." + remedy)
	case TooMany:
		return api.InvalidRequest(fmt.Sprintf("The user has as many authenticators as the tenant allows (%d).", r.Tenant.Authenticator.MaxAuthenticators) + remedy)
	}
	return nil
}

func (r Recovery) voids(v api.RecoveryLinkVoid) bool { return slices.Contains(r.Link.Void, v) }

// began marks an enrollment as that of the link: no action has an empty name, so that
// no token can complete it.
func (r Recovery) began() store.ActionID {
	return store.ActionID{UserID: r.User.ID, IdempotencyKey: r.Link.ID}
}

// entry returns the begin of an audit entry of what the holder of the link does.
func (r Recovery) entry() store.AuditEvent {
	return store.AuditEvent{ActionID: store.ActionID{UserID: r.User.ID}, Detail: map[string]any{"recoveryLinkId": r.Link.ID}}
}

// Enroll begins an enrollment with a secret of an authenticator app and a name, in
// place of the one that the link began before. It does not use the link up.
func (r Recovery) Enroll(tx *store.Tx, secret, name string, now time.Time) (api.EnrollTOTPResponse, error) {
	if err := r.mayAdd(); err != nil {
		return api.EnrollTOTPResponse{}, err
	}
	return begin(tx, r.Tenant, r.User, r.began(), r.entry(), secret, name, now)
}

// Verify judges a code of the app whose enrollment the link began. A right one
// completes it, uses the link up, and voids what the link names, in one transaction.
// A refused code is not an error. The response has no token.
//
// That the user's other authenticators are locked does not matter: their codes are not
// compared.
func (r Recovery) Verify(tx *store.Tx, code string, now time.Time) (api.VerifyTOTPResponse, error) {
	none := api.VerifyTOTPResponse{}
	if err := r.mayAdd(); err != nil {
		return none, err
	}
	var pending []store.Authenticator
	for _, a := range r.Authenticators {
		if !a.Verified() && a.Method == api.AuthenticatorApp && a.Began == r.began() {
			pending = append(pending, a)
		}
	}
	if len(pending) == 0 {
		return none, api.InvalidRequest("No enrollment was begun by the recovery link.")
	}
	v, err := judge(tx, pending, code, now, r.Tenant)
	if err != nil {
		return none, err
	}
	if v.accepted == nil {
		return v.refuse(tx, r.entry(), now)
	}
	a := *v.accepted
	used, err := tx.UseRecoveryLink(r.Link.ID, now)
	if err == nil && !used {
		err = ErrLinkUsed
	}
	if err != nil {
		return none, err
	}
	a.VerifiedAt, a.LastVerifiedAt = now, now
	e := r.entry()
	e.At, e.Kind = now, store.AuditEnrollmentCompleted
	e.Detail = with(with(e.Detail, "userAuthenticatorId", a.ID), "verificationMethod", a.Method)
	if err := tx.Audit(e); err != nil {
		return none, err
	}
	if err := created(tx, r.Tenant, a, now); err != nil {
		return none, err
	}
	if err := r.used(tx, a, now); err != nil {
		return none, err
	}
	shown := shownNew(a, r.left(), r.User)
	return api.VerifyTOTPResponse{IsVerified: true, UserAuthenticator: &shown}, nil
}

// left returns the user's authenticators without those that the link voids.
func (r Recovery) left() []store.Authenticator {
	if !r.voids(api.VoidAuthenticators) {
		return r.Authenticators
	}
	return slices.DeleteFunc(slices.Clone(r.Authenticators), store.Authenticator.Verified)
}

// used voids what the link names, and trusted browsers in any case: a browser may have
// been lost with the phone, as when a recovery code is used. a is the new
// authenticator.
func (r Recovery) used(tx *store.Tx, a store.Authenticator, now time.Time) error {
	if r.voids(api.VoidAuthenticators) {
		if err := removeAll(tx, r.Tenant, FactorsOf(r.Authenticators), r.entry(), now); err != nil {
			return err
		}
		if _, _, err := tx.EndTokens(r.User.ID); err != nil {
			return err
		}
	}
	if r.voids(api.VoidRecoveryCodes) {
		if err := voidRecoveryCodes(tx, r.Tenant, r.User.ID, ByUser, now); err != nil {
			return err
		}
	}
	browsers, err := tx.DeleteTrustedBrowsers(r.User.ID)
	if err != nil {
		return err
	}
	e := r.entry()
	e.At, e.Kind = now, store.AuditRecoveryLinkUsed
	e.Detail = with(with(with(e.Detail, "userAuthenticatorId", a.ID), "void", r.Link.Void), "browsers", browsers)
	if err := tx.Audit(e); err != nil {
		return err
	}
	shown := shownLink(r.Link, now)
	return enqueue(tx, r.Tenant, api.EventRecoveryLinkUsed, api.RecoveryLinkUsed{
		UserID: r.User.ID, RecoveryLinkID: r.Link.ID, UsedAt: api.Time{Time: now}, UserAuthenticatorID: a.ID, Void: shown.Void,
	}, now)
}

// removeAll removes verified authenticators of a user. e has what the audit entries say
// of its cause. The caller ends the user's tokens.
func removeAll(tx *store.Tx, t store.Tenant, f Factors, e store.AuditEvent, now time.Time) error {
	for _, a := range f {
		if _, err := tx.DeleteAuthenticator(a.UserID, a.ID); err != nil {
			return err
		}
		if err := Removed(tx, t, a, now); err != nil {
			return err
		}
		removed := e
		removed.At, removed.Kind, removed.Detail = now, store.AuditAuthenticatorDeleted, with(e.Detail, "userAuthenticatorId", a.ID)
		if err := tx.Audit(removed); err != nil {
			return err
		}
	}
	return nil
}

// Reset removes all authenticators of a user of t, the transaction's tenant, voids the
// recovery codes, trusted browsers and the recovery link, and ends all tokens. The user
// is kept, with the actions and attributes, and enrolls again with the first factor
// alone.
func Reset(tx *store.Tx, t store.Tenant, userID string, by Channel, now time.Time) error {
	_, found, err := tx.LockUser(userID)
	if err != nil {
		return err
	}
	if !found {
		return api.NotFound("The user does not exist.")
	}
	list, err := tx.Authenticators(userID)
	if err != nil {
		return err
	}
	f := FactorsOf(list)
	e := store.AuditEvent{ActionID: store.ActionID{UserID: userID}, Detail: map[string]any{"by": by}}
	if err := removeAll(tx, t, f, e, now); err != nil {
		return err
	}
	for _, a := range list {
		if !a.Verified() {
			if err := tx.DeletePending(a); err != nil {
				return err
			}
		}
	}
	if err := voidRecoveryCodes(tx, t, userID, by, now); err != nil {
		return err
	}
	browsers, err := tx.DeleteTrustedBrowsers(userID)
	if err != nil {
		return err
	}
	if err := VoidRecoveryLink(tx, userID, by, now); err != nil {
		return err
	}
	if _, _, err := tx.EndTokens(userID); err != nil {
		return err
	}
	e.At, e.Kind, e.Detail = now, store.AuditUserReset, map[string]any{"by": by, "authenticators": len(f), "browsers": browsers}
	return tx.Audit(e)
}
