package totp

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// URI returns the otpauth:// URI that an authenticator app reads from a QR code.
// Issuer and account may hold any text: all but RFC 3986's unreserved
// characters are percent-encoded, a space as %20 and a colon as %3A. An account
// may have colons. A new issuer has none (api.CheckIssuer), since apps split the
// label at its first colon, encoded or not.
func URI(issuer, account, secret string, p Parameters) string {
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + secret +
		"&issuer=" + escape(issuer) +
		"&algorithm=" + string(p.Algorithm) +
		"&digits=" + strconv.Itoa(p.Digits) +
		"&period=" + strconv.Itoa(p.Period)
}

func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// A Key is the content of an otpauth:// URI.
type Key struct {
	Issuer, Account string
	// Secret is in upper-case, unpadded base32.
	Secret string
	Parameters
}

// ParseURI parses an otpauth://totp/ URI. Absent parameters have their defaults. The
// error never quotes the URI.
//
// The issuer is that of the parameter; if it is absent or empty, that of the
// label. The account is what follows the issuer and its colon in the label, or
// else the label's first colon, without leading spaces (Google Authenticator's
// Key URI Format, "Label").
func ParseURI(uri string) (Key, error) {
	u, err := url.Parse(strings.TrimSpace(uri))
	if err != nil {
		return Key{}, errors.New("otpauth URI is not a valid URI")
	}
	if u.Scheme != "otpauth" {
		return Key{}, errors.New("otpauth URI must start with otpauth://")
	}
	if u.Host != "totp" {
		return Key{}, errors.New("otpauth URI must be of type totp")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Key{}, errors.New("otpauth URI has a malformed query")
	}
	k := Key{Parameters: DefaultParameters}
	if k.Secret, err = NormalizeSecret(q.Get("secret")); err != nil {
		return Key{}, fmt.Errorf("otpauth URI: %w", err)
	}
	k.Issuer, k.Account = split(strings.TrimPrefix(u.Path, "/"), q.Get("issuer"))
	if s := q.Get("algorithm"); s != "" {
		k.Algorithm = Algorithm(strings.ToUpper(s))
	}
	if s := q.Get("digits"); s != "" {
		if k.Digits, err = strconv.Atoi(s); err != nil {
			return Key{}, errors.New("otpauth URI: digits is not a number")
		}
	}
	if s := q.Get("period"); s != "" {
		if k.Period, err = strconv.Atoi(s); err != nil {
			return Key{}, errors.New("otpauth URI: period is not a number")
		}
	}
	if err := k.Validate(); err != nil {
		return Key{}, fmt.Errorf("otpauth URI: %w", err)
	}
	return k, nil
}

// split returns the issuer and the account of a decoded label; known is the
// issuer of the parameter, or empty.
func split(label, known string) (issuer, account string) {
	issuer, account = known, label
	if after, found := strings.CutPrefix(label, known+":"); found {
		account = after
	} else if before, after, found := strings.Cut(label, ":"); found {
		account = after
		if known == "" {
			issuer = before
		}
	}
	return issuer, strings.TrimLeft(account, " ")
}

// NormalizeSecret returns a base32 secret as users type it (lower case, spaces,
// dashes, padding) in upper case without padding. The error never quotes it.
func NormalizeSecret(secret string) (string, error) {
	secret = strings.NewReplacer(" ", "", "-", "", "\r", "", "\n", "").Replace(strings.ToUpper(secret))
	secret = strings.TrimRight(secret, "=")
	if secret == "" {
		return "", errors.New("secret is missing")
	}
	_, err := base32NoPad.DecodeString(secret)
	// No number of whole bytes has these lengths (RFC 4648, section 6), but the
	// decoder accepts them.
	if n := len(secret) % 8; err != nil || n == 1 || n == 3 || n == 6 {
		return "", errors.New("secret is not base32")
	}
	return secret, nil
}
