package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

const apiKey = "an api secret key of the tenant t1 for tests"

// filled stores what a tenant may have.
func (f *fixture) filled(users int) {
	f.t.Helper()
	var file strings.Builder
	file.WriteString("userId,secret,lastStep,displayName\n")
	for n := range users {
		fmt.Fprintf(&file, "user-%05d,%s,%d,Jürgen 🔐\n", n, secret, totp.DefaultParameters.Step(now)-1)
	}
	f.imports(file.String())
	f.update("t1", func(tx *store.Tx) error {
		if _, err := tx.SetWebhookURL("https://hooks.example.com/secret"); err != nil {
			return err
		}
		if _, err := tx.SetOrigins([]string{"https://app.example.com"}); err != nil {
			return err
		}
		if _, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{{RuleID: "r", Name: "n", Condition: "true", Outcome: api.OutcomeBlock}}}); err != nil {
			return err
		}
		_, _, err := tx.EnsureSecret(apiKey, now)
		return err
	})
	f.update("t1", func(tx *store.Tx) error {
		u, _, err := tx.LockUser("user-00000")
		if err != nil {
			return err
		}
		u.EmailVerified, u.Custom = true, map[string]any{"plan": "pro", "n": 1.5}
		if err := tx.PutUser(u); err != nil {
			return err
		}
		list, err := tx.Authenticators(u.ID)
		if err != nil {
			return err
		}
		for i := range 3 {
			if err := tx.Fail(list[0], now.Add(time.Duration(i)*time.Second)); err != nil {
				return err
			}
		}
		if _, err := tx.InsertRecoverySet(u.ID, []string{"code-1", "code-2"}, now); err != nil {
			return err
		}
		return tx.InsertTrustedBrowser(store.TrustedBrowser{
			ID: "b", UserID: u.ID, FixedHash: []byte{0, 255, 1}, TurnHash: []byte("turn"), TrustedAt: now, LastUsedAt: now,
		})
	})
}

