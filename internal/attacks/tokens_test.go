package attacks

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestTokensEndWithTheirAuthenticator(t *testing.T) {
	t.Parallel()
	s := start(t, "-portal", "on")
	desk := s.signIn()
	for name, end := range map[string]func(u *user, full page, second string){
		"the user removes one": func(u *user, full page, second string) { full.remove(second).ok() },
		"the backend removes one": func(u *user, _ page, second string) {
			s.backend("DELETE", "/users/"+u.id+"/authenticators/"+second, "").ok()
		},
		"an operator removes one in the portal": func(u *user, _ page, second string) {
			desk.post("/t/t1/users/change", "do", "remove", "id", u.id, "authenticator", second).is(http.StatusSeeOther)
		},
		"an operator unlocks one": func(u *user, _ page, second string) {
			s.operator("POST", "/tenants/t1/users/"+u.id+"/authenticators/"+second+"/unlock", "").ok()
		},
		"an operator unlocks one in the portal": func(u *user, _ page, second string) {
			desk.post("/t/t1/users/change", "do", "unlock", "id", u.id, "authenticator", second).is(http.StatusSeeOther)
		},
		"an operator ends all tokens in the portal": func(u *user, _ page, _ string) {
			desk.post("/t/t1/users/change", "do", "end", "id", u.id).is(http.StatusSeeOther)
		},
		"the backend ends all tokens": func(u *user, _ page, _ string) {
			s.backend("DELETE", "/users/"+u.id+"/tokens", "").ok()
		},
		"an operator ends all tokens": func(u *user, _ page, _ string) {
			s.operator("DELETE", "/tenants/t1/users/"+u.id+"/tokens", "").ok()
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole := s.t
			s.t = t
			defer func() { s.t = whole }()
			u := s.enrolledUser()
			_, second := u.imports()
			untouched := s.enrolledUser()
			other := untouched.track("signIn", "")
			waiting := u.track("signIn", with(allScopes))
			tr := u.track("signIn", "")
			full := tr.verify(u.code()).verified(s)
			reading := s.page(full.exchange("read:authenticators").ok().object["accessToken"].(string))
			for _, p := range []page{waiting.page, tr.page, full, reading} {
				p.list().ok()
			}

			end(u, full, second)

			for _, p := range []page{waiting.page, tr.page, full, reading} {
				p.isVoid()
			}
			other.list().ok()
			// A new track returns a valid token, and the app still works.
			u.signsIn()
		})
	}
	s.backend("DELETE", "/users/unknown/tokens", "").refused(http.StatusNotFound, "not_found")
	s.operator("DELETE", "/tenants/t1/users/unknown/tokens", "").refused(http.StatusNotFound, "not_found")
	s.operator("DELETE", "/tenants/unknown/users/u/tokens", "").refused(http.StatusNotFound, "not_found")
	// A page cannot end tokens.
	u := s.enrolledUser()
	p := u.track("signIn", "")
	s.do("DELETE", "/v1/users/"+u.id+"/tokens", "Bearer "+p.token, "").refused(http.StatusUnauthorized, "unauthorized")
	p.list().ok()
}

func TestTokensEndWithTheirUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, query := range []string{"", "?actions=true"} {
		u := s.enrolledUser()
		tr := u.track("signIn", with(allScopes))
		full := u.signsIn()
		s.backend("DELETE", "/users/"+u.id+query, "").ok()
		tr.isVoid()
		full.isVoid()
		u.phone, u.authenticator = u.imports() // with the same id
		tr.isVoid()
		full.isVoid()
		// The same action of the new user does not make them valid again.
		u.track("signIn", marshal(map[string]string{"idempotencyKey": tr.key})).is("CHALLENGE_REQUIRED")
		tr.isVoid()
		u.has(u.authenticator)
		u.signsIn()
	}
}

func TestExpiredTokensDoNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "-token-ttl", "10s") // in which a slow machine makes the calls below
	u := s.enrolledUser()
	tr := u.track("signIn", with(allScopes))
	evil := s.newUser().track("signIn", with(allScopes))
	pending := evil.begins()
	full := tr.verify(u.code()).verified(s)
	waiting := u.track("signIn", with(allScopes))
	eventually(t, "the tokens expire", func() bool { return waiting.list().status == http.StatusUnauthorized })
	for _, p := range []page{tr.page, full, waiting.page, evil.page} {
		for _, r := range []response{
			p.list(), p.enroll(), p.verify(u.again()), p.verify(pending.code()), p.remove(u.authenticator),
			p.exchange("read:authenticators"), p.call("GET", "authenticators", ""), p.call("POST", "init", "{}"),
		} {
			r.refused(http.StatusUnauthorized, "expired_token")
		}
		if p.validate().object["isValid"] != false {
			t.Error("an expired token validates")
		}
		pending.last = 0 // none of its codes was accepted
	}
	u.has(u.authenticator)
	u.track("signIn", "").verify(u.code()).verified(s)
}

