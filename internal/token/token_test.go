package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authsignal-wasm/sdk/internal/api"
)

var (
	oldKey = Key{"old", bytes.Repeat([]byte{1}, 32)}
	newKey = Key{"new", bytes.Repeat([]byte{2}, 32)}
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	claims = Claims{
		TenantID: "t1", UserID: "u1", Action: "signIn", IdempotencyKey: "k1", Incarnation: "i1", Epoch: 3,
		Scopes: []string{api.ScopeRead, api.ScopeAdd}, IssuedAt: start, ExpiresAt: start.Add(10 * time.Minute),
	}
)

func issuer(t *testing.T, now time.Time, keys ...Key) *Issuer {
	t.Helper()
	return &Issuer{
		Keys: func() []Key { return keys }, BaseURL: "http://127.0.0.1:4000", TTL: 10 * time.Minute,
		Now: func() time.Time { return now },
	}
}

func issue(t *testing.T, i *Issuer) string {
	t.Helper()
	s, err := i.Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseReturnsWhatWasIssued(t *testing.T) {
	i := issuer(t, start, oldKey)
	got, err := i.Parse(issue(t, i))
	if err != nil {
		t.Fatal(err)
	}
	got.IssuedAt, got.ExpiresAt = got.IssuedAt.UTC(), got.ExpiresAt.UTC()
	if !reflect.DeepEqual(got, claims) {
		t.Errorf("got %+v, want %+v", got, claims)
	}
}

// The claims are those of section 4.1 of the wire contract.
func TestIssueWritesTheContractsClaims(t *testing.T) {
	part := strings.Split(issue(t, issuer(t, start, oldKey)), ".")
	var header, payload map[string]any
	for i, v := range []*map[string]any{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(part[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	if header["alg"] != "HS256" || header["kid"] != "old" {
		t.Errorf("header: got %v", header)
	}
	if jti, _ := payload["jti"].(string); len(jti) != 36 {
		t.Errorf("jti: got %q", jti)
	}
	delete(payload, "jti")
	want := map[string]any{
		"iat": float64(start.Unix()), "exp": float64(start.Unix() + 600), "sub": "u1",
		"iss": "http://127.0.0.1:4000/t1", "aud": "http://127.0.0.1:4000/t1",
		"scope": "read:authenticators add:authenticators",
		"other": map[string]any{"tenantId": "t1", "userId": "u1", "actionCode": "signIn", "idempotencyKey": "k1", "incarnation": "i1", "epoch": float64(3)},
	}
	if !reflect.DeepEqual(payload, want) {
		t.Errorf("payload:\ngot  %v\nwant %v", payload, want)
	}
}

func TestParseExpiry(t *testing.T) {
	s := issue(t, issuer(t, start, oldKey))
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil}, {10*time.Minute - time.Second, nil}, {10 * time.Minute, ErrExpired}, {time.Hour, ErrExpired},
	} {
		c, err := issuer(t, start.Add(tt.after), oldKey).Parse(s)
		if !errors.Is(err, tt.want) {
			t.Errorf("after %v: got %v, want %v", tt.after, err, tt.want)
		}
		// Only the tenant is still known.
		if c.TenantID == "" || err != nil && (c.UserID != "" || c.Action != "" || c.Scopes != nil) {
			t.Errorf("after %v: got %+v", tt.after, c)
		}
	}
}

func TestParseAcceptsTheOldKeyAfterRotation(t *testing.T) {
	s := issue(t, issuer(t, start, oldKey))
	if _, err := issuer(t, start, newKey, oldKey).Parse(s); err != nil {
		t.Errorf("old key still listed: %v", err)
	}
	if _, err := issuer(t, start, newKey).Parse(s); !errors.Is(err, ErrInvalid) {
		t.Errorf("old key dropped: got %v, want %v", err, ErrInvalid)
	}
}

func TestParseRefusesForgeries(t *testing.T) {
	i := issuer(t, start, oldKey)
	good := issue(t, i)
	part := strings.Split(good, ".")
	sign := func(method jwt.SigningMethod, key any, change func(map[string]any)) string {
		b, _ := base64.RawURLEncoding.DecodeString(part[1])
		m := jwt.MapClaims{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(m)
		}
		tok := jwt.NewWithClaims(method, m)
		tok.Header["kid"] = "old"
		s, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	elsewhere := issuer(t, start, oldKey)
	elsewhere.BaseURL = "http://elsewhere"
	foreign := issue(t, elsewhere)
	other := issue(t, issuer(t, start, Key{"old", newKey.Secret}))
	past := func(m map[string]any) { m["exp"] = start.Unix() - 1 }
	for name, s := range map[string]string{
		"empty":                 "",
		"garbage":               "not.a.token",
		"alg none":              sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"another HMAC":          sign(jwt.SigningMethodHS512, oldKey.Secret, nil),
		"another key":           other,
		"swapped signature":     part[0] + "." + part[1] + "." + strings.Split(other, ".")[2],
		"cut signature":         part[0] + "." + part[1] + ".",
		"another server":        foreign,
		"no expiry":             sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { delete(m, "exp") }),
		"no issue time":         sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { delete(m, "iat") }),
		"another tenant":        sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { m["other"].(map[string]any)["tenantId"] = "t2" }),
		"another user":          sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { m["sub"] = "u2" }),
		"no audience":           sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { delete(m, "aud") }),
		"expired, another key":  sign(jwt.SigningMethodHS256, newKey.Secret, past),
		"expired, another user": sign(jwt.SigningMethodHS256, oldKey.Secret, func(m map[string]any) { past(m); m["sub"] = "u2" }),
	} {
		if _, err := i.Parse(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, ErrInvalid)
		}
	}
	if _, err := i.Parse(sign(jwt.SigningMethodHS256, oldKey.Secret, past)); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: got %v, want %v", err, ErrExpired)
	}
}

