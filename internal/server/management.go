package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// The management API configures tenants. Its requests and responses are specific
// to this server: of the hosted service's management API, only the prefix
// /v1/management and the separate key are public.

// managementParameters are the query parameters of the paths that have some.
var managementParameters = map[string][]string{
	managementPrefix + "tenants/{tenantId}/audit": {"userId", "limit"},
	managementPrefix + "audit":                    {"limit"},
}

func (s *server) managementRoutes() map[string]map[string]endpoint {
	routes := map[string]map[string]endpoint{
		managementPrefix + "tenants":                                                      {"GET": s.listTenants},
		managementPrefix + "tenants/{tenantId}":                                           {"GET": s.managed(s.getTenant), "PUT": s.managedNew(s.putTenant), "DELETE": s.managed(s.deleteTenant)},
		managementPrefix + "tenants/{tenantId}/secrets":                                   {"GET": s.managed(s.listSecrets), "POST": s.managed(s.createSecret)},
		managementPrefix + "tenants/{tenantId}/secrets/{id}":                              {"DELETE": s.managed(s.revokeSecret)},
		managementPrefix + "tenants/{tenantId}/webhook-secrets":                           {"GET": s.managed(s.listWebhookSecrets), "POST": s.managed(s.createWebhookSecret)},
		managementPrefix + "tenants/{tenantId}/webhook-secrets/{id}":                      {"DELETE": s.managed(s.revokeWebhookSecret)},
		managementPrefix + "tenants/{tenantId}/actions":                                   {"GET": s.managed(s.listActionSettings)},
		managementPrefix + "tenants/{tenantId}/actions/{action}":                          {"GET": s.managed(s.getActionSettings), "PUT": s.putActionSettings, "DELETE": s.managed(s.deleteActionSettings)},
		managementPrefix + "tenants/{tenantId}/audit":                                     {"GET": s.managed(s.listAudit)},
		managementPrefix + "tenants/{tenantId}/users/{userId}/authenticators/{id}/unlock": {"POST": s.managed(s.unlockAuthenticator)},
		managementPrefix + "tenants/{tenantId}/users/{userId}/tokens":                     {"DELETE": s.managed(s.endManagedTokens)},
		managementPrefix + "audit":                                                        {"GET": s.listServerAudit},
		managementPrefix + "signing-keys":                                                 {"GET": s.listSigningKeys, "POST": s.createSigningKey},
		managementPrefix + "signing-keys/{keyId}":                                         {"DELETE": s.withdrawSigningKey},
	}
	for path, methods := range routes {
		for method, e := range methods {
			methods[method] = strict(e, managementParameters[path]...)
		}
	}
	return routes
}

// A managedEndpoint runs in a transaction of the path's tenant.
type managedEndpoint func(r *http.Request, tx *store.Tx) (any, error)

// managed answers 404 for a tenant that does not exist.
func (s *server) managed(e managedEndpoint) endpoint {
	return s.managedNew(func(r *http.Request, tx *store.Tx) (any, error) {
		_, found, err := tx.Tenant()
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, api.NotFound("The tenant does not exist.")
		}
		return e(r, tx)
	})
}

func (s *server) managedNew(e managedEndpoint) endpoint {
	return func(r *http.Request) (out any, err error) {
		id := r.PathValue("tenantId")
		if !api.IsTenantID(id) {
			return nil, api.InvalidRequest("tenantId must be " + api.TenantIDForm + ".")
		}
		err = s.Store.Update(r.Context(), id, func(tx *store.Tx) error {
			out, err = e(r, tx)
			return err
		})
		return out, err
	}
}

