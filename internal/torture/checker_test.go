package torture

import (
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

// at returns the operation of a call between two times.
func at(from, to int64, c call, a answer) porcupine.Operation {
	if a.unknown {
		to = math.MaxInt64
	}
	return porcupine.Operation{Input: c, Call: from, Output: a, Return: to}
}

func ok(a answer) answer { a.status = 200; return a }

var (
	imported = at(0, 1, call{kind: importSecret, label: 1}, ok(answer{}))
	tracked  = at(2, 3, call{kind: track}, ok(answer{state: challengeRequired, enrolled: true, incarnation: 1}))
	unlocked = call{kind: unlock, label: 1, at: span{{100, 100}}, drift: 6}
)

// codeOf returns a code of the first authenticator, which a server judges at step 100.
func codeOf(step int64) call {
	return call{kind: verify, label: 1, step: step, at: span{{100, 100}}, drift: 6, incarnation: 1}
}

// The checker accepts what may happen and refuses what must not.
func TestTheCheckerKnowsRightFromWrong(t *testing.T) {
	t.Parallel()
	yes, no, none := ok(answer{verdict: accepted}), ok(answer{verdict: wrong}), answer{unknown: true}
	guess := call{kind: verify, incarnation: 1}
	tries := func(n int) (all []porcupine.Operation) {
		for i := range int64(n) {
			all = append(all, at(10+2*i, 11+2*i, guess, no))
		}
		return all
	}
	stopped := ok(answer{verdict: blocked})
	again := ok(answer{state: challengeRequired, enrolled: true, incarnation: 1})
	for _, test := range []struct {
		name    string
		right   bool
		history []porcupine.Operation
	}{
		{"a code is accepted", true, []porcupine.Operation{at(4, 5, codeOf(100), yes)}},
		{"a code is accepted twice", false, []porcupine.Operation{at(4, 5, codeOf(100), yes), at(6, 7, codeOf(100), yes)}},
		{"two of the same code at once", true, []porcupine.Operation{at(4, 8, codeOf(100), no), at(5, 7, codeOf(100), yes)}},
		{"two of the same code at once are accepted", false, []porcupine.Operation{at(4, 8, codeOf(100), yes), at(5, 7, codeOf(100), yes)}},
		{"two of the same code at once are refused", false, []porcupine.Operation{at(4, 8, codeOf(100), no), at(5, 7, codeOf(100), no)}},
		{"an earlier code after a later one", false, []porcupine.Operation{at(4, 5, codeOf(101), yes), at(6, 7, codeOf(100), yes)}},
		{"no answer, then a refusal", true, []porcupine.Operation{at(4, 5, codeOf(100), none), at(6, 7, codeOf(100), no)}},
		{"no answer, then accepted", true, []porcupine.Operation{at(4, 5, codeOf(100), none), at(6, 7, codeOf(100), yes)}},
		{"no answer, then accepted twice", false, []porcupine.Operation{at(4, 5, codeOf(100), none), at(6, 7, codeOf(100), yes), at(8, 9, codeOf(100), yes)}},
		{"a code out of the drift is accepted", false, []porcupine.Operation{at(4, 5, codeOf(107), yes)}},
		{"a code out of the drift is refused", true, []porcupine.Operation{at(4, 5, codeOf(107), no)}},

		{"a success stays", false, []porcupine.Operation{at(4, 5, codeOf(100), yes), at(6, 7, call{kind: track}, again)}},
		{"an import stays", false, []porcupine.Operation{at(4, 5, call{kind: list}, ok(answer{}))}},
		{"a removal stays", false, []porcupine.Operation{
			at(4, 5, call{kind: removeAuthenticator, label: 1}, ok(answer{})), at(6, 7, call{kind: list}, ok(answer{labels: 1 << 1}))}},
		{"a spent code stays spent after a deletion of tokens", false, []porcupine.Operation{
			at(4, 5, codeOf(100), yes), at(6, 7, call{kind: endTokens}, ok(answer{})),
			at(8, 9, call{kind: track}, ok(answer{state: challengeRequired, enrolled: true, incarnation: 1, epoch: 1})),
			at(10, 11, call{kind: verify, label: 1, step: 100, at: span{{100, 100}}, drift: 6, incarnation: 1, epoch: 1}, yes)}},
		{"an ended token is valid", false, []porcupine.Operation{
			at(4, 5, call{kind: endTokens}, ok(answer{})), at(6, 7, call{kind: validate, incarnation: 1}, ok(answer{state: challengeRequired}))}},
		{"a deleted user's incarnation returns", false, []porcupine.Operation{
			at(4, 5, call{kind: deleteUser}, ok(answer{})), at(6, 7, call{kind: track}, ok(answer{state: allow, incarnation: 1}))}},

		{"five guesses, then none", true, append(tries(5), at(30, 31, guess, stopped))},
		{"an attempt is spent twice", false, append(tries(4), at(30, 31, guess, stopped))},
		{"an attempt is not counted", false, append(tries(5), at(30, 31, guess, no))},
		{"the right code after five guesses", false, append(tries(5), at(30, 31, codeOf(100), yes))},
		{"a guess without an answer counts, or not", true, append(tries(4), at(20, 21, guess, none), at(30, 31, guess, stopped))},
		{"a replay spends no attempt", true, append(tries(4), at(30, 31, codeOf(100), yes), at(32, 33, codeOf(100), no), at(34, 35, codeOf(101), yes))},
		{"an unlock resets a step in the future", true, []porcupine.Operation{
			at(4, 5, call{kind: verify, label: 1, step: 112, at: span{{112, 112}}, drift: 6, incarnation: 1}, yes),
			at(6, 7, unlocked, ok(answer{})), at(8, 9, call{kind: track}, ok(answer{state: challengeRequired, enrolled: true, incarnation: 1, epoch: 1})),
			at(10, 11, call{kind: verify, label: 1, step: 101, at: span{{100, 100}}, drift: 6, incarnation: 1, epoch: 1}, yes)}},
		{"an unlock resets no other step", false, []porcupine.Operation{
			at(4, 5, codeOf(102), yes),
			at(6, 7, unlocked, ok(answer{})), at(8, 9, call{kind: track}, ok(answer{state: challengeRequired, enrolled: true, incarnation: 1, epoch: 1})),
			at(10, 11, call{kind: verify, label: 1, step: 101, at: span{{100, 100}}, drift: 6, incarnation: 1, epoch: 1}, yes)}},
	} {
		got := porcupine.CheckOperationsTimeout(model, append([]porcupine.Operation{imported, tracked}, test.history...), checkTime)
		if want := map[bool]porcupine.CheckResult{true: porcupine.Ok, false: porcupine.Illegal}[test.right]; got != want {
			t.Errorf("%s: got %v, want %v", test.name, got, want)
		}
	}
}

// changed checks that the checker refuses recorded histories with one answer
// changed. The clocks of their servers were not stepped.
func changed(t *testing.T, users []*subject) {
	t.Helper()
	for _, change := range []struct {
		name string
		// apply returns the index of an answer to change and the new one, or false if
		// the history has none.
		apply func(history []porcupine.Operation) (int, answer, bool)
	}{
		{"a code is accepted twice", func(history []porcupine.Operation) (int, answer, bool) {
			for _, first := range history {
				c := first.Input.(call)
				if first.Output.(answer).verdict != accepted {
					continue
				}
				for i, second := range history {
					d := second.Input.(call)
					if second.Output.(answer).verdict == wrong && d.label == c.label && d.step == c.step {
						return i, ok(answer{verdict: accepted}), true
					}
				}
			}
			return 0, answer{}, false
		}},
		{"an acknowledged success is lost", func(history []porcupine.Operation) (int, answer, bool) {
			for i := len(history) - 1 - keys; i < len(history); i++ { // those that read what is stored at the end
				a := history[i].Output.(answer)
				if a.state == challengeSucceeded {
					a.state = challengeRequired
					return i, a, true
				}
			}
			return 0, answer{}, false
		}},
		{"an acknowledged authenticator is lost", func(history []porcupine.Operation) (int, answer, bool) {
			last := len(history) - 1
			a := history[last].Output.(answer)
			a.labels &= a.labels - 1
			return last, a, a != history[last].Output.(answer)
		}},
	} {
		histories, found := 0, 0
		for _, u := range users {
			if slices.ContainsFunc(u.history, func(op porcupine.Operation) bool { return op.Output.(answer).unknown }) {
				continue // a call that had no answer may explain the change
			}
			history := slices.Clone(u.history)
			i, a, applies := change.apply(history)
			if !applies {
				continue
			}
			history[i].Output = a
			histories++
			if porcupine.CheckOperationsTimeout(model, history, checkTime) == porcupine.Illegal {
				found++
			}
		}
		// Calls at the same time, such as an import and the deletion of the user, may
		// explain the change in a few.
		if t.Logf("%s: found in %d of %d histories", change.name, found, histories); histories == 0 || found < histories*3/4 {
			t.Errorf("%s: found in %d of %d histories", change.name, found, histories)
		}
	}
}

// Servers that break a promise are found out.
func TestPlantedFaultsAreFound(t *testing.T) {
	if number(t, "AUTHSIGNAL_TEST_OPERATIONS", 0) == 0 {
		return // make test-all runs it: each server has to be built
	}
	const authenticators = "../store/authenticators.go"
	noGuard := fault{authenticators, "user_authenticator_id = ? AND last_step < ?`", "user_authenticator_id = ? AND (last_step < ? OR TRUE)`"}
	for _, test := range []struct {
		name     string
		postgres bool
		faults   []fault
	}{
		{"a spent code is accepted", false, []fault{noGuard, {"../totp/totp.go", "if s > last {", "if s > last || true {"}}},
		{"replicas judge a code at once", true, []fault{noGuard, {"../store/dialect.go", `" FOR UPDATE"`, `""`}}},
		{"an answer does not wait for the commit", false, []fault{{"../store/group.go", "if err == nil {\n\t\t<-g.done\n\t\treturn g.err\n\t}", "if err == nil {\n\t\treturn nil\n\t}"}}},
		{"a wrong code spends two attempts", false, []fault{{"../mfa/judge.go", "fail(tx, t, c.authenticator, now)",
			"func() error { fail(tx, t, c.authenticator, now); return fail(tx, t, c.authenticator, now) }()"}}},
		{"a wrong code spends no attempt", false, []fault{{authenticators, "failures = failures + 1", "failures = failures"}}},
		{"an ended token is valid", false, []fault{{"../mfa/subject.go", " && c.Epoch == u.Epoch", ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			seed := seed(t)
			r, err := recorded(t, build{faults: test.faults}, seed, short, test.postgres)
			if err != nil {
				t.Fatalf("AUTHSIGNAL_TEST_SEED=%d: %v", seed, err)
			}
			bad := 0
			for _, u := range r.users {
				if porcupine.CheckOperationsTimeout(model, u.history, checkTime) == porcupine.Illegal {
					bad++
				}
			}
			t.Logf("found in %d of %d histories", bad, len(r.users))
			if bad == 0 {
				t.Errorf("AUTHSIGNAL_TEST_SEED=%d: the fault was not found", seed)
			}
		})
	}
}
