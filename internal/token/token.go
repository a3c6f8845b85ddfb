// Package token issues and parses client tokens: the short-lived JWTs that a page
// gets for a tracked action. They are opaque to SDKs; their claims follow section
// 4.1 of the wire contract.
//
// It has no store: whether the user and the action behind a token still exist,
// and whether the token still counts, is decided in internal/mfa.
package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// Errors of Parse. They have no details, which could help a forger.
var (
	ErrInvalid = errors.New("token is invalid")
	ErrExpired = errors.New("token has expired")
)

// minKeySize is the minimum length of an HS256 key in bytes (RFC 7518, section 3.2).
const minKeySize = 32

// A Key signs tokens with HS256. It is never the API secret.
type Key struct {
	// ID is the kid of the header, so that keys can be rotated.
	ID     string
	Secret []byte
}

// Claims are the claims of a token.
type Claims struct {
	TenantID       string
	UserID         string
	Action         string
	IdempotencyKey string
	// Incarnation is that of the user, so that a token is void after its user is
	// deleted, even if another has the same id.
	Incarnation string
	// Epoch is that of the user's tokens: a later one voids them before they
	// expire.
	Epoch int64
	// Scopes are the rights to the user's authenticators.
	Scopes []string
	// Browser reports whether the token was issued to the trusted browser that has
	// completed the challenge.
	Browser bool
	// IssuedAt is set by Parse; Issue uses the current time.
	IssuedAt time.Time
	// ExpiresAt is set by Parse. Issue uses it if it is set and sooner than the
	// TTL allows.
	ExpiresAt time.Time
}

// Has reports whether the token has a scope.
func (c Claims) Has(scope string) bool { return slices.Contains(c.Scopes, scope) }

// ErrScope: a narrowed token would have a scope that the token before it lacks.
var ErrScope = errors.New("the token does not carry this scope")

// Narrowed returns the claims with some of their scopes, for a token that expires
// at the same time.
func (c Claims) Narrowed(scopes ...string) (Claims, error) {
	for _, s := range scopes {
		if !c.Has(s) {
			return Claims{}, ErrScope
		}
	}
	c.Scopes = scopes
	return c, nil
}

// An Issuer issues and parses the tokens of one server.
type Issuer struct {
	// Keys returns all keys that Parse accepts; the first one signs. It is called
	// each time, because keys are rotated.
	Keys func() []Key
	// BaseURL and the tenant's id form the claims iss and aud.
	BaseURL string
	// TTL is the life of a token.
	TTL time.Duration
	// Now is the clock.
	Now func() time.Time
}

// payload is the JSON of a token.
type payload struct {
	jwt.RegisteredClaims
	// Audience is a string (wire contract, section 11, row 28). The library has
	// only a setting of the whole process for that.
	Audience audience `json:"aud"`
	Scope    string   `json:"scope"`
	Other    other    `json:"other"`
}

// GetAudience implements jwt.Claims.
func (p payload) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{string(p.Audience)}, nil
}

// An audience is written as a string, and read from a string or, for tokens of an
// earlier version, a list of one.
type audience string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var list jwt.ClaimStrings
	if err := list.UnmarshalJSON(b); err != nil {
		return err
	}
	if len(list) != 1 {
		return ErrInvalid
	}
	*a = audience(list[0])
	return nil
}

type other struct {
	TenantID       string `json:"tenantId"`
	UserID         string `json:"userId"`
	ActionCode     string `json:"actionCode"`
	IdempotencyKey string `json:"idempotencyKey"`
	Incarnation    string `json:"incarnation,omitempty"`
	Epoch          int64  `json:"epoch,omitempty"`
	Browser        bool   `json:"trustedBrowser,omitempty"`
}

// Issue signs a token that expires after TTL, or at c.ExpiresAt if that is sooner.
func (i *Issuer) Issue(c Claims) (string, error) {
	now := i.Now()
	party := i.party(c.TenantID)
	expires := now.Add(i.TTL)
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(expires) {
		expires = c.ExpiresAt
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    party,
			Subject:   c.UserID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
			ID:        uuid.NewString(),
		},
		Audience: audience(party),
		Scope:    strings.Join(c.Scopes, " "),
		Other:    other{c.TenantID, c.UserID, c.Action, c.IdempotencyKey, c.Incarnation, c.Epoch, c.Browser},
	})
	keys := i.Keys()
	if len(keys) == 0 || len(keys[0].Secret) < minKeySize {
		return "", errors.New("sign token: no key that is long enough for HS256")
	}
	t.Header["kid"] = keys[0].ID
	s, err := t.SignedString(keys[0].Secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s, nil
}

// Parse checks signature, algorithm, issuer, audience and times. For a token that is
// valid but expired it returns ErrExpired, with the tenant's id as the only claim,
// and ErrInvalid for any other.
func (i *Issuer) Parse(s string) (Claims, error) {
	var p payload
	_, err := jwt.ParseWithClaims(s, &p, i.key,
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(i.Now),
		jwt.WithStrictDecoding(),
	)
	// The library joins errors, and an expired token may also be forged: all
	// other checks must succeed before the error is ErrExpired.
	expired := errors.Is(err, jwt.ErrTokenExpired)
	if err != nil && !expired || errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		return Claims{}, ErrInvalid
	}
	party := i.party(p.Other.TenantID)
	if p.Issuer != party || string(p.Audience) != party ||
		p.Subject == "" || p.Subject != p.Other.UserID || p.IssuedAt == nil {
		return Claims{}, ErrInvalid
	}
	if expired {
		return Claims{TenantID: p.Other.TenantID}, ErrExpired
	}
	return Claims{
		TenantID:       p.Other.TenantID,
		UserID:         p.Other.UserID,
		Action:         p.Other.ActionCode,
		IdempotencyKey: p.Other.IdempotencyKey,
		Incarnation:    p.Other.Incarnation,
		Epoch:          p.Other.Epoch,
		Scopes:         strings.Fields(p.Scope),
		Browser:        p.Other.Browser,
		IssuedAt:       p.IssuedAt.Time,
		ExpiresAt:      p.ExpiresAt.Time,
	}, nil
}

func (i *Issuer) key(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	for _, k := range i.Keys() {
		if k.ID == kid {
			return k.Secret, nil
		}
	}
	return nil, ErrInvalid
}

// party is both the issuer and the audience of a tenant's tokens.
func (i *Issuer) party(tenantID string) string { return i.BaseURL + "/" + tenantID }

// AllScopes are the scopes that a completed challenge grants.
var AllScopes = []string{api.ScopeRead, api.ScopeAdd, api.ScopeUpdate, api.ScopeRemove}
