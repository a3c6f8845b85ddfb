package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

const day = 24 * time.Hour

// requires sets the tenant's enrollment policy: a time relative to now, and the days
// of grace.
func (p *peer) requires(in time.Duration, graceDays int) (from time.Time) {
	p.t.Helper()
	from = p.clock().Add(in).UTC()
	p.ok(p.manage("PUT", "tenants/t1", fmt.Sprintf(`{"enrollmentPolicy":{"requiredFrom":%q,"graceDays":%d}}`, from.Format(time.RFC3339), graceDays)))
	return from
}

// free checks that a user without an authenticator is let in until a deadline.
func (p *peer) free(r map[string]any, deadline time.Time) {
	p.t.Helper()
	if r["state"] != "ALLOW" || r["isEnrolled"] != false || r["enrollmentRequired"] != false || r["enrollmentDeadline"] != iso(deadline) {
		p.t.Errorf("got %v, want ALLOW until %s", r, iso(deadline))
	}
}

// must checks that a user without an authenticator must enroll since a deadline.
func (p *peer) must(r map[string]any, deadline time.Time) {
	p.t.Helper()
	if r["state"] != "CHALLENGE_REQUIRED" || r["isEnrolled"] != false || r["enrollmentRequired"] != true || r["enrollmentDeadline"] != iso(deadline) {
		p.t.Errorf("got %v, want an enrollment since %s", r, iso(deadline))
	}
}

// without checks that a track tells nothing of an enrollment.
func (p *peer) without(r map[string]any, state string) {
	p.t.Helper()
	if r["state"] != state || r["enrollmentRequired"] != nil || r["enrollmentDeadline"] != nil {
		p.t.Errorf("got %v, want %s and no word of an enrollment", r, state)
	}
}

func iso(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// valid reports what validate answers.
func (p *peer) valid(token string) (isValid bool, state string) {
	p.t.Helper()
	r := p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`"}`)).object
	return r["isValid"] == true, r["state"].(string)
}

func TestEnrollmentIsRequiredAfterTheDeadline(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.without(p.track("u1", "signIn", ""), "ALLOW")
	first := p.clock()
	p.advance(5 * day)
	p.requires(2*day, 14)
	p.free(p.track("u1", "signIn", ""), first.Add(14*day))
	p.advance(9*day - time.Millisecond)
	p.free(p.track("u1", "signIn", `{"idempotencyKey":"k"}`), first.Add(14*day))
	p.advance(time.Millisecond)
	r := p.track("u1", "signIn", "")
	p.must(r, first.Add(14*day))

	// Nothing but the enrollment completes it.
	tok := r["token"].(string)
	if valid, state := p.valid(tok); valid || state != "CHALLENGE_REQUIRED" {
		t.Errorf("before the enrollment: got %v, %s", valid, state)
	}
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	if valid, state := p.valid(tok); valid || state != "CHALLENGE_REQUIRED" {
		t.Errorf("with a wrong code: got %v, %s", valid, state)
	}
	tok = p.accepted(p.verify(tok, p.code(secret, 0))).object["accessToken"].(string)
	if valid, state := p.valid(tok); !valid || state != "CHALLENGE_SUCCEEDED" {
		t.Errorf("after the enrollment: got %v, %s", valid, state)
	}
	p.without(p.track("u1", "signIn", ""), "CHALLENGE_REQUIRED")

	// A user who signs in first after the policy counts has the grace.
	p.advance(day)
	second := p.clock()
	p.free(p.track("u2", "signIn", ""), second.Add(14*day))
	p.advance(14 * day)
	p.must(p.track("u2", "signIn", ""), second.Add(14*day))

	// Without grace, and with a user that the backend has made before.
	p.ok(p.api("PATCH", "/v1/users/u3", `{"email":"u3@example.com"}`))
	from := p.requires(-time.Hour, 0)
	p.must(p.track("u2", "signIn", ""), from)
	p.must(p.track("u3", "signIn", ""), p.clock())
}

