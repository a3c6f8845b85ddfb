package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The settings of the tenant, which the model has too. Failures are counted over a
// day, longer than any run: so an authenticator is blocked from the fifth on,
// whatever the time.
const (
	maxFailures       = 5
	maxAuthenticators = 3
	// period and digits are those of all authenticators that are imported, and
	// drift the number of their steps that a code may be early or late: two of the
	// tenant's 30 seconds.
	period = 10
	digits = 8
	drift  = 6
)

// keys is the number of actions of a user, by idempotency key.
const keys = 3

// A kind is what a call does.
type kind uint8

const (
	track kind = iota
	verify
	validate
	enroll
	importSecret
	unlock
	endTokens
	removeAuthenticator
	deleteUser
	list
)

var kindNames = [...]string{"track", "verify", "validate", "enroll", "import", "unlock", "end tokens", "remove authenticator", "delete user", "list authenticators"}

func (k kind) String() string { return kindNames[k] }

// A call is the request of an operation, as far as the model is concerned.
type call struct {
	kind kind
	key  int8
	// label is the authenticator of a code, of an import or of a change: its
	// number within the user, from 1. A wrong code has 0.
	label int16
	step  int64
	// at are the steps at which the server's clock may have been, and drift is how
	// many steps the authenticator's codes may be early or late.
	at    span
	drift int64
	// incarnation, epoch and add are those of the token: add is the scope to add an
	// authenticator.
	incarnation, epoch int16
	add                bool
	// actions reports whether the user is deleted with all actions.
	actions bool
}

// A span is a range of steps, with those at both ends. A clock that was stepped has
// several.
type span []struct{ low, high int64 }

// inWindow and outside report whether a step may have been within the drift, and
// whether it may have been outside.
func (c call) inWindow() bool {
	return slices.ContainsFunc(c.at, func(s struct{ low, high int64 }) bool { return c.step >= s.low-c.drift && c.step <= s.high+c.drift })
}

func (c call) outside() bool {
	return slices.ContainsFunc(c.at, func(s struct{ low, high int64 }) bool { return c.step < s.high-c.drift || c.step > s.low+c.drift })
}

// A state is that of an action.
type state uint8

const (
	absent state = iota
	allow
	challengeRequired
	challengeSucceeded
)

var stateNames = [...]string{"", "ALLOW", "CHALLENGE_REQUIRED", "CHALLENGE_SUCCEEDED"}

// A verdict is the answer to a code.
type verdict uint8

const (
	noVerdict verdict = iota
	accepted
	wrong   // CODE_INVALID_OR_EXPIRED
	blocked // MAX_ATTEMPTS_EXCEEDED
)

var verdictNames = [...]string{"", "accepted", "refused", "blocked"}

// An answer is the response to a call. A call without one is unknown: the
// connection broke, the client did not wait longer, or the status was 5xx.
type answer struct {
	unknown bool
	status  int16
	verdict verdict
	// state, enrolled, incarnation and epoch are what track returns. validate
	// returns the state, absent for a void token.
	state              state
	enrolled           bool
	incarnation, epoch int16
	// label is the new authenticator of an enrollment.
	label int16
	// labels are the listed authenticators whose ids are known, as bits, and others
	// is the number of the rest, whose import had no answer.
	labels uint64
	others int8
}

// A user is the state of the model: all that the server stores of a user. It is
// comparable, so that the checker recognises equal states.
type user struct {
	exists bool
	// incarnation is the number of the user's incarnation, or 0 if no answer has
	// named it yet. seen has the bits of all that were named.
	incarnation    int16
	seen           uint64
	epoch          int16
	authenticators [maxAuthenticators + keys]authenticator
	actions        [keys]action
}

type authenticator struct {
	// label is 0 for a pending one whose enrollment had no answer: no client knows
	// its secret.
	label    int16
	there    bool
	verified bool
	began    int8 // the key of the action that began a pending one
	failures int8
	last     int64
}

type action struct {
	state    state
	newcomer bool
	epoch    int16
}

func (a authenticator) blocked() bool { return a.failures >= maxFailures }

// verified returns the number of verified authenticators.
func (u user) verified() (n int) {
	for _, a := range u.authenticators {
		if a.there && a.verified {
			n++
		}
	}
	return n
}

func (u user) find(label int16) int {
	return slices.IndexFunc(u.authenticators[:], func(a authenticator) bool { return a.there && a.label == label })
}

// with returns the user with one more authenticator.
func (u user) with(a authenticator) user {
	a.there = true
	i := slices.IndexFunc(u.authenticators[:], func(b authenticator) bool { return !b.there })
	u.authenticators[i] = a // there is a place: the limits are those of the server
	return u.sorted()
}

func (u user) without(i int) user {
	u.authenticators[i] = authenticator{}
	return u.sorted()
}

