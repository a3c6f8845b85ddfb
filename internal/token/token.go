// Package token issues and parses client tokens: the short-lived JWTs that a
// tracked action gives to a page. To every SDK they are opaque; their claims
// follow section 4.1 of the wire contract.
//
// It knows no store: whether the user and the action behind a token still
// exist is for the server to ask.
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

// Errors of Parse. Neither says more, so that an answer cannot help a forger.
var (
	ErrInvalid = errors.New("token is invalid")
	ErrExpired = errors.New("token has expired")
)

// minKeySize is the length that RFC 7518, section 3.2, asks of an HS256 key.
const minKeySize = 32

// A Key signs tokens with HS256. It is never the API secret.
type Key struct {
	// ID goes into the header as kid, so that keys can be rotated.
	ID     string
	Secret []byte
}

// Claims are what a token says.
type Claims struct {
	TenantID       string
	UserID         string
	Action         string
	IdempotencyKey string
	// Incarnation is that of the user, so that a token does not outlive its
	// user, even if one of the same id follows.
	Incarnation string
	// Scopes are the rights to the user's authenticators.
	Scopes []string
	// IssuedAt is read by Parse; Issue takes the current time.
	IssuedAt time.Time
}

// Has reports whether the token carries a scope.
func (c Claims) Has(scope string) bool { return slices.Contains(c.Scopes, scope) }

// An Issuer issues and parses the tokens of one server.
type Issuer struct {
	// Keys gives all keys that Parse accepts; the first one signs. It is
	// asked each time, because keys are rotated.
	Keys func() []Key
	// BaseURL and the tenant make the iss and aud claims.
	BaseURL string
	// TTL is the life of a token.
	TTL time.Duration
	// Now is the clock.
	Now func() time.Time
}

// payload is the JSON of a token.
type payload struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
	Other other  `json:"other"`
}

type other struct {
	TenantID       string `json:"tenantId"`
	UserID         string `json:"userId"`
	ActionCode     string `json:"actionCode"`
	IdempotencyKey string `json:"idempotencyKey"`
	Incarnation    string `json:"incarnation,omitempty"`
}

// Issue signs a token that lives for TTL from now.
func (i *Issuer) Issue(c Claims) (string, error) {
	now := i.Now()
	party := i.party(c.TenantID)
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    party,
			Audience:  jwt.ClaimStrings{party},
			Subject:   c.UserID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(i.TTL)),
			ID:        uuid.NewString(),
		},
		Scope: strings.Join(c.Scopes, " "),
		Other: other{c.TenantID, c.UserID, c.Action, c.IdempotencyKey, c.Incarnation},
	})
	keys := i.Keys()
	if len(keys) == 0 || len(keys[0].Secret) < minKeySize {
		return "", errors.New("sign token: no key of the length that HS256 needs")
	}
	t.Header["kid"] = keys[0].ID
	s, err := t.SignedString(keys[0].Secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s, nil
}

// Parse checks signature, algorithm, issuer, audience and times. It returns
// ErrExpired for a token that was good, with the tenant's name as its only
// claim, and ErrInvalid for anything else.
func (i *Issuer) Parse(s string) (Claims, error) {
	var p payload
	_, err := jwt.ParseWithClaims(s, &p, i.key,
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(i.Now),
		jwt.WithStrictDecoding(),
	)
	// The library joins errors, and an expired token may be a foreign one
	// too: all but the expiry must hold before we say "expired".
	expired := errors.Is(err, jwt.ErrTokenExpired)
	if err != nil && !expired || errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		return Claims{}, ErrInvalid
	}
	party := i.party(p.Other.TenantID)
	if p.Issuer != party || len(p.Audience) != 1 || p.Audience[0] != party ||
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
		Scopes:         strings.Fields(p.Scope),
		IssuedAt:       p.IssuedAt.Time,
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

// party is who issues a tenant's tokens and whom they are for.
func (i *Issuer) party(tenantID string) string { return i.BaseURL + "/" + tenantID }

// AllScopes are the rights that a completed challenge gives.
var AllScopes = []string{api.ScopeRead, api.ScopeAdd, api.ScopeUpdate, api.ScopeRemove}