// An action that was let in before the deadline is not let in again after it, and what
// a policy has stopped stays so when the policy is changed.
func TestAnActionIsTrackedAgainAfterTheDeadline(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	from := p.requires(day, 0)
	r := p.track("u1", "signIn", actionK)
	p.free(r, from)
	tok := r["token"].(string)
	p.advance(5 * time.Minute)
	if valid, state := p.valid(tok); valid || state != "ALLOW" {
		t.Errorf("an ALLOW: got %v, %s", valid, state)
	}
	p.advance(day)
	p.must(p.track("u1", "signIn", actionK), from)
	if got := p.audited("action.updated"); got["state"] != "CHALLENGE_REQUIRED" || got["by"] != "track" {
		t.Errorf("the audit log has %v", got)
	}
	later := p.requires(30*day, 0)
	r = p.track("u1", "signIn", actionK)
	if r["state"] != "CHALLENGE_REQUIRED" || r["enrollmentRequired"] != false || r["enrollmentDeadline"] != iso(later) {
		t.Errorf("after the policy was changed: got %v", r)
	}
	if valid, _ := p.valid(r["token"].(string)); valid {
		t.Error("a change of the policy completed an action")
	}
	p.free(p.track("u1", "signIn", ""), later)
	p.ok(p.manage("PUT", "tenants/t1", `{"enrollmentPolicy":{"requiredFrom":"never"}}`))
	p.without(p.track("u1", "signIn", actionK), "CHALLENGE_REQUIRED")
	p.without(p.track("u1", "signIn", ""), "ALLOW")

	// What the backend has set stays.
	p.put("u1", "signIn", "k", "ALLOW")
	p.requires(-day, 0)
	r = p.track("u1", "signIn", actionK)
	if r["state"] != "ALLOW" || r["enrollmentRequired"] != true {
		t.Errorf("got %v", r)
	}
}

// A user whose last authenticator is removed must enroll at once: the grace is for
// newcomers.
func TestTheGraceDoesNotBeginAgain(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	first := p.clock()
	p.enrolled("u1")
	p.requires(day, 30)
	p.advance(60 * day)
	p.without(p.track("u1", "signIn", ""), "CHALLENGE_REQUIRED")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""))
	p.must(p.track("u1", "signIn", ""), first.Add(30*day))
	// A deleted user is another one.
	p.ok(p.api("DELETE", "/v1/users/u1", ""))
	p.free(p.track("u1", "signIn", ""), p.clock().Add(30*day))
}

