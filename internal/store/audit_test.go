package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// Operators search for the kinds in the list, so it must have them all.
func TestAuditKindsIsComplete(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []AuditKind
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Audit") || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			kind, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, AuditKind(kind))
		}
		return true
	})
	if len(kinds) == 0 || !slices.Equal(kinds, AuditKinds) {
		t.Errorf("got  %q\nwant %q", AuditKinds, kinds)
	}
}

func TestAuditLogIsNewestFirst(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		for i, user := range []string{"u1", "u2", "u1"} {
			err := tx.Audit(AuditEvent{
				At: now.Add(time.Duration(i) * time.Second), Kind: AuditCodeRefused, ActionID: ActionID{user, "signIn", "k"},
				Detail: map[string]any{"n": float64(i)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.AuditEvents("u1", 10)
		if err != nil || len(list) != 2 || list[0].Detail["n"] != 2.0 || list[1].Detail["n"] != 0.0 || !list[0].At.Equal(now.Add(2*time.Second)) {
			t.Errorf("got %+v, %v", list, err)
		}
		list, err = tx.AuditEvents("", 2)
		if len(list) != 2 || list[1].UserID != "u2" {
			t.Errorf("got %+v", list)
		}
		return err
	})
}
