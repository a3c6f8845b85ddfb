package store

import (
	"slices"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A table with rows of a tenant is part of an export, or is named as one that is
// not.
func TestExportsKnowEveryTable(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	known := append(slices.Clone(exported), notExported...)
	for _, table := range tenantTables(t, s) {
		if !slices.Contains(known, table) {
			t.Errorf("%s is neither in exported nor in notExported", table)
		}
	}
}