// A policy asks for a factor where an enrolled user would be asked for one, and is
// content with any.
func TestWhereAnEnrollmentPolicyCounts(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.requires(-day, 0)
	p.ok(p.manage("PUT", "tenants/t1/actions/read", `{"defaultOutcome":"ALLOW","rules":[]}`))
	p.ok(p.manage("PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"ALLOW","rules":[
		{"name":"large","condition":"has(custom.amount) && custom.amount > 10","outcome":"CHALLENGE"},
		{"name":"strange","condition":"has(custom.strange)","outcome":"BLOCK"}]}`))
	p.ok(p.manage("PUT", "tenants/t1/actions/office", `{"defaultOutcome":"CHALLENGE","rules":[{"name":"inside","condition":"ip == \"192.0.2.1\"","outcome":"ALLOW"}]}`))
	p.ok(p.manage("PUT", "tenants/t1/actions/free", `{"defaultOutcome":"CHALLENGE","rules":[],"enrollmentPolicy":{"requiredFrom":"never"}}`))
	p.ok(p.manage("PUT", "tenants/t1/actions/later", `{"defaultOutcome":"CHALLENGE","rules":[],"enrollmentPolicy":{"requiredFrom":"2030-01-01"}}`))
	p.track("u1", "read", "")
	first := p.clock()
	for _, tt := range []struct{ action, attributes, want string }{
		{"signIn", "", "CHALLENGE_REQUIRED"},
		{"read", "", "ALLOW"},
		{"pay", "", "ALLOW"},
		{"pay", `{"custom":{"amount":11}}`, "CHALLENGE_REQUIRED"},
		{"pay", `{"custom":{"strange":1}}`, "BLOCK"},
		{"office", "", "CHALLENGE_REQUIRED"},
		{"office", `{"ipAddress":"192.0.2.1"}`, "ALLOW"},
	} {
		r := p.track("u1", tt.action, tt.attributes)
		if r["state"] != tt.want || r["enrollmentRequired"] != true || r["enrollmentDeadline"] != iso(first) {
			t.Errorf("%s %s: got %v, want %s", tt.action, tt.attributes, r, tt.want)
		}
	}
	p.without(p.track("u1", "free", ""), "ALLOW")
	p.free(p.track("u1", "later", ""), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	p.ok(p.api("POST", "/v1/users/u1/authenticators", `{"verificationMethod":"EMAIL_OTP","email":"a@example.com"}`))
	p.without(p.track("u1", "signIn", ""), "CHALLENGE_REQUIRED")
}

func TestEnrollmentPolicyInTheManagementAPI(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	tenant := func() map[string]any { return p.ok(p.manage("GET", "tenants/t1", "")).object }
	if got := tenant(); strings.Contains(fmt.Sprint(got), "enrollment") {
		t.Errorf("without a policy: got %v", got)
	}
	p.ok(p.manage("PUT", "tenants/t1", `{"enrollmentPolicy":{"requiredFrom":"2027-03-01","graceDays":14}}`))
	want := map[string]any{"requiredFrom": "2027-03-01T00:00:00Z", "graceDays": 14.0}
	got := tenant()
	if !reflect.DeepEqual(got["enrollmentPolicy"], want) {
		t.Errorf("got %v", got)
	}
	audited := func() (n int) {
		for _, e := range p.ok(p.manage("GET", "tenants/t1/audit", "")).list {
			if detail, _ := e.(map[string]any)["detail"].(map[string]any); detail["what"] == "enrollment policy" {
				n++
			}
		}
		return n
	}
	// Another change keeps it, and what GET answers can be sent back.
	p.ok(p.manage("PUT", "tenants/t1", `{"authenticator":{"drift":2}}`))
	p.ok(p.manage("PUT", "tenants/t1", p.manage("GET", "tenants/t1", "").text))
	if got := tenant()["enrollmentPolicy"]; !reflect.DeepEqual(got, want) || audited() != 1 {
		t.Errorf("got %v, %d entries", got, audited())
	}
	for body, says := range map[string]string{
		`{"enrollmentPolicy":{"requiredFrom":"soon"}}`:                       "requiredFrom must be a date",
		`{"enrollmentPolicy":{"graceDays":1}}`:                               "requiredFrom must be a date",
		`{"enrollmentPolicy":{"requiredFrom":"2027-03-01","graceDays":1.5}}`: "",
		`{"enrollmentPolicy":{"requiredFrom":"2027-03-01","grace":1}}`:       `the unknown key "grace"`,
		`{"enrollmentPolicy":{"requiredFrom":"2027-03-01","graceDays":366}}`: "graceDays must be 0 to 365",
		`{"enrollmentPolicy":null}`:                                          "must not be null",
	} {
		for _, path := range []string{"tenants/t1", "tenants/t1/actions/pay"} {
			if strings.HasSuffix(path, "pay") {
				body = strings.Replace(body, `{`, `{"defaultOutcome":"CHALLENGE","rules":[],`, 1)
			}
			r := p.manage("PUT", path, body)
			p.fails(r, 400, "invalid_request")
			if !strings.Contains(r.object["errorDescription"].(string), says) {
				t.Errorf("%s: got %s", body, r.text)
			}
		}
	}
	p.ok(p.manage("PUT", "tenants/t1", `{"enrollmentPolicy":{"requiredFrom":"never"}}`))
	if got := tenant(); got["enrollmentPolicy"] != nil || audited() != 2 {
		t.Errorf("got %v, %d entries", got, audited())
	}
	settings := `{"defaultOutcome":"CHALLENGE","rules":[],"enrollmentPolicy":{"requiredFrom":"never","graceDays":0}}`
	p.ok(p.manage("PUT", "tenants/t1/actions/pay", settings))
	if got := strings.TrimSpace(p.ok(p.manage("GET", "tenants/t1/actions/pay", "")).text); got != settings {
		t.Errorf("got %s", got)
	}
}

// Users who were there before first sign-ins were stored count from when they were
// created.
func TestTheFirstSignInOfEarlierUsers(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	first := p.clock()
	p.track("u1", "signIn", "")
	storetest.Exec(t, p.database, `UPDATE users SET first_tracked_at = 0`)
	p.advance(20 * day)
	p.requires(0, 30)
	p.free(p.track("u1", "signIn", ""), first.Add(30*day))
	p.advance(10 * day)
	p.must(p.track("u1", "signIn", ""), first.Add(30*day))
}

// Trust in a browser replaces a code, and no enrollment.
func TestATrustedBrowserReplacesNoEnrollment(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	device := p.trusts("u1", p.enrolled("u1"))
	from := p.requires(0, 0)
	// As if the removal of the authenticator had left the trust.
	storetest.Exec(t, p.database, `DELETE FROM authenticators`)
	p.must(p.with("u1", "signIn", device, ""), from)
}