func (f *fixture) export() []byte {
	f.t.Helper()
	var b bytes.Buffer
	if _, err := ExportTenant(f.t.Context(), f.store, "t1", &b, now); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

// server is another server without the tenant, on SQLite, with another key.
func server(t *testing.T) *fixture {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "other.db"), func(bool) ([][]byte, error) {
		return [][]byte{bytes.Repeat([]byte{9}, 32)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &fixture{t, st}
}

// comparable returns the lines of an export without what an import changes, sorted.
func comparable(t *testing.T, export []byte) string {
	t.Helper()
	lines := strings.Split(string(export), "\n")[1:]
	for i, text := range lines {
		var l line
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		delete(l.Row, "incarnation")
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(b)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// sameExport fails the test at the first row that differs.
func sameExport(t *testing.T, got, want []byte) {
	t.Helper()
	g, w := strings.Split(comparable(t, got), "\n"), strings.Split(comparable(t, want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("got\n%s\nwant\n%s", g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("got %d rows, want %d", len(g), len(w))
	}
}

// A tenant is moved from server to server, on different databases and with
// different encryption keys: all is the same, and what was spent stays spent.
func TestTenantIsMovedThereAndBack(t *testing.T) {
	t.Parallel()
	first := newFixture(t)
	first.filled(40)
	export := first.export()
	if !bytes.Contains(export, []byte("Jürgen 🔐")) {
		t.Error("the export is not readable")
	}
	second := server(t)
	third := &fixture{t, storetest.Open(t, storetest.Database(t), store.Open)}
	for _, to := range []*fixture{second, third} {
		id, rows, err := ImportTenant(t.Context(), to.store, bytes.NewReader(export), now)
		if err != nil || id != "t1" || rows["users"] != 40 || rows["authenticators"] != 40 || rows["failures"] != 3 {
			t.Fatalf("got %s, %v, %v", id, rows, err)
		}
		again := to.export()
		sameExport(t, again, export)
		export = again
	}
	step := totp.DefaultParameters.Step(now)
	for n := range 40 {
		user := fmt.Sprintf("user-%05d", n)
		if third.accepts(user, step-1) {
			t.Errorf("%s: a code that was used before is accepted", user)
		}
		if !third.accepts(user, step) || third.accepts(user, step) {
			t.Errorf("%s: the present code must be accepted once", user)
		}
	}
	if tenant, found, err := third.store.TenantOfSecret(t.Context(), apiKey, now); err != nil || !found || tenant.WebhookURL != "https://hooks.example.com/secret" {
		t.Errorf("the API key: got %+v, %v, %v", tenant, found, err)
	}
	before, _ := first.user("user-00000")
	after, _ := third.user("user-00000")
	if before.Incarnation == after.Incarnation || after.Custom["plan"] != "pro" || !after.EmailVerified {
		t.Errorf("got %+v, before %+v", after, before)
	}
	third.update("t1", func(tx *store.Tx) error {
		_, set, err := tx.RecoverySets("user-00000")
		if err != nil || set == nil {
			t.Fatalf("the recovery codes: %v, %v", set, err)
		}
		if has, err := tx.HasRecoveryCode(*set, "code-2"); err != nil || !has {
			t.Errorf("a recovery code: %v, %v", has, err)
		}
		return nil
	})
	if err := audited(t, third.store); err != nil {
		t.Error(err)
	}
}

// audited returns an error unless the server's audit log has the import.
func audited(t *testing.T, st *store.Store) error {
	return st.View(t.Context(), "", func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 10)
		for _, e := range list {
			if e.Detail["what"] == string(store.ChangeTenantImported) && e.Detail["tenantId"] == "t1" {
				return err
			}
		}
		return fmt.Errorf("the audit log has no import: %v, %v", list, err)
	})
}

// An export that is not whole, not of this format or of a tenant that exists
// changes nothing.
func TestImportOfATenantIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.filled(3)
	export := string(f.export())
	lines := strings.SplitAfter(strings.TrimSuffix(export, "\n"), "\n")
	swap := func(old, new string) string { return strings.Replace(export, old, new, 1) }
	to := server(t)
	for name, tt := range map[string]struct{ export, want string }{
		"empty":                 {"", "damaged"},
		"not an export":         {"userId,secret\n", "not an export of a tenant"},
		"another format":        {swap(`"version":1`, `"version":2`), "newer version"},
		"without its end":       {strings.Join(lines[:len(lines)-1], ""), "damaged"},
		"cut in a line":         {export[:len(export)/2], "damaged"},
		"a line is missing":     {strings.Join(slices.Delete(slices.Clone(lines), 6, 7), ""), ""},
		"a line twice":          {strings.Join(slices.Insert(slices.Clone(lines), len(lines)-2, lines[len(lines)-2]), ""), ""},
		"more after its end":    {export + lines[2], "damaged"},
		"of another tenant":     {swap(`"tenantId":"t1"`, `"tenantId":"t2"`), "of another tenant"},
		"an unknown table":      {swap(`"table":"users"`, `"table":"portal_password"`), "newer version"},
		"an unknown column":     {swap(`"display_name"`, `"display_names"`), "newer version"},
		"SQL as a column":       {swap(`"display_name"`, `"email) VALUES ('x'); --"`), "newer version"},
		"a value of other kind": {swap(`"display_name":"Jürgen 🔐"`, `"display_name":["x"]`), "damaged"},
	} {
		_, _, err := ImportTenant(t.Context(), to.store, strings.NewReader(tt.export), now)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if list, err := to.store.Tenants(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%s: left behind %+v, %v", name, list, err)
		}
		if u, _ := to.user("user-00000"); u.Incarnation != "" {
			t.Errorf("%s: left a user behind", name)
		}
	}

	before := comparable(t, f.export())
	_, _, err := ImportTenant(t.Context(), f.store, strings.NewReader(export), now)
	if err == nil || !strings.Contains(err.Error(), "the tenant t1 exists here; nothing was changed") {
		t.Errorf("the tenant exists: got %v", err)
	}
	if comparable(t, f.export()) != before {
		t.Error("the tenant that exists was changed")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := ImportTenant(ctx, to.store, strings.NewReader(export), now); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
	to.update("other", func(tx *store.Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Other"), now); err != nil {
			return err
		}
		_, _, err := tx.EnsureSecret(apiKey, now)
		return err
	})
	if _, _, err := ImportTenant(t.Context(), to.store, strings.NewReader(export), now); !errors.Is(err, store.ErrSecretTaken) {
		t.Errorf("an API key of another tenant: got %v", err)
	}

	if _, err := ExportTenant(t.Context(), f.store, "t9", &bytes.Buffer{}, now); err == nil || !strings.Contains(err.Error(), "there is no tenant t9") {
		t.Errorf("an unknown tenant: got %v", err)
	}
}

// An export brings a deleted tenant back, once its rows are erased.
func TestDeletedTenantIsBroughtBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.filled(3)
	export := f.export()
	f.update("t1", func(tx *store.Tx) error {
		_, err := tx.DeleteTenant(now)
		return err
	})
	if _, _, err := ImportTenant(t.Context(), f.store, bytes.NewReader(export), now); !errors.Is(err, store.ErrBeingErased) {
		t.Errorf("before it is erased: got %v", err)
	}
	if _, left, err := f.store.EraseDeleted(t.Context(), now.Add(time.Hour)); err != nil || left != 0 {
		t.Fatalf("got %d, %v", left, err)
	}
	if _, rows, err := ImportTenant(t.Context(), f.store, bytes.NewReader(export), now); err != nil || rows["users"] != 3 {
		t.Fatalf("got %v, %v", rows, err)
	}
	if _, left, err := f.store.EraseDeleted(t.Context(), now.Add(2*time.Hour)); err != nil || left != 0 {
		t.Fatalf("got %d, %v", left, err)
	}
	sameExport(t, f.export(), export)
}

func TestSealedExport(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if _, err := Seal(&b, "fifteen letters"); err == nil || !strings.Contains(err.Error(), "16 characters") {
		t.Errorf("a short passphrase: got %v", err)
	}
	const passphrase = "correct horse battery staple"
	w, err := Seal(&b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "content")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	r, err := Open(bytes.NewReader(b.Bytes()), passphrase)
	if err == nil {
		_, err = got.ReadFrom(r)
	}
	if err != nil || got.String() != "content" {
		t.Errorf("got %q, %v", got.String(), err)
	}
	if _, err := Open(bytes.NewReader(b.Bytes()), passphrase+"!"); err == nil || !strings.Contains(err.Error(), "the passphrase is wrong") {
		t.Errorf("a wrong passphrase: got %v", err)
	}
	if _, err := Open(strings.NewReader("userId,secret"), passphrase); err == nil || !strings.Contains(err.Error(), "not an export") {
		t.Errorf("another file: got %v", err)
	}
}
