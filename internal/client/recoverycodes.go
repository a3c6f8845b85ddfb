package client

import (
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// RecoveryCodes asks how many recovery codes the user has left.
func (c Client) RecoveryCodes(token string) (*Request, Result) {
	r, result := c.request(token, api.PathClientRecoveryCodes, "")
	if r != nil {
		r.Method = "GET"
	}
	return r, result
}

// MakeRecoveryCodes makes recovery codes, which come into force when the user
// confirms them.
func (c Client) MakeRecoveryCodes(token string) (*Request, Result) {
	return c.request(token, api.PathClientRecoveryCodes, "")
}

// ConfirmRecoveryCodes puts new recovery codes in force: by one of them, or, if saved
// is true, by the user's word for having kept them.
func (c Client) ConfirmRecoveryCodes(token, code string, saved bool) (*Request, Result) {
	body := `{"saved":true}`
	if !saved {
		body = `{"recoveryCode":"` + cleanRecoveryCode(code) + `"}`
	}
	return c.request(token, api.PathClientConfirmRecoveryCodes, body)
}

// VerifyRecoveryCode completes a challenge with a recovery code. After a timeout or a
// network_error the code may have been accepted and used up.
func (c Client) VerifyRecoveryCode(token, code string) (*Request, Result) {
	return c.request(token, api.PathClientVerifyRecoveryCode, `{"recoveryCode":"`+cleanRecoveryCode(code)+`"}`)
}

// maxRecoveryCode bounds what is sent of a text that is no code.
const maxRecoveryCode = 64

// cleanRecoveryCode returns a recovery code without spaces, dashes and invisible
// marks. Characters of no code become question marks, so that the server refuses the
// code as malformed, which spends no attempt.
func cleanRecoveryCode(code string) string {
	var b strings.Builder
	for _, r := range code {
		switch {
		case b.Len() == maxRecoveryCode:
			return b.String()
		case isFiller(r):
		case '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z':
			b.WriteByte(byte(r))
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
