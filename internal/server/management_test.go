package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

const managementKey = "a management key of the tests"

// manage calls the management API with the right key.
func (p *peer) manage(method, path, body string) response {
	p.t.Helper()
	return p.do(method, "/v1/management/"+path, basic(managementKey), body)
}

func managedPeer(t *testing.T) *peer {
	t.Helper()
	return newPeer(t, func(c *Config) { c.ManagementKey = managementKey })
}

func TestManagementNeedsItsOwnKey(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	for _, authorization := range []string{"", basic(testSecret), basic(""), "Bearer " + managementKey, basic(managementKey + "x")} {
		p.fails(p.do("GET", "/v1/management/tenants", authorization, ""), 401, "unauthorized")
		p.fails(p.do("GET", "/v1/management/no-such-path", authorization, ""), 401, "unauthorized")
	}
	p.ok(p.manage("GET", "tenants", ""))
	p.fails(p.do("GET", "/v1/users/u1", basic(managementKey), ""), 401, "unauthorized")
	// If the server has no key, every request is refused.
	p = newPeer(t)
	p.fails(p.do("GET", "/v1/management/tenants", basic(""), ""), 401, "unauthorized")
	p.fails(p.do("GET", "/v1/management/tenants", "Basic Og==", ""), 401, "unauthorized")
}

func TestManageTenants(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.fails(p.manage("GET", "tenants/t9", ""), 404, "not_found")
	p.fails(p.manage("PUT", "tenants/a%20b", "{}"), 400, "invalid_request")
	created := p.ok(p.manage("PUT", "tenants/t9", `{"authenticator":{"issuer":"Nine","digits":8,"active":true}}`)).object
	want := map[string]any{
		"active": true, "issuer": "Nine", "algorithm": "SHA1", "digits": 8.0, "period": 30.0, "drift": 1.0, "allowMultiple": true, "maxAuthenticators": 10.0,
		"maxFailures": 10.0, "windowSeconds": 300.0, "maxFailuresInARow": 100.0, "recoveryCodes": true,
	}
	if got := created["authenticator"]; created["tenantId"] != "t9" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", created, want)
	}
	// Settings that are not in the body are kept.
	want["drift"] = 0.0
	if got := p.ok(p.manage("PUT", "tenants/t9", `{"authenticator":{"drift":0}}`)).object["authenticator"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for body, name := range map[string]string{
		`{"authenticator":{"digits":7}}`: "digits", `{"authenticator":{"period":45}}`: "period", `{"authenticator":{"drift":3}}`: "drift",
		`{"authenticator":{"algorithm":"MD5"}}`: "algorithm", `{"authenticator":{"issuer":""}}`: "issuer",
		`{"authenticator":{"issuer":"Acme: Pay"}}`: "issuer must not contain a colon",
		`{"authenticator":{"maxFailures":0}}`:      "maxFailures", `{"authenticator":{"windowSeconds":0}}`: "windowSeconds",
		`{"authenticator":{"maxFailuresInARow":101}}`: "maxFailuresInARow", `{"authenticator":{"maxAuthenticators":0}}`: "maxAuthenticators",
		`{"authenticator":{"maxAuthenticators":51}}`: "maxAuthenticators", `{"authenticator":{"active":"yes"}}`: "active",
	} {
		r := p.manage("PUT", "tenants/t9", body)
		p.fails(r, 400, "invalid_request")
		if d := r.object["errorDescription"].(string); !strings.Contains(d, name) {
			t.Errorf("%s: got %q", body, d)
		}
	}
	if got := p.ok(p.manage("GET", "tenants/t9", "")).object["authenticator"]; !reflect.DeepEqual(got, want) {
		t.Errorf("after refusals: got %v", got)
	}
	if got := len(p.ok(p.manage("GET", "tenants", "")).list); got != 2 {
		t.Errorf("got %d tenants, want 2", got)
	}
}

