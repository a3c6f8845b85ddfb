package manage

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// CheckBranding returns an error for the first field that is wrong.
func CheckBranding(b api.Branding) error {
	switch {
	case len(b.Name) > api.MaxBrandingName || strings.ContainsFunc(b.Name, unicode.IsControl):
		return api.InvalidRequest(fmt.Sprintf("branding.name must be at most %d bytes without control characters.", api.MaxBrandingName))
	case b.Color != "" && !isColor(b.Color):
		return api.InvalidRequest("branding.color must be like #1a6b54.")
	case b.Logo != "" && !isLogo(b.Logo):
		return api.InvalidRequest(fmt.Sprintf("branding.logo must be a PNG, JPEG, WebP or SVG image as data:image/...;base64,... of at most %d bytes.", api.MaxLogo))
	}
	return nil
}

func isColor(s string) bool {
	return len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

func isLogo(s string) bool {
	kind, data, ok := strings.Cut(s, ";base64,")
	if !ok || len(s) > api.MaxLogo {
		return false
	}
	switch kind {
	case "data:image/png", "data:image/jpeg", "data:image/webp", "data:image/svg+xml":
		b, err := base64.StdEncoding.DecodeString(data)
		return err == nil && len(b) > 0
	}
	return false
}
