package manage

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

func TestActionCodesAreChecked(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"", "a b", "a/b", "\x00", "\xff", strings.Repeat("a", 65)} {
		// Refused before the transaction is used.
		_, set := CheckAction(action, api.ActionSettings{DefaultOutcome: api.OutcomeAllow})
		for _, err := range []error{set, DeleteAction(nil, action, time.Time{})} {
			var refused *api.Error
			if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.HasPrefix(refused.Description, "action ") {
				t.Errorf("%q: got %v", action, err)
			}
		}
	}
}