// sorted returns the user with the authenticators in an order that does not depend
// on that of their additions.
func (u user) sorted() user {
	slices.SortFunc(u.authenticators[:], func(a, b authenticator) int {
		return cmp.Or(order(b.there, a.there), cmp.Compare(a.label, b.label), cmp.Compare(a.began, b.began))
	})
	return u
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (u user) pending(key int8) int {
	return slices.IndexFunc(u.authenticators[:], func(a authenticator) bool { return a.there && !a.verified && a.began == key })
}

// ensure creates the user if it does not exist.
func (u user) ensure() user {
	if !u.exists {
		u.exists, u.incarnation, u.epoch = true, 0, 0
	}
	return u
}

// named returns the user if its incarnation may be the one that an answer names.
func (u user) named(incarnation int16) (user, bool) {
	if u.incarnation == 0 && u.seen&(1<<incarnation) == 0 {
		u.incarnation = incarnation
		u.seen |= 1 << incarnation
	}
	return u, u.incarnation == incarnation
}

// counts reports whether a token is valid.
func (u user) counts(c call) bool {
	return u.exists && u.incarnation == c.incarnation && u.epoch == c.epoch && u.actions[c.key].state != absent
}

// mayAdd returns the status of an enrollment: 200, or that of the refusal.
func (u user) mayAdd(c call) int16 {
	n, a := u.verified(), u.actions[c.key]
	switch {
	case n >= maxAuthenticators:
		return 400
	case n == 0:
		return 200
	case !c.add, a.state == challengeRequired, a.state == allow && a.newcomer:
		return 403
	}
	return 200
}

// A result is a possible answer to a call, and the user after it.
type result struct {
	answer answer
	after  user
}

// results returns all results of a call. There may be several, since the model does
// not know the time at which the server judged a code.
func (u user) results(c call) []result {
	refused := func(status int16) []result { return []result{{answer{status: status}, u}} }
	switch c.kind {
	case track:
		return []result{u.track(c)}
	case verify:
		return u.verify(c)
	case validate:
		if !u.counts(c) {
			return refused(200)
		}
		return []result{{answer{status: 200, state: u.actions[c.key].state}, u}}
	case enroll:
		switch status := u.mayAdd(c); {
		case !u.counts(c):
			return refused(401)
		case status != 200:
			return refused(status)
		}
		if i := u.pending(c.key); i >= 0 {
			u = u.without(i)
		}
		return []result{{answer{status: 200}, u.with(authenticator{began: c.key, last: -1})}}
	case importSecret:
		i := u.find(c.label)
		if i >= 0 && u.authenticators[i].verified {
			return refused(200)
		}
		if u.verified() >= maxAuthenticators {
			return refused(400)
		}
		return []result{{answer{status: 200}, u.ensure().with(authenticator{label: c.label, verified: true, last: -1})}}
	case unlock:
		i := u.find(c.label)
		if i < 0 {
			return refused(404)
		}
		u.authenticators[i].failures = 0
		u.epoch++
		return u.unlocked(c, i)
	case endTokens:
		if !u.exists {
			return refused(404)
		}
		u.epoch++
		return []result{{answer{status: 200}, u}}
	case removeAuthenticator:
		i := u.find(c.label)
		if i < 0 || !u.authenticators[i].verified {
			return refused(404)
		}
		u = u.without(i)
		u.epoch++
		return []result{{answer{status: 200}, u}}
	case deleteUser:
		// An action of a deleted user is as good as none: no token is for it, and a
		// track replaces it.
		return []result{{answer{status: 200}, user{seen: u.seen}}}
	case list:
		var all uint64
		for _, a := range u.authenticators {
			if a.there && a.verified {
				all |= 1 << a.label
			}
		}
		return []result{{answer{status: 200, labels: all}, u}}
	}
	panic("unknown kind")
}

// unlocked returns the results of an unlock: if the newest accepted step is so far in
// the future that no clock of the same time accepts it, the present step takes its
// place.
func (u user) unlocked(c call, i int) (all []result) {
	last, kept := u.authenticators[i].last, false
	for _, s := range c.at {
		for at := s.low; at <= s.high; at++ {
			after := u
			if last-at > c.drift {
				after.authenticators[i].last = at
			} else if kept {
				continue
			} else {
				kept = true
			}
			all = append(all, result{answer{status: 200}, after})
		}
	}
	return all
}

func (u user) track(c call) result {
	u = u.ensure()
	a, enrolled := u.actions[c.key], u.verified() > 0
	if a.state == absent || a.state == allow && a.newcomer && enrolled || a.state == challengeSucceeded && a.epoch != u.epoch {
		a = action{state: allow, newcomer: true, epoch: u.epoch}
		if enrolled {
			a.state, a.newcomer = challengeRequired, false
		}
		u.actions[c.key] = a
	}
	return result{answer{status: 200, state: a.state, enrolled: enrolled, incarnation: u.incarnation, epoch: u.epoch}, u}
}

func (u user) verify(c call) (all []result) {
	if !u.counts(c) {
		return []result{{answer{status: 401}, u}}
	}
	pending, mayAdd := u.pending(c.key), u.mayAdd(c) == 200
	var candidates, open []int
	for i, a := range u.authenticators {
		if a.there && (a.verified || i == pending && mayAdd) {
			candidates = append(candidates, i)
			if !a.blocked() {
				open = append(open, i)
			}
		}
	}
	switch {
	case len(candidates) == 0:
		return []result{{answer{status: 400}, u}}
	case len(open) == 0:
		return []result{{answer{status: 200, verdict: blocked}, u}}
	}
	refused := answer{status: 200, verdict: wrong}
	i := u.find(c.label)
	right := c.label != 0 && slices.Contains(open, i)
	if right && c.inWindow() {
		if c.step > u.authenticators[i].last {
			after := u
			a := &after.authenticators[i]
			a.last, a.failures, a.verified, a.began = c.step, 0, true, 0
			if action := &after.actions[c.key]; action.state != challengeSucceeded {
				action.state, action.epoch = challengeSucceeded, u.epoch
			}
			all = append(all, result{answer{status: 200, verdict: accepted}, after.sorted()})
		} else {
			all = append(all, result{refused, u})
		}
	}
	if !right || c.outside() {
		after := u
		for _, i := range open {
			after.authenticators[i].failures++
		}
		all = append(all, result{refused, after})
	}
	return all
}

// step returns the users after a call that had an answer, none if the answer is
// wrong. If there was no answer, the call may have happened or not.
func (u user) step(c call, got answer) (after []any) {
	results := u.results(c)
	if got.unknown {
		after = append(after, u)
		for _, r := range results {
			after = append(after, r.after)
		}
		return after
	}
	for _, r := range results {
		want := r.answer
		switch {
		case want.status != got.status:
			continue
		case got.status == 200 && c.kind == track:
			named, ok := r.after.named(got.incarnation)
			if !ok {
				continue
			}
			want.incarnation, r.after = got.incarnation, named
		case got.status == 200 && c.kind == enroll:
			// The server chose the secret.
			i := r.after.find(0)
			for ; r.after.authenticators[i].began != c.key; i++ {
			}
			r.after.authenticators[i].label = got.label
			want.label, r.after = got.label, r.after.sorted()
		case c.kind == list:
			if got.labels&^want.labels != 0 || ones(want.labels) != ones(got.labels)+int(got.others) {
				continue
			}
			want.labels, want.others = got.labels, got.others
		}
		if want == got {
			after = append(after, r.after)
		}
	}
	return after
}

func ones(bits uint64) (n int) {
	for ; bits != 0; bits &= bits - 1 {
		n++
	}
	return n
}

// model is the model of a user for the checker.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{user{}} },
	Step: func(before, input, output any) []any { return before.(user).step(input.(call), output.(answer)) },
	DescribeOperation: func(input, output any) string {
		return input.(call).String() + " -> " + output.(answer).String()
	},
	DescribeState: func(u any) string { return u.(user).String() },
}).ToModel()

