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

// The model says what a tenant's keys, settings, users, actions, authenticators
// and tokens become of a call, and how it is answered. It is written from the
// wire contract and the documentation and shares nothing with the server. Of the texts
// it has two attributes of a user, of the rules four conditions, and one kind of
// authenticator app: SHA1, six digits, 30 seconds and a drift of one step.

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

// Limits of codes that the model's tenants are given, low enough to be reached.
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
	// webhook reports that an action.verify webhook is set.
	webhook bool
	// settings are those that are set, by action.
	settings map[string]modelSettings
	users    map[string]*modelUser
}

// A modelKey is an API secret key.
type modelKey struct {
	id, text string
	// ends is when it goes out of force; the zero time is never.
	ends time.Time
}

func (k *modelKey) inForce(now time.Time) bool { return k.ends.IsZero() || now.Before(k.ends) }

// end takes a key out of force at a moment, unless that is sooner already.
func (k *modelKey) end(at time.Time) {
	if k.inForce(at) {
		k.ends = at
	}
}

// inForce are the keys that the Server API takes, and that sign webhooks.
func (t *modelTenant) inForce(now time.Time) (list []*modelKey) {
	for _, k := range t.keys {
		if k.inForce(now) {
			list = append(list, k)
		}
	}
	return list
}

// modelSettings are those of an action.
type modelSettings struct {
	outcome string
	rules   []modelRule
}

type modelRule struct{ id, condition, outcome string }

// The conditions of rules.
const (
	ifNewDevice = "device.isNew"
	ifEnrolled  = "user.isEnrolled"
	ifOne       = "custom.x == 1"
	ifMore      = "custom.x > 1"
)

// A modelTrack is what a track says of the device and the action. A device of
// "" and an x of 0 are left out.
type modelTrack struct {
	device, email string
	x             int
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
	}
	panic("a condition that the model does not have")
}

// strictness are the outcomes, the strictest one last.
var strictness = []string{"ALLOW", "CHALLENGE", "REVIEW", "BLOCK"}

// decide is the outcome of a new action: the first rule that matches decides,
// and one that fails can only make it stricter. listed are the rules that match,
// and those that fail and are not of ALLOW.
func (t *modelTenant) decide(u *modelUser, code string, in modelTrack) (outcome string, listed []string) {
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
		decided = settings.outcome
	}
	return stricter(decided, failed), listed
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
	// prefers is the verification method that the user prefers.
	prefers string
}

