package manage

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

func TestCheckBranding(t *testing.T) {
	t.Parallel()
	image := "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte("picture"))
	for _, b := range []api.Branding{
		{}, {Name: "Acme & Söhne", Color: "#1a6B54", Logo: image}, {Name: strings.Repeat("x", 100)},
	} {
		if err := CheckBranding(b); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	}
	for name, b := range map[string]api.Branding{
		"name":  {Name: strings.Repeat("x", 101)},
		"color": {Color: "red; background: url(//evil.example)"},
		"logo":  {Logo: "https://evil.example/logo.png"},
	} {
		if err := CheckBranding(b); err == nil || !strings.Contains(Text(err), "branding."+name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, logo := range []string{
		"data:text/html;base64,PHNjcmlwdD4=", "data:image/png;base64,", "data:image/png;base64,@", "data:image/png,x",
		"data:image/svg+xml;charset=utf-8;base64,PHN2Zz4=", image + strings.Repeat("A", api.MaxLogo),
	} {
		if CheckBranding(api.Branding{Logo: logo}) == nil {
			t.Errorf("%.40s: taken", logo)
		}
	}
	if CheckBranding(api.Branding{Name: "a\nb"}) == nil {
		t.Error("a control character was taken")
	}
}
