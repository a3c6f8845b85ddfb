package server

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// link issues a recovery link for a user, and returns it with its secret.
func (p *peer) link(user, body string) (link map[string]any, secret string) {
	p.t.Helper()
	link = p.ok(p.api("POST", "/v1/users/"+user+"/recovery-links", body)).object
	u, err := url.Parse(link["url"].(string))
	if err != nil {
		p.t.Fatal(err)
	}
	if secret = u.Query().Get("recovery"); !strings.HasPrefix(secret, "rl1_") || u.Path != "/" || len(u.Query()) != 1 {
		p.t.Fatalf("got %v", link)
	}
	return link, secret
}

func (p *peer) linkEnroll(secret string) response {
	p.t.Helper()
	return p.do("POST", "/v1/recovery/enroll", "", `{"secret":"`+secret+`"}`)
}

func (p *peer) linkVerify(secret, code string) response {
	p.t.Helper()
	return p.do("POST", "/v1/recovery/verify", "", `{"secret":"`+secret+`","verificationCode":"`+code+`"}`)
}

// uses enrolls an app by a link, and returns its secret.
func (p *peer) uses(secret string) (app string) {
	p.t.Helper()
	app = p.ok(p.linkEnroll(secret)).object["secret"].(string)
	p.accepted(p.linkVerify(secret, p.code(app, 0)))
	return app
}

// factors returns the number of a user's authenticators.
func (p *peer) factors(user string) int {
	p.t.Helper()
	return len(p.ok(p.api("GET", "/v1/users/"+user+"/authenticators", "")).list)
}

// signsIn reports whether a code completes a challenge of a user.
func (p *peer) signsIn(user, code string) bool {
	p.t.Helper()
	return p.ok(p.verify(p.token(user, "signIn", ""), code)).object["isVerified"] == true
}

func (p *peer) linkState(user string) any {
	p.t.Helper()
	list := p.ok(p.api("GET", "/v1/users/"+user+"/recovery-links", "")).list
	if len(list) != 1 {
		p.t.Fatalf("got %v", list)
	}
	return list[0].(map[string]any)["state"]
}

// A link enrolls one app, and voids nothing but trust in browsers.
func TestARecoveryLinkEnrollsOneApp(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	old, codes := p.recoverable("u1")
	device := p.trusts("u1", old)
	link, secret := p.link("u1", `{"issuedBy":"Jo of the help desk"}`)
	if link["state"] != "ACTIVE" || link["issuedBy"] != "Jo of the help desk" || len(link["void"].([]any)) != 0 {
		t.Errorf("got %v", link)
	}
	p.fails(p.linkVerify(secret, "000000"), 400, "invalid_request") // nothing was begun
	first := p.ok(p.linkEnroll(secret)).object
	again := p.ok(p.linkEnroll(secret)).object // of a page that was reloaded
	if first["secret"] == again["secret"] || again["replaced"] != true {
		t.Errorf("got %v", again)
	}
	app := again["secret"].(string)
	p.refused(p.linkVerify(secret, p.code(first["secret"].(string), 0)), "CODE_INVALID_OR_EXPIRED")
	if p.factors("u1") != 1 || p.linkState("u1") != "ACTIVE" {
		t.Error("a refused code changed something")
	}
	r := p.accepted(p.linkVerify(secret, p.code(app, 0)))
	if r.object["accessToken"] != nil || r.object["userAuthenticator"].(map[string]any)["userAuthenticatorId"] != again["userAuthenticatorId"] {
		t.Errorf("got %s", r.text)
	}
	p.fails(p.linkVerify(secret, p.code(app, 1)), 410, "invalid_request")
	p.fails(p.linkEnroll(secret), 410, "invalid_request")
	if p.factors("u1") != 2 || p.linkState("u1") != "USED" {
		t.Errorf("%d authenticators, the link is %v", p.factors("u1"), p.linkState("u1"))
	}
	p.asks(p.with("u1", "signIn", device, ""))
	p.advance(time.Minute)
	if !p.signsIn("u1", p.code(app, 0)) || !p.signsIn("u1", p.code(old, 0)) {
		t.Error("a code of the new or the old app is refused")
	}
	p.accepted(p.recover(p.token("u1", "signIn", ""), codes[0]))
}

