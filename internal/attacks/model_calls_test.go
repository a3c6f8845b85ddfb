package attacks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// signingKeys are the signing keys of a world's server, instead of the daemon's: a
// new one signs at once, and none retires by itself.
type signingKeys struct {
	mu   sync.Mutex
	keys []token.Key // the first one signs
	made int
}

func newSigningKeys() *signingKeys {
	k := &signingKeys{}
	k.add()
	return k
}

func (k *signingKeys) add() {
	k.made++
	secret := sha256.Sum256([]byte(strconv.Itoa(k.made)))
	k.keys = slices.Insert(k.keys, 0, token.Key{ID: fmt.Sprint("signing-", k.made), Secret: secret[:]})
}

func (k *signingKeys) list() []token.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.keys)
}

func (k *signingKeys) Rotate(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add()
	return nil
}

func (k *signingKeys) Withdraw(_ context.Context, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.keys, func(key token.Key) bool { return key.ID == id })
	if i < 0 {
		return api.NotFound("The signing key does not exist.")
	}
	if k.keys = slices.Delete(k.keys, i, i+1); i == 0 {
		k.add()
	}
	return nil
}

// signer returns the key that signs.
func (w *world) signer() *modelSigner {
	id := w.keys.list()[0].ID
	if w.signers[id] == nil {
		w.signers[id] = &modelSigner{id: id}
	}
	return w.signers[id]
}

func (w *world) changeSigningKeys() (string, error) {
	before := w.signer()
	if w.rng.IntN(2) == 0 {
		w.note("make a signing key")
		r := w.call("POST", "/v1/management/signing-keys", basic(managementKey), "")
		if r.status != 200 || w.signer() == before {
			return "", disagree(r, "another key signs")
		}
		return "signing key made", nil
	}
	id := "unknown"
	if w.rng.IntN(4) > 0 {
		id = pick(w, w.keys.list()).ID
	}
	w.note("withdraw signing key %s, %s signs", id, before.id)
	r := w.call("DELETE", "/v1/management/signing-keys/"+id, basic(managementKey), "")
	if id == "unknown" {
		return outcome("signing key withdrawn", r, []string{notFound})
	}
	if k := w.signers[id]; k != nil { // it has signed a token
		k.withdrawn = true
	}
	if r.status != 200 || slices.ContainsFunc(w.keys.list(), func(k token.Key) bool { return k.ID == id }) {
		return "", disagree(r, "the key is withdrawn")
	}
	// The daemon's keys are in the database, which has none here.
	r = w.call("GET", "/v1/management/signing-keys", basic(managementKey), "")
	if r.status != 200 || r.list == nil {
		return "", disagree(r, "a list")
	}
	return "signing key withdrawn", nil
}

// A receiver receives the webhooks of a world's tenants. Each waits for the status
// with which the world answers it.
type receiver struct {
	server    *httptest.Server
	questions chan question
}

type question struct {
	body, signature string
	status          chan int
}

func newReceiver() *receiver {
	v := &receiver{questions: make(chan question)}
	v.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		q := question{body: string(body), signature: r.Header.Get("X-Signature-V2"), status: make(chan int)}
		select {
		case v.questions <- q:
			w.WriteHeader(<-q.status)
		case <-r.Context().Done():
		}
	}))
	return v
}

// The answers of a webhook.
const (
	consentGiven   = "consent given"
	consentRefused = "consent refused"
)

// verifyWithWebhook sends a code of a tenant with a webhook. If the model expects
// a call of the webhook, the webhook refuses or consents, sometimes after another
// step. consent is its answer, or "" if it was not called, and answers are the
// possible answers to the page.
func (w *world) verifyWithWebhook(k *modelToken, send func() response, v modelVerdict) (r response, consent string, answers []string, err error) {
	answer := make(chan response)
	go func() { answer <- send() }()
	select {
	case r = <-answer:
		if v.consent != nil {
			err = disagree(r, "a call of the webhook")
		}
		return r, "", v.refusals, err
	case q := <-w.hook.questions:
		status := http.StatusOK
		switch {
		case v.consent == nil:
			err = fmt.Errorf("unexpected call of the webhook: %s", q.body)
		case w.rng.IntN(3) == 0:
			consent, answers = consentRefused, []string{invalidRequest}
			status = pick(w, []int{300, 302, 400, 403, 500})
		default:
			consent = consentGiven
			status = pick(w, []int{200, 204})
		}
		if err == nil {
			err = v.consent.check(q, w.clock())
		}
		if err == nil && !w.inWebhook && w.rng.IntN(2) == 0 {
			w.note("while the webhook is called:")
			err = w.meanwhile(k)
		}
		w.note("the webhook answers %d", status)
		q.status <- status
		r = <-answer
	}
	if err == nil && consent == consentGiven {
		answers = v.consent.complete(w.clock())
		if len(answers) > 1 && r.status == http.StatusOK {
			v.consent.succeed(w.clock())
		}
	}
	return r, consent, answers, err
}

