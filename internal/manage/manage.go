// Package manage has the changes that operators make: to tenants and their
// actions, API secret keys, webhook secrets and users, and to the server's signing
// keys. Each function checks the input, changes the rows and writes the audit line,
// in the caller's transaction; ChangeAction runs transactions of its own. The
// management API, the declarative file, the portal and the server's commands call
// it, so that all refuse, change and record the same. The Server API deletes users
// and ends tokens by it, and the daemon makes the first tenant and key.
//
// Its errors are an *api.Error of status 400 for a wrong input, 404 for something
// that does not exist, and 409 for a change that others keep overtaking, for a
// tenant that was deleted, and for ids of users that cannot be folded.
package manage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// A TenantChange is a change of a tenant's settings. A nil field is not changed.
type TenantChange struct {
	Authenticator *api.AuthenticatorSettings
	// WebhookURL is empty for none.
	WebhookURL *string
	Branding   *api.Branding
	// Origins replace all origins.
	Origins *[]string
	UserIDs *api.UserIDs
	// Enrollment replaces the enrollment policy as a whole; api.Never removes it.
	Enrollment    *api.EnrollmentPolicy
	RecoveryLinks *api.RecoveryLinkSettings
}

// Check returns an error for the first field that is wrong, and writes origins as
// browsers do and the enrollment policy in its normal form. It does not check the
// authenticator's settings, which depend on the stored ones: Tenant does.
func (c *TenantChange) Check() error {
	if c.WebhookURL != nil && *c.WebhookURL != "" {
		if err := webhook.CheckURL(*c.WebhookURL); err != nil {
			return api.InvalidRequest("webhookUrl: " + err.Error())
		}
	}
	if c.Branding != nil {
		if err := CheckBranding(*c.Branding); err != nil {
			return err
		}
	}
	if c.UserIDs != nil && !slices.Contains([]api.UserIDs{api.UserIDsExact, api.UserIDsRefuse, api.UserIDsFold}, *c.UserIDs) {
		return api.InvalidRequest("userIds must be exact, refuse or fold.")
	}
	if c.Enrollment != nil {
		normal, err := c.Enrollment.Normal()
		if err != nil {
			return err
		}
		c.Enrollment = &normal
	}
	if c.Origins == nil {
		return nil
	}
	if len(*c.Origins) > api.MaxOrigins {
		return api.InvalidRequest(fmt.Sprintf("origins must be at most %d.", api.MaxOrigins))
	}
	origins := make([]string, len(*c.Origins))
	for i, o := range *c.Origins {
		var err error
		if origins[i], err = origin.Parse(o); err != nil {
			return api.InvalidRequest("origins: " + err.Error())
		}
	}
	c.Origins = &origins
	return nil
}

// Tenant changes the transaction's tenant, which it creates if it does not exist; a
// tenant that was deleted is not created again.
// It returns the changes, of which there are none if all is the same as before.
func Tenant(tx *store.Tx, c TenantChange, now time.Time) (changes []string, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	stored, found, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	if c.Authenticator != nil {
		if err := c.Authenticator.Validate(stored.Authenticator.Issuer); err != nil {
			return nil, err
		}
	}
	if !found {
		settings := api.DefaultAuthenticatorSettings(tx.TenantID())
		if c.Authenticator != nil {
			settings = *c.Authenticator
		}
		made, err := EnsureTenant(tx, settings, now)
		if err != nil {
			return nil, err
		}
		if made {
			changes = append(changes, "made")
		}
	}
	note := func(changed bool, err error, change string, e store.AuditEvent) error {
		if err != nil || !changed {
			return err
		}
		changes = append(changes, change)
		return tx.Audit(e)
	}
	if c.Authenticator != nil {
		changed, err := tx.PutTenant(*c.Authenticator, now)
		if err := note(changed, err, "authenticator changed", tenantSet(*c.Authenticator, now)); err != nil {
			return nil, err
		}
	}
	if c.WebhookURL != nil {
		changed, err := tx.SetWebhookURL(*c.WebhookURL)
		if err := note(changed, err, "webhook changed", webhook.URLChanged(*c.WebhookURL, now)); err != nil {
			return nil, err
		}
	}
	if c.Branding != nil {
		changed, err := tx.SetBranding(*c.Branding)
		// The logo itself is long.
		detail := map[string]any{"name": c.Branding.Name, "color": c.Branding.Color, "logo": c.Branding.Logo != ""}
		if err := note(changed, err, "branding changed", store.Configured(store.ChangeBranding, detail, now)); err != nil {
			return nil, err
		}
	}
	if c.Origins != nil {
		changed, err := tx.SetOrigins(*c.Origins)
		if err := note(changed, err, "origins changed", store.Configured(store.ChangeOrigins, map[string]any{"origins": *c.Origins}, now)); err != nil {
			return nil, err
		}
	}
	if c.Enrollment != nil {
		policy := c.Enrollment
		if policy.RequiredFrom == api.Never {
			policy = nil
		}
		changed, err := tx.SetEnrollmentPolicy(policy)
		detail := map[string]any{"enrollmentPolicy": *c.Enrollment}
		if err := note(changed, err, "enrollment policy changed", store.Configured(store.ChangeEnrollmentPolicy, detail, now)); err != nil {
			return nil, err
		}
	}
	if c.UserIDs != nil {
		changed, alike, err := tx.SetUserIDs(*c.UserIDs)
		var notFolded *store.NotFoldedError
		if errors.As(err, &notFolded) {
			return nil, &api.Error{Status: 409, Code: api.CodeInvalidRequest, Description: "userIds cannot be fold: " + notFolded.Error() +
				". Use refuse, or rename these users first: export and import, or delete and enroll them again."}
		}
		change := "user ids: " + string(*c.UserIDs)
		if alike > 0 {
			change += fmt.Sprintf("; %d users look like an earlier one, and stay", alike)
		}
		if err := note(changed, err, change, store.Configured(store.ChangeUserIDs, map[string]any{"userIds": *c.UserIDs, "alike": alike}, now)); err != nil {
			return nil, err
		}
	}
	if c.RecoveryLinks != nil {
		changed, err := tx.SetRecoveryLinks(*c.RecoveryLinks)
		if err := note(changed, err, "recovery links changed", store.Configured(store.ChangeRecoveryLinks, map[string]any{"recoveryLinks": *c.RecoveryLinks}, now)); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// EnsureTenant creates the transaction's tenant with these settings unless it
// exists; made is then false.
func EnsureTenant(tx *store.Tx, settings api.AuthenticatorSettings, now time.Time) (made bool, err error) {
	if err := settings.Validate(""); err != nil {
		return false, err
	}
	if made, err = tx.EnsureTenant(settings, now); err != nil || !made {
		return false, refuseDeleted(err)
	}
	return true, tx.Audit(tenantSet(settings, now))
}

// tenantSet is the audit line of a tenant that is created or changed.
func tenantSet(settings api.AuthenticatorSettings, now time.Time) store.AuditEvent {
	return store.Configured(store.ChangeTenant, map[string]any{"authenticator": settings}, now)
}

// Text returns the description of an *api.Error, without status and code, and the
// text of any other error.
func Text(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Description
	}
	return err.Error()
}

// IdentifierForm is the form that IsIdentifier checks, for sentences.
const IdentifierForm = "1 to 256 characters without control characters"

// IsIdentifier reports whether a text may be an identifier that callers choose,
// such as a user id.
func IsIdentifier(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= 256 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