// sign returns a token with a header and a payload.
func sign(header, payload string, h func() hash.Hash, key []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	if h == nil {
		return text + "."
	}
	mac := hmac.New(h, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	tr := victim.track("signIn", "")
	done := victim.track("signIn", "")
	done.verify(victim.code()).verified(s)
	parts := strings.Split(tr.token, ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	header, body := string(head), string(payload)
	wide := strings.Replace(body, `"scope":"read:authenticators"`, `"scope":"`+allScopes+`"`, 1)
	moved := strings.ReplaceAll(body, tr.key, done.key)
	if wide == body || moved == body || !strings.Contains(header, `"HS256"`) {
		t.Fatalf("the token has another shape than this test takes it for: %s %s", header, body)
	}
	kid := fmt.Sprint(decode(t, parts[0])["kid"])
	alg := func(name string) string { return strings.Replace(header, `"HS256"`, `"`+name+`"`, 1) }
	b64 := base64.RawURLEncoding.EncodeToString
	secret := []byte(secretKey)
	for name, forged := range map[string]string{
		"no algorithm":                 sign(alg("none"), wide, nil, nil),
		"no algorithm, other case":     sign(alg("None"), wide, nil, nil),
		"no algorithm, old signature":  b64([]byte(alg("none"))) + "." + b64([]byte(wide)) + "." + parts[2],
		"wider, old signature":         parts[0] + "." + b64([]byte(wide)) + "." + parts[2],
		"another action":               parts[0] + "." + b64([]byte(moved)) + "." + parts[2],
		"the API secret key":           sign(header, wide, sha256.New, secret),
		"the API secret key, HS384":    sign(alg("HS384"), wide, sha512.New384, secret),
		"the API secret key, HS512":    sign(alg("HS512"), wide, sha512.New, secret),
		"an empty key":                 sign(header, wide, sha256.New, nil),
		"the key's id as the key":      sign(header, wide, sha256.New, []byte(kid)),
		"an unknown key id":            sign(strings.Replace(header, kid, "none", 1), wide, sha256.New, secret),
		"an empty key id":              sign(strings.Replace(header, kid, "", 1), wide, sha256.New, nil),
		"a key id that is a path":      sign(strings.Replace(header, kid, "/dev/null", 1), wide, sha256.New, nil),
		"RS256 with the HMAC":          sign(alg("RS256"), wide, sha256.New, secret),
		"a key in the header":          sign(`{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"`+b64(secret)+`"}}`, wide, sha256.New, secret),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"two parts":                    parts[0] + "." + parts[1],
		"a shorter signature":          strings.TrimSuffix(tr.token, tr.token[len(tr.token)-4:]),
		"padding":                      tr.token + "=",
		"encryption":                   "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.." + parts[1] + ".AAAA.AAAA",
		"the API secret key by itself": secretKey,
		"nothing":                      "",
	} {
		p := s.page(forged)
		for _, r := range []response{p.list(), p.enroll(), p.verify(victim.again()), p.remove(victim.authenticator), p.exchange(allScopes)} {
			if r.status != http.StatusUnauthorized || r.object["errorCode"] != "unauthorized" {
				t.Errorf("%s: %s: got %d %s, want 401", name, r.what, r.status, r.text)
			}
		}
		if forged != "" && p.validate().object["isValid"] != false {
			t.Errorf("%s: it validates", name)
		}
	}
	victim.has(victim.authenticator)
	tr.is("CHALLENGE_REQUIRED")
	tr.verify(victim.code()).verified(s) // as it was issued
}

func TestATokenIsNeverWidened(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	tr := victim.track("signIn", with("add:authenticators"))
	full := victim.signsIn()
	for _, scope := range []string{
		allScopes, "remove:authenticators", "read:authenticators remove:authenticators", "write:authenticators", "*", "",
		"READ:AUTHENTICATORS", "read:authenticators,remove:authenticators", "read:authenticators\nremove:authenticators",
	} {
		r := tr.exchange(scope).denied()
		if r.status != http.StatusBadRequest && r.status != http.StatusForbidden {
			t.Errorf("scope %q: got %d %s, want 400 or 403", scope, r.status, r.text)
		}
	}
	tr.call("POST", "token", "{}").refused(http.StatusBadRequest, "invalid_request")
	tr.call("POST", "token", `{"scope":["read:authenticators"]}`).refused(http.StatusBadRequest, "invalid_request")

	// It may have fewer scopes, and expires no later. The first token stays valid.
	less := s.page(full.exchange("read:authenticators").ok().object["accessToken"].(string))
	if got := less.scope(); got != "read:authenticators" {
		t.Errorf("got scope %q, want read:authenticators", got)
	}
	for _, claim := range []string{"exp", "sub", "iss", "aud", "other"} {
		if got, want := fmt.Sprint(less.claims()[claim]), fmt.Sprint(full.claims()[claim]); got != want {
			t.Errorf("%s: got %s, want %s", claim, got, want)
		}
	}
	less.exchange(allScopes).denied()
	less.exchange("add:authenticators").denied()
	less.enroll().refused(http.StatusForbidden, "unauthorized")
	less.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
	less.list().ok()
	if less.validate().object["isValid"] != true {
		t.Error("the token of fewer scopes does not validate")
	}
	// It changes no state.
	narrow := s.page(tr.exchange("read:authenticators").ok().object["accessToken"].(string))
	narrow.enroll().refused(http.StatusForbidden, "unauthorized")
	tr.is("CHALLENGE_REQUIRED")
	full.enroll().ok()
}

func TestAnExchangedTokenNamesAScopeOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := s.enrolledUser().track("signIn", "")
	r := p.exchange(strings.Repeat("read:authenticators ", 1000)).ok()
	if got := s.page(r.object["accessToken"].(string)).scope(); got != "read:authenticators" {
		t.Errorf("got a scope of %d bytes, want read:authenticators", len(got))
	}
}

func TestTokensOfAnotherTenantAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.operator("PUT", "/tenants/t2", `{"authenticator":{"active":true}}`).ok()
	key := s.operator("POST", "/tenants/t2/secrets", "").ok().object["apiSecretKey"].(string)
	other := func(method, path, body string) response {
		t.Helper()
		return s.do(method, "/v1"+path, basic(key), body)
	}
	victim := s.enrolledUser()
	mine := victim.track("signIn", `{"idempotencyKey":"k"}`)
	// The same user, action and key of another tenant, which allows everything.
	foreign := s.page(other("POST", "/users/"+victim.id+"/actions/signIn", `{"idempotencyKey":"k","scope":"`+allScopes+`"}`).ok().object["token"].(string))
	other("PATCH", "/users/"+victim.id+"/actions/signIn/k", `{"state":"CHALLENGE_SUCCEEDED"}`).ok()

	if foreign.validate().object["isValid"] != false {
		t.Error("a token of another tenant validates")
	}
	foreign.remove(victim.authenticator).refused(http.StatusNotFound, "not_found")
	app := foreign.begins()
	foreign.verify(app.code()).verified(s)
	mine.verify(app.code()).denied()
	if got := len(foreign.list().ok().list); got != 1 {
		t.Errorf("the other tenant's user: got %d authenticators, want 1", got)
	}
	victim.has(victim.authenticator)
	mine.is("CHALLENGE_REQUIRED")
	other("DELETE", "/users/"+victim.id+"/authenticators/"+victim.authenticator, "").refused(http.StatusNotFound, "not_found")
	other("DELETE", "/users/"+victim.id+"/tokens", "").ok()
	mine.list().ok()
	got := other("POST", "/validate", marshal(map[string]string{"token": mine.token})).ok()
	if got.object["isValid"] != false || got.object["userId"] != nil {
		t.Errorf("a token of this tenant at the other: got %s", got.text)
	}
	mine.verify(victim.code()).verified(s)
	mine.is("CHALLENGE_SUCCEEDED")
}

func TestTokensOfAnotherUserOpenNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim, attacker := s.enrolledUser(), s.enrolledUser()
	full := attacker.signsIn()
	full.remove(victim.authenticator).refused(http.StatusNotFound, "not_found")
	tr := victim.track("signIn", `{"idempotencyKey":"k"}`)
	tr.verify(attacker.code()).denied()
	own := attacker.track("signIn", `{"idempotencyKey":"k"}`)
	own.verify(attacker.code()).verified(s)
	tr.is("CHALLENGE_REQUIRED")
	r := s.backend("POST", "/validate", marshal(map[string]string{"token": own.token, "userId": victim.id})).ok()
	if r.object["isValid"] != false || r.object["error"] != "User is invalid." {
		t.Errorf("the attacker's token for the victim: got %s", r.text)
	}
	r = s.backend("POST", "/validate", marshal(map[string]string{"token": own.token, "action": "pay"})).ok()
	if r.object["isValid"] != false || r.object["error"] != "Action is invalid." {
		t.Errorf("the token of another action: got %s", r.text)
	}
	victim.has(victim.authenticator)
	victim.signsIn()
}

func TestTheAudienceIsAString(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	for _, p := range []page{u.track("signIn", "").page, u.signsIn()} {
		claims := p.claims()
		if aud, ok := claims["aud"].(string); !ok || aud != claims["iss"] {
			t.Errorf("aud: got %v, want the string of iss, %v", claims["aud"], claims["iss"])
		}
		p.list().ok()
	}
}