func TestIssueRefusesWeakKeys(t *testing.T) {
	for _, keys := range [][]Key{nil, {{"k", make([]byte, 31)}}} {
		if s, err := issuer(t, start, keys...).Issue(claims); err == nil || s != "" {
			t.Errorf("%d keys: got a token", len(keys))
		}
	}
}

func FuzzParse(f *testing.F) {
	i := &Issuer{
		Keys: func() []Key { return []Key{oldKey} }, BaseURL: "http://127.0.0.1:4000", TTL: time.Minute,
		Now: func() time.Time { return start },
	}
	// It is the same in all processes of the fuzzer. A token of Issue has a random
	// id.
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "http://127.0.0.1:4000/t1", "aud": []string{"http://127.0.0.1:4000/t1"}, "sub": "u1",
		"iat": start.Unix(), "exp": start.Unix() + 60, "other": map[string]any{"tenantId": "t1", "userId": "u1"},
	})
	t.Header["kid"] = "old"
	good, err := t.SignedString(oldKey.Secret)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := i.Parse(good); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, forged string) {
		if _, err := i.Parse(forged); err == nil && forged != good {
			t.Fatalf("accepted a token that was never issued: %q", forged)
		}
	})
}

// A token that replaces another one does not expire later.
func TestIssueKeepsAnEarlierEnd(t *testing.T) {
	i := issuer(t, start, oldKey)
	for _, tt := range []struct{ end, want time.Time }{
		{time.Time{}, start.Add(10 * time.Minute)},
		{start.Add(time.Minute), start.Add(time.Minute)},
		{start.Add(time.Hour), start.Add(10 * time.Minute)},
	} {
		c := claims
		c.ExpiresAt = tt.end
		s, err := i.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := i.Parse(s); err != nil || !got.ExpiresAt.Equal(tt.want) {
			t.Errorf("%v: got %v, %v, want %v", tt.end, got.ExpiresAt, err, tt.want)
		}
	}
}

func TestNarrowedAddsNoScope(t *testing.T) {
	for _, scopes := range [][]string{{api.ScopeRead}, {api.ScopeRead, api.ScopeAdd}, {}} {
		if got, err := claims.Narrowed(scopes...); err != nil || !slices.Equal(got.Scopes, scopes) || !got.ExpiresAt.Equal(claims.ExpiresAt) {
			t.Errorf("%v: got %+v, %v", scopes, got, err)
		}
	}
	for _, scopes := range [][]string{{api.ScopeRemove}, {api.ScopeRead, api.ScopeUpdate}, {""}} {
		if got, err := claims.Narrowed(scopes...); !errors.Is(err, ErrScope) {
			t.Errorf("%v: got %+v, %v", scopes, got, err)
		}
	}
}

// Tokens of an earlier version have a list of one audience.
func TestParseAcceptsAListOfOneAudience(t *testing.T) {
	i := issuer(t, start, oldKey)
	party := i.party("t1")
	for name, tt := range map[string]struct {
		audience any
		want     error
	}{
		"a text": {party, nil}, "a list of one": {[]string{party}, nil},
		"another": {party + "x", ErrInvalid}, "a list of two": {[]string{party, party}, ErrInvalid}, "an empty list": {[]string{}, ErrInvalid},
		"a number": {1, ErrInvalid}, "none": {nil, ErrInvalid},
	} {
		c := jwt.MapClaims{
			"iat": start.Unix(), "exp": start.Unix() + 600, "iss": party, "sub": "u1", "aud": tt.audience,
			"other": map[string]any{"tenantId": "t1", "userId": "u1"},
		}
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
		token.Header["kid"] = oldKey.ID
		s, err := token.SignedString(oldKey.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Parse(s); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
