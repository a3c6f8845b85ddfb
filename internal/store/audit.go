package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
)

// An AuditEvent is a line of the audit log: what happened, and to which user or
// action. It holds no secret, code or token.
type AuditEvent struct {
	ID string
	At time.Time
	// Kind names what happened, such as "code.accepted".
	Kind AuditKind
	// UserID, Action and IdempotencyKey are empty where they do not apply.
	ActionID
	// Detail holds identifiers and settings, which depend on the kind.
	Detail map[string]any
}

// An AuditKind is the kind of an audit event.
type AuditKind string

// The kinds of audit events.
const (
	AuditEnrollmentBegun      AuditKind = "enrollment.begun"
	AuditEnrollmentCompleted  AuditKind = "enrollment.completed"
	AuditCodeAccepted         AuditKind = "code.accepted"
	AuditCodeRefused          AuditKind = "code.refused"
	AuditCodeUnseen           AuditKind = "code.unseen"              // not compared: over the limit of attempts
	AuditRecoveryCodesMade    AuditKind = "recovery_codes.made"      // not in force yet
	AuditRecoveryCodesInForce AuditKind = "recovery_codes.confirmed" // the ones before are void
	AuditRecoveryCodeAccepted AuditKind = "recovery_code.accepted"
	AuditRecoveryCodesVoided  AuditKind = "recovery_codes.voided"
	AuditAuthenticatorDeleted AuditKind = "authenticator.deleted"
	AuditBrowserTrusted       AuditKind = "browser.trusted"
	AuditBrowserAccepted      AuditKind = "browser.accepted" // it completed a challenge
	AuditBrowserCopied        AuditKind = "browser.copied"   // a token was used twice
	AuditBrowserRevoked       AuditKind = "browser.revoked"
	AuditAuthenticatorRenamed AuditKind = "authenticator.renamed"
	AuditAuthenticatorUnlock  AuditKind = "authenticator.unlocked"
	AuditRecoveryLinkIssued   AuditKind = "recovery_link.issued"
	AuditRecoveryLinkApproved AuditKind = "recovery_link.approved"
	AuditRecoveryLinkRevoked  AuditKind = "recovery_link.revoked" // or replaced by a new one
	AuditRecoveryLinkUsed     AuditKind = "recovery_link.used"
	AuditUserReset            AuditKind = "user.reset"
	AuditUserDeleted          AuditKind = "user.deleted"
	AuditTokensEnded          AuditKind = "tokens.ended" // all tokens of a user
	AuditConfiguration        AuditKind = "configuration.changed"
	AuditActionUpdated        AuditKind = "action.updated"   // by the backend
	AuditWebhookRefused       AuditKind = "webhook.refused"  // no consent to a verification
	AuditWebhookDead          AuditKind = "webhook.dead"     // an event will not be sent again
	AuditRequestsLimited      AuditKind = "requests.limited" // 429, of an address with a token of the tenant
	AuditKeysRefused          AuditKind = "keys.refused"     // wrong keys of an address
)

// AuditKinds are all kinds.
var AuditKinds = []AuditKind{
	AuditEnrollmentBegun, AuditEnrollmentCompleted, AuditCodeAccepted, AuditCodeRefused, AuditCodeUnseen,
	AuditRecoveryCodesMade, AuditRecoveryCodesInForce, AuditRecoveryCodeAccepted, AuditRecoveryCodesVoided,
	AuditAuthenticatorDeleted, AuditBrowserTrusted, AuditBrowserAccepted, AuditBrowserCopied, AuditBrowserRevoked, AuditAuthenticatorRenamed, AuditAuthenticatorUnlock,
	AuditRecoveryLinkIssued, AuditRecoveryLinkApproved, AuditRecoveryLinkRevoked, AuditRecoveryLinkUsed, AuditUserReset,
	AuditUserDeleted, AuditTokensEnded, AuditConfiguration, AuditActionUpdated,
	AuditWebhookRefused, AuditWebhookDead, AuditRequestsLimited, AuditKeysRefused,
}

// A Change names what an event of the kind AuditConfiguration changed.
type Change string