func TestWhatARecoveryLinkVoids(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	old, codes := p.recoverable("u1")
	before := p.token("u1", "signIn", "")
	_, secret := p.link("u1", `{"void":["recoveryCodes","authenticators","recoveryCodes"]}`)
	app := p.ok(p.linkEnroll(secret)).object["secret"].(string)
	p.advance(time.Minute)
	if !p.signsIn("u1", p.code(old, 0)) {
		t.Error("the old app ended before the new one was verified")
	}
	p.accepted(p.linkVerify(secret, p.code(app, 0)))
	p.fails(p.verify(before, p.code(app, 1)), 401, "unauthorized")
	p.advance(time.Minute)
	if p.factors("u1") != 1 || p.signsIn("u1", p.code(old, 0)) || !p.signsIn("u1", p.code(app, 0)) {
		t.Error("the old app still counts, or the new one does not")
	}
	p.fails(p.recover(p.token("u1", "signIn", ""), codes[0]), 400, "invalid_request")
}

// Where a user may have no other authenticator, a link must void the one before.
func TestARecoveryLinkReplacesTheOnlyApp(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*api.AuthenticatorSettings){
		func(s *api.AuthenticatorSettings) { s.AllowMultiple = false },
		func(s *api.AuthenticatorSettings) { s.MaxAuthenticators = 1 },
	} {
		p := newPeer(t)
		old := p.enrolled("u1")
		_, early := p.link("u1", "")
		app := p.ok(p.linkEnroll(early)).object["secret"].(string)
		p.settings(change)
		p.fails(p.api("POST", "/v1/users/u1/recovery-links", ""), 400, "invalid_request")
		p.fails(p.linkVerify(early, p.code(app, 0)), 400, "invalid_request")
		p.fails(p.linkEnroll(early), 400, "invalid_request")
		_, secret := p.link("u1", `{"void":["authenticators"]}`)
		app = p.uses(secret)
		p.advance(time.Minute)
		if p.factors("u1") != 1 || p.signsIn("u1", p.code(old, 0)) || !p.signsIn("u1", p.code(app, 0)) {
			t.Error("the app was not replaced")
		}
	}
	p := newPeer(t)
	p.enrolled("u1")
	_, secret := p.link("u1", "")
	p.settings(func(s *api.AuthenticatorSettings) { s.Active = false })
	p.fails(p.api("POST", "/v1/users/u1/recovery-links", ""), 400, "invalid_configuration")
	p.fails(p.linkEnroll(secret), 400, "invalid_configuration")
}

func TestRecoveryLinksEnd(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	unknown := func(secret string) {
		t.Helper()
		p.fails(p.linkEnroll(secret), 404, "not_found")
		p.fails(p.linkVerify(secret, "000000"), 404, "not_found")
	}
	for name, end := range map[string]func(id any){
		"another link": func(any) { p.link("u1", "") },
		"a revocation": func(id any) {
			p.fails(p.api("DELETE", "/v1/users/u1/recovery-links/"+strings.Repeat("x", 36), ""), 404, "not_found")
			p.fails(p.api("DELETE", fmt.Sprint("/v1/users/u2/recovery-links/", id), ""), 404, "not_found")
			p.ok(p.api("DELETE", fmt.Sprint("/v1/users/u1/recovery-links/", id), ""))
		},
		"the end of all tokens": func(any) { p.ok(p.api("DELETE", "/v1/users/u1/tokens", "")) },
		"a reset":               func(any) { p.ok(p.api("POST", "/v1/users/u1/reset", "")) },
		"a deleted user": func(any) {
			p.ok(p.api("DELETE", "/v1/users/u1", ""))
			p.enrolled("u1")
		},
	} {
		link, secret := p.link("u1", "")
		app := p.ok(p.linkEnroll(secret)).object["secret"].(string)
		end(link["recoveryLinkId"])
		if r := p.linkVerify(secret, p.code(app, 0)); r.status != 404 {
			t.Errorf("after %s: got %d %s", name, r.status, r.text)
		}
		unknown(secret)
	}
	_, secret := p.link("u1", `{"expiresInSeconds":60}`)
	app := p.ok(p.linkEnroll(secret)).object["secret"].(string)
	p.advance(time.Minute)
	p.fails(p.linkVerify(secret, p.code(app, 0)), 410, "invalid_request")
	if got := p.linkState("u1"); got != "EXPIRED" {
		t.Errorf("got %v", got)
	}
	for _, secret := range []string{"", "rl1_", "rl1_" + strings.Repeat("A", 43), strings.TrimPrefix(secret, "rl1_"), secret + "A", secret[:46]} {
		unknown(secret)
	}
}