func (c call) String() string {
	s := fmt.Sprintf("%s %d", c.kind, c.key)
	if c.label != 0 || c.kind == verify {
		s += fmt.Sprintf(", authenticator %d", c.label)
	}
	if c.kind == verify {
		s += fmt.Sprintf(" step %d (in window %v, outside %v)", c.step, c.inWindow(), c.outside())
	}
	if c.kind == verify || c.kind == validate || c.kind == enroll {
		s += fmt.Sprintf(", token %d.%d", c.incarnation, c.epoch)
		if c.add {
			s += " add"
		}
	}
	return s
}

func (a answer) String() string {
	if a.unknown {
		return "unknown"
	}
	s := fmt.Sprint(a.status)
	for _, word := range []string{verdictNames[a.verdict], stateNames[a.state]} {
		if word != "" {
			s += " " + word
		}
	}
	if a.incarnation != 0 {
		s += fmt.Sprintf(" token %d.%d enrolled %v", a.incarnation, a.epoch, a.enrolled)
	}
	if a.label != 0 {
		s += fmt.Sprintf(" authenticator %d", a.label)
	}
	if a.labels != 0 || a.others != 0 {
		s += fmt.Sprintf(" authenticators %b and %d others", a.labels, a.others)
	}
	return s
}

func (u user) String() string {
	if !u.exists {
		return "none"
	}
	s := fmt.Sprintf("user %d.%d", u.incarnation, u.epoch)
	for _, a := range u.authenticators {
		if a.there {
			s += fmt.Sprintf(", authenticator %d last %d failures %d verified %v", a.label, a.last, a.failures, a.verified)
		}
	}
	var actions []string
	for key, a := range u.actions {
		if a.state != absent {
			actions = append(actions, fmt.Sprintf("%d %s.%d", key, stateNames[a.state], a.epoch))
		}
	}
	return s + ", actions: " + strings.Join(actions, ", ")
}