// meanwhile makes a step during a call of a webhook, often on the same action.
func (w *world) meanwhile(k *modelToken) error {
	w.inWebhook = true
	defer func() { w.inWebhook = false }()
	if w.rng.IntN(2) == 0 {
		_, err := w.step()
		return err
	}
	if w.rng.IntN(3) == 0 {
		w.note("end tokens of %s %s", k.tenant.id, k.user.id)
		k.user.epoch++
		k.user.link = nil
		_, err := outcome("end tokens", w.backend(k.tenant, "DELETE", "/users/"+k.user.id+"/tokens", ""), nil)
		return err
	}
	_, err := w.move(k.tenant, k.user, k.action, pick(w, allStates))
	return err
}

// check compares the event of a webhook, and its signatures: one by each API secret
// key in force.
func (c *modelConsent) check(q question, now time.Time) error {
	var event struct {
		Type, TenantID string
		Data           struct{ UserID, Action, IdempotencyKey, State string }
	}
	if err := json.Unmarshal([]byte(q.body), &event); err != nil {
		return err
	}
	k := c.token
	if d := event.Data; event.Type != "action.verify" || event.TenantID != k.tenant.id || d.UserID != k.user.id ||
		d.Action != k.action.code || d.IdempotencyKey != k.action.key || d.State != challengeSucceeded {
		return fmt.Errorf("the webhook: got %s, want action.verify of %s", q.body, k)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	var want []string
	for _, key := range k.tenant.inForce(now) {
		mac := hmac.New(sha256.New, []byte(key.text))
		io.WriteString(mac, at+"."+q.body)
		want = append(want, "v2="+base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	}
	parts := strings.Split(q.signature, ",")
	got := parts[1:]
	slices.Sort(got)
	slices.Sort(want)
	if parts[0] != "t="+at || !slices.Equal(got, want) {
		return fmt.Errorf("the signatures are not those of the %d API secret keys in force: %q", len(want), q.signature)
	}
	return nil
}

// makeKey creates an API secret key. The previous ones stay in force for at most
// overlap.
func (w *world) makeKey(t *modelTenant, overlap int) error {
	r := w.operator(t, "POST", "/secrets", fmt.Sprintf(`{"overlapSeconds":%d}`, overlap))
	if r.status != 200 {
		return disagree(r, 200)
	}
	for _, k := range t.keys {
		k.end(w.clock().Add(time.Duration(overlap) * time.Second))
	}
	t.keys = append(t.keys, &modelKey{id: r.object["secretId"].(string), text: r.object["apiSecretKey"].(string)})
	return nil
}

// changeKeys creates or revokes an API secret key, and compares the list of keys.
func (w *world) changeKeys() (string, error) {
	t := w.anyTenant()
	if w.rng.IntN(2) == 0 {
		overlap := pick(w, []int{0, 30, 300, 3600})
		w.note("make a key of %s, overlap %d s", t.id, overlap)
		if err := w.makeKey(t, overlap); err != nil {
			return "", err
		}
		return "key made", w.compareKeys(t)
	}
	k := pick(w, t.keys)
	if list := t.inForce(w.clock()); w.rng.IntN(4) > 0 {
		k = pick(w, list)
	}
	w.note("revoke key %s of %s", k.id, t.id)
	r := w.operator(t, "DELETE", "/secrets/"+k.id, "")
	if !k.inForce(w.clock()) {
		return outcome("key revoked", r, []string{notFound})
	}
	k.end(w.clock())
	if r.status != 200 {
		return "", disagree(r, 200)
	}
	// Otherwise the tenant would be without a key after some time.
	if !slices.ContainsFunc(t.keys, func(k *modelKey) bool { return k.ends.IsZero() }) {
		if err := w.makeKey(t, 0); err != nil {
			return "", err
		}
	}
	return "key revoked", w.compareKeys(t)
}

func (w *world) compareKeys(t *modelTenant) error {
	r := w.operator(t, "GET", "/secrets", "")
	var got, want []string
	for _, item := range r.list {
		k := item.(map[string]any)
		if k["apiSecretKey"] != nil {
			return fmt.Errorf("the list of the API secret keys of %s contains a key", t.id)
		}
		ends, _ := k["expiresAt"].(string)
		got = append(got, fmt.Sprint(k["secretId"], " ", ends))
	}
	for _, k := range t.keys {
		ends := ""
		if !k.ends.IsZero() {
			ends = k.ends.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		want = append(want, k.id+" "+ends)
	}
	slices.Sort(got)
	slices.Sort(want)
	if r.status != 200 || !slices.Equal(got, want) {
		return disagree(r, want)
	}
	return nil
}

// wrongKey makes a call with a wrong key or token, which changes nothing.
func (w *world) wrongKey() (string, error) {
	k := w.anyToken()
	t, u, name := k.tenant, k.user, k.action
	user, action := "/v1/users/"+u.id, "/v1/users/"+u.id+"/actions/"+name.code
	calls := [][3]string{
		{"GET", user}, {"DELETE", user}, {"PATCH", user, `{"email":"attacker@example.com"}`}, {"DELETE", user + "/tokens"},
		{"POST", action, `{"idempotencyKey":"` + name.key + `"}`}, {"PATCH", action + "/" + name.key, `{"state":"CHALLENGE_SUCCEEDED"}`},
		{"POST", user + "/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/u?secret=` + codeSecret(w.rng) + `"}`},
		{"POST", "/v1/validate", `{"token":"` + k.text + `"}`}, {"GET", "/v1/users?token=" + k.text}, {"GET", "/v1/none/such"},
	}
	var credentials []string
	for _, key := range t.keys {
		if !key.inForce(w.clock()) {
			credentials = append(credentials, basic(key.text))
		}
	}
	switch w.rng.IntN(6) {
	case 0:
		credentials = []string{"", basic(""), basic(managementKey), basic(t.id), basic(k.text), "Bearer " + k.text, basic(secretKey), "Basic ?"}
	case 1: // the management API
		credentials = []string{"", basic(""), basic(pick(w, t.inForce(w.clock())).text), "Bearer " + k.text}
		prefix := "/v1/management/tenants/" + t.id
		calls = [][3]string{
			{"GET", prefix}, {"PUT", prefix, `{"authenticator":{"active":false}}`}, {"POST", prefix + "/secrets"}, {"GET", prefix + "/audit"},
			{"DELETE", "/v1/management/signing-keys/" + w.signer().id}, {"DELETE", prefix + "/users/" + u.id + "/tokens"},
			{"POST", prefix + "/users/" + u.id + "/authenticators/" + w.anyID(u) + "/unlock"}, {"DELETE", prefix + "/actions/" + name.code},
		}
	case 2: // the client API
		forged := k.text[:len(k.text)-6] + "AAAAAA"
		parts := strings.Split(k.text, ".")
		unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
		credentials = []string{"", "Bearer", "Bearer " + forged, "Bearer " + unsigned, basic(t.id), basic(pick(w, t.inForce(w.clock())).text), basic(managementKey)}
		if forged == k.text {
			return "wrong key: it is right", nil
		}
		calls = [][3]string{
			{"POST", "/v1/client/user-authenticators/totp"}, {"POST", "/v1/client/verify/totp", `{"verificationCode":"000000"}`},
			{"GET", "/v1/client/user-authenticators"}, {"DELETE", "/v1/client/user-authenticators/" + w.anyID(u)},
			{"POST", "/v1/client/token", `{"scope":"read:authenticators"}`}, {"POST", "/v1/client/init", "{}"}, {"GET", "/v1/client/authenticators"},
		}
	}
	if len(credentials) == 0 {
		return "wrong key: none yet", nil
	}
	call := pick(w, calls)
	w.note("%s %s of %s without the right key", call[0], call[1], t.id)
	what, err := outcome("wrong key", w.call(call[0], call[1], pick(w, credentials), call[2]), []string{unauthorized})
	if err != nil {
		return "", err
	}
	return what, w.compare(t, u, name)
}

// read makes the calls of the client API that only read.
func (w *world) read() (string, error) {
	k := w.anyToken()
	w.note("read %s", k)
	list, init, methods := w.page(k, "GET", "user-authenticators", ""), w.page(k, "POST", "init", "{}"), w.page(k, "GET", "authenticators", "")
	if refusal := k.bearer(w.clock()); refusal != "" {
		for _, r := range []response{init, methods} {
			if what, err := outcome("read", r, []string{refusal}); err != nil {
				return what, err
			}
		}
		return outcome("read", list, []string{refusal})
	}
	if err := k.user.compareAuthenticators(list, k.subject().isPassed(k.user)); err != nil {
		return "", err
	}
	if err := w.compareCodes(w.page(k, "GET", "recovery-codes", ""), k.user); err != nil {
		return "", err
	}
	// The methods by which the user can be challenged here.
	var apps []string
	if len(k.user.apps()) > 0 {
		apps = []string{"AUTHENTICATOR_APP"}
	}
	options, _ := init.object["challengeOptions"].(map[string]any)
	if init.status != 200 || options["token"] != k.text || !sameTexts(options["verificationMethods"], apps) {
		return "", disagree(init, apps)
	}
	if len(methods.list) != 1 || methods.status != 200 {
		return "", disagree(methods, "the authenticator app")
	}
	if m := methods.list[0].(map[string]any); m["verificationMethod"] != "AUTHENTICATOR_APP" || m["isActive"] != k.tenant.active {
		return "", disagree(methods, fmt.Sprint("active: ", k.tenant.active))
	}
	return "read: 200", nil
}

// updateUser changes attributes of a user: those left out stay, null and "" clear.
func (w *world) updateUser() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	body := map[string]any{}
	if w.rng.IntN(2) == 0 {
		body["email"] = pick(w, []any{w.anyEmail(), w.anyEmail(), "", nil})
	}
	if w.rng.IntN(2) == 0 {
		body["displayName"] = pick(w, []any{"Jane", "", nil})
	}
	if w.rng.IntN(2) == 0 {
		body["defaultVerificationMethod"] = pick(w, []any{"SMS", "AUTHENTICATOR_APP", nil})
	}
	w.note("update %s %s: %v", t.id, u.id, body)
	r := w.backend(t, pick(w, []string{"PATCH", "POST"}), "/users/"+u.id, marshal(body))
	u.ensure()
	for key, to := range map[string]*string{"email": &u.email, "displayName": &u.displayName, "defaultVerificationMethod": &u.prefers} {
		if v, given := body[key]; given {
			*to, _ = v.(string)
		}
		if got, _ := r.object[key].(string); got != *to {
			return "", disagree(r, fmt.Sprint(key, ": ", *to))
		}
	}
	if r.status != 200 || r.object["userId"] != u.id {
		return "", disagree(r, 200)
	}
	return "update user", w.compareUser(t, u)
}

// find finds users by a token or an e-mail address.
func (w *world) find() (string, error) {
	t, want := w.anyTenant(), []string(nil)
	what, query := "find by e-mail", url.Values{"email": {w.anyEmail()}}
	if w.rng.IntN(3) > 0 {
		k := w.anyToken()
		if w.rng.IntN(5) > 0 {
			t = k.tenant
		}
		what, query = "find by token: none", url.Values{"token": {k.text}}
		if t == k.tenant && k.bearer(w.clock()) == "" {
			what, want = "find by token: the user", []string{k.user.id}
		}
		w.note("find the user of %s at %s", k, t.id)
	} else {
		for _, id := range sorted(t.users) {
			if u := t.users[id]; u.exists && u.email == query.Get("email") {
				want = append(want, id)
			}
		}
		w.note("find %s at %s", query.Get("email"), t.id)
	}
	r := w.backend(t, "GET", "/users?"+query.Encode(), "")
	list, isList := r.object["users"].([]any)
	var got []string
	for _, item := range list {
		found := item.(map[string]any)
		id, _ := found["userId"].(string)
		got = append(got, id)
		if u := t.users[id]; u == nil || found["isEnrolled"] != (len(u.verified()) > 0) || !slices.Equal(texts(found["enrolledVerificationMethods"]), u.methods()) {
			return "", disagree(r, fmt.Sprint(id, " as in the model"))
		}
	}
	slices.Sort(got)
	if r.status != 200 || !isList || !slices.Equal(got, want) {
		return "", disagree(r, fmt.Sprintf("users %q", want))
	}
	return what, nil
}

// listActions compares the actions of a user that were tracked within 30 days.
func (w *world) listActions() (string, error) {
	t := w.anyTenant()
	u, state := w.anyUser(t), ""
	if w.rng.IntN(2) == 0 {
		state = pick(w, allStates)
	}
	w.note("list actions of %s %s in state %q", t.id, u.id, state)
	r := w.backend(t, "GET", "/users/"+u.id+"/actions?state="+state, "")
	var got, want []string
	for _, item := range r.list {
		a := item.(map[string]any)
		got = append(got, fmt.Sprint(a["actionCode"], " ", a["idempotencyKey"], " ", a["state"]))
	}
	for name, a := range u.actions {
		if (state == "" || a.state == state) && a.created.After(w.clock().Add(-30*24*time.Hour)) {
			want = append(want, name.code+" "+name.key+" "+a.state)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if r.status != 200 || r.list == nil || !slices.Equal(got, want) {
		return "", disagree(r, want)
	}
	return "list actions", nil
}

// setAction saves the settings of an action and reads them.
func (w *world) setAction(t *modelTenant, code string, settings modelSettings) error {
	type rule struct {
		RuleID    string `json:"ruleId"`
		Name      string `json:"name"`
		Condition string `json:"condition"`
		Outcome   string `json:"outcome"`
	}
	body := struct {
		DefaultOutcome   string `json:"defaultOutcome"`
		Rules            []rule `json:"rules"`
		TrustBrowserDays int    `json:"trustBrowserDays,omitempty"`
	}{settings.outcome, []rule{}, settings.trustDays}
	for _, r := range settings.rules {
		body.Rules = append(body.Rules, rule{r.id, "rule " + r.id, r.condition, r.outcome})
	}
	t.settings[code] = settings
	if err := w.managed(t, "PUT", "/actions/"+code, marshal(body)); err != nil {
		return err
	}
	return w.compareSettings(t, code, marshal(body))
}

// compareSettings compares the settings of an action, alone and in the list.
func (w *world) compareSettings(t *modelTenant, code, want string) error {
	r := w.operator(t, "GET", "/actions/"+code, "")
	var v any
	if err := json.Unmarshal([]byte(want), &v); err != nil {
		return err
	}
	if r.status != 200 || marshal(r.object) != marshal(v) {
		return disagree(r, want)
	}
	list := w.operator(t, "GET", "/actions", "")
	if _, set := t.settings[code]; list.status != 200 || len(list.object) != len(t.settings) || set && marshal(list.object[code]) != marshal(v) {
		return disagree(list, want)
	}
	return nil
}

// configure changes a setting of a tenant, or an action.
func (w *world) configure() (string, error) {
	t := w.anyTenant()
	code := pick(w, sorted(actionCodes))
	switch n := w.rng.IntN(10); {
	case !t.active && n < 6:
		t.active = true
	case n < 1:
		t.active = false
	case n < 2:
		t.allowMultiple = w.rng.IntN(4) > 0
	case n < 3:
		t.max = 1 + w.rng.IntN(4)
	case n < 4:
		t.webhook = !t.webhook
	case n < 5:
		w.note("change the enrollment policy of %s", t.id)
		return "configure", w.managed(t, "PUT", "", t.changePolicy(w))
	case n < 6:
		w.note("delete the settings of %s %s", t.id, code)
		_, set := t.settings[code]
		delete(t.settings, code)
		r := w.operator(t, "DELETE", "/actions/"+code, "")
		if !set {
			if r.status != 200 && answered(r) != notFound {
				return "", disagree(r, "200 or 404")
			}
		} else if r.status != 200 {
			return "", disagree(r, 200)
		}
		return "configure", w.compareSettings(t, code, `{"defaultOutcome":"CHALLENGE","rules":[]}`)
	default:
		settings := modelSettings{
			outcome: pick(w, []string{"ALLOW", "CHALLENGE", "CHALLENGE", "CHALLENGE", "REVIEW", "BLOCK"}), trustDays: pick(w, []int{0, 1, 30}),
		}
		for i := range w.rng.IntN(4) {
			settings.rules = append(settings.rules, modelRule{
				id: fmt.Sprint("rule-", i), condition: pick(w, []string{ifNewDevice, ifEnrolled, ifOne, ifMore, ifTrusted}), outcome: pick(w, append([]string{"CHALLENGE"}, strictness...)),
			})
		}
		w.note("set %s %s: %+v", t.id, code, settings)
		return "configure", w.setAction(t, code, settings)
	}
	w.note("settings of %s: active %v, multiple %v, at most %d, webhook %v", t.id, t.active, t.allowMultiple, t.max, t.webhook)
	hook := ""
	if t.webhook {
		hook = w.hook.server.URL
	}
	body := fmt.Sprintf(`{"authenticator":{"active":%v,"allowMultiple":%v,"maxAuthenticators":%d},"webhookUrl":%q}`, t.active, t.allowMultiple, t.max, hook)
	if err := w.managed(t, "PUT", "", body); err != nil {
		return "", err
	}
	return "configure", w.compareTenant(t, hook)
}

func (w *world) compareTenant(t *modelTenant, hook string) error {
	r := w.operator(t, "GET", "", "")
	a, _ := r.object["authenticator"].(map[string]any)
	if r.status != 200 || r.object["tenantId"] != t.id || r.object["webhookUrl"] != hook || a["active"] != t.active ||
		a["allowMultiple"] != t.allowMultiple || a["maxAuthenticators"] != float64(t.max) || a["maxFailures"] != float64(modelMaxFailures) {
		return disagree(r, fmt.Sprintf("active %v, multiple %v, at most %d, webhook %q", t.active, t.allowMultiple, t.max, hook))
	}
	r = w.call("GET", "/v1/management/tenants", basic(managementKey), "")
	if r.status != 200 || !slices.ContainsFunc(r.list, func(v any) bool { return v.(map[string]any)["tenantId"] == t.id }) {
		return disagree(r, t.id+" among others")
	}
	return nil
}

// audit reads an audit log. The model does not cover its contents.
func (w *world) audit() (string, error) {
	path := pick(w, []string{"/tenants/" + w.anyTenant().id + "/audit?limit=5", "/tenants/" + w.anyTenant().id + "/audit?userId=user-0&limit=5", "/audit?limit=5"})
	w.note("audit %s", path)
	if r := w.call("GET", "/v1/management"+path, basic(managementKey), ""); r.status != 200 || r.list == nil || len(r.list) > 5 {
		return "", disagree(r, "a list")
	}
	return "audit", nil
}

// malformed makes a call with an invalid input, which is refused and changes
// nothing.
func (w *world) malformed() (string, error) {
	k := w.anyToken()
	t, u, name := k.tenant, k.user, k.action
	if w.rng.IntN(3) == 0 {
		verify := pick(w, []string{
			`{}`, `{"verificationCode":null}`, `{"verificationCode":123456}`, `{"verificationCode":["123456"]}`, `[]`, `"123456"`, `{"verificationCode":`, `{} {}`,
			"{\"verificationCode\":\"12345\\u0000\"}", "{\"verificationCode\":\"12345\xff\"}",
		})
		path, body := "verify/totp", verify
		if w.rng.IntN(4) == 0 {
			path, body = "token", pick(w, []string{`{}`, `{"scope":1}`, `{"scope":["read:authenticators"]}`, `{"scope":" "}`, `[]`})
		}
		w.note("malformed %s %q with %s", path, body, k)
		r := w.page(k, "POST", path, body)
		refusals := []string{k.bearer(w.clock())}
		if refusals[0] == "" {
			refusals[0] = invalidRequest
		} else if refusals[0] == unauthorized && !k.signer.withdrawn {
			refusals = append(refusals, invalidRequest) // the body may be read before the user
		}
		if _, err := outcome("malformed", r, refusals); err != nil {
			return "", err
		}
		return "malformed", w.compare(t, u, name)
	}
	user := "/users/" + u.id
	action := user + "/actions/" + name.code
	calls := [][3]string{
		{"POST", action, `{"idempotencyKey":5}`}, {"POST", action, `{"scope":"admin"}`}, {"POST", action, `{"scope":["read:authenticators"]}`},
		{"POST", action, `{"custom":{"x":{}}}`}, {"POST", action, `{"custom":{"x":[null]}}`}, {"POST", action, `{"custom":{"x":9007199254740993}}`},
		{"POST", action, `{"email":["a"]}`}, {"POST", action, `[]`}, {"POST", action, `{"idempotencyKey":`}, {"POST", action, `null`},
		{"POST", action, "{\"idempotencyKey\":\"a\xff\"}"}, {"POST", action, `{"email":"a\u0000"}`}, {"POST", action, `{"idempotencyKey":"a\ud800"}`},
		{"POST", user + "/actions/sign.in", `{}`}, {"POST", "/users/%00/actions/signIn", `{}`}, {"POST", "/users/" + strings.Repeat("a", 257) + "/actions/signIn", `{}`},
		{"PATCH", user, `{"email":1}`}, {"PATCH", user, `{"emailVerified":"yes"}`}, {"PATCH", user, `{"defaultVerificationMethod":"PIGEON"}`}, {"PATCH", user, `{"custom":[]}`},
		{"POST", user + "/authenticators", `{}`}, {"POST", user + "/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP"}`},
		{"POST", user + "/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/u"}`},
		{"POST", user + "/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/u?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&period=3600"}`},
		{"POST", user + "/authenticators", `{"verificationMethod":"SMS"}`}, {"POST", user + "/authenticators", `{"verificationMethod":"PIGEON"}`},
		{"POST", "/validate", `{}`}, {"POST", "/validate", `{"token":5}`}, {"GET", "/users"}, {"GET", "/users?email=a%40example.com&limit=none"},
		{"GET", user + "/actions?state=WON"}, {"GET", user + "/actions?fromDate=yesterday"},
	}
	if u.actions[name] != nil {
		path := action + "/" + name.key
		calls = append(calls, [3]string{"PATCH", path, `{}`}, [3]string{"PATCH", path, `{"state":"WON"}`}, [3]string{"PATCH", path, `{"state":1}`}, [3]string{"PATCH", path, `{"state":null}`})
	}
	call, key := [3]string{}, basic(pick(w, t.inForce(w.clock())).text)
	if call = pick(w, calls); w.rng.IntN(4) == 0 {
		prefix := "/management/tenants/" + t.id
		rule := `{"defaultOutcome":"ALLOW","rules":[{"name":"a","condition":"%s","outcome":"ALLOW"}]}`
		call, key = pick(w, [][3]string{
			{"PUT", prefix, `{"authenticator":{"maxAuthenticators":0}}`}, {"PUT", prefix, `{"authenticator":{"active":"yes"}}`},
			{"PUT", prefix, `{"webhookUrl":"ftp://example.com"}`}, {"PUT", prefix, `{"authenticator":{"active":false,"drift":3}}`}, {"PUT", prefix, `[]`},
			{"POST", prefix + "/secrets", `{"overlapSeconds":-1}`}, {"POST", prefix + "/secrets", `{"overlapSeconds":"none"}`},
			{"PUT", prefix + "/actions/" + name.code, `{"defaultOutcome":"WON"}`}, {"PUT", prefix + "/actions/" + name.code, `{"rules":{}}`},
			{"PUT", prefix + "/actions/" + name.code, fmt.Sprintf(rule, "user.enroled")}, {"PUT", prefix + "/actions/" + name.code, fmt.Sprintf(rule, "user.id")},
			{"PUT", prefix + "/actions/sign.in", `{"defaultOutcome":"ALLOW","rules":[]}`}, {"GET", prefix + "/audit?limit=0"},
		}), basic(managementKey)
	}
	w.note("malformed %s %s %q", call[0], call[1], call[2])
	r := w.call(call[0], "/v1"+call[1], key, call[2])
	if _, err := outcome("malformed", r, []string{invalidRequest}); err != nil && !(answered(r) == noAuthenticator && !t.active) {
		return "", err
	}
	if err := w.compareKeys(t); err != nil {
		return "", err
	}
	return "malformed", w.compare(t, u, name)
}