func TestRecoveryLinksAreCheckedStrictly(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	for _, body := range []string{
		`{"expiresInSeconds":59}`, `{"expiresInSeconds":86401}`, `{"expiresInSeconds":null}`, `{"expires":60}`, `{"void":["everything"]}`,
		`{"void":["trustedBrowsers"]}`, `{"void":"authenticators"}`, `{"issuedBy":"` + strings.Repeat("x", 65) + `"}`, `{"issuedBy":"a\u202eb"}`, `[]`,
	} {
		p.fails(p.api("POST", "/v1/users/u1/recovery-links", body), 400, "invalid_request")
	}
	p.fails(p.api("POST", "/v1/users/u1/recovery-links?notify=true", ""), 400, "invalid_request")
	p.fails(p.api("POST", "/v1/users/u2/recovery-links", ""), 404, "not_found")
	p.fails(p.api("POST", "/v1/users/u2/reset", ""), 404, "not_found")
	p.fails(p.api("POST", "/v1/users/u1/reset", `{"keep":"codes"}`), 400, "invalid_request")
	_, secret := p.link("u1", "")
	p.fails(p.do("POST", "/v1/recovery/enroll", "", `{"secret":"`+secret+`","scope":"x"}`), 400, "invalid_request")
	p.fails(p.do("POST", "/v1/recovery/enroll?secret="+secret, "", `{}`), 400, "invalid_request")
	p.fails(p.do("GET", "/v1/recovery/enroll", "", ""), 405, "invalid_request")
	p.fails(p.do("POST", "/v1/recovery/other", "", ""), 404, "not_found")
	// The secret is no token and no key.
	p.fails(p.enroll(secret), 401, "unauthorized")
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+secret+`"}`)).text; !strings.Contains(got, `"isValid":false`) {
		t.Errorf("got %s", got)
	}
	p.fails(p.do("GET", "/v1/users/u1", basic(secret), ""), 401, "unauthorized")
	// Pages of other origins do not call it.
	r := p.do("POST", "/v1/recovery/enroll", "", `{"secret":"`+secret+`"}`, "Origin", "https://app.test")
	if got := r.header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("Access-Control-Allow-Origin: got %q", got)
	}
}

// A locked user can be recovered, and the refused codes of an app that a link enrolls
// are no failures of the others.
func TestARecoveryLinkOfALockedUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	old := p.enrolled("u1")
	tok := p.token("u1", "signIn", "")
	for range 10 {
		p.verify(tok, p.wrong(old))
	}
	p.refused(p.verify(tok, p.wrong(old)), "MAX_ATTEMPTS_EXCEEDED")
	_, secret := p.link("u1", "")
	app := p.ok(p.linkEnroll(secret)).object["secret"].(string)
	for range 10 {
		p.refused(p.linkVerify(secret, p.wrong(app)), "CODE_INVALID_OR_EXPIRED")
	}
	p.refused(p.linkVerify(secret, p.code(app, 0)), "MAX_ATTEMPTS_EXCEEDED")
	app = p.uses(secret)
	p.advance(time.Minute)
	if !p.signsIn("u1", p.code(app, 0)) {
		t.Error("the new app is refused")
	}
}

func TestTwoHundredUsesOfARecoveryLinkCountOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	_, secret := p.link("u1", `{"void":["authenticators"]}`)
	app := p.ok(p.linkEnroll(secret)).object["secret"].(string)
	var verified, gone atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			switch r := p.linkVerify(secret, p.code(app, int64(i%3-1))); {
			case r.object["isVerified"] == true:
				verified.Add(1)
			case r.status == 410:
				gone.Add(1)
			default:
				t.Errorf("got %d %s", r.status, r.text)
			}
		})
	}
	all.Wait()
	if verified.Load() != 1 || gone.Load() != 199 || p.factors("u1") != 1 {
		t.Errorf("%d verified, %d gone, %d authenticators", verified.Load(), gone.Load(), p.factors("u1"))
	}
}