type modelAuthenticator struct {
	id, secret string // without a secret it is an SMS factor, which is not challenged here
	verified   bool
	began      actionName // of one that is pending
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
	// epoch is that of the user's tokens when the action came to its state.
	epoch int
	// changes is how often it came to a state.
	changes int
	created time.Time
	device  string   // that it was tracked from
	rules   []string // that it was decided by
	// newcomer: it is ALLOW only because the user was not enrolled.
	newcomer bool
	// proved: a right code of the user was given, or the user had no factor to
	// give one of, or the backend has said so. word: the backend has let the user
	// pass. Both are what the invariant asks for, and decide nothing.
	proved, word bool
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

// apps are the verified authenticator apps.
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

// methods are those of the verified authenticators, sorted.
func (u *modelUser) methods() (list []string) {
	for _, a := range u.verified() {
		list = append(list, a.method())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// defaultMethod is the method of the default authenticator, "" without one: that
// which the user prefers, or else an app.
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

// knows reports whether an action that was tracked from a device is a success of
// the user now. One that was, and has been moved since, does not count.
func (u *modelUser) knows(device string) bool {
	for _, a := range u.actions {
		if device != "" && a.device == device && a.incarnation == u.incarnation && a.state == challengeSucceeded {
			return u.exists
		}
	}
	return false
}

// pending is the authenticator that an action has begun, nil if there is none.
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

// ensure makes the user if there is none.
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

// delete removes the user and, if so said, the actions.
func (u *modelUser) delete(actions bool) {
	u.exists, u.authenticators, u.email, u.displayName, u.prefers = false, nil, "", "", ""
	if actions {
		clear(u.actions)
	}
}

// track returns the action after a track, nil if the tenant takes none: the
// stored one if the idempotency key is known to this user and nothing that its
// state rested on has ended.
func (t *modelTenant) track(u *modelUser, name actionName, in modelTrack, now time.Time) *modelAction {
	if !t.active {
		return nil
	}
	known := u.actions[name]
	if known != nil && (!u.exists || known.incarnation != u.incarnation) {
		known = nil
	}
	a := &modelAction{created: now, device: in.device}
	outcome := "CHALLENGE" // if what the state rested on has ended
	if known == nil {
		outcome, a.rules = t.decide(u, name.code, in)
	} else {
		a.created, a.device, a.rules = known.created, known.device, known.rules
	}
	u.ensure()
	if in.email != "" {
		u.email = in.email
	}
	if known != nil && !(known.newcomer && known.state == allow && len(u.verified()) > 0) && !(known.state == challengeSucceeded && known.epoch != u.epoch) {
		return known
	}
	a.incarnation, a.epoch = u.incarnation, u.epoch
	switch outcome {
	case "ALLOW":
		a.state, a.word = allow, true
	case "BLOCK":
		a.state = block
	case "REVIEW":
		a.state = reviewRequired
	case "CHALLENGE":
		if a.state = challengeRequired; len(u.verified()) == 0 {
			a.state, a.newcomer = allow, true
		}
	}
	u.actions[name] = a
	return a
}

// patch moves an action by the word of the backend.
func (a *modelAction) patch(state string, epoch int) {
	a.state, a.newcomer, a.epoch = state, false, epoch
	a.changes++
	a.proved = state == challengeSucceeded
	a.word = a.proved || state == allow || state == reviewSucceeded
}

// bearer returns the refusal of a token by the client API, "" if it counts.
func (k *modelToken) bearer(now time.Time) string {
	switch {
	case k.signer.withdrawn: // then its claims, such as the expiry, count for nothing
		return unauthorized
	case !now.Before(k.expires):
		return expiredToken
	case k.subject() == nil:
		return unauthorized
	}
	return ""
}

// subject is the action of a token, nil if the token is void.
func (k *modelToken) subject() *modelAction {
	a := k.user.actions[k.action]
	if !k.user.exists || k.user.incarnation != k.incarnation || k.user.epoch != k.epoch || a == nil || a.incarnation != k.incarnation {
		return nil
	}
	return a
}

func (k *modelToken) has(s scopeSet) bool { return k.scopes&s == s }

// asksNothing reports whether an action asks nothing more of a user: it may
// then be added to and removed from.
func (a *modelAction) asksNothing(u *modelUser) bool {
	switch a.state {
	case challengeSucceeded, reviewSucceeded:
		return true
	case allow:
		return !a.newcomer || len(u.verified()) == 0
	}
	return false
}

// addressed are the scopes of the token in the url of a tracked action: beside
// the read scope, those that give a right as things stand.
func (a *modelAction) addressed(u *modelUser, scopes scopeSet) scopeSet {
	takesEnrollment := a.asksNothing(u) || a.state == allow || a.state == challengeRequired
	if len(u.verified()) > 0 && (a.asksNothing(u) || len(u.apps()) == 0 && takesEnrollment) {
		return scopes
	}
	return scopeRead
}

// mayNotAdd are all refusals of an addition; none if it may be.
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
	if n > 0 && !k.has(scopeAdd) || len(u.apps()) > 0 && !a.asksNothing(u) {
		refusals = append(refusals, forbidden)
	}
	return refusals
}

// mayNotRemove is the same of a removal.
func (k *modelToken) mayNotRemove(id string) (refusals []string) {
	u, a := k.user, k.subject()
	if !k.has(scopeRemove) || !a.asksNothing(u) {
		refusals = append(refusals, forbidden)
	}
	if b := u.find(id); b == nil || !b.verified {
		refusals = append(refusals, notFound)
	}
	return refusals
}

// begin makes a pending authenticator, in the place of an earlier one of the
// action and of those that are too old.
func (k *modelToken) begin(id, secret string, now time.Time) {
	u := k.user
	u.authenticators = slices.DeleteFunc(u.authenticators, func(a *modelAuthenticator) bool {
		return !a.verified && (a.began == k.action || a.created.Before(now.Add(-pendingLife)))
	})
	u.authenticators = append(u.authenticators, &modelAuthenticator{id: id, secret: secret, began: k.action, created: now, lastStep: -1})
}

// A modelVerdict is what a verification comes to.
type modelVerdict struct {
	// refusals are those that the answer may be; none for an answer of 200.
	refusals []string
	accepted *modelAuthenticator
	reason   string
	// consent is what the webhook is asked for, nil if it is not asked.
	consent *modelConsent
}

// A modelConsent is an action whose code was right, and which has not moved yet.
type modelConsent struct {
	token   *modelToken
	action  *modelAction
	state   string
	changes int
}

// complete moves the action after the webhook's consent, if it is as it was, and
// returns the answers that there may be. "200" among others: the contract does
// not say whether a word of the backend that changes nothing counts.
func (c *modelConsent) complete() (answers []string) {
	switch a := c.token.subject(); {
	case a == nil:
		return []string{unauthorized}
	case a.state == challengeSucceeded: // by another code, or the backend's word
		return []string{"200"}
	case a != c.action || a.state != c.state:
		return []string{invalidRequest}
	case a.changes != c.changes:
		return []string{"200", invalidRequest}
	}
	c.succeed()
	return []string{"200"}
}

func (c *modelConsent) succeed() { c.action.succeed(c.token.user) }

// succeed moves an action for which a right code was given.
func (a *modelAction) succeed(u *modelUser) {
	a.state, a.epoch, a.proved = challengeSucceeded, u.epoch, true
	a.changes++
}

// verify judges a code, and changes what it changes.
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
		if pending != nil { // it may also say why it is not completed
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
			return k.accept(a, step)
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

// accept spends a step and moves the action, unless the webhook has to consent
// first.
func (k *modelToken) accept(a *modelAuthenticator, step int64) (v modelVerdict, violation string) {
	u, action := k.user, k.subject()
	// Without an app there was nothing that the user could have been asked for.
	if !a.verified && len(u.apps()) > 0 && !action.proved && !action.word {
		return v, "an authenticator was added for an enrolled user without a code and without the backend's word"
	}
	v.accepted = a
	a.lastStep, a.inARow, a.failures, a.verified = step, 0, nil, true
	switch moves := action.state == allow || action.state == challengeRequired; {
	case moves && k.tenant.webhook:
		v.consent = &modelConsent{token: k, action: action, state: action.state, changes: action.changes}
	case moves:
		action.succeed(u)
	case action.state == challengeSucceeded && !action.proved:
		violation = "an enrolled user's action is CHALLENGE_SUCCEEDED without a code and without the backend's word"
	default:
		action.proved = true
	}
	return v, violation
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

// match is the step that a code is of: the earliest in reach that is not spent,
// or else any in reach, or -1.
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

// codeOf is the code of a step (RFC 4226, section 5.3, with SHA-1 and six
// digits).
func codeOf(secret string, step int64) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		panic(err) // it is the server's or the test's own
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
}

// sorted are the keys of a map in an order that is always the same.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
