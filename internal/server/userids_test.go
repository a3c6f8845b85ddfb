package server

import (
	"net/url"
	"strings"
	"testing"
)

func TestUserIDsThatLookAlikeAreRefused(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.enrolled("Jane")
	if got := p.ok(p.manage("GET", "tenants/t1", "")).object["userIds"]; got != "exact" {
		t.Errorf("got %v", got)
	}
	p.track("JANE", "signIn", "{}")
	p.ok(p.manage("PUT", "tenants/t1", `{"userIds":"refuse"}`))
	if got := p.ok(p.manage("GET", "tenants/t1/audit", "")).text; !strings.Contains(got, `"alike":1`) {
		t.Errorf("the audit log: %s", got)
	}
	p.fails(p.manage("PUT", "tenants/t1", `{"userIds":"similar"}`), 400, "invalid_request")
	for _, r := range []response{
		p.api("POST", "/v1/users/jane/actions/signIn", "{}"),
		p.api("PATCH", "/v1/users/jane", `{"email":"j@e.org"}`),
		p.api("POST", "/v1/users/jane/authenticators", `{"verificationMethod":"EMAIL_OTP","email":"j@e.org"}`),
	} {
		p.fails(r, 400, "invalid_request")
		if d := r.object["errorDescription"].(string); !strings.Contains(d, "userIds") || strings.Contains(d, "Jane") {
			t.Errorf("got %q", d)
		}
	}
	p.track("Jane", "signIn", "{}")
	p.track("JANE", "signIn", "{}")
	p.track("bob", "signIn", "{}")
}

func TestUserIDsAreFolded(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.track("Jane", "signIn", "{}")
	r := p.manage("PUT", "tenants/t1", `{"userIds":"fold"}`)
	p.fails(r, 409, "invalid_request")
	if d := r.object["errorDescription"].(string); !strings.Contains(d, "1 users of the tenant have an id that is not in folded form") {
		t.Errorf("got %q", d)
	}
	p.ok(p.api("DELETE", "/v1/users/Jane", ""))
	p.ok(p.manage("PUT", "tenants/t1", `{"userIds":"fold"}`))

	secret := p.enrolled("JOS\u00c9")
	id, alike := "jos\u00e9", url.PathEscape(" Jose\u0301 ")
	if got := p.ok(p.api("GET", "/v1/users/"+alike, "")).object; got["userId"] != id || got["isEnrolled"] != true {
		t.Errorf("got %v", got)
	}
	tracked := p.ok(p.api("POST", "/v1/users/"+alike+"/actions/signIn", `{"idempotencyKey":"k"}`)).object
	if tracked["state"] != "CHALLENGE_REQUIRED" {
		t.Errorf("got %v", tracked)
	}
	token := p.accepted(p.verify(tracked["token"].(string), p.code(secret, 1))).object["accessToken"].(string)
	got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`","userId":"JOS\u00c9","action":"signIn"}`)).object
	if got["isValid"] != true || got["userId"] != id {
		t.Errorf("got %v", got)
	}
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`","userId":"joe","action":"signIn"}`)).object; got["isValid"] == true {
		t.Errorf("another user: got %v", got)
	}
	p.ok(p.api("GET", "/v1/users/"+alike+"/actions/signIn/k", ""))
	if got := p.ok(p.api("GET", "/v1/users/"+alike+"/authenticators", "")).list; len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if got := p.ok(p.manage("GET", "tenants/t1/audit?userId="+alike, "")).list; len(got) == 0 {
		t.Error("the audit log finds nothing")
	}
	p.ok(p.manage("DELETE", "tenants/t1/users/"+alike+"/tokens", ""))
	p.fails(p.api("GET", "/v1/users/%20", ""), 400, "invalid_request")
	p.fails(p.api("GET", "/v1/users/"+strings.Repeat("\u0958", 256), ""), 400, "invalid_request") // its normal form has two characters
	p.ok(p.api("DELETE", "/v1/users/"+alike, ""))
	if got := p.ok(p.api("GET", "/v1/users/"+url.PathEscape(id), "")).object; got["isEnrolled"] != false {
		t.Errorf("got %v", got)
	}
}
