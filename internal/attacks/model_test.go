package attacks

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The model predicts the effect of a call on a tenant's keys, settings, users,
// actions, authenticators and tokens, and its answer. It is written from the wire
// contract and the documentation and shares no code with the server. It covers two
// attributes of a user, five conditions of rules, and one kind of authenticator app:
// SHA1, six digits, 30 seconds and a drift of one step.

// The states of an action (wire contract, section 9).
const (
	allow              = "ALLOW"
	block              = "BLOCK"
	challengeRequired  = "CHALLENGE_REQUIRED"
	challengeSucceeded = "CHALLENGE_SUCCEEDED"
	challengeFailed    = "CHALLENGE_FAILED"
	reviewRequired     = "REVIEW_REQUIRED"
	reviewSucceeded    = "REVIEW_SUCCEEDED"
	reviewFailed       = "REVIEW_FAILED"
)

var allStates = []string{
	allow, block, challengeRequired, challengeSucceeded, challengeFailed, reviewRequired, reviewSucceeded, reviewFailed,
}

// A scopeSet is the scopes of a token, a bit each, in the order of scopeNames.
type scopeSet int

const (
	scopeRead scopeSet = 1 << iota
	scopeAdd
	scopeUpdate
	scopeRemove
	everyScope scopeSet = 1<<4 - 1
)

var scopeNames = strings.Fields(allScopes)

func (s scopeSet) String() string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// The limits of the model's tenants, low enough to be reached.
const (
	modelMaxFailures = 3
	modelWindow      = 300 * time.Second
	modelMaxInARow   = 6
)

const (
	tokenLife   = 10 * time.Minute
	pendingLife = 24 * time.Hour
)

// Refusals, as a status and a code.
const (
	invalidRequest       = "400 invalid_request"
	invalidConfiguration = "400 invalid_configuration"
	noAuthenticator      = "400 AUTHENTICATOR_NOT_FOUND"
	unauthorized         = "401 unauthorized"
	expiredToken         = "401 expired_token"
	forbidden            = "403 unauthorized"
	notFound             = "404 not_found"
)

type modelTenant struct {
	id            string
	keys          []*modelKey
	active        bool
	allowMultiple bool
	max           int
	// webhook reports whether an action.verify webhook is set.
	webhook bool
	// policy is the enrollment policy, or nil.
	policy *modelPolicy
	// settings are those that are set, by action.
	settings map[string]modelSettings
	users    map[string]*modelUser
}

// A modelKey is an API secret key.
type modelKey struct {
	id, text string
	// ends is when it stops being in force. The zero time means never.
	ends time.Time
}

func (k *modelKey) inForce(now time.Time) bool { return k.ends.IsZero() || now.Before(k.ends) }

// end sets the end of a key, unless it ends earlier.
func (k *modelKey) end(at time.Time) {
	if k.inForce(at) {
		k.ends = at
	}
}

// inForce returns the keys that the Server API accepts and that sign webhooks.
func (t *modelTenant) inForce(now time.Time) (list []*modelKey) {
	for _, k := range t.keys {
		if k.inForce(now) {
			list = append(list, k)
		}
	}
	return list
}

// modelSettings are the settings of an action.
type modelSettings struct {
	outcome string
	rules   []modelRule
	// trustDays is how long trust in a browser counts; 0 is never.
	trustDays int
}

type modelRule struct{ id, condition, outcome string }

// The conditions of rules.
const (
	ifNewDevice = "device.isNew"
	ifEnrolled  = "user.isEnrolled"
	ifOne       = "custom.x == 1"
	ifMore      = "custom.x > 1"
	ifTrusted   = "device.isTrusted"
)

// A modelTrack contains the attributes of a track. A device of "" and an x of 0 are
// left out.
type modelTrack struct {
	device, email string
	x             int
	// browser is the token of a trusted browser, or of none. trusted reports whether
	// it counts for the action.
	browser modelDevice
	trusted bool
	// presented reports whether the token is that of a browser that the user trusts, or
	// a copy of it.
	presented bool
}

// holds reports whether a rule matches, and whether it cannot be evaluated.
func (r modelRule) holds(u *modelUser, in modelTrack) (matches, fails bool) {
	switch r.condition {
	case ifNewDevice:
		return !u.knows(in.device), false
	case ifEnrolled:
		return len(u.verified()) > 0, false
	case ifOne:
		return in.x == 1, in.x == 0
	case ifMore:
		return in.x > 1, in.x == 0
	case ifTrusted:
		return in.trusted, false
	}
	panic("a condition that the model does not have")
}

