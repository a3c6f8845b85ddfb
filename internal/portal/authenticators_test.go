package portal

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

func TestActivateAndDeactivate(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	settings := func() api.AuthenticatorSettings {
		tenant, _, err := d.store.Tenant(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.Authenticator
	}
	form := []string{"issuer", "Shop", "algorithm", "SHA256", "digits", "8", "period", "60", "drift", "0", "maxFailures", "5",
		"windowSeconds", "60", "maxFailuresInARow", "50", "allowMultiple", "on", "maxAuthenticators", "3", "recoveryCodes", "on"}
	b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "save")...), http.StatusSeeOther)
	want := api.AuthenticatorSettings{Issuer: "Shop", Algorithm: "SHA256", Digits: 8, Period: 60, AllowMultiple: true, MaxAuthenticators: 3, MaxFailures: 5, WindowSeconds: 60, MaxFailuresInARow: 50, RecoveryCodes: true}
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "activate")...), http.StatusSeeOther)
	want.Active = true
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	off := form[: len(form)-2 : len(form)-2]
	b.wants(b.post("/t/t1/authenticators/app", append(off, "do", "save")...), http.StatusSeeOther)
	want.RecoveryCodes = false
	if got := settings(); got != want {
		t.Errorf("without recovery codes: got %+v, want %+v", got, want)
	}
	if text := b.get("/t/t1/authenticators").text; !strings.Contains(text, "<dd>not allowed</dd>") {
		t.Errorf("got %s", text)
	}
	form[5] = "7"
	if r := b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "save")...), http.StatusBadRequest); !strings.Contains(r.text, "digits must be 6 or 8.") {
		t.Errorf("got %s", r.text)
	}
	b.wants(b.post("/t/t1/authenticators/stop"), http.StatusSeeOther)
	want.Active = false
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