// The changes.
const (
	ChangeTenant               Change = "tenant"
	ChangeTenantDeleted        Change = "tenant deleted"
	ChangeTenantImported       Change = "tenant imported"
	ChangeWebhook              Change = "webhook"
	ChangeBranding             Change = "branding"
	ChangeOrigins              Change = "origins"
	ChangeUserIDs              Change = "user ids"
	ChangeEnrollmentPolicy     Change = "enrollment policy"
	ChangeRecoveryLinks        Change = "recovery links"
	ChangeAction               Change = "action"
	ChangeActionDeleted        Change = "action deleted"
	ChangeSecretMade           Change = "API secret made"
	ChangeSecretRevoked        Change = "API secret revoked"
	ChangeWebhookSecretMade    Change = "webhook secret made"
	ChangeWebhookSecretRevoked Change = "webhook secret revoked"
	ChangeSigningKeyMade       Change = "signing key made"
	ChangeSigningKeyWithdrawn  Change = "signing key withdrawn"
	ChangeSigningKeyRetired    Change = "signing key retired"
	ChangeEncryptionKeyRotated Change = "encryption key rotated"
)

// Configured returns the event of a change. Its detail has the key "what", which
// is the change, beside those of detail.
func Configured(what Change, detail map[string]any, now time.Time) AuditEvent {
	all := map[string]any{"what": what}
	maps.Copy(all, detail)
	return AuditEvent{At: now, Kind: AuditConfiguration, Detail: all}
}

const auditColumns = `audit_id, at, kind, user_id, action, idempotency_key, detail`

// Audit adds a line to the audit log, in the transaction of the change that it
// records.
func (t *Tx) Audit(e AuditEvent) error { return t.audit(t.tenant, e) }

// AuditServer is Audit for the audit log of the server as a whole.
func (t *Tx) AuditServer(e AuditEvent) error { return t.audit("", e) }

func (t *Tx) audit(tenantID string, e AuditEvent) error {
	detail := []byte("{}")
	if e.Detail != nil {
		var err error
		if detail, err = json.Marshal(e.Detail); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	// Version 7 grows with time, so that the newest need no sort.
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	err = t.queue(write{table: "audit", query: `
		INSERT INTO audit (tenant_id, audit_id, at, kind, user_id, action, idempotency_key, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		args: []any{tenantID, id.String(), millis(e.At), e.Kind, e.UserID, e.Action, e.IdempotencyKey, string(detail)}})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// AuditEvents returns up to limit lines of the audit log, newest first: those of
// one user, or of all if userID is empty.
func (t *Tx) AuditEvents(userID string, limit int) ([]AuditEvent, error) {
	where, args := "", []any{t.tenant}
	if userID != "" {
		where, args = " AND user_id = ?", append(args, userID)
	}
	return t.auditEvents(`
		SELECT `+auditColumns+` FROM audit
		WHERE tenant_id = ?`+where+` ORDER BY at DESC, audit_id DESC LIMIT ?`, append(args, limit)...)
}

// auditEvents reads lines of auditColumns.
func (t *Tx) auditEvents(query string, args ...any) ([]AuditEvent, error) {
	list, err := collect(t, scanAuditEvent, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

func scanAuditEvent(row row) (e AuditEvent, err error) {
	var at int64
	var detail string
	if err := row.Scan(&e.ID, &at, &e.Kind, &e.UserID, &e.Action, &e.IdempotencyKey, &detail); err != nil {
		return AuditEvent{}, err
	}
	e.At = moment(at)
	err = json.Unmarshal([]byte(detail), &e.Detail)
	return e, err
}

// CountAudit counts a user's lines of one kind after a time.
func (t *Tx) CountAudit(userID string, kind AuditKind, after time.Time) (n int64, err error) {
	err = t.queryRow(`
		SELECT COUNT(*) FROM audit WHERE tenant_id = ? AND user_id = ? AND kind = ? AND at > ?`,
		t.tenant, userID, kind, millis(after)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count audit lines: %w", err)
	}
	return n, nil
}
