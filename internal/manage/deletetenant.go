package manage

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// DeleteTenant deletes the transaction's tenant. Its API secret keys and the tokens
// of its users are refused from the commit on (on other replicas, within a
// second); its users, authenticators, actions and audit log are erased in the
// background. The audit log of the server records it.
func DeleteTenant(tx *store.Tx, by mfa.Channel, now time.Time) error {
	found, err := tx.DeleteTenant(now)
	if err == nil && !found {
		err = api.NotFound("The tenant does not exist.")
	}
	if err != nil {
		return err
	}
	return tx.AuditServer(store.Configured(store.ChangeTenantDeleted, map[string]any{"tenantId": tx.TenantID(), "by": by}, now))
}

// refuseDeleted makes the error of a tenant that was deleted one for the caller:
// tokens, and backends that were forgotten, may still name the tenant.
func refuseDeleted(err error) error {
	var deleted *store.TenantDeletedError
	if !errors.As(err, &deleted) {
		return err
	}
	return &api.Error{
		Status: http.StatusConflict, Code: api.CodeInvalidRequest,
		Description: fmt.Sprintf("The tenant %s was deleted at %s, and its id is not used again. Use another id, or import an export of the tenant.",
			deleted.ID, deleted.DeletedAt.Format(time.RFC3339)),
	}
}