// strictness lists the outcomes, the strictest one last.
var strictness = []string{"ALLOW", "CHALLENGE", "REVIEW", "BLOCK"}

// decide returns the outcome of a new action: the first rule that matches decides,
// and one that fails can only make it stricter. listed are the rules that match, and
// those that fail and whose outcome is not ALLOW. byRule reports whether the outcome is
// that of a rule.
func (t *modelTenant) decide(u *modelUser, code string, in modelTrack) (outcome string, listed []string, byRule bool) {
	settings, set := t.settings[code]
	if !set {
		settings.outcome = "CHALLENGE"
	}
	decided, failed := "", "ALLOW"
	for _, r := range settings.rules {
		matches, fails := r.holds(u, in)
		switch {
		case fails && r.outcome != "ALLOW":
			failed = stricter(failed, r.outcome)
		case matches && !fails:
			if decided == "" {
				decided = r.outcome
			}
		default:
			continue
		}
		listed = append(listed, r.id)
	}
	if decided == "" {
		outcome = stricter(settings.outcome, failed)
		return outcome, listed, len(listed) > 0 && outcome == failed
	}
	return stricter(decided, failed), listed, true
}

func stricter(a, b string) string {
	return strictness[max(slices.Index(strictness, a), slices.Index(strictness, b))]
}

type modelUser struct {
	id                 string
	exists             bool
	incarnation, epoch int
	authenticators     []*modelAuthenticator
	actions            map[actionName]*modelAction
	email, displayName string
	// prefers is the user's preferred verification method.
	prefers string
	// inForce and unconfirmed are the user's recovery codes, nil if there are none.
	inForce, unconfirmed *modelCodes
	// browsers are those that the user trusts or has trusted, the newest last.
	browsers []*modelBrowser
	link     *modelLink
	// first is when the first action was tracked. The zero time means never.
	first time.Time
}

type modelAuthenticator struct {
	name       string
	id, secret string // without a secret it is an SMS factor, which the server cannot challenge
	verified   bool
	began      actionName // of a pending one
	created    time.Time
	lastStep   int64
	inARow     int
	failures   []time.Time
}

// An actionName is an action and its idempotency key.
type actionName struct{ code, key string }

type modelAction struct {
	state       string
	incarnation int // of the user
	// epoch is that of the user's tokens when the action got its state.
	epoch int
	// changes is the number of changes of its state.
	changes int
	created time.Time
	device  string   // from which it was tracked
	rules   []string // that decided it
	// newcomer reports whether it is ALLOW only because the user was not
	// enrolled.
	newcomer bool
	// trusted reports whether it is ALLOW or CHALLENGE_SUCCEEDED only because the
	// browser was trusted.
	trusted bool
	// browser is the token with which it was tracked first, or was completed last.
	browser modelDevice
	// byRule reports whether a rule has decided it.
	byRule bool
	// updated is when it got its state.
	updated time.Time
	// method is the one that has completed it last.
	method string
	// proved reports whether there was a right code of the user, also a recovery code, or the user had
	// no factor for one, or the backend updated the action so. allowedByBackend
	// reports whether the backend let the user pass. The invariant requires one of
	// them; they decide nothing else.
	proved, allowedByBackend bool
}

type modelToken struct {
	text               string
	tenant             *modelTenant
	user               *modelUser
	incarnation, epoch int
	action             actionName
	scopes             scopeSet
	expires            time.Time
	signer             *modelSigner
	// browser reports whether it was issued to a trusted browser that had completed
	// the action.
	browser bool
}

// A modelSigner is a key that signs tokens.
type modelSigner struct {
	id        string
	withdrawn bool
}

func (u *modelUser) verified() (list []*modelAuthenticator) {
	for _, a := range u.authenticators {
		if a.verified {
			list = append(list, a)
		}
	}
	return list
}

// apps returns the verified authenticator apps.
func (u *modelUser) apps() (list []*modelAuthenticator) {
	for _, a := range u.verified() {
		if a.secret != "" {
			list = append(list, a)
		}
	}
	return list
}

func (a *modelAuthenticator) method() string {
	if a.secret == "" {
		return "SMS"
	}
	return "AUTHENTICATOR_APP"
}