func TestARecoveryLinkWaitsForItsApproval(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	if got := p.ok(p.manage("PUT", "tenants/t1", `{"recoveryLinks":{"approval":true}}`)).object["recoveryLinks"]; fmt.Sprint(got) != "map[approval:true]" {
		t.Errorf("got %v", got)
	}
	p.fails(p.manage("PUT", "tenants/t1", `{"recoveryLinks":{"aproval":true}}`), 400, "invalid_request")
	p.enrolled("u1")
	link, secret := p.link("u1", `{"issuedBy":"Jo"}`)
	if link["state"] != "PENDING_APPROVAL" {
		t.Errorf("got %v", link)
	}
	waits := func() {
		t.Helper()
		p.fails(p.linkEnroll(secret), 403, "unauthorized")
		p.fails(p.linkVerify(secret, "000000"), 403, "unauthorized")
	}
	waits()
	approve := func(agent mfa.Agent) error {
		return p.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
			tenant, _, err := tx.Tenant()
			if err == nil {
				_, err = mfa.ApproveRecoveryLink(tx, tenant, "u1", link["recoveryLinkId"].(string), agent, p.clock())
			}
			return err
		})
	}
	// Not by its issuer, by what the server knows of it.
	p.fails(p.api("POST", fmt.Sprint("/v1/users/u1/recovery-links/", link["recoveryLinkId"], "/approve"), `{"approvedBy":"Al"}`), 403, "unauthorized")
	for _, agent := range []mfa.Agent{{By: mfa.ByOperator, Name: "jo", Session: "s"}, {By: mfa.ByOperator, Session: "s"}} {
		if err := approve(agent); err == nil {
			t.Errorf("approved by %v", agent)
		}
	}
	waits()
	// The setting decides when the link is issued.
	p.ok(p.manage("PUT", "tenants/t1", `{"recoveryLinks":{"approval":false}}`))
	waits()
	if err := approve(mfa.Agent{By: mfa.ByOperator, Name: "Al", Session: "s"}); err != nil {
		t.Fatal(err)
	}
	if err := approve(mfa.Agent{By: mfa.ByOperator, Name: "Al", Session: "s"}); err == nil {
		t.Error("approved twice")
	}
	p.uses(secret)
	// One that was issued in the portal is approved by the Server API, or in another
	// session and under another name.
	p.ok(p.manage("PUT", "tenants/t1", `{"recoveryLinks":{"approval":true}}`))
	issue := func() {
		err := p.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
			out, _, err := mfa.IssueRecoveryLink(tx, "u1", mfa.LinkRequest{Seconds: 60}, mfa.Agent{By: mfa.ByOperator, Name: "Jo", Session: "a"}, p.clock())
			link["recoveryLinkId"] = out.RecoveryLinkID
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	issue()
	for _, agent := range []mfa.Agent{{By: mfa.ByOperator, Name: "Al", Session: "a"}, {By: mfa.ByOperator, Name: "JO", Session: "b"}} {
		if err := approve(agent); err == nil {
			t.Errorf("approved by %v", agent)
		}
	}
	path := fmt.Sprint("/v1/users/u1/recovery-links/", link["recoveryLinkId"], "/approve")
	p.fails(p.api("POST", path, `{"approvedBy":"Jo"}`), 403, "unauthorized")
	for _, unnamed := range []string{``, `{}`, `{"approvedBy":""}`, `{"approvedBy":" "}`} {
		p.fails(p.api("POST", path, unnamed), 400, "invalid_request")
	}
	if got := p.ok(p.api("POST", path, `{"approvedBy":"Al"}`)).object; got["state"] != "ACTIVE" || got["approvedBy"] != "Al" || got["url"] != nil {
		t.Errorf("got %v", got)
	}
	issue()
	if err := approve(mfa.Agent{By: mfa.ByOperator, Name: "Al", Session: "b"}); err != nil {
		t.Error(err)
	}
}