func TestManageSecretsWithAnOverlap(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	created := p.ok(p.manage("POST", "tenants/t1/secrets", `{"overlapSeconds":60}`)).object
	fresh := created["apiSecretKey"].(string)
	with := func(secret string) int { return p.do("GET", "/v1/users/u1", basic(secret), "").status }
	if with(testSecret) != 200 || with(fresh) != 200 {
		t.Error("during the overlap both are valid")
	}
	p.advance(time.Minute)
	if with(testSecret) != 401 || with(fresh) != 200 {
		t.Error("after the overlap only the new one is")
	}
	r := p.ok(p.manage("GET", "tenants/t1/secrets", ""))
	if strings.Contains(r.text, fresh) || len(r.list) != 2 {
		t.Errorf("got %s", r.text)
	}
	// A revoked key stays revoked, even if a server is started with it.
	p.ok(p.manage("DELETE", "tenants/t1/secrets/"+created["secretId"].(string), ""))
	err := p.store.Update(t.Context(), "t1", func(tx *store.Tx) error { _, _, err := tx.EnsureSecret(fresh, p.clock()); return err })
	if err != nil || with(fresh) != 401 {
		t.Errorf("a revoked key is valid, %v", err)
	}
	p.fails(p.manage("DELETE", "tenants/t1/secrets/"+created["secretId"].(string), ""), 404, "not_found")
	p.fails(p.manage("DELETE", "tenants/t1/secrets/none", ""), 404, "not_found")
	p.fails(p.manage("POST", "tenants/t1/secrets", `{"overlapSeconds":-1}`), 400, "invalid_request")
}

// The overlap of a later key can shorten that of an earlier one, but not lengthen
// it.
func TestAnOverlapOnlyShortens(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.manage("POST", "tenants/t1/secrets", `{"overlapSeconds":600}`))
	in := func() int { return p.do("GET", "/v1/users/u1", basic(testSecret), "").status }
	p.ok(p.manage("POST", "tenants/t1/secrets", `{"overlapSeconds":6000}`))
	if in() != 200 {
		t.Error("the first key has ended early")
	}
	p.ok(p.manage("POST", "tenants/t1/secrets", `{"overlapSeconds":0}`))
	if in() != 401 {
		t.Error("after no overlap the first key is valid")
	}
}

func TestManagementRefusesMalformedIDs(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	for _, id := range []string{"%00", "%FF", strings.Repeat("a", 257)} {
		p.fails(p.manage("DELETE", "tenants/t1/secrets/"+id, ""), 400, "invalid_request")
		p.fails(p.manage("POST", "tenants/t1/users/u1/authenticators/"+id+"/unlock", ""), 400, "invalid_request")
		p.fails(p.manage("GET", "tenants/t1/audit?userId="+id, ""), 400, "invalid_request")
	}
}

func TestManageActions(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	got := p.ok(p.manage("GET", "tenants/t1/actions/pay", "")).object
	if want := map[string]any{"defaultOutcome": "CHALLENGE", "rules": []any{}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	body := `{"defaultOutcome":"ALLOW","rules":[{"name":"large","condition":"has(custom.amount) && custom.amount > 1000","outcome":"BLOCK"}]}`
	set := p.ok(p.manage("PUT", "tenants/t1/actions/pay", body)).object
	if got := p.ok(p.manage("GET", "tenants/t1/actions/pay", "")).object; !reflect.DeepEqual(got, set) {
		t.Errorf("got %v, want %v", got, set)
	}
	all := p.ok(p.manage("GET", "tenants/t1/actions", "")).object
	if !reflect.DeepEqual(all, map[string]any{"pay": set}) {
		t.Errorf("got %v", all)
	}
	r := p.manage("PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"ALLOW","rules":[{"name":"x","condition":"true &&\n usr","outcome":"BLOCK"}]}`)
	p.fails(r, 400, "invalid_request")
	if d := r.object["errorDescription"].(string); !strings.Contains(d, "rules[0]: condition, line 2, column 2") {
		t.Errorf("got %q", d)
	}
	p.ok(p.manage("DELETE", "tenants/t1/actions/pay", ""))
	p.fails(p.manage("DELETE", "tenants/t1/actions/pay", ""), 404, "not_found")
}

func TestUnlockAfterTheHardStop(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.manage("PUT", "tenants/t1", `{"authenticator":{"maxFailuresInARow":3}}`))
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", "")
	for range 3 {
		p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	}
	p.refused(p.verify(tok, p.code(secret, 1)), "MAX_ATTEMPTS_EXCEEDED")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.fails(p.manage("POST", "tenants/t1/users/u2/authenticators/"+id+"/unlock", ""), 404, "not_found")
	p.ok(p.manage("POST", "tenants/t1/users/u1/authenticators/"+id+"/unlock", ""))
	p.fails(p.verify(tok, p.code(secret, 1)), 401, "unauthorized")
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1)))
}

