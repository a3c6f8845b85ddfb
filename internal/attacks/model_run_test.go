package attacks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/server"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// A world is a server with a clock of its own, two tenants with a few users each,
// and the model of them. The worlds of a test share a database and run at the same
// time, so that their writes share commits.
type world struct {
	name    string
	rng     *rand.Rand
	handler http.Handler
	tenants []*modelTenant
	tokens  []*modelToken
	// secrets are those of removed and of never completed authenticators.
	secrets []string
	// codes are recovery codes that are void, devices the tokens of browsers.
	codes   []string
	devices []modelDevice
	// links are all recovery links that were issued.
	links   []*modelLink
	steps   []string // the last ones
	keys    *signingKeys
	signers map[string]*modelSigner
	hook    *receiver
	// inWebhook reports whether a webhook is being called.
	inWebhook bool

	mu  sync.Mutex
	now time.Time
}

// number returns a number from the environment, or otherwise if it is not set.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s must be a number from 1", name)
	}
	return n
}

// TestTheServerAgreesWithTheModel makes AUTHSIGNAL_TEST_STEPS random calls, by
// default 3,000, and compares each answer with the model's.
// AUTHSIGNAL_TEST_SEED repeats a run.
func TestTheServerAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	const worlds = 8
	steps := number(t, "AUTHSIGNAL_TEST_STEPS", 3_000)
	seed := number(t, "AUTHSIGNAL_TEST_SEED", int(time.Now().UnixNano()%1_000_000)+1)
	t.Logf("AUTHSIGNAL_TEST_SEED=%d", seed)
	st := storetest.Open(t, storetest.Database(t), store.Open)
	errs := make([]error, worlds)
	reached := make([]map[string]int, worlds)
	var wg sync.WaitGroup
	for i := range worlds {
		wg.Go(func() {
			w := newWorld(st, fmt.Sprint("world-", i), uint64(seed), uint64(i))
			defer w.hook.server.Close()
			reached[i], errs[i] = w.run(steps / worlds)
		})
	}
	wg.Wait()
	total := map[string]int{}
	for i, err := range errs {
		if err != nil {
			t.Errorf("AUTHSIGNAL_TEST_SEED=%d: %v", seed, err)
		}
		for what, n := range reached[i] {
			total[what] += n
		}
	}
	for _, what := range sorted(total) {
		t.Logf("%6d %s", total[what], what)
	}
	// The agreement proves nothing unless all kinds of results occur.
	if steps >= 50_000 && !t.Failed() {
		for _, what := range []string{
			"enroll: 200", "enroll: 200, replaced", "enroll: " + invalidRequest, "enroll: " + invalidConfiguration, "enroll: " + forbidden,
			"enroll: " + unauthorized, "enroll: " + expiredToken,
			"verify: accepted, a factor", "verify: accepted, an enrollment", "verify: accepted, another authenticator",
			"verify: CODE_INVALID_OR_EXPIRED", "verify: MAX_ATTEMPTS_EXCEEDED", "verify: " + invalidRequest, "verify: " + unauthorized,
			"verify: consent given", "verify: consent given, 400 invalid_request", "verify: consent given, 401 unauthorized", "verify: consent refused",
			"remove: 200", "remove: " + forbidden, "exchange: 200", "validate: true", "validate: false", "validate: void",
			"track: " + noAuthenticator, "track: by a rule", "track: by a rule that fails", "read: 200", "update user", "find by token: the user",
			"find by token: none", "find by e-mail", "list actions", "key made", "key revoked", "wrong key: " + unauthorized,
			"signing key made", "signing key withdrawn", "malformed",
			"recover: accepted", "recover: another's", "recover: used", "recover: void", "recover: CODE_INVALID_OR_EXPIRED", "recover: MAX_ATTEMPTS_EXCEEDED",
			"recover: " + invalidRequest, "recover: " + unauthorized, "recover: consent given", "recover: consent refused",
			"codes made: 200", "codes made: " + forbidden, "codes made: " + invalidRequest, "codes confirmed: true", "codes confirmed: false",
			"codes issued: 200", "codes issued: " + invalidRequest, "codes voided: 200",
			"trust: a browser", "trust: none", "track: in a trusted browser", "track: with trust that does not count", "track: again with a token", "track: with a copy",
			"browser revoked: 200", "browser revoked: " + forbidden, "browser revoked: " + notFound,
			"rename: 200", "rename: " + forbidden, "rename: " + notFound,
			"remember: 200", "remember: " + forbidden, "browser: accepted", "browser: not trusted", "browser: a copy", "browser: consent given", "browser: consent refused",
			"browser: a token of what was completed",
			"link issued: 200", "link issued: " + notFound, "link issued: " + invalidRequest, "link revoked: 200",
			"link, enroll: 200", "link, enroll: " + notFound, "link, enroll: 410 invalid_request", "link, verify: accepted", "link, verify: CODE_INVALID_OR_EXPIRED",
			"link, verify: " + invalidRequest, "reset: 200", "track: must enroll",
		} {
			if total[what] == 0 {
				t.Errorf("no step has come to %q", what)
			}
		}
	}
}