// methods returns the methods of the verified authenticators, sorted.
func (u *modelUser) methods() (list []string) {
	for _, a := range u.verified() {
		list = append(list, a.method())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// defaultMethod returns the method of the default authenticator, or "" if there is
// none: the method that the user prefers, otherwise an app.
func (u *modelUser) defaultMethod() string {
	methods := u.methods()
	switch {
	case len(methods) == 0 || slices.Contains(methods, u.prefers):
		if len(methods) > 0 {
			return u.prefers
		}
		return ""
	case len(u.apps()) > 0:
		return "AUTHENTICATOR_APP"
	}
	return methods[0] // there is one other method in the model
}

// knows reports whether an action that was tracked from a device is a success of the
// user now. A former success whose state was changed does not count.
func (u *modelUser) knows(device string) bool {
	for _, a := range u.actions {
		if device != "" && a.device == device && a.incarnation == u.incarnation && a.state == challengeSucceeded && !a.trusted {
			return u.exists
		}
	}
	return false
}

// pending returns the pending authenticator of an action, or nil.
func (u *modelUser) pending(name actionName) *modelAuthenticator {
	for _, a := range u.authenticators {
		if !a.verified && a.began == name {
			return a
		}
	}
	return nil
}

func (u *modelUser) find(id string) *modelAuthenticator {
	for _, a := range u.authenticators {
		if a.id == id {
			return a
		}
	}
	return nil
}

// ensure creates the user if there is none.
func (u *modelUser) ensure() {
	if !u.exists {
		u.exists = true
		u.incarnation++
		u.epoch = 0
	}
}

// drop removes an authenticator of the user.
func (u *modelUser) drop(a *modelAuthenticator) {
	u.authenticators = slices.DeleteFunc(u.authenticators, func(b *modelAuthenticator) bool { return a == b })
}

// delete removes the user. The actions stay.
func (u *modelUser) delete() {
	u.exists, u.authenticators, u.email, u.displayName, u.prefers = false, nil, "", "", ""
	u.inForce, u.unconfirmed, u.browsers, u.link, u.first = nil, nil, nil, nil, time.Time{}
}

// track returns the action after a track, or nil if the tenant accepts none. It is
// the stored one if the user has one with the idempotency key and the tokens and
// factors on which its state is based have not ended.
func (t *modelTenant) track(u *modelUser, name actionName, in modelTrack, now time.Time) *modelAction {
	if !t.active {
		return nil
	}
	known := u.actions[name]
	if known != nil && (!u.exists || known.incarnation != u.incarnation) {
		known = nil
	}
	a := &modelAction{created: now, updated: now, device: in.device}
	outcome, byRule := "CHALLENGE", false // if the stored state is no longer valid
	if known == nil {
		outcome, a.rules, byRule = t.decide(u, name.code, in)
	} else {
		a.created, a.device, a.rules, a.browser, byRule = known.created, known.device, known.rules, known.browser, known.byRule
	}
	a.byRule = byRule
	u.ensure()
	if in.email != "" {
		u.email = in.email
	}
	if u.first.IsZero() {
		u.first = now
	}
	late := t.duty(u, now) == mustEnroll
	if known == nil && in.presented {
		a.browser = in.browser
	}
	ended := known != nil && known.epoch != u.epoch && (known.state == challengeSucceeded || known.state == allow && known.trusted)
	if known != nil && !(known.newcomer && known.state == allow && (len(u.verified()) > 0 || late)) && !ended {
		return known
	}
	a.incarnation, a.epoch = u.incarnation, u.epoch
	switch outcome {
	case "ALLOW":
		a.state, a.allowedByBackend = allow, true
	case "BLOCK":
		a.state = block
	case "REVIEW":
		a.state = reviewRequired
	case "CHALLENGE":
		if a.state = challengeRequired; len(u.verified()) == 0 {
			if !late {
				a.state, a.newcomer = allow, true
			}
		} else if known == nil && in.trusted && !byRule {
			a.state, a.trusted = allow, true
		}
	}
	u.actions[name] = a
	return a
}

// patch updates the state of an action by the backend.
func (a *modelAction) patch(state string, epoch int, now time.Time) {
	if a.state != state || a.newcomer || a.trusted || a.epoch != epoch {
		a.updated = now
	}
	a.state, a.newcomer, a.trusted, a.epoch = state, false, false, epoch
	a.changes++
	a.proved = state == challengeSucceeded
	a.allowedByBackend = a.proved || state == allow || state == reviewSucceeded
}

// bearer returns the refusal of a token by the client API, or "" if it is valid.
func (k *modelToken) bearer(now time.Time) string {
	switch {
	case k.signer.withdrawn: // its claims, such as the expiry, are not checked
		return unauthorized
	case !now.Before(k.expires):
		return expiredToken
	case k.subject() == nil:
		return unauthorized
	}
	return ""
}

// subject returns the action of a token, or nil if the token is void.
func (k *modelToken) subject() *modelAction {
	a := k.user.actions[k.action]
	if !k.user.exists || k.user.incarnation != k.incarnation || k.user.epoch != k.epoch || a == nil || a.incarnation != k.incarnation {
		return nil
	}
	return a
}

func (k *modelToken) has(s scopeSet) bool { return k.scopes&s == s }

// isPassed reports whether an action requires nothing more of a user, so that
// authenticators may be added and removed.
func (a *modelAction) isPassed(u *modelUser) bool {
	switch a.state {
	case challengeSucceeded:
		return !a.trusted
	case reviewSucceeded:
		return true
	case allow:
		return !a.trusted && (!a.newcomer || len(u.verified()) == 0)
	}
	return false
}

// urlScopes returns the scopes of the token in the url of a tracked action: the read
// scope, and those that give a right in its present state.
func (a *modelAction) urlScopes(u *modelUser, scopes scopeSet) scopeSet {
	takesEnrollment := a.isPassed(u) || a.state == allow || a.state == challengeRequired
	if len(u.verified()) > 0 && (a.isPassed(u) || len(u.apps()) == 0 && takesEnrollment) {
		return scopes
	}
	return scopeRead
}

// mayNotAdd returns all refusals of an addition, or none if it is allowed.
func (k *modelToken) mayNotAdd() (refusals []string) {
	u, a := k.user, k.subject()
	if !k.tenant.active {
		refusals = append(refusals, invalidConfiguration)
	}
	switch a.state {
	case block, reviewRequired, challengeFailed, reviewFailed:
		refusals = append(refusals, invalidRequest)
	}
	n := len(u.verified())
	if n > 0 && !k.tenant.allowMultiple || n >= k.tenant.max {
		refusals = append(refusals, invalidRequest)
	}
	if n > 0 && !k.has(scopeAdd) || len(u.apps()) > 0 && !a.isPassed(u) {
		refusals = append(refusals, forbidden)
	}
	return refusals
}

// mayNotRemove returns those of a removal.
func (k *modelToken) mayNotRemove(id string) (refusals []string) {
	u, a := k.user, k.subject()
	if !k.has(scopeRemove) || !a.isPassed(u) {
		refusals = append(refusals, forbidden)
	}
	if b := u.find(id); b == nil || !b.verified {
		refusals = append(refusals, notFound)
	}
	return refusals
}

// begin adds a pending authenticator. It replaces an earlier one of the action and
// those that are too old.
func (k *modelToken) begin(id, secret, name string, now time.Time) {
	u := k.user
	u.authenticators = slices.DeleteFunc(u.authenticators, func(a *modelAuthenticator) bool {
		return !a.verified && (a.began == k.action || a.created.Before(now.Add(-pendingLife)))
	})
	u.authenticators = append(u.authenticators, &modelAuthenticator{id: id, secret: secret, name: name, began: k.action, created: now, lastStep: -1})
}

// A modelVerdict is the result of a verification.
type modelVerdict struct {
	// refusals are the possible answers, none for an answer of 200.
	refusals []string
	accepted *modelAuthenticator
	reason   string
	// consent is the consent that the webhook is asked for, nil if it is not
	// called.
	consent *modelConsent
}

// A modelConsent is an action whose code was right and whose state has not changed
// yet.
type modelConsent struct {
	token   *modelToken
	action  *modelAction
	state   string
	changes int
	method  string
	// browser is the one that has been accepted, with its token then.
	browser *modelBrowser
	device  modelDevice
}

// complete completes the action after the webhook's consent, if its state has not
// changed, and returns the possible answers. There may be others beside "200": the
// contract does not define whether an update by the backend to the same state
// counts.
func (c *modelConsent) complete(now time.Time) (answers []string) {
	switch a := c.token.subject(); {
	case a == nil:
		return []string{unauthorized}
	case c.browser != nil && (!slices.Contains(c.token.user.browsers, c.browser) || c.browser.current != c.device):
		return []string{invalidRequest}
	case a.state == challengeSucceeded && (!a.trusted || c.browser != nil): // by another code, or by the backend
		return []string{"200"}
	case a.state == challengeSucceeded:
		a.succeed(c.token.user, c.method, now)
		return []string{"200"}
	case a != c.action || a.state != c.state:
		return []string{invalidRequest}
	case a.changes != c.changes:
		return []string{"200", invalidRequest}
	}
	c.succeed(now)
	return []string{"200"}
}

func (c *modelConsent) succeed(now time.Time) { c.action.succeed(c.token.user, c.method, now) }

// succeed completes an action after a right code, or by a trusted browser.
func (a *modelAction) succeed(u *modelUser, method string, now time.Time) {
	a.trusted = method == "TRUSTED_BROWSER"
	a.state, a.epoch, a.proved, a.method, a.updated = challengeSucceeded, u.epoch, !a.trusted, method, now
	a.changes++
}

// verify returns the result of a code, and applies its effects.
func (k *modelToken) verify(code string, now time.Time) (v modelVerdict, violation string) {
	u, action := k.user, k.subject()
	var candidates []*modelAuthenticator
	switch action.state {
	case allow, challengeRequired, challengeSucceeded, reviewSucceeded:
	default:
		return modelVerdict{refusals: []string{invalidRequest}}, ""
	}
	refusals := k.mayNotAdd()
	pending := u.pending(k.action)
	if pending != nil && len(refusals) == 0 {
		candidates = append(candidates, pending)
	}
	if action.state != reviewSucceeded {
		candidates = append(candidates, u.apps()...)
	}
	if len(candidates) == 0 {
		v.refusals = []string{invalidRequest}
		if pending != nil { // the answer may also be the reason why it is not completed
			v.refusals = append(v.refusals, refusals...)
		}
		return v, ""
	}
	open := slices.DeleteFunc(candidates, func(a *modelAuthenticator) bool { return a.blocked(now) })
	if len(open) == 0 {
		return modelVerdict{reason: "MAX_ATTEMPTS_EXCEEDED"}, ""
	}
	v.reason = "CODE_INVALID_OR_EXPIRED"
	if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
		return v, ""
	}
	replayed := false
	for _, a := range open {
		step := a.match(code, now)
		switch {
		case step > a.lastStep:
			return k.accept(a, step, now)
		case step >= 0:
			replayed = true
		}
	}
	if !replayed {
		for _, a := range open {
			a.inARow++
			a.failures = append(a.failures, now)
		}
	}
	return v, ""
}

// earned reports whether there was a right code, or the backend let the user pass.
func (a *modelAction) earned() bool { return a.proved || a.allowedByBackend }

// accept spends a step and completes the action.
func (k *modelToken) accept(a *modelAuthenticator, step int64, now time.Time) (v modelVerdict, violation string) {
	u, action := k.user, k.subject()
	// A user without an app could not be challenged.
	if !a.verified && len(u.apps()) > 0 && !action.earned() {
		return v, "an authenticator was added for an enrolled user without a code and without the backend's word"
	}
	v.accepted = a
	a.lastStep, a.inARow, a.failures, a.verified = step, 0, nil, true
	v.consent, violation = k.completed("AUTHENTICATOR_APP", now)
	return v, violation
}

// completed completes the action of a token after a right code, unless the webhook has
// to consent first.
func (k *modelToken) completed(method string, now time.Time) (consent *modelConsent, violation string) {
	u, action := k.user, k.subject()
	switch moves := action.state == allow || action.state == challengeRequired || action.trusted; {
	case moves && k.tenant.webhook:
		consent = &modelConsent{token: k, action: action, state: action.state, changes: action.changes, method: method}
	case moves:
		action.succeed(u, method, now)
	case action.state == challengeSucceeded && !action.proved:
		violation = "an enrolled user's action is CHALLENGE_SUCCEEDED without a code and without the backend's word"
	default:
		action.proved = true
	}
	return consent, violation
}

func (a *modelAuthenticator) blocked(now time.Time) bool {
	if a.inARow >= modelMaxInARow {
		return true
	}
	n := 0
	for _, at := range a.failures {
		if at.After(now.Add(-modelWindow)) {
			n++
		}
	}
	return n >= modelMaxFailures
}

// match returns the step of a code: the earliest within the drift that is not spent,
// otherwise any within the drift, or -1.
func (a *modelAuthenticator) match(code string, now time.Time) int64 {
	found := int64(-1)
	at := now.Unix() / 30
	for step := at - 1; step <= at+1; step++ {
		if codeOf(a.secret, step) != code {
			continue
		}
		if step > a.lastStep {
			return step
		}
		found = step
	}
	return found
}

// codeOf returns the code of a step (RFC 4226, section 5.3, with SHA-1 and six
// digits).
func codeOf(secret string, step int64) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		panic(err) // the secret comes from the server or the test
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// sorted returns the keys of a map in ascending order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