func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.manage("PUT", "tenants/t1", `{"authenticator":{"drift":2}}`))
	p.ok(p.manage("PUT", "tenants/t1", `{"authenticator":{"drift":2}}`)) // changes nothing
	fresh := p.ok(p.manage("POST", "tenants/t1/secrets", "")).object["apiSecretKey"].(string)
	p.ok(p.manage("PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"BLOCK"}`))
	p.ok(p.manage("PUT", "tenants/t1", `{"webhookUrl":"https://hooks.test:444/hunter2?key=hunter2"}`))
	p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
	for range 2 { // the second time it changes nothing
		p.ok(p.api("PATCH", "/v1/users/u1/actions/signIn/k", `{"state":"REVIEW_REQUIRED"}`))
	}
	r := p.ok(p.manage("GET", "tenants/t1/audit", ""))
	var details []string
	for _, e := range r.list {
		d, err := json.Marshal(e.(map[string]any)["detail"])
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, string(d))
	}
	if len(r.list) != 5 || strings.Contains(r.text, fresh) || strings.Contains(r.text, "hunter2") || r.list[2].(map[string]any)["action"] != "pay" ||
		details[0] != `{"state":"REVIEW_REQUIRED"}` || details[1] != `{"host":"hooks.test:444","what":"webhook"}` {
		t.Errorf("got %s", r.text)
	}
	if got := len(p.ok(p.manage("GET", "tenants/t1/audit?limit=1", "")).list); got != 1 {
		t.Errorf("got %d lines, want 1", got)
	}
	p.fails(p.manage("GET", "tenants/t1/audit?limit=x", ""), 400, "invalid_request")
}

// signingKeys implements SigningKeys without replicas: a new key signs
// immediately.
type signingKeys struct{ p *peer }

func (k signingKeys) Rotate(ctx context.Context) error {
	return k.p.store.Update(ctx, "", func(tx *store.Tx) error { return manage.NewSigningKey(tx, 0, time.Minute, k.p.clock()) })
}

func (k signingKeys) Withdraw(ctx context.Context, id string) error {
	return k.p.store.Update(ctx, "", func(tx *store.Tx) error {
		return manage.WithdrawSigningKey(tx, id, time.Minute, k.p.clock())
	})
}

func newSigningKeysPeer(t *testing.T) *peer {
	t.Helper()
	var keys signingKeys
	p := newPeer(t, func(c *Config) { c.ManagementKey, c.SigningKeys = managementKey, &keys })
	keys.p = p
	return p
}

func TestSigningKeysAreListedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	p := newSigningKeysPeer(t)
	p.ok(p.manage("POST", "signing-keys", ""))
	p.advance(time.Second)
	p.ok(p.manage("POST", "signing-keys", ""))
	first, second := p.clock().Add(-time.Second), p.clock()
	list := p.ok(p.manage("GET", "signing-keys", "")).list
	if len(list) != 2 {
		t.Fatalf("got %v", list)
	}
	text := func(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
	for i, want := range []map[string]any{
		{"createdAt": text(first), "signsFrom": text(first), "verifiesUntil": text(second.Add(time.Minute))},
		{"createdAt": text(second), "signsFrom": text(second)},
	} {
		got := list[i].(map[string]any)
		if id, _ := got["keyId"].(string); len(id) != 36 {
			t.Errorf("%d: got the id %v", i, got["keyId"])
		}
		delete(got, "keyId")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d: got %v, want %v", i, got, want)
		}
	}
}

func TestWithdrawSigningKey(t *testing.T) {
	t.Parallel()
	p := newSigningKeysPeer(t)
	p.ok(p.manage("POST", "signing-keys", ""))
	id := p.ok(p.manage("GET", "signing-keys", "")).list[0].(map[string]any)["keyId"].(string)
	p.ok(p.manage("DELETE", "signing-keys/"+id, ""))
	list := p.ok(p.manage("GET", "signing-keys", "")).list
	if len(list) != 1 || list[0].(map[string]any)["keyId"] == id {
		t.Errorf("got %v", list)
	}
	p.fails(p.manage("DELETE", "signing-keys/"+id, ""), 404, "not_found")
	p.fails(p.do("DELETE", "/v1/management/signing-keys/"+id, basic(testSecret), ""), 401, "unauthorized")
}

