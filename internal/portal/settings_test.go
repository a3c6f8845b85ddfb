package portal

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// Saving a form keeps the settings that are not in it as they are in the
// database, where another replica may have changed them, and not as they are in
// the cache.
func TestSavingKeepsChangesOfOtherReplicas(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	d.update(func(tx *store.Tx) error {
		s := api.DefaultAuthenticatorSettings("Acme")
		s.Active = true
		_, err := tx.PutTenant(s, d.clock())
		return err
	})
	b.wants(b.get("/t/t1/authenticators/app"), http.StatusOK)
	storetest.Exec(t, d.database, `UPDATE tenants SET authenticator = REPLACE(authenticator, '"active":true', '"active":false'),
		branding = '{"logo":"data:image/svg+xml;base64,PHN2Zy8+"}'`)
	b.wants(b.post("/t/t1/authenticators/app", "issuer", "Shop", "algorithm", "SHA1", "digits", "6", "period", "30", "drift", "1",
		"maxFailures", "5", "windowSeconds", "60", "maxFailuresInARow", "50", "maxAuthenticators", "10", "do", "save"), http.StatusSeeOther)
	storetest.Exec(t, d.database, `UPDATE tenants SET branding = '{"logo":"data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="}'`)
	b.wants(b.post("/t/t1/settings/branding", "name", "Shop"), http.StatusSeeOther)
	tenant, _, err := d.store.Tenant(t.Context(), "t1")
	if err != nil || tenant.Authenticator.Issuer != "Shop" || tenant.Authenticator.Active {
		t.Errorf("got %+v, %v", tenant.Authenticator, err)
	}
	if tenant.Branding.Name != "Shop" || tenant.Branding.Logo != "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=" {
		t.Errorf("got %+v", tenant.Branding)
	}
}

func TestBranding(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	upload := func(logo string, fields ...string) answer {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for i := 0; i < len(fields); i += 2 {
			w.WriteField(fields[i], fields[i+1])
		}
		if logo != "" {
			f, _ := w.CreateFormFile("logo", "logo.bin")
			io.WriteString(f, logo)
		}
		w.Close()
		req, err := http.NewRequest("POST", d.url+Path+"/t/t1/settings/branding", &body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", w.FormDataContentType())
		return b.do(req)
	}
	branding := func() api.Branding {
		tenant, _, err := d.store.Tenant(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.Branding
	}
	b.wants(upload(`<svg xmlns="http://www.w3.org/2000/svg"/>`, "name", "Shop", "color", "#112233"), http.StatusSeeOther)
	if got := branding(); got.Name != "Shop" || got.Color != "#112233" || !strings.HasPrefix(got.Logo, "data:image/svg+xml;base64,") {
		t.Errorf("got %+v", got)
	}
	if text := b.get("/t/t1/settings").text; !strings.Contains(text, `<img src="data:image/svg&#43;xml;base64,`) {
		t.Errorf("the logo is not shown: %s", text)
	}
	b.wants(upload("", "name", "Shop", "color", "red"), http.StatusBadRequest)
	b.wants(upload("not an image", "name", "Shop"), http.StatusBadRequest)
	b.wants(upload("\x89PNG\r\n\x1a\n"+strings.Repeat("x", 60<<10), "name", "Shop"), http.StatusBadRequest)
	b.wants(upload("\x89PNG\r\n\x1a\n"+strings.Repeat("x", 300<<10), "name", "Shop"), http.StatusRequestEntityTooLarge)
	b.wants(upload("", "name", "Shop", "color", ""), http.StatusSeeOther) // keeps the logo
	if got := branding(); got.Logo == "" || got.Color != "" {
		t.Errorf("got %+v", got)
	}
	b.wants(upload("", "name", "", "removeLogo", "on"), http.StatusSeeOther)
	if got := branding(); got != (api.Branding{}) {
		t.Errorf("got %+v", got)
	}
}

func TestDeleteTenantNeedsItsID(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	if text := b.get("/t/t1/settings").text; !strings.Contains(text, `href="/portal/t/t1/settings/delete"`) {
		t.Errorf("the settings have no link: %s", text)
	}
	if text := b.get("/t/t1/settings/delete").text; !strings.Contains(text, `name="typed"`) || !strings.Contains(text, `action="/portal/t/t1/settings/delete"`) {
		t.Errorf("got %s", text)
	}
	for _, typed := range []string{"", "T1", "t1 ", "t2"} {
		b.wants(b.post("/t/t1/settings/delete", "typed", typed), http.StatusBadRequest)
	}
	if _, found, err := d.store.Tenant(t.Context(), "t1"); err != nil || !found {
		t.Fatalf("deleted without its id: %v, %v", found, err)
	}
	b.wants(b.post("/t/t1/settings/delete", "typed", "t1"), http.StatusSeeOther)
	if _, found, err := d.store.Tenant(t.Context(), "t1"); err != nil || found {
		t.Errorf("not deleted: %v, %v", found, err)
	}
	b.wants(b.get("/t/t1/settings"), http.StatusNotFound)
	b.wants(b.post("/t/t1/settings/delete", "typed", "t1"), http.StatusNotFound)
}

func TestWebhookSecretsAreShownOnlyOnce(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	r := b.wants(b.post("/t/t1/settings/secrets", "overlap", "none"), http.StatusOK)
	found := regexp.MustCompile(`id="new-secret">([A-Za-z0-9_-]{43})<`).FindStringSubmatch(r.text)
	if found == nil {
		t.Fatalf("got %s", r.text)
	}
	signs := func() []string {
		secrets, err := d.store.SigningSecrets(t.Context(), "t1", d.clock())
		if err != nil {
			t.Fatal(err)
		}
		return secrets
	}
	if got := signs(); !slices.Equal(got, found[1:]) {
		t.Errorf("got %q", got)
	}
	text := b.wants(b.get("/t/t1/settings"), http.StatusOK).text
	if strings.Contains(text+d.log.String(), found[1]) {
		t.Error("the secret is shown again")
	}
	id := regexp.MustCompile(`settings/revoke\?id=([0-9a-f-]+)`).FindStringSubmatch(text)
	if text := b.wants(b.get("/t/t1/settings/revoke?id="+id[1]), http.StatusOK).text; !strings.Contains(text, "the API secret keys sign again") {
		t.Error("there is no word about the last secret")
	}
	if r := b.wants(b.post("/t/t1/settings/revoke", "id", id[1]), http.StatusSeeOther); !strings.Contains(b.get(strings.TrimPrefix(r.Header.Get("Location"), Path)).text, "The webhook secret is revoked.") {
		t.Error("there is no word about the end")
	}
	if got := signs(); slices.Contains(got, found[1]) {
		t.Error("a revoked secret signs")
	}
	b.wants(b.get("/t/t1/settings/revoke?id="+id[1]), http.StatusNotFound)
	b.wants(b.post("/t/t1/settings/revoke", "id", id[1]), http.StatusNotFound)
	b.wants(b.post("/t/t1/settings/secrets", "overlap", "always"), http.StatusBadRequest)
}
