package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/totp"
)

const (
	factorsPath    = "/v1/users/u1/authenticators"
	importedSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

// imported enrolls an authenticator app with the Server API.
func (p *peer) imported(uri string) response {
	p.t.Helper()
	// The official Go SDK escapes the & of the URI.
	return p.api("POST", factorsPath, `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"`+strings.ReplaceAll(uri, "&", `\u0026`)+`"}`)
}

func TestEnrollVerifiedApp(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	got := p.ok(p.imported("otpauth://totp/Acme:jane?issuer=Acme&secret=" + strings.ToLower(importedSecret) + "&digits=6")).object
	item := got["authenticator"].(map[string]any)
	want := map[string]any{
		"userAuthenticatorId": item["userAuthenticatorId"], "userId": "u1", "verificationMethod": "AUTHENTICATOR_APP",
		"createdAt": "2023-11-14T22:13:20.000Z", "verifiedAt": "2023-11-14T22:13:20.000Z", "isDefault": true,
	}
	if len(got) != 1 || len(item["userAuthenticatorId"].(string)) != 36 || !reflect.DeepEqual(item, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if list := p.ok(p.api("GET", factorsPath, "")).list; len(list) != 1 || !reflect.DeepEqual(list[0], want) {
		t.Errorf("list: got %v", list)
	}
	// It can be challenged, also with the code of the current step.
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	p.accepted(p.verify(tok, p.code(importedSecret, 0)))
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("state: got %s", got)
	}
}

func TestEnrollVerifiedTakesTheParametersOfTheURI(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.ok(p.imported("otpauth://totp/jane?secret=" + importedSecret + "&algorithm=SHA256&digits=8&period=60"))
	parameters := totp.Parameters{Algorithm: totp.SHA256, Digits: 8, Period: 60}
	code, err := totp.Code(importedSecret, parameters.Step(p.clock()), parameters)
	if err != nil {
		t.Fatal(err)
	}
	p.accepted(p.verify(p.token("u1", "signIn", ""), code))
}

// SDKs retry a request whose response was lost. Of two authenticators with the
// same secret, each would accept a code that the other has used up.
func TestEnrollVerifiedIsIdempotent(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const uri = "otpauth://totp/jane?secret=" + importedSecret
	first := p.ok(p.imported(uri))
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(importedSecret, 0)))
	p.advance(time.Second)
	again := p.ok(p.imported(uri + "&issuer=Other")).object["authenticator"].(map[string]any)
	if again["userAuthenticatorId"] != first.object["authenticator"].(map[string]any)["userAuthenticatorId"] {
		t.Errorf("got %v, want %s", again, first.text)
	}
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(importedSecret, 0)), "CODE_INVALID_OR_EXPIRED")

	const sms = `{"verificationMethod":"SMS","phoneNumber":"+1234"}`
	for range 2 {
		p.ok(p.api("POST", factorsPath, sms))
	}
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"+5678"}`))
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"WHATSAPP","phoneNumber":"+1234"}`))
	if got := len(p.ok(p.api("GET", factorsPath, "")).list); got != 4 {
		t.Errorf("got %d authenticators, want 4", got)
	}
}

// The same key in other texts is the same authenticator.
func TestEnrollVerifiedIsIdempotentForOtherTextsOfTheSecret(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for _, uri := range []string{
		"otpauth://totp/jane?secret=GEZDGNBVGY3TQOJQGE", "OTPAUTH://TOTP/jane?secret=gezd-gnbv-gy3t-qojq-gf&algorithm=HmacSHA1&period=30.0",
		"otpauth://totp/C#%20100%?secret=GEZDGNBVGY3TQOJQGEZ",
	} {
		p.ok(p.imported(uri))
	}
	if got := p.ok(p.api("GET", factorsPath, "")).list; len(got) != 1 {
		t.Errorf("got %d authenticators, want 1", len(got))
	}
}

func TestEnrollVerifiedReplacesAPendingOneWithTheSecret(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", `{"scope":"add:authenticators"}`)
	e := p.ok(p.enroll(tok)).object
	p.ok(p.imported(e["uri"].(string)))
	code := p.code(e["secret"].(string), 0)
	if got := p.accepted(p.verify(tok, code)).object; got["userAuthenticator"] != nil {
		t.Errorf("the pending one was verified: %v", got)
	}
	p.refused(p.verify(tok, code), "CODE_INVALID_OR_EXPIRED")
}

// Factors of other methods count, but cannot be challenged here.
func TestEnrollVerifiedOfOtherMethods(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for i, tt := range []struct{ method, key, value string }{
		{"EMAIL_OTP", "email", "not-a-real-email@authsignal.com"}, {"EMAIL_MAGIC_LINK", "email", "j@e.org"},
		{"SMS", "phoneNumber", "+64 21 1"}, {"WHATSAPP", "phoneNumber", "1"},
	} {
		path := fmt.Sprintf("/v1/users/other%d/authenticators", i)
		item := p.ok(p.api("POST", path, fmt.Sprintf(`{"verificationMethod":%q,%q:%q,"otpUri":null,"isDefault":null}`, tt.method, tt.key, tt.value))).
			object["authenticator"].(map[string]any)
		if item["verificationMethod"] != tt.method || item[tt.key] != tt.value || item["verifiedAt"] == nil || item["userId"] != fmt.Sprint("other", i) {
			t.Errorf("got %v", item)
		}
		if list := p.ok(p.api("GET", path, "")).list; len(list) != 1 || !reflect.DeepEqual(list[0], item) {
			t.Errorf("list: got %v, want %v", list, item)
		}
		got := p.track(fmt.Sprint("other", i), "signIn", "")
		want := []any{tt.method}
		if got["isEnrolled"] != true || got["state"] != "CHALLENGE_REQUIRED" || got["defaultVerificationMethod"] != tt.method ||
			!reflect.DeepEqual(got["enrolledVerificationMethods"], want) || !reflect.DeepEqual(got["allowedVerificationMethods"], []any{"AUTHENTICATOR_APP"}) {
			t.Errorf("got %v", got)
		}
		p.ok(p.api("DELETE", path+"/"+item["userAuthenticatorId"].(string), ""))
		if got := p.track(fmt.Sprint("other", i), "signIn", "")["state"]; got != "ALLOW" {
			t.Errorf("after the last factor is gone: got %v", got)
		}
	}
}