// older makes all signing keys one hour older.
func older(t *testing.T, database string) {
	t.Helper()
	storetest.Exec(t, database, `UPDATE signing_keys
		SET created_at = created_at - 3600000, signs_from = signs_from - 3600000, verifies_until = verifies_until - 3600000`)
}

func TestSigningKeysEnd(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := startOn(t, database, nil)
	kid := func(p page) string { t.Helper(); return fmt.Sprint(decode(t, strings.Split(p.token, ".")[0])["kid"]) }
	u := s.enrolledUser()
	first := u.track("signIn", "")
	full := first.verify(u.code()).verified(s)
	s.operator("POST", "/signing-keys", "").ok()
	keys := s.operator("GET", "/signing-keys", "").ok()
	if len(keys.list) != 2 {
		t.Fatalf("got %s, want two keys", keys.text)
	}
	for _, k := range keys.list {
		k := k.(map[string]any)
		if k["keyId"] == "" || k["createdAt"] == nil || k["signsFrom"] == nil || len(k) > 4 {
			t.Errorf("got %v, want keyId, createdAt, signsFrom and at most verifiesUntil", k)
		}
	}
	full.list().ok() // its key still verifies
	s.stop()

	// An hour later the second key has signed for longer than a token is valid.
	older(t, database)
	s = startOn(t, database, nil)
	u.s, full.s, first.s = s, s, s
	for _, p := range []page{first.page, full} {
		p.list().refused(http.StatusUnauthorized, "unauthorized")
		p.enroll().refused(http.StatusUnauthorized, "unauthorized")
		if p.validate().object["isValid"] != false {
			t.Error("a token of a retired key validates")
		}
	}
	now := u.signsIn()
	if kid(now) == kid(full) {
		t.Error("the retired key signs")
	}

	// A leaked key is withdrawn at once, and another one signs.
	s.operator("DELETE", "/signing-keys/"+kid(now), "").ok()
	now.list().refused(http.StatusUnauthorized, "unauthorized")
	if now.validate().object["isValid"] != false {
		t.Error("a token of a withdrawn key validates")
	}
	after := u.track("signIn", "")
	if kid(after.page) == kid(now) {
		t.Error("the withdrawn key signs")
	}
	after.list().ok()
	s.operator("DELETE", "/signing-keys/unknown", "").refused(http.StatusNotFound, "not_found")
	if strings.Contains(s.operator("GET", "/signing-keys", "").ok().text, kid(now)) {
		t.Error("the withdrawn key is listed")
	}
}

func TestACodeCountsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 3 {
		victim := s.enrolledUser()
		const n = 12
		pages := make([]tracked, n)
		for i := range pages {
			pages[i] = victim.track(fmt.Sprint("action-", i%4), "")
		}
		code := victim.code()
		accepted := make([]bool, 2*n)
		atOnce(2*n, func(i int) {
			r, err := s.send("POST", "/v1/client/verify/totp", "Bearer "+pages[i%n].token, `{"verificationCode":"`+code+`"}`)
			accepted[i] = err == nil && r.object["isVerified"] == true
		})
		count := 0
		for _, a := range accepted {
			if a {
				count++
			}
		}
		if count != 1 {
			t.Errorf("one code at once: accepted %d times, want 1", count)
		}
		pages[0].verify(code).denied()
		victim.signsIn() // with the next code
	}
}