// listTenants answers GET /v1/management/tenants.
func (s *server) listTenants(r *http.Request) (any, error) {
	list, err := s.Store.Tenants(r.Context())
	if err != nil {
		return nil, err
	}
	out := []api.Tenant{}
	for _, t := range list {
		err := s.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
			origins, err := tx.Origins()
			out = append(out, shownTenant(t, origins))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func shownTenant(t store.Tenant, origins []string) api.Tenant {
	return api.Tenant{
		TenantID: t.ID, Authenticator: t.Authenticator, WebhookURL: t.WebhookURL, Branding: t.Branding, Origins: origins, UserIDs: t.UserIDs,
		EnrollmentPolicy: t.Enrollment, RecoveryLinks: t.RecoveryLinks,
		CreatedAt: api.Time{Time: t.CreatedAt},
	}
}

// getTenant answers GET /v1/management/tenants/{tenantId}.
func (s *server) getTenant(_ *http.Request, tx *store.Tx) (any, error) {
	t, _, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	origins, err := tx.Origins()
	return shownTenant(t, origins), err
}

// putTenant answers PUT /v1/management/tenants/{tenantId}: it changes the settings
// that are in the body, and creates the tenant if it does not exist.
func (s *server) putTenant(r *http.Request, tx *store.Tx) (any, error) {
	t, found, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	if !found {
		t.Authenticator = api.DefaultAuthenticatorSettings(r.PathValue("tenantId"))
	}
	// The body is decoded into the present settings.
	in := struct {
		Authenticator *api.AuthenticatorSettings `json:"authenticator"`
		WebhookURL    *string                    `json:"webhookUrl"`
		Branding      *api.Branding              `json:"branding"`
		Origins       *[]string                  `json:"origins"`
		UserIDs       *api.UserIDs               `json:"userIds"`
		Enrollment    *api.EnrollmentPolicy      `json:"enrollmentPolicy"`
		RecoveryLinks *api.RecoveryLinkSettings  `json:"recoveryLinks"`
		// These are in the answer to GET, which may be changed and sent back.
		TenantID  *string `json:"tenantId"`
		CreatedAt *string `json:"createdAt"`
	}{Authenticator: &t.Authenticator, WebhookURL: &t.WebhookURL, Branding: &t.Branding, RecoveryLinks: &t.RecoveryLinks}
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	if in.TenantID != nil && *in.TenantID != tx.TenantID() {
		return nil, api.InvalidRequest("tenantId is not that of the path. It cannot be changed.")
	}
	if in.CreatedAt != nil {
		at, err := time.Parse(time.RFC3339, *in.CreatedAt)
		if err != nil || !found || at.UnixMilli() != t.CreatedAt.UnixMilli() {
			return nil, api.InvalidRequest("createdAt cannot be set. Leave it out.")
		}
	}
	change := manage.TenantChange{
		Authenticator: in.Authenticator, WebhookURL: in.WebhookURL, Branding: in.Branding, Origins: in.Origins, UserIDs: in.UserIDs, Enrollment: in.Enrollment,
		RecoveryLinks: in.RecoveryLinks,
	}
	if _, err := manage.Tenant(tx, change, s.Now()); err != nil {
		return nil, err
	}
	return s.getTenant(r, tx)
}

// deleteTenant answers DELETE /v1/management/tenants/{tenantId}. The tenant's rows
// are erased in the background.
func (s *server) deleteTenant(_ *http.Request, tx *store.Tx) (any, error) {
	return api.Success{Success: true}, manage.DeleteTenant(tx, mfa.ByOperator, s.Now())
}

// listSecrets answers GET /v1/management/tenants/{tenantId}/secrets.
func (s *server) listSecrets(_ *http.Request, tx *store.Tx) (any, error) {
	list, err := tx.APISecrets()
	out := []api.APISecret{}
	for _, sec := range list {
		out = append(out, shownSecret(sec))
	}
	return out, err
}

func shownSecret(s store.APISecret) api.APISecret {
	out := api.APISecret{SecretID: s.ID, CreatedAt: api.Time{Time: s.CreatedAt}}
	if !s.ExpiresAt.IsZero() {
		out.ExpiresAt = &api.Time{Time: s.ExpiresAt}
	}
	return out
}

// createSecret answers POST /v1/management/tenants/{tenantId}/secrets: a new API
// secret key, which only this response has. Existing keys stay valid for an
// overlap.
func (s *server) createSecret(r *http.Request, tx *store.Tx) (any, error) {
	in := struct {
		OverlapSeconds int64 `json:"overlapSeconds"`
	}{manage.DefaultOverlap}
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	created, key, err := manage.NewSecret(tx, in.OverlapSeconds, s.Now())
	out := shownSecret(created)
	out.APISecretKey = key
	return out, err
}

// revokeSecret answers DELETE /v1/management/tenants/{tenantId}/secrets/{id}.
func (s *server) revokeSecret(r *http.Request, tx *store.Tx) (any, error) {
	id, err := identifier("id", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, manage.RevokeSecret(tx, id, s.Now())
}

// listWebhookSecrets answers GET /v1/management/tenants/{tenantId}/webhook-secrets.
func (s *server) listWebhookSecrets(_ *http.Request, tx *store.Tx) (any, error) {
	list, err := tx.WebhookSecrets()
	out := []api.WebhookSecret{}
	for _, secret := range list {
		out = append(out, shownWebhookSecret(secret))
	}
	return out, err
}

func shownWebhookSecret(s store.WebhookSecret) api.WebhookSecret {
	out := api.WebhookSecret{SecretID: s.ID, CreatedAt: api.Time{Time: s.CreatedAt}}
	if !s.ExpiresAt.IsZero() {
		out.ExpiresAt = &api.Time{Time: s.ExpiresAt}
	}
	return out
}

// createWebhookSecret answers POST
// /v1/management/tenants/{tenantId}/webhook-secrets: a new secret that signs
// webhooks, which only this response has. What signed before also signs for an
// overlap.
func (s *server) createWebhookSecret(r *http.Request, tx *store.Tx) (any, error) {
	in := struct {
		OverlapSeconds int64 `json:"overlapSeconds"`
	}{manage.DefaultOverlap}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	created, secret, err := manage.NewWebhookSecret(tx, in.OverlapSeconds, s.Now())
	out := shownWebhookSecret(created)
	out.WebhookSecret = secret
	return out, err
}

// revokeWebhookSecret answers DELETE
// /v1/management/tenants/{tenantId}/webhook-secrets/{id}.
func (s *server) revokeWebhookSecret(r *http.Request, tx *store.Tx) (any, error) {
	id, err := identifier("id", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, manage.RevokeWebhookSecret(tx, id, s.Now())
}

// listActionSettings answers GET /v1/management/tenants/{tenantId}/actions: an
// object of settings by action.
func (s *server) listActionSettings(_ *http.Request, tx *store.Tx) (any, error) {
	return tx.AllActionSettings()
}

// getActionSettings answers GET /v1/management/tenants/{tenantId}/actions/{action}.
// An action without settings has the default outcome CHALLENGE.
func (s *server) getActionSettings(r *http.Request, tx *store.Tx) (any, error) {
	action, err := pathAction(r)
	if err != nil {
		return nil, err
	}
	return manage.ActionSettings(tx, action)
}

// putActionSettings answers PUT
// /v1/management/tenants/{tenantId}/actions/{action}: it replaces all settings of
// the action.
func (s *server) putActionSettings(r *http.Request) (any, error) {
	action, err := pathAction(r)
	if err != nil {
		return nil, err
	}
	var settings api.ActionSettings
	if err := readStrict(r, &settings); err != nil {
		return nil, err
	}
	checked, err := manage.CheckAction(action, settings)
	if err != nil {
		return nil, err
	}
	return s.managed(func(_ *http.Request, tx *store.Tx) (any, error) {
		_, err := manage.SetAction(tx, checked, s.Now())
		return checked.Settings(), err
	})(r)
}

// deleteActionSettings answers DELETE
// /v1/management/tenants/{tenantId}/actions/{action}.
func (s *server) deleteActionSettings(r *http.Request, tx *store.Tx) (any, error) {
	action, err := pathAction(r)
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, manage.DeleteAction(tx, action, s.Now())
}

// unlockAuthenticator answers POST /v1/management/tenants/{tenantId}/users/{userId}/
// authenticators/{id}/unlock: the only way to unlock an authenticator after too
// many wrong codes in a row.
func (s *server) unlockAuthenticator(r *http.Request, tx *store.Tx) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	userID, err := managedUserID(r, tx)
	if err != nil {
		return nil, err
	}
	id, err := identifier("id", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	t, _, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, manage.Unlock(tx, t, userID, id, s.Now())
}

// endManagedTokens answers DELETE
// /v1/management/tenants/{tenantId}/users/{userId}/tokens.
func (s *server) endManagedTokens(r *http.Request, tx *store.Tx) (any, error) {
	userID, err := managedUserID(r, tx)
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, manage.EndTokens(tx, userID, mfa.ByOperator, s.Now())
}

// listAudit answers GET /v1/management/tenants/{tenantId}/audit, newest
// first; ?userId= and ?limit= (1 to 1000, 100 unless given) narrow it.
func (s *server) listAudit(r *http.Request, tx *store.Tx) (any, error) {
	limit := 100
	if text := r.FormValue("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 1000 {
			return nil, api.InvalidRequest("limit must be 1 to 1000.")
		}
	}
	userID := r.FormValue("userId")
	if userID != "" {
		t, _, err := tx.Tenant()
		if err != nil {
			return nil, err
		}
		if userID, err = userIDOf(t, userID); err != nil {
			return nil, err
		}
	}
	list, err := tx.AuditEvents(userID, limit)
	out := []api.AuditEvent{}
	for _, e := range list {
		out = append(out, api.AuditEvent{
			At: api.Time{Time: e.At}, Kind: string(e.Kind), UserID: e.UserID, Action: e.Action, IdempotencyKey: e.IdempotencyKey, Detail: e.Detail,
		})
	}
	return out, err
}

// listServerAudit answers GET /v1/management/audit: the audit log of the server as
// a whole, which is not that of a tenant.
func (s *server) listServerAudit(r *http.Request) (out any, err error) {
	err = s.Store.View(r.Context(), "", func(tx *store.Tx) error {
		out, err = s.listAudit(r, tx)
		return err
	})
	return out, err
}

// listSigningKeys answers GET /v1/management/signing-keys: the keys in the order in
// which they sign, without their secrets.
func (s *server) listSigningKeys(r *http.Request) (any, error) {
	out := []api.SigningKey{}
	err := s.Store.View(r.Context(), "", func(tx *store.Tx) error {
		list, err := tx.SigningKeys()
		for _, k := range list {
			shown := api.SigningKey{KeyID: k.ID, CreatedAt: api.Time{Time: k.CreatedAt}, SignsFrom: api.Time{Time: k.SignsFrom}}
			if !k.VerifiesUntil.IsZero() {
				shown.VerifiesUntil = &api.Time{Time: k.VerifiesUntil}
			}
			out = append(out, shown)
		}
		return err
	})
	return out, err
}

// createSigningKey answers POST /v1/management/signing-keys: a new key, which
// signs when every replica has read it. Each earlier key verifies until its
// successor has signed for the lifetime of a token.
func (s *server) createSigningKey(r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	return api.Success{Success: true}, s.SigningKeys.Rotate(r.Context())
}

// withdrawSigningKey answers DELETE /v1/management/signing-keys/{keyId}: the
// tokens that the key has signed become invalid, on other replicas when they next
// reload the keys.
func (s *server) withdrawSigningKey(r *http.Request) (any, error) {
	id, err := identifier("keyId", r.PathValue("keyId"))
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, s.SigningKeys.Withdraw(r.Context(), id)
}

// managedUserID returns the user id of the path for the tenant of the path.
func managedUserID(r *http.Request, tx *store.Tx) (string, error) {
	t, _, err := tx.Tenant()
	if err != nil {
		return "", err
	}
	return userIDOf(t, r.PathValue("userId"))
}