// Enrolling an app must not bypass a factor of another method.
func TestAPendingEnrollmentDoesNotBypassAFactorOfAnotherMethod(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", "")
	planted := p.ok(p.enroll(tok)).object["secret"].(string)
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"EMAIL_OTP","email":"j@e.org"}`))
	p.fails(p.verify(tok, p.code(planted, 0)), 400, "invalid_request")
}

func TestDefaultAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	step := func(name, method, path, body, want string) {
		t.Helper()
		if path != "" {
			p.ok(p.api(method, path, body))
			p.advance(time.Second)
		}
		shown := ""
		for _, item := range p.ok(p.api("GET", factorsPath, "")).list {
			if m := item.(map[string]any); m["isDefault"] == true {
				shown += fmt.Sprint(m["verificationMethod"], m["phoneNumber"], m["email"])
			}
		}
		if shown != want {
			t.Errorf("%s: got default %s, want %s", name, shown, want)
		}
		method = p.ok(p.api("GET", "/v1/users/u1", "")).object["defaultVerificationMethod"].(string)
		if !strings.HasPrefix(want, method) {
			t.Errorf("%s: got defaultVerificationMethod %s", name, method)
		}
	}
	step("the only one", "POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"1"}`, "SMS1<nil>")
	step("the oldest", "POST", factorsPath, `{"verificationMethod":"EMAIL_OTP","email":"e"}`, "SMS1<nil>")
	step("one that is challenged here", "POST", factorsPath, `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/a?secret=`+importedSecret+`"}`, "AUTHENTICATOR_APP<nil> <nil>")
	step("one that the backend chooses", "POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"2","isDefault":true}`, "SMS2<nil>")
	step("an older one", "POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"1","isDefault":true}`, "SMS1<nil>")
	step("the preferred method", "PATCH", "/v1/users/u1", `{"defaultVerificationMethod":"EMAIL_OTP"}`, "EMAIL_OTP<nil>e")
	step("a method that is not enrolled", "PATCH", "/v1/users/u1", `{"defaultVerificationMethod":"WHATSAPP"}`, "AUTHENTICATOR_APP<nil> <nil>")
}

func TestEnrollVerifiedRefuses(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for body, want := range map[string]string{
		``:                                 "verificationMethod",
		`{}`:                               "verificationMethod",
		`{"verificationMethod":"FAX"}`:     "verificationMethod",
		`{"verificationMethod":"PASSKEY"}`: "verificationMethod",
		`{"verificationMethod":"AUTHENTICATOR_APP"}`:                                    "otpUri is required",
		`{"verificationMethod":"AUTHENTICATOR_APP","otpUri":null}`:                      "otpUri is required",
		`{"verificationMethod":"SMS","email":"e"}`:                                      "phoneNumber is required",
		`{"verificationMethod":"EMAIL_OTP"}`:                                            "email is required",
		`{"verificationMethod":"EMAIL_OTP","email":"` + strings.Repeat("e", 257) + `"}`: "email must have at most",
		`{"verificationMethod":"SMS","phoneNumber":737373}`:                             "phoneNumber must be a string",
	} {
		r := p.api("POST", factorsPath, body)
		p.fails(r, 400, "invalid_request")
		if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, want) {
			t.Errorf("%.60s: got %q, want it to say %q", body, d, want)
		}
	}
	for _, uri := range []string{
		"https://x", "otpauth://hotp/a?secret=" + importedSecret, "otpauth://totp/a", "otpauth://totp/a?secret=GEZDGNB1",
		"otpauth://totp/a?secret=" + importedSecret + "&algo=SHA256", "otpauth://totp/a?secret=" + importedSecret + "&digits=6&digits=8",
		"otpauth://totp/a?secret=GEZDGNBV", "otpauth://totp/a?secret=" + strings.Repeat("GEZDGNBV", 33),
		"otpauth://totp/a?secret=" + importedSecret + "&digits=9", "otpauth://totp/a?secret=" + importedSecret + "&algorithm=MD5",
		"otpauth://totp/" + strings.Repeat("a", 2048) + "?secret=" + importedSecret, "%zz",
	} {
		r := p.imported(uri)
		p.fails(r, 400, "invalid_request")
		if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, "otpUri") || strings.Contains(d, "GEZDGN") {
			t.Errorf("%.60s: got %q", uri, d)
		}
	}
	if got := p.ok(p.api("GET", factorsPath, "")).text; got != "[]\n" {
		t.Errorf("got %s", got)
	}
}
