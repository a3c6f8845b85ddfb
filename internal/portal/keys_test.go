package portal

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestKeysAreShownOnlyOnce(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	r := b.wants(b.post("/t/t1/keys", "overlap", "hour"), http.StatusOK)
	found := regexp.MustCompile(`id="new-key">([A-Za-z0-9_-]{43})<`).FindStringSubmatch(r.text)
	if found == nil {
		t.Fatalf("got %s", r.text)
	}
	if _, ok, err := d.store.TenantOfSecret(t.Context(), found[1], d.clock()); err != nil || !ok {
		t.Errorf("the key is not valid: %v", err)
	}
	for _, path := range tenantPages() {
		if strings.Contains(b.get(path).text, found[1]) {
			t.Errorf("%s shows the key", path)
		}
	}
	if strings.Contains(d.log.String(), found[1]) {
		t.Error("the log has the key")
	}
	id := regexp.MustCompile(`keys/revoke\?id=([0-9a-f-]+)`).FindStringSubmatch(b.get("/t/t1/keys").text)
	if text := b.wants(b.get("/t/t1/keys/revoke?id="+id[1]), http.StatusOK).text; !strings.Contains(text, "last valid key") {
		t.Error("there is no warning about the last key")
	}
	b.wants(b.post("/t/t1/keys/revoke", "id", id[1]), http.StatusSeeOther)
	if _, ok, _ := d.store.TenantOfSecret(t.Context(), found[1], d.clock()); ok {
		t.Error("a revoked key is valid")
	}
	b.wants(b.post("/t/t1/keys/revoke", "id", id[1]), http.StatusNotFound)
	b.wants(b.get("/t/none/keys"), http.StatusNotFound)
}

func TestOriginsOfNativeShells(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	b.wants(b.post("/t/t1/keys/origins", "origins", "https://app.test\ncapacitor://localhost"), http.StatusSeeOther)
	if got := b.wants(b.get("/t/t1/keys"), http.StatusOK).text; !strings.Contains(got, ">capacitor://localhost\nhttps://app.test</textarea>") {
		t.Errorf("got %s", got)
	}
	got := b.wants(b.post("/t/t1/keys/origins", "origins", "capacitor:localhost"), http.StatusBadRequest).text
	if !strings.Contains(got, "write the scheme and :// before the host") || !strings.Contains(got, ">capacitor:localhost</textarea>") {
		t.Errorf("got %s", got)
	}
}
