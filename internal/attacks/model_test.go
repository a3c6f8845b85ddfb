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

// The model says what a tenant's users, actions, authenticators and tokens
// become of a call, and how it is answered. It is written from the wire contract
// and shares nothing with the server. It has no time zones, names, texts or
// webhooks, and one kind of authenticator app: SHA1, six digits, 30 seconds and
// a drift of one step.

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

type modelTenant struct {
	id, key       string
	allowMultiple bool
	max           int
	// outcomes are those that are set, by action.
	outcomes map[string]string
	users    map[string]*modelUser
}

type modelUser struct {
	id                 string
	exists             bool
	incarnation, epoch int
	authenticators     []*modelAuthenticator
	actions            map[actionName]*modelAction
}

type modelAuthenticator struct {
	id, secret string // without a secret it is a factor that is not challenged here
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
	u.exists, u.authenticators = false, nil
	if actions {
		clear(u.actions)
	}
}

// track returns the action after a track: the stored one if the idempotency key
// is known to this user and nothing that its state rested on has ended.
func (t *modelTenant) track(u *modelUser, name actionName) *modelAction {
	u.ensure()
	outcome := t.outcomes[name.code]
	if a := u.actions[name]; a != nil && a.incarnation == u.incarnation {
		if !(a.newcomer && a.state == allow && len(u.verified()) > 0) && !(a.state == challengeSucceeded && a.epoch != u.epoch) {
			return a
		}
		outcome = "CHALLENGE" // what the state rested on has ended
	}
	a := &modelAction{incarnation: u.incarnation, epoch: u.epoch}
	switch outcome {
	case "ALLOW":
		a.state, a.word = allow, true
	case "BLOCK":
		a.state = block
	case "REVIEW":
		a.state = reviewRequired
	default: // CHALLENGE, set or not
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
	a.proved = state == challengeSucceeded
	a.word = a.proved || state == allow || state == reviewSucceeded
}

// bearer returns the refusal of a token by the client API, 0 if it counts.
func (k *modelToken) bearer(now time.Time) (status int, code string) {
	if !now.Before(k.expires) {
		return 401, "expired_token"
	}
	if k.subject() == nil {
		return 401, "unauthorized"
	}
	return 0, ""
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

// mayNotAdd are the statuses of all refusals of an addition; none if it may be.
func (k *modelToken) mayNotAdd() (statuses []int) {
	u, a := k.user, k.subject()
	switch a.state {
	case block, reviewRequired, challengeFailed, reviewFailed:
		statuses = append(statuses, 400)
	}
	n := len(u.verified())
	if n > 0 && !k.tenant.allowMultiple || n >= k.tenant.max {
		statuses = append(statuses, 400)
	}
	if n > 0 && !k.has(scopeAdd) || len(u.apps()) > 0 && !a.asksNothing(u) {
		statuses = append(statuses, 403)
	}
	return statuses
}

// mayNotRemove is the same of a removal.
func (k *modelToken) mayNotRemove(id string) (statuses []int) {
	u, a := k.user, k.subject()
	if !k.has(scopeRemove) || !a.asksNothing(u) {
		statuses = append(statuses, 403)
	}
	if b := u.find(id); b == nil || !b.verified {
		statuses = append(statuses, 404)
	}
	return statuses
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
	// statuses are those of a refusal; none for an answer of 200.
	statuses []int
	accepted *modelAuthenticator
	reason   string
}

// verify judges a code, and changes what it changes.
func (k *modelToken) verify(code string, now time.Time) (v modelVerdict, violation string) {
	u, action := k.user, k.subject()
	var candidates []*modelAuthenticator
	switch action.state {
	case allow, challengeRequired, challengeSucceeded, reviewSucceeded:
	default:
		return modelVerdict{statuses: []int{400}}, ""
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
		v.statuses = []int{400}
		if pending != nil { // it may also say why it is not completed
			v.statuses = append(v.statuses, refusals...)
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

// accept spends a step and moves the action.
func (k *modelToken) accept(a *modelAuthenticator, step int64) (v modelVerdict, violation string) {
	u, action := k.user, k.subject()
	switch {
	case a.verified:
		action.proved = true
	case len(u.apps()) == 0:
		// There was nothing that the user could have been asked for.
		action.proved = true
	case !action.proved && !action.word:
		violation = "an authenticator was added for an enrolled user without a code and without the backend's word"
	default:
		action.proved = true
	}
	a.lastStep, a.inARow, a.failures, a.verified = step, 0, nil, true
	if action.state == allow || action.state == challengeRequired {
		action.state, action.epoch = challengeSucceeded, u.epoch
	}
	if action.state == challengeSucceeded && !action.proved {
		violation = "an enrolled user's action is CHALLENGE_SUCCEEDED without a code and without the backend's word"
	}
	return modelVerdict{accepted: a}, violation
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