// lockedSource is the randomness of a server's secrets.
type lockedSource struct {
	mu  sync.Mutex
	rng *rand.ChaCha8
}

func (s *lockedSource) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Read(p)
}

func newWorld(st *store.Store, name string, seed, i uint64) *world {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(i)
	w := &world{
		name: name, rng: rand.New(rand.NewPCG(seed, i)), now: time.Unix(1_700_000_000, 0),
		keys: newSigningKeys(), signers: map[string]*modelSigner{}, hook: newReceiver(),
	}
	w.handler = server.New(server.Config{
		Store:       st,
		Tokens:      &token.Issuer{Keys: w.keys.list, BaseURL: "http://mfa.test", TTL: tokenLife, Now: w.clock},
		SigningKeys: w.keys, ManagementKey: managementKey,
		PublicURL: "http://mfa.test", AllowOrigin: func(string) bool { return false }, VerifyTimeout: time.Minute,
		Log: slog.New(slog.DiscardHandler), Now: w.clock, Random: &lockedSource{rng: rand.NewChaCha8(key)}, Metrics: prometheus.NewRegistry(),
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// actionCodes are the actions of a tenant with their first default outcomes.
var actionCodes = map[string]string{"signIn": "CHALLENGE", "pay": "CHALLENGE", "read": "ALLOW"}

// setUp creates the tenants.
func (w *world) setUp() error {
	for i := range 2 {
		t := &modelTenant{
			id: fmt.Sprint(w.name, "-tenant-", i), active: true, allowMultiple: true, max: 4,
			settings: map[string]modelSettings{}, users: map[string]*modelUser{},
		}
		// The users of both tenants have the same ids.
		for n := range 3 {
			id := fmt.Sprint("user-", n)
			t.users[id] = &modelUser{id: id, actions: map[actionName]*modelAction{}}
		}
		w.tenants = append(w.tenants, t)
		if err := w.managed(t, "PUT", "", fmt.Sprintf(
			`{"authenticator":{"active":true,"drift":1,"maxFailures":%d,"windowSeconds":%d,"maxFailuresInARow":%d,"maxAuthenticators":%d}}`,
			modelMaxFailures, int(modelWindow.Seconds()), modelMaxInARow, t.max,
		)); err != nil {
			return err
		}
		if err := w.makeKey(t, 0); err != nil {
			return err
		}
		for _, code := range sorted(actionCodes) {
			if err := w.setAction(t, code, modelSettings{outcome: actionCodes[code], trustDays: 30}); err != nil {
				return err
			}
		}
	}
	return nil
}

// managed makes a change by the management API.
func (w *world) managed(t *modelTenant, method, path, body string) error {
	if r := w.operator(t, method, path, body); r.status != 200 {
		return disagree(r, 200)
	}
	return nil
}

// operator calls the management API for a tenant.
func (w *world) operator(t *modelTenant, method, path, body string) response {
	return w.call(method, "/v1/management/tenants/"+t.id+path, basic(managementKey), body)
}

// call calls the server.
func (w *world) call(method, path, authorization, body string, header ...string) (r response) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", authorization)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	r = response{what: method + " " + path, status: rec.Code, header: rec.Result().Header, text: strings.TrimSpace(rec.Body.String())}
	var v any
	if json.Unmarshal(rec.Body.Bytes(), &v) == nil {
		r.object, _ = v.(map[string]any)
		r.list, _ = v.([]any)
	}
	return r
}

func (w *world) backend(t *modelTenant, method, path, body string) response {
	return w.call(method, "/v1"+path, basic(pick(w, t.inForce(w.clock())).text), body)
}

func (w *world) page(k *modelToken, method, path, body string) response {
	return w.call(method, "/v1/client/"+path, "Bearer "+k.text, body)
}

// note records a line about a step.
func (w *world) note(format string, args ...any) {
	w.steps = append(w.steps, w.clock().UTC().Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
	if len(w.steps) > 30 {
		w.steps = w.steps[1:]
	}
}

// run makes steps until one disagrees, and counts their results.
func (w *world) run(steps int) (reached map[string]int, err error) {
	reached = map[string]int{}
	if err := w.setUp(); err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	for i := range steps {
		what, err := w.step()
		reached[what]++
		if err == nil && i%500 == 499 {
			err = w.sweep()
		}
		if err != nil {
			return nil, fmt.Errorf("%s, step %d: %w\nthe last steps:\n\t%s", w.name, i, err, strings.Join(w.steps, "\n\t"))
		}
	}
	return reached, nil
}

func pick[T any](w *world, list []T) T { return list[w.rng.IntN(len(list))] }

func (w *world) anyTenant() *modelTenant { return pick(w, w.tenants) }

func (w *world) anyUser(t *modelTenant) *modelUser {
	return t.users[fmt.Sprint("user-", w.rng.IntN(len(t.users)))]
}

func (w *world) anyAction() actionName {
	return actionName{pick(w, sorted(actionCodes)), fmt.Sprint("key-", w.rng.IntN(2))}
}

func (w *world) anyScopes() scopeSet {
	if w.rng.IntN(3) == 0 {
		return everyScope
	}
	return scopeSet(w.rng.IntN(int(everyScope) + 1))
}

// anyToken returns an issued token, more often a recent one.
func (w *world) anyToken() *modelToken {
	n := len(w.tokens)
	if n > 6 && w.rng.IntN(3) > 0 {
		return w.tokens[n-1-w.rng.IntN(6)]
	}
	return pick(w, w.tokens)
}

// anyPendingToken returns a token whose action has a pending enrollment, if there is
// one.
func (w *world) anyPendingToken() *modelToken {
	var of []*modelToken
	for _, k := range w.tokens {
		if k.subject() != nil && k.user.pending(k.action) != nil {
			of = append(of, k)
		}
	}
	if len(of) == 0 {
		return w.anyToken()
	}
	return pick(w, of)
}

// keep adds a token, and drops an early one if there are many.
func (w *world) keep(k *modelToken) {
	if w.tokens = append(w.tokens, k); len(w.tokens) > 60 {
		i := w.rng.IntN(30)
		w.tokens = slices.Delete(w.tokens, i, i+1)
	}
}

func disagree(r response, want any) error {
	return fmt.Errorf("%s: got %d %s, want %v", r.what, r.status, r.text, want)
}

// step makes one call.
func (w *world) step() (what string, err error) {
	n := w.rng.IntN(1520)
	if len(w.tokens) == 0 {
		n = 0
	}
	if w.inWebhook && n < 1000 {
		n %= 885 // the calls of a user and a backend
	}
	switch {
	case n >= 1000:
		return w.stepOfRecovery(n - 1000)
	case n < 150:
		return w.track()
	case n < 260:
		return w.enroll()
	case n < 510:
		return w.verify()
	case n < 570:
		return w.remove()
	case n < 605:
		return w.read()
	case n < 640:
		return w.exchange()
	case n < 705:
		return w.validate()
	case n < 735:
		return w.compareAny()
	case n < 780:
		return w.patch()
	case n < 815:
		return w.imports()
	case n < 850:
		return w.deleteAuthenticator()
	case n < 857:
		return w.deleteUser()
	case n < 866:
		return w.endTokens()
	case n < 885:
		return w.unlock()
	case n < 900:
		return w.updateUser()
	case n < 915:
		return w.find()
	case n < 920:
		return w.listActions()
	case n < 935:
		return w.configure()
	case n < 942:
		return w.changeKeys()
	case n < 950:
		return w.wrongKey()
	case n < 953:
		return w.changeSigningKeys()
	case n < 956:
		return w.audit()
	case n < 972:
		return w.malformed()
	}
	return w.wait()
}

func (w *world) track() (what string, err error) {
	t := w.anyTenant()
	u, name, scopes := w.anyUser(t), w.anyAction(), scopeRead|w.anyScopes()
	in := w.anyTrack(u)
	if w.rng.IntN(4) == 0 {
		t, u, name, in = w.anyTrackInBrowser(t, u, name, in)
	}
	return w.trackOf(t, u, name, scopes, in)
}

// trackOf tracks an action. Its token is the last one of the world, or the one before.
func (w *world) trackOf(t *modelTenant, u *modelUser, name actionName, scopes scopeSet, in modelTrack) (what string, err error) {
	w.note("track %s %s %s, scope %q, %+v", t.id, u.id, name, scopes, in)
	body := map[string]any{"idempotencyKey": name.key, "scope": scopes.String()}
	if in.device != "" {
		body["deviceId"] = in.device
	}
	if in.email != "" {
		body["email"] = in.email
	}
	if in.x != 0 {
		body["custom"] = map[string]int{"x": in.x}
	}
	if in.browser.text != "" {
		body["deviceToken"] = in.browser.text
	}
	r := w.backend(t, "POST", "/users/"+u.id+"/actions/"+name.code, marshal(body))
	before := u.actions[name]
	browser, copied := (*modelBrowser)(nil), false
	if t.active {
		browser, copied = u.presents(in.browser, before, w.clock())
	}
	in.presented = browser != nil || copied
	in.trusted = browser != nil && browser.counts(t.settings[name.code], w.clock())
	a := t.track(u, name, in, w.clock())
	if a == nil {
		return outcome("track", r, []string{noAuthenticator})
	}
	ofBrowser, err := w.turn(r, t, u, browser, copied, a)
	if err != nil {
		return "", err
	}
	if r.status != 200 || r.object["state"] != a.shown(false) || r.object["isEnrolled"] != (len(u.verified()) > 0) || !sameTexts(r.object["ruleIds"], a.rules) {
		return "", disagree(r, fmt.Sprintf("%s, enrolled %v, rules %q", a.shown(false), len(u.verified()) > 0, a.rules))
	}
	if err := t.compareDuty(r, u, w.clock()); err != nil {
		return "", err
	}
	k := w.issued(modelToken{
		tenant: t, user: u, incarnation: u.incarnation, epoch: u.epoch, action: name, scopes: scopes, expires: w.clock().Add(tokenLife),
	}, r.object["token"])
	link, err := url.Parse(r.object["url"].(string))
	if err != nil {
		return "", err
	}
	// The url's token has no scopes that the token lacks, and only reads while a
	// code is required.
	leaked := *k
	leaked.text = link.Query().Get("token")
	leaked.scopes = a.urlScopes(u, scopes)
	for _, k := range []*modelToken{k, &leaked} {
		if err := k.check(); err != nil {
			return "", err
		}
	}
	w.keep(k)
	if w.rng.IntN(4) == 0 {
		w.keep(&leaked)
	}
	if ofBrowser != "" && w.rng.IntN(2) == 0 {
		return ofBrowser, nil
	}
	if t.duty(u, w.clock()) == mustEnroll && a.state == challengeRequired {
		return "track: must enroll", nil
	}
	if before == nil && len(a.rules) > 0 {
		for _, r := range t.settings[name.code].rules {
			if _, fails := r.holds(u, in); fails && slices.Contains(a.rules, r.id) {
				return "track: by a rule that fails", nil
			}
		}
		return "track: by a rule", nil
	}
	return "track: " + a.state, nil
}

// anyTrack returns random attributes of a track.
func (w *world) anyTrack(u *modelUser) (in modelTrack) {
	in.x = w.rng.IntN(3)
	if n := w.rng.IntN(4); n > 0 {
		in.device = fmt.Sprint("device-", n)
	}
	if w.rng.IntN(5) == 0 {
		in.email = w.anyEmail()
	}
	if w.rng.IntN(3) == 0 {
		in.browser = w.anyDevice(u)
	}
	return in
}

func (w *world) anyEmail() string { return fmt.Sprintf("mail-%d@example.com", w.rng.IntN(3)) }

// sameTexts compares a list of an answer. A list that is left out is empty.
func sameTexts(got any, want []string) bool {
	list, _ := got.([]any)
	return slices.EqualFunc(list, want, func(got any, want string) bool { return got == want })
}

// issued returns the model of a token that the server issued now.
func (w *world) issued(k modelToken, text any) *modelToken {
	k.text, _ = text.(string)
	k.signer = w.signer()
	return &k
}

// tokenClaims are the claims that the model checks.
type tokenClaims struct {
	KeyID   string `json:"kid"` // in the header
	Subject string `json:"sub"`
	Scope   string `json:"scope"`
	Expires int64  `json:"exp"`
	Other   struct {
		TenantID       string `json:"tenantId"`
		ActionCode     string `json:"actionCode"`
		IdempotencyKey string `json:"idempotencyKey"`
		TrustedBrowser bool   `json:"trustedBrowser"`
	} `json:"other"`
}

func (k *modelToken) claims() (c tokenClaims, err error) {
	parts := strings.Split(k.text, ".")
	if len(parts) != 3 {
		return c, fmt.Errorf("not a token: %q", k.text)
	}
	for _, part := range parts[:2] {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// scopes returns the scopes of the claims. An unknown one counts as all.
func (c tokenClaims) scopes() (set scopeSet) {
	for _, name := range strings.Fields(c.Scope) {
		i := slices.Index(scopeNames, name)
		if i < 0 {
			return everyScope
		}
		set |= 1 << i
	}
	return set
}

// check compares the claims of a token with the model's.
func (k *modelToken) check() error {
	c, err := k.claims()
	if err != nil {
		return err
	}
	if c.Subject != k.user.id || c.scopes() != k.scopes || c.Expires != k.expires.Unix() || c.Other.TenantID != k.tenant.id ||
		c.Other.ActionCode != k.action.code || c.Other.IdempotencyKey != k.action.key || c.Other.TrustedBrowser != k.browser || c.KeyID != k.signer.id {
		return fmt.Errorf("a token: got %+v, want scope %q until %d for %s %s %s by %s",
			c, k.scopes, k.expires.Unix(), k.tenant.id, k.user.id, k.action, k.signer.id)
	}
	return nil
}

// answered returns the status of an answer, with the code of an error.
func answered(r response) string {
	if r.status == 200 {
		return "200"
	}
	return fmt.Sprint(r.status, " ", r.object["errorCode"])
}

// outcome compares an answer with the refusals of the model. It must be one of
// them, or a success if there are none.
func outcome(what string, r response, refusals []string) (string, error) {
	if len(refusals) == 0 {
		refusals = []string{"200"}
	}
	got := answered(r)
	if !slices.Contains(refusals, got) {
		return "", disagree(r, refusals)
	}
	return what + ": " + got, nil
}

func (w *world) enroll() (string, error) {
	k := w.anyToken()
	w.note("enroll %s", k)
	name := w.anyName()
	r := w.page(k, "POST", "user-authenticators/totp", marshal(map[string]string{"name": name}))
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("enroll", r, []string{refusal})
	}
	what, err := outcome("enroll", r, k.mayNotAdd())
	if err == nil && r.status == 200 {
		before := k.user.pending(k.action)
		if _, has := r.object["replaced"]; has != (before != nil) || has && r.object["replaced"] != true {
			return "", disagree(r, fmt.Sprint("replaced: ", before != nil))
		}
		if before != nil {
			w.secrets = append(w.secrets, before.secret)
			what += ", replaced"
		}
		k.begin(r.object["userAuthenticatorId"].(string), r.object["secret"].(string), name, w.clock())
	}
	return what, err
}

func (k *modelToken) String() string {
	state := "void"
	if a := k.subject(); a != nil {
		state = a.state
		if a.newcomer {
			state += " as a newcomer"
		}
	}
	return fmt.Sprintf("%s %s %s (%s, %d apps, scope %q)", k.tenant.id, k.user.id, k.action, state, len(k.user.apps()), k.scopes)
}

// anyCode returns a code for a token: of an app of the user, of a pending
// enrollment, of another user's or a removed authenticator, or a malformed one. of
// describes it.
func (w *world) anyCode(k *modelToken) (code, of string) {
	step := w.clock().Unix()/30 + int64(w.rng.IntN(3)) - 1
	if w.rng.IntN(8) == 0 {
		step += 2 // too early, or right
	}
	var secrets []string
	switch n := w.rng.IntN(20); {
	case n < 7:
		of = "the user's app"
		for _, a := range k.user.apps() {
			secrets = append(secrets, a.secret)
		}
	case n < 13:
		of = "this action's enrollment"
		if a := k.user.pending(k.action); a != nil {
			secrets = append(secrets, a.secret)
		}
	case n < 15:
		of = "another enrollment"
		for _, a := range k.user.authenticators {
			if !a.verified && a.began != k.action {
				secrets = append(secrets, a.secret)
			}
		}
	case n < 16:
		of = "another user's app"
		for _, a := range w.anyUser(w.anyTenant()).apps() {
			secrets = append(secrets, a.secret)
		}
	case n < 17:
		of = "a void secret"
		secrets = w.secrets
	case n < 18:
		return pick(w, []string{"", "12345", "1234567", "abcdef", "１２３４５６", "-12345"}), "no code"
	}
	if len(secrets) > 0 {
		return codeOf(pick(w, secrets), step), of
	}
	return fmt.Sprintf("%06d", w.rng.IntN(1_000_000)), "a guess"
}

func (w *world) verify() (string, error) {
	k := w.anyToken()
	if w.rng.IntN(3) == 0 {
		k = w.anyPendingToken()
	}
	code, of := w.anyCode(k)
	w.note("verify %s with %s", k, of)
	body, now := marshal(map[string]string{"verificationCode": code}), w.clock()
	if refusal := k.bearer(now); refusal != "" {
		return outcome("verify", w.page(k, "POST", "verify/totp", body), []string{refusal})
	}
	pending, enrolled := k.user.pending(k.action), len(k.user.apps()) > 0
	earned := *k
	earned.scopes, earned.expires, earned.signer, earned.browser = everyScope, now.Add(tokenLife), w.signer(), false
	v, violation := k.verify(code, now)
	if violation != "" {
		return "", fmt.Errorf("%s: %s", violation, k)
	}
	var r response
	consent, refusals := "", v.refusals
	if k.tenant.webhook {
		var err error
		if r, consent, refusals, err = w.verifyWithWebhook(k, func() response { return w.page(k, "POST", "verify/totp", body) }, v); err != nil {
			return "", err
		}
	} else {
		r = w.page(k, "POST", "verify/totp", body)
	}
	switch {
	case refusals != nil && r.status != 200:
		what, err := outcome("verify", r, refusals)
		if consent != "" && err == nil {
			what = "verify: " + consent
			if consent == consentGiven {
				what += ", " + answered(r)
			}
		}
		return what, err
	case v.accepted == nil:
		if r.status != 200 || v.reason == "" || r.object["isVerified"] != false || r.object["failureReason"] != v.reason || r.object["accessToken"] != nil {
			return "", disagree(r, v.reason)
		}
		return "verify: " + v.reason, nil
	case refusals != nil && !slices.Contains(refusals, "200"), r.status != 200, r.object["isVerified"] != true:
		return "", disagree(r, fmt.Sprint("a right code, ", refusals))
	}
	completed := v.accepted == pending
	if (r.object["userAuthenticator"] != nil) != completed {
		return "", disagree(r, fmt.Sprint("userAuthenticator: ", completed))
	}
	earned.text, _ = r.object["accessToken"].(string)
	if err := earned.check(); err != nil {
		return "", err
	}
	w.keep(&earned)
	switch {
	case consent != "":
		return "verify: " + consent, nil
	case completed && enrolled:
		return "verify: accepted, another authenticator", nil
	case completed:
		return "verify: accepted, an enrollment", nil
	}
	return "verify: accepted, a factor", nil
}

// anyID returns the id of an authenticator, usually of the user.
func (w *world) anyID(u *modelUser) string {
	if w.rng.IntN(5) == 0 {
		u = w.anyUser(w.anyTenant())
	}
	if len(u.authenticators) == 0 {
		return "unknown"
	}
	return pick(w, u.authenticators).id
}

func (w *world) remove() (string, error) {
	k := w.anyToken()
	id := w.anyID(k.user)
	w.note("remove %s of %s", id, k)
	r := w.page(k, "DELETE", "user-authenticators/"+id, "")
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("remove", r, []string{refusal})
	}
	what, err := outcome("remove", r, k.mayNotRemove(id))
	if err != nil || r.status != 200 {
		return what, err
	}
	if len(k.user.apps()) > 0 && !k.subject().earned() {
		return "", fmt.Errorf("an authenticator was removed without a code and without the backend's word: %s", k)
	}
	w.removed(k.user, id)
	k.user.actions[k.action].epoch = k.user.epoch // by the user
	next := w.issued(*k, r.object["accessToken"])
	next.epoch = k.user.epoch
	w.keep(next)
	return what, next.check()
}

// removed removes a verified authenticator from the model.
func (w *world) removed(u *modelUser, id string) {
	a := u.find(id)
	if a.secret != "" {
		w.secrets = append(w.secrets, a.secret)
	}
	u.drop(a)
	if len(u.apps()) == 0 { // nothing is left that a recovery code could replace
		w.void(&u.inForce)
		w.void(&u.unconfirmed)
	}
	u.epoch++
}

func (w *world) exchange() (string, error) {
	k := w.anyToken()
	scopes := w.anyScopes()
	w.note("exchange %s for %q", k, scopes)
	r := w.page(k, "POST", "token", marshal(map[string]string{"scope": scopes.String()}))
	refusals := []string{k.bearer(w.clock())}
	switch {
	case refusals[0] != "":
		if scopes == 0 && !k.signer.withdrawn && refusals[0] == unauthorized {
			refusals = append(refusals, invalidRequest) // the body is read before the user
		}
	case scopes == 0:
		refusals = []string{invalidRequest}
	case !k.has(scopes):
		refusals = []string{invalidRequest, forbidden}
	default:
		refusals = nil
	}
	what, err := outcome("exchange", r, refusals)
	if err != nil || r.status != 200 {
		return what, err
	}
	less := w.issued(*k, r.object["accessToken"])
	less.scopes = scopes
	w.keep(less)
	return what, less.check()
}

// validate validates a token as the backend of a tenant, sometimes of another one.
func (w *world) validate() (string, error) {
	k := w.anyToken()
	t := k.tenant
	if w.rng.IntN(10) == 0 {
		t = w.anyTenant()
	}
	w.note("validate %s at %s", k, t.id)
	r := w.backend(t, "POST", "/validate", marshal(map[string]string{"token": k.text}))
	if k.bearer(w.clock()) != "" || t != k.tenant {
		if r.status != 200 || r.text != `{"isValid":false,"error":"Token is invalid."}` {
			return "", disagree(r, "Token is invalid.")
		}
		return "validate: void", nil
	}
	a := k.subject()
	valid, want := k.valid(), a.method
	if a.shown(k.browser) != a.state { // completed by another browser
		want = ""
	}
	method, _ := r.object["verificationMethod"].(string)
	if r.status != 200 || r.object["isValid"] != valid || r.object["state"] != a.shown(k.browser) || r.object["userId"] != k.user.id || method != want {
		return "", disagree(r, fmt.Sprintf("%s, valid %v, method %q", a.shown(k.browser), valid, want))
	}
	// The main invariant.
	if valid && !a.proved && !(a.trusted && k.browser) {
		return "", fmt.Errorf("validate is valid without a code of the user, an update by the backend or a trusted browser of its own: %s", k)
	}
	return fmt.Sprint("validate: ", valid), nil
}

// compareAny compares a random user and action with the model.
func (w *world) compareAny() (string, error) {
	t := w.anyTenant()
	u, name := w.anyUser(t), w.anyAction()
	w.note("compare %s %s %s", t.id, u.id, name)
	return "compare", w.compare(t, u, name)
}

// compare compares a user and an action, by the Server API, with the model.
func (w *world) compare(t *modelTenant, u *modelUser, name actionName) error {
	if err := w.compareUser(t, u); err != nil {
		return err
	}
	return w.compareAction(t, u, name)
}

func (w *world) compareUser(t *modelTenant, u *modelUser) error {
	r := w.backend(t, "GET", "/users/"+u.id, "")
	text := func(key string) string { s, _ := r.object[key].(string); return s }
	if r.status != 200 || r.object["userId"] != u.id || r.object["isEnrolled"] != (len(u.verified()) > 0) ||
		text("email") != u.email || text("displayName") != u.displayName || text("defaultVerificationMethod") != u.defaultMethod() ||
		!sameTexts(r.object["allowedVerificationMethods"], []string{"AUTHENTICATOR_APP"}) ||
		!slices.Equal(texts(r.object["enrolledVerificationMethods"]), u.methods()) {
		return disagree(r, fmt.Sprintf("%+v, enrolled with %q, default %q", *u, u.methods(), u.defaultMethod()))
	}
	if err := w.compareCodes(w.backend(t, "GET", "/users/"+u.id+"/recovery-codes", ""), u); err != nil {
		return err
	}
	if err := w.compareBrowsers(w.backend(t, "GET", "/users/"+u.id+"/trusted-browsers", ""), u); err != nil {
		return err
	}
	return u.compareAuthenticators(w.backend(t, "GET", "/users/"+u.id+"/authenticators", ""), true)
}

// texts returns a list of an answer, sorted.
func texts(v any) (list []string) {
	items, _ := v.([]any)
	for _, item := range items {
		list = append(list, item.(string))
	}
	slices.Sort(list)
	return list
}

// compareAuthenticators compares a list of the verified authenticators, one of which
// is the default. It has their names if they are to be seen.
func (u *modelUser) compareAuthenticators(r response, names bool) error {
	var got, want []string
	for _, item := range r.list {
		a := item.(map[string]any)
		name, _ := a["name"].(string)
		line := fmt.Sprint(a["userAuthenticatorId"], " ", a["verificationMethod"], " ", name)
		if a["isDefault"] == true {
			got = append(got, fmt.Sprint("default ", a["verificationMethod"]))
		}
		got = append(got, line)
	}
	for _, a := range u.verified() {
		line := a.id + " " + a.method() + " "
		if names {
			line += a.name
		}
		want = append(want, line)
	}
	if len(want) > 0 {
		want = append(want, "default "+u.defaultMethod())
	}
	slices.Sort(got)
	slices.Sort(want)
	if r.status != 200 || r.list == nil || !slices.Equal(got, want) {
		return disagree(r, want)
	}
	return nil
}

func (w *world) compareAction(t *modelTenant, u *modelUser, name actionName) error {
	r := w.backend(t, "GET", "/users/"+u.id+"/actions/"+name.code+"/"+name.key, "")
	a := u.actions[name]
	if a == nil {
		_, err := outcome("", r, []string{notFound})
		return err
	}
	if r.status != 200 || r.object["state"] != a.shown(false) || !sameTexts(r.object["ruleIds"], a.rules) {
		return disagree(r, fmt.Sprintf("%s, rules %q", a.shown(false), a.rules))
	}
	// The main invariant.
	if a.state == challengeSucceeded && !a.proved && !a.trusted {
		return fmt.Errorf("%s %s %s is CHALLENGE_SUCCEEDED without a code of the user and without an update by the backend", t.id, u.id, name)
	}
	return nil
}

// sweep compares all users and actions.
func (w *world) sweep() error {
	for _, t := range w.tenants {
		for _, id := range sorted(t.users) {
			if err := w.compareUser(t, t.users[id]); err != nil {
				return err
			}
			for _, code := range sorted(actionCodes) {
				for _, key := range []string{"key-0", "key-1"} {
					if err := w.compareAction(t, t.users[id], actionName{code, key}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (w *world) patch() (string, error) {
	t := w.anyTenant()
	return w.move(t, w.anyUser(t), w.anyAction(),
		pick(w, append([]string{challengeRequired, challengeRequired, allow, allow, reviewSucceeded, reviewSucceeded}, allStates...)))
}

// move updates the state of an action by the backend.
func (w *world) move(t *modelTenant, u *modelUser, name actionName, state string) (string, error) {
	a := u.actions[name]
	w.note("patch %s %s %s to %s", t.id, u.id, name, state)
	r := w.backend(t, "PATCH", "/users/"+u.id+"/actions/"+name.code+"/"+name.key, `{"state":"`+state+`"}`)
	if a == nil {
		return outcome("patch", r, []string{notFound})
	}
	a.patch(state, u.epoch, w.clock())
	what, err := outcome("patch", r, nil)
	if err == nil && r.object["state"] != state {
		err = disagree(r, state)
	}
	return what, err
}

// imports adds a verified factor: a new app, an existing one, or another method.
func (w *world) imports() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	n := w.rng.IntN(10)
	secret := codeSecret(w.rng)
	var known *modelAuthenticator
	body := map[string]any{"verificationMethod": "AUTHENTICATOR_APP"}
	isDefault := w.rng.IntN(4) == 0
	switch {
	case n == 0:
		secret = ""
		body = map[string]any{"verificationMethod": "SMS", "phoneNumber": fmt.Sprint("+1555", w.rng.IntN(1_000_000_000))}
	case n == 1 && len(u.authenticators) > 0:
		if a := pick(w, u.authenticators); a.secret != "" {
			known, secret = a, a.secret
		}
	}
	if secret != "" {
		body["otpUri"] = "otpauth://totp/Acme:u?secret=" + secret
	}
	if isDefault {
		body["isDefault"] = true
	}
	w.note("import for %s %s, known %v, app %v", t.id, u.id, known != nil, secret != "")
	r := w.backend(t, "POST", "/users/"+u.id+"/authenticators", marshal(body))
	var refusals []string
	again := known != nil && known.verified
	if !again && u.exists && len(u.verified()) >= t.max {
		refusals = []string{invalidRequest}
	}
	what, err := outcome("import", r, refusals)
	if err != nil || r.status != 200 {
		return what, err
	}
	u.ensure()
	if isDefault {
		u.prefers, _ = body["verificationMethod"].(string)
	}
	id := r.object["authenticator"].(map[string]any)["userAuthenticatorId"].(string)
	switch {
	case again && id != known.id:
		return "", disagree(r, known.id)
	case again:
		return "import: again", nil
	case known != nil:
		u.drop(known) // the pending one with the same secret
	}
	u.authenticators = append(u.authenticators, &modelAuthenticator{id: id, secret: secret, verified: true, created: w.clock(), lastStep: -1})
	return what, nil
}

// codeSecret returns a new secret in base32.
func codeSecret(rng *rand.Rand) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	b := make([]byte, 32)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(b)
}

func (w *world) deleteAuthenticator() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	id := w.anyID(u)
	w.note("delete %s of %s %s", id, t.id, u.id)
	r := w.backend(t, "DELETE", "/users/"+u.id+"/authenticators/"+id, "")
	if a := u.find(id); a == nil || !a.verified {
		return outcome("delete authenticator", r, []string{notFound})
	}
	w.removed(u, id)
	return outcome("delete authenticator", r, nil)
}

func (w *world) deleteUser() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	actions := w.rng.IntN(2) == 0
	w.note("delete user %s %s, actions %v", t.id, u.id, actions)
	r := w.backend(t, "DELETE", fmt.Sprintf("/users/%s?actions=%v", u.id, actions), "")
	u.delete()
	if actions {
		clear(u.actions)
	}
	return outcome("delete user", r, nil)
}

func (w *world) endTokens() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	w.note("end tokens of %s %s", t.id, u.id)
	var r response
	if w.rng.IntN(2) == 0 {
		r = w.backend(t, "DELETE", "/users/"+u.id+"/tokens", "")
	} else {
		r = w.operator(t, "DELETE", "/users/"+u.id+"/tokens", "")
	}
	if !u.exists {
		return outcome("end tokens", r, []string{notFound})
	}
	u.epoch++
	u.link = nil
	return outcome("end tokens", r, nil)
}

func (w *world) unlock() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	id := w.anyID(u)
	if a := u.find(id); a != nil && !a.verified {
		id = "unknown"
	}
	w.note("unlock %s of %s %s", id, t.id, u.id)
	r := w.operator(t, "POST", "/users/"+u.id+"/authenticators/"+id+"/unlock", "")
	a := u.find(id)
	if a == nil {
		return outcome("unlock", r, []string{notFound})
	}
	a.inARow, a.failures = 0, nil
	u.epoch++
	return outcome("unlock", r, nil)
}

// wait advances the clock: by the life of a code, a window or a token, or by a day.
func (w *world) wait() (string, error) {
	by := time.Duration(1+w.rng.IntN(40)) * time.Second
	switch n := w.rng.IntN(40); {
	case n == 0:
		by = 25 * time.Hour
	case n < 3:
		by = tokenLife + time.Second
	case n < 6:
		by = modelWindow + time.Second
	case n < 8:
		by = tokenLife // to the second
	}
	w.mu.Lock()
	w.now = w.now.Add(by)
	w.mu.Unlock()
	w.note("wait %v", by)
	return "wait", nil
}