// The keys and tokens of a deleted tenant end at once, and its id is not used
// again.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.imported("otpauth://totp/jane?secret=" + importedSecret))
	tok := p.token("u1", "signIn", "")
	p.fails(p.manage("DELETE", "tenants/t9", ""), 404, "not_found")
	if got := p.ok(p.manage("DELETE", "tenants/t1", "")).text; got != `{"success":true}`+"\n" {
		t.Errorf("got %s", got)
	}
	p.fails(p.api("GET", "/v1/users/u1", ""), 401, "unauthorized")
	p.fails(p.verify(tok, p.code(importedSecret, 0)), 401, "unauthorized")
	p.fails(p.manage("GET", "tenants/t1", ""), 404, "not_found")
	p.fails(p.manage("DELETE", "tenants/t1", ""), 404, "not_found")
	p.fails(p.manage("POST", "tenants/t1/secrets", ""), 404, "not_found")
	r := p.manage("PUT", "tenants/t1", `{"authenticator":{"issuer":"Again"}}`)
	p.fails(r, 409, "invalid_request")
	if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, "was deleted at 2023-11-14T22:13:20Z") {
		t.Errorf("got %q", d)
	}
	want := map[string]any{"what": "tenant deleted", "tenantId": "t1", "by": "operator"}
	recorded := slices.ContainsFunc(p.ok(p.manage("GET", "audit", "")).list, func(e any) bool {
		return reflect.DeepEqual(e.(map[string]any)["detail"], want)
	})
	if !recorded {
		t.Error("the audit log of the server does not record it")
	}
}

// The management API ignores nothing of a request.
func TestManagementRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	for _, tt := range []struct{ method, path, body, want string }{
		{"PUT", "tenants/t1", `{"authentikator":{}}`, `The request body has the unknown key "authentikator". Its keys are authenticator, branding, createdAt, enrollmentPolicy, origins`},
		{"PUT", "tenants/t1", `{"Origins":[]}`, `unknown key "Origins"`},
		{"PUT", "tenants/t1", `{"authenticator":{"digit":8}}`, `authenticator has the unknown key "digit"`},
		{"PUT", "tenants/t1", `{"branding":{"colour":"#000000"}}`, `branding has the unknown key "colour"`},
		{"PUT", "tenants/t1", `{"origins":[],"origins":["https://a.test"]}`, "has the key origins twice"},
		{"PUT", "tenants/t1", `{"authenticator":{"digits":6,"digits":8}}`, "authenticator has the key digits twice"},
		{"PUT", "tenants/t1", `{"authenticator":{"digits":null}}`, "authenticator.digits must not be null"},
		{"PUT", "tenants/t1", `{"origins":null}`, "origins must not be null"},
		{"PUT", "tenants/t1", `{"authenticator":{"digits":"8"}}`, "authenticator.digits must be a number, not a string"},
		{"PUT", "tenants/t1", `{"authenticator":{"active":1}}`, "authenticator.active must be a boolean, not a number"},
		{"PUT", "tenants/t1", `{"origins":"https://a.test"}`, "origins must be a list, not a string"},
		{"PUT", "tenants/t1", `{"tenantId":"t2"}`, "tenantId is not that of the path"},
		{"PUT", "tenants/t1", `{"createdAt":"2020-01-01T00:00:00Z"}`, "createdAt cannot be set"},
		{"PUT", "tenants/t1?dryRun=1", `{}`, `The query parameter "dryRun" is unknown. This path takes none.`},
		{"PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"BLOCK","rule":[]}`, `unknown key "rule"`},
		{"PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"BLOCK","rules":[{"name":"n","condition":"true","outcome":"ALLOW","if":"x"}]}`, `rules[0] has the unknown key "if"`},
		{"POST", "tenants/t1/secrets", `{"overlap":0}`, `unknown key "overlap"`},
		{"POST", "tenants/t1/users/u1/authenticators/a/unlock", `{"force":true}`, `must be empty, and has the key "force"`},
		{"POST", "signing-keys", `{"now":true}`, `must be empty, and has the key "now"`},
		{"DELETE", "tenants/t1/actions/pay", `{"a":1}`, `must be empty, and has the key "a"`},
		{"GET", "tenants?limit=1", "", `"limit" is unknown. This path takes none.`},
		{"GET", "tenants/t1/audit?user=u1", "", `"user" is unknown. This path takes userId, limit.`},
		{"GET", "tenants/t1/audit?limit=1&limit=2", "", "limit occurs twice"},
		{"GET", "audit?userId=u1", "", `"userId" is unknown. This path takes limit.`},
		{"GET", "audit?limit=1;x", "", "malformed"},
	} {
		r := p.manage(tt.method, tt.path, tt.body)
		p.fails(r, 400, "invalid_request")
		if got, _ := r.object["errorDescription"].(string); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %s:\ngot  %q\nwant %q", tt.method, tt.path, tt.body, got, tt.want)
		}
	}
	// Nothing of what was refused was stored.
	tenant := p.ok(p.manage("GET", "tenants/t1", ""))
	if got := tenant.object["authenticator"].(map[string]any)["digits"]; got != 6.0 {
		t.Errorf("got %v digits", got)
	}
	if got := p.ok(p.manage("GET", "tenants/t1/actions", "")).text; strings.Contains(got, "pay") {
		t.Errorf("got the actions %s", got)
	}
	// What it answers can be sent back.
	if got := p.ok(p.manage("PUT", "tenants/t1", tenant.text)).text; got != tenant.text {
		t.Errorf("got %s, want %s", got, tenant.text)
	}
}