// No secret is in an audit entry, an event or the log.
func TestRecoveryLinksAreRecorded(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.manage("PUT", "tenants/t1", `{"webhookUrl":"https://hooks.test/"}`))
	old := p.ok(p.api("POST", "/v1/users/u1/authenticators",
		`{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/Acme:u?secret=`+importedSecret+`"}`)).object
	_, first := p.link("u1", "")
	_, secret := p.link("u1", `{"issuedBy":"Jo","void":["authenticators"]}`)
	app := p.uses(secret)
	var audit []string
	for _, e := range p.ok(p.manage("GET", "tenants/t1/audit?userId=u1", "")).list {
		e := e.(map[string]any)
		audit = append(audit, fmt.Sprint(e["kind"], " ", e["detail"]))
	}
	for _, want := range []string{
		"recovery_link.issued map[by:backend", "recovery_link.revoked map[by:backend name:Jo", "recovery_link.used map[browsers:0",
		"enrollment.begun map[recoveryLinkId:", "enrollment.completed map[recoveryLinkId:", "authenticator.deleted map[recoveryLinkId:",
	} {
		if !strings.Contains(strings.Join(audit, "\n"), want) {
			t.Errorf("no %q in %q", want, audit)
		}
	}
	events, err := p.store.ClaimEvents(t.Context(), p.clock().Add(time.Second), p.clock().Add(time.Minute), func(due []store.Due) []store.Claim {
		return []store.Claim{{TenantID: due[0].TenantID, Events: 20}}
	})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(audit, p.log)
	counts := map[string]int{}
	for _, e := range events {
		counts[e.Type]++
		all += string(e.Body)
	}
	if want := "map[authenticator.created:2 authenticator.deleted:1 recovery_link.issued:2 recovery_link.used:1]"; fmt.Sprint(counts) != want {
		t.Errorf("got %v, want %s", counts, want)
	}
	for _, s := range []string{first, secret, app, strings.TrimPrefix(secret, "rl1_")} {
		if strings.Contains(all, s) {
			t.Error("a secret is in the audit log, an event or the log")
		}
	}
	if id := old["authenticator"].(map[string]any)["userAuthenticatorId"].(string); !strings.Contains(all, id) {
		t.Error("no entry names the removed authenticator")
	}
}

func TestResetKeepsTheUser(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	old, _ := p.recoverable("u1")
	device := p.trusts("u1", old)
	tok := p.token("u1", "signIn", `{"email":"u1@example.com"}`)
	p.ok(p.api("POST", "/v1/users/u1/reset", ""))
	if p.factors("u1") != 0 {
		t.Error("an authenticator is left")
	}
	p.fails(p.verify(tok, p.code(old, 1)), 401, "unauthorized")
	if got := p.ok(p.api("GET", "/v1/users/u1/recovery-codes", "")).object["total"]; got != 0.0 {
		t.Errorf("%v recovery codes", got)
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).list; len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if got := p.ok(p.api("GET", "/v1/users/u1", "")).object; got["email"] != "u1@example.com" || got["isEnrolled"] != false {
		t.Errorf("got %v", got)
	}
	// The first factor enrolls again.
	if r := p.with("u1", "signIn", device, ""); r["state"] != "ALLOW" || r["isTrusted"] != nil {
		t.Errorf("got %v", r)
	}
	p.enrolled("u1")
}

func TestTheGoSDKOfRecoveryLinks(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u 1")
	c := authsignal.New(testSecret, p.url+"/v1")
	ctx := t.Context()
	link, err := c.IssueRecoveryLink(ctx, authsignal.IssueRecoveryLinkRequest{
		UserID: "u 1", ExpiresIn: 2 * time.Hour, Void: []authsignal.RecoveryLinkVoid{authsignal.VoidAuthenticators}, IssuedBy: "Jo",
	})
	if err != nil || link.State != authsignal.LinkActive || !link.ExpiresAt.Equal(p.clock().Add(2*time.Hour)) || !strings.HasPrefix(link.URL, "http://mfa.test/?recovery=rl1_") {
		t.Fatalf("got %+v, %v", link, err)
	}
	if _, err := c.ApproveRecoveryLink(ctx, "u 1", link.RecoveryLinkID, "Al"); err == nil {
		t.Error("a link that waits for no approval was approved")
	}
	list, err := c.RecoveryLinks(ctx, "u 1")
	if err != nil || len(list) != 1 || list[0].URL != "" || list[0].RecoveryLinkID != link.RecoveryLinkID {
		t.Errorf("got %+v, %v", list, err)
	}
	if err := c.RevokeRecoveryLink(ctx, "u 1", link.RecoveryLinkID); err != nil {
		t.Error(err)
	}
	if err := c.ResetUser(ctx, "u 1"); err != nil {
		t.Error(err)
	}
	if u, err := c.User(ctx, "u 1"); err != nil || u.IsEnrolled {
		t.Errorf("got %+v, %v", u, err)
	}
}