func TestGuessingCodesIsLimited(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	// More tokens of more actions do not give more attempts.
	limited := false
	for i := range 30 {
		r := victim.track(fmt.Sprint("action-", i), "").verify(victim.wrong()).ok()
		if limited = r.object["failureReason"] == "MAX_ATTEMPTS_EXCEEDED"; limited {
			if i != 10 {
				t.Errorf("limited after %d wrong codes, want 10", i)
			}
			break
		}
	}
	if !limited {
		t.Fatal("30 wrong codes were compared")
	}
	victim.track("signIn", "").verify(victim.code()).denied()
	if strings.Contains(s.log.String(), victim.again()) {
		t.Error("the log holds a code")
	}
	// Another user is not blocked, and an operator can unblock the user.
	s.enrolledUser().signsIn()
	s.operator("POST", "/tenants/t1/users/"+victim.id+"/authenticators/"+victim.authenticator+"/unlock", "").ok()
	victim.signsIn()
}

func TestAuthenticatorsAreCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	imports := func(u *user) response {
		return s.backend("POST", "/users/"+u.id+"/authenticators", marshal(map[string]string{
			"verificationMethod": "AUTHENTICATOR_APP", "otpUri": "otpauth://totp/Acme:u?secret=" + newSecret(),
		}))
	}
	u := s.enrolledUser()
	full := u.signsIn()
	pending := full.begins()
	for range 9 {
		imports(u).ok()
	}
	imports(u).refused(http.StatusBadRequest, "invalid_request").says("10")
	full.enroll().refused(http.StatusBadRequest, "invalid_request").says("10")
	full.verify(pending.code()).denied()
	if got := len(u.authenticators()); got != 10 {
		t.Errorf("got %d authenticators, want 10", got)
	}
	// An authenticator that exists already is returned, even at the limit.
	r := s.backend("POST", "/users/"+u.id+"/authenticators", marshal(map[string]string{
		"verificationMethod": "AUTHENTICATOR_APP", "otpUri": "otpauth://totp/Acme:u?secret=" + u.secret,
	})).ok()
	if got := r.object["authenticator"].(map[string]any)["userAuthenticatorId"]; got != u.authenticator {
		t.Errorf("imported again: got %v, want %s", got, u.authenticator)
	}
	u.signsIn()

	for _, n := range []string{"0", "51", "-1"} {
		s.operator("PUT", "/tenants/t1", `{"authenticator":{"maxAuthenticators":`+n+`}}`).refused(http.StatusBadRequest, "invalid_request").says("maxAuthenticators")
	}
	s.settings(`{"maxAuthenticators":2}`)
	two := s.enrolledUser()
	p := two.signsIn()
	q := two.signsIn()
	codes := []string{p.begins().code(), q.begins().code()}
	atOnce(2, func(i int) {
		_, _ = s.send("POST", "/v1/client/verify/totp", "Bearer "+[]page{p, q}[i].token, `{"verificationCode":"`+codes[i]+`"}`)
	})
	if got := len(two.authenticators()); got != 2 {
		t.Errorf("two enrollments that end at once: got %d authenticators, want 2", got)
	}
}

func TestImportedPeriodsAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.settings(`{"drift":1}`)
	imports := func(u *user, secret string, period int) response {
		return s.backend("POST", "/users/"+u.id+"/authenticators", marshal(map[string]string{
			"verificationMethod": "AUTHENTICATOR_APP", "otpUri": fmt.Sprintf("otpauth://totp/Acme:u?secret=%s&period=%d", secret, period),
		}))
	}
	for _, period := range []int{3600, 301, 9, 1, 0, -30} {
		imports(s.newUser(), newSecret(), period).refused(http.StatusBadRequest, "invalid_request").says("period")
	}
	// The tenant's drift is in seconds: the previous step of a long period is not
	// accepted, the third of a short one is.
	at := func(u *user, period, offset int64) response {
		return u.track("signIn", "").verify(u.at(time.Now().Unix()/period + offset))
	}
	long := s.newUser()
	long.phone = newPhone(t, newSecret())
	imports(long, long.secret, 300).ok()
	for time.Now().Unix()%300 > 290 {
		time.Sleep(time.Second) // the step must not end during the test
	}
	at(long, 300, -1).denied()
	at(long, 300, 1).denied()
	at(long, 300, 0).verified(s)
	short := s.newUser()
	short.phone = newPhone(t, newSecret())
	imports(short, short.secret, 10).ok()
	at(short, 10, -5).denied()
	at(short, 10, 6).denied()
	at(short, 10, -2).verified(s)
}