// The additions of this server to other parts of the API ignore nothing either.
func TestAdditionsRefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	token := "Bearer " + p.track("u1", "signIn", "{}")["token"].(string)
	p.fails(p.do("POST", "/v1/client/token", token, `{"scopes":"read:authenticators"}`), 400, "invalid_request")
	p.fails(p.api("DELETE", "/v1/users/u1?actions=yes", ""), 400, "invalid_request")
	p.fails(p.api("DELETE", "/v1/users/u1?action=true", ""), 400, "invalid_request")
	p.fails(p.api("DELETE", "/v1/users/u1/tokens?all=1", ""), 400, "invalid_request")
	p.ok(p.api("DELETE", "/v1/users/u1?actions=false", ""))
	p.ok(p.api("DELETE", "/v1/users/u1?actions=true", ""))
}

// A webhook secret is returned once. Events and consents are signed with it, and with
// the API secret keys until the overlap ends.
func TestWebhookSecrets(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	type request struct {
		signature string
		body      []byte
	}
	requests := make(chan request, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests <- request{r.Header.Get(authsignal.WebhookSignatureHeader), body}
	}))
	t.Cleanup(hook.Close)
	p.ok(p.manage("PUT", "tenants/t1", `{"webhookUrl":"`+hook.URL+`"}`))
	user := 0
	// signed verifies a code of a new user, and returns which of the keys verify the
	// webhook that asks for consent.
	signed := func(keys ...string) (valid []bool) {
		t.Helper()
		user++
		p.enrolled(fmt.Sprint("u", user))
		asked := <-requests
		for _, key := range keys {
			_, err := authsignal.New(key, "").VerifyWebhook(asked.body, asked.signature, 0)
			valid = append(valid, err == nil)
		}
		return valid
	}
	created := p.ok(p.manage("POST", "tenants/t1/webhook-secrets", `{"overlapSeconds":60}`))
	first := created.object["webhookSecret"].(string)
	if len(first) != 43 || created.object["secretId"] == nil || created.object["createdAt"] == nil {
		t.Errorf("got %s", created.text)
	}
	if got := signed(first, testSecret, "another"); !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("in the overlap: got %v", got)
	}
	p.advance(time.Minute)
	if got := signed(first, testSecret); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("after the overlap: got %v", got)
	}
	second := p.ok(p.manage("POST", "tenants/t1/webhook-secrets", "")).object["webhookSecret"].(string)
	if got := signed(first, second, testSecret); !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("in the overlap of the second: got %v", got)
	}
	list := p.ok(p.manage("GET", "tenants/t1/webhook-secrets", ""))
	if len(list.list) != 2 || strings.Contains(list.text, first) || strings.Contains(list.text, second) {
		t.Errorf("got %s", list.text)
	}
	if list.list[0].(map[string]any)["expiresAt"] != nil || list.list[1].(map[string]any)["expiresAt"] == nil {
		t.Errorf("got %s", list.text)
	}
	for _, s := range list.list {
		p.ok(p.manage("DELETE", "tenants/t1/webhook-secrets/"+s.(map[string]any)["secretId"].(string), ""))
	}
	if got := signed(first, second, testSecret); !slices.Equal(got, []bool{false, false, true}) {
		t.Errorf("without any: got %v", got)
	}
	p.fails(p.manage("DELETE", "tenants/t1/webhook-secrets/"+list.list[0].(map[string]any)["secretId"].(string), ""), 404, "not_found")
	p.fails(p.manage("POST", "tenants/t1/webhook-secrets", `{"overlapSeconds":-1}`), 400, "invalid_request")
	p.fails(p.manage("GET", "tenants/none/webhook-secrets", ""), 404, "not_found")
	// It is no API secret key.
	p.fails(p.do("GET", "/v1/users/u1", basic(second), ""), 401, "unauthorized")
	if text := p.ok(p.manage("GET", "tenants/t1/audit", "")).text + p.log.String(); strings.Contains(text, first) || strings.Contains(text, second) {
		t.Error("the audit log or the log holds a secret")
	}
}
