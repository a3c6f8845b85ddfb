package attacks

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// scopes are those that a backend may request in a track.
var scopes = []string{"", "add:authenticators", "remove:authenticators add:authenticators", allScopes}

func TestAddingNeedsTheChallenge(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, scope := range scopes {
		victim := s.enrolledUser()
		tr := victim.track("signIn", with(scope))
		if tr.state != "CHALLENGE_REQUIRED" {
			t.Fatalf("scope %q: got %s", scope, tr.state)
		}
		// Several tries, and a code of the attacker's own app.
		for range 2 {
			tr.enroll().refused(http.StatusForbidden, "unauthorized")
		}
		tr.verify(newPhone(t, newSecret()).code()).denied()
		victim.has(victim.authenticator)
		tr.is("CHALLENGE_REQUIRED")
		if len(tr.list().ok().list) != 1 {
			t.Error("the page lists more than the victim's authenticator")
		}
	}

	// With a right code of the first app the user adds a second. Both can be used
	// to sign in.
	user := s.enrolledUser()
	p := user.signsIn()
	added := p.begins()
	r := p.verify(added.code())
	r.verified(s)
	id := r.object["userAuthenticator"].(map[string]any)["userAuthenticatorId"].(string)
	user.has(user.authenticator, id)
	user.track("signIn", "").verify(added.code()).verified(s)

	// A backend that allows an action thereby gives the right.
	s.rules("trusted", "ALLOW").ok()
	allowed := s.enrolledUser()
	allowed.track("trusted", "").enroll().refused(http.StatusForbidden, "unauthorized")
	tr := allowed.track("trusted", with("add:authenticators"))
	tr.verify(tr.begins().code()).verified(s)
	if got := len(allowed.authenticators()); got != 2 {
		t.Errorf("after an allowed addition: got %d authenticators, want 2", got)
	}
}

// A success counts for one action and one idempotency key only.
func TestTheChallengeOfAnotherActionDoesNotCount(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	mine := victim.track("signIn", with(allScopes))
	otherKey := victim.track("signIn", with(allScopes))
	otherAction := victim.track("pay", with(allScopes))
	sameKey := victim.track("pay", marshal(map[string]string{"scope": allScopes, "idempotencyKey": mine.key}))
	full := mine.verify(victim.code()).verified(s)
	for name, other := range map[string]tracked{"another key": otherKey, "another action": otherAction, "another action of the same key": sameKey} {
		other.enroll().refused(http.StatusForbidden, "unauthorized")
		other.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		other.is("CHALLENGE_REQUIRED")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// A second tab of the same action, whose token only reads.
	second := victim.track("signIn", marshal(map[string]string{"idempotencyKey": mine.key}))
	second.is("CHALLENGE_SUCCEEDED")
	second.enroll().refused(http.StatusForbidden, "unauthorized")
	second.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
	victim.has(victim.authenticator)

	// The token of the success may, and so may one to which the backend gives the
	// scope after the success.
	full.begins()
	again := victim.track("signIn", marshal(map[string]string{"scope": "add:authenticators", "idempotencyKey": mine.key}))
	again.verify(again.begins().code()).verified(s)
}

// The URL of the pre-built UI appears in histories and logs.
func TestTheURLOfAnEnrolledUserOnlyReads(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	tr := victim.track("signIn", with(allScopes))
	u, err := url.Parse(tr.url)
	if err != nil {
		t.Fatal(err)
	}
	leaked := s.page(u.Query().Get("token"))
	if got := leaked.scope(); got != "read:authenticators" {
		t.Errorf("the url's token: got scope %q, want read:authenticators", got)
	}
	if got := tr.scope(); got != allScopes {
		t.Errorf("the token: got scope %q, want %q", got, allScopes)
	}
	tr.verify(victim.code()).verified(s)
	leaked.enroll().refused(http.StatusForbidden, "unauthorized")
	leaked.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
	leaked.exchange(allScopes).denied()
	victim.has(victim.authenticator)

	// The page at the url still accepts a code.
	honest := s.enrolledUser()
	next := honest.track("signIn", with(allScopes))
	if u, err = url.Parse(next.url); err != nil {
		t.Fatal(err)
	}
	s.page(u.Query().Get("token")).verify(honest.code()).verified(s)
	next.is("CHALLENGE_SUCCEEDED")
}

func TestAPendingEnrollmentEndsWhenTheUserEnrolls(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, scope := range scopes {
		victim := s.newUser()
		tr := victim.track("signIn", with(scope))
		evil := tr.begins()
		second := victim.track("other", with(scope))
		second.verify(evil.code()).denied() // it belongs to the other action
		alsoEvil := second.begins()

		// The victim enrolls with another action.
		mine := victim.track("enroll", "")
		victim.phone = mine.begins()
		mine.verify(victim.code()).verified(s)
		before := victim.authenticators()

		tr.verify(evil.code()).denied()
		second.verify(alsoEvil.code()).denied()
		tr.enroll().refused(http.StatusForbidden, "unauthorized")
		tr.is("ALLOW")
		second.is("ALLOW")
		victim.has(before...)
		victim.signsIn()
	}

	// The same with an import by the backend.
	victim := s.newUser()
	tr := victim.track("signIn", with(allScopes))
	evil := tr.begins()
	victim.phone, victim.authenticator = victim.imports()
	tr.verify(evil.code()).denied()
	tr.is("ALLOW")
	victim.has(victim.authenticator)
	victim.signsIn()

	// A second enrollment of one action replaces the first.
	user := s.newUser()
	enroll := user.track("enroll", "")
	void := enroll.begins()
	user.phone = enroll.begins()
	enroll.verify(void.code()).denied()
	enroll.verify(user.code()).verified(s)
	user.signsIn()
}

func TestOneOfTwoFirstEnrollmentsWins(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 10 {
		u := s.newUser()
		var pages [4]tracked
		var codes [4]string
		for i := range pages {
			pages[i] = u.track(fmt.Sprint("enroll-", i), with(allScopes))
			codes[i] = pages[i].begins().code()
		}
		won := make([]bool, len(pages))
		atOnce(len(pages), func(i int) {
			r, err := s.send("POST", "/v1/client/verify/totp", "Bearer "+pages[i].token, `{"verificationCode":"`+codes[i]+`"}`)
			won[i] = err == nil && r.object["isVerified"] == true
		})
		n := 0
		for _, w := range won {
			if w {
				n++
			}
		}
		if got := len(u.authenticators()); n != 1 || got != 1 {
			t.Errorf("got %d accepted codes and %d authenticators, want 1 and 1", n, got)
		}
	}
}

// An ALLOW because the user had no factor no longer counts when there is one.
func TestAnAllowedNewcomerMayNotAddLater(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, scope := range scopes {
		victim := s.newUser()
		tr := victim.track("signIn", with(scope))
		if tr.state != "ALLOW" {
			t.Fatalf("a newcomer: got %s", tr.state)
		}
		victim.phone, victim.authenticator = victim.imports()
		tr.enroll().refused(http.StatusForbidden, "unauthorized")
		tr.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		again := victim.track("signIn", marshal(map[string]string{"scope": allScopes, "idempotencyKey": tr.key}))
		again.enroll().refused(http.StatusForbidden, "unauthorized")
		again.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		victim.has(victim.authenticator)
		victim.signsIn()
	}
}

func TestRemovingNeedsTheChallenge(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, scope := range scopes {
		victim := s.enrolledUser()
		tr := victim.track("signIn", with(scope))
		tr.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		for _, state := range []string{"BLOCK", "REVIEW_REQUIRED", "REVIEW_FAILED", "CHALLENGE_FAILED"} {
			tr.becomes(state).remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		}
		victim.has(victim.authenticator)
	}

	// With the code, the page removes it and continues with the token of the
	// answer.
	user := s.enrolledUser()
	_, second := user.imports()
	p := user.signsIn()
	r := p.remove(second).ok()
	next, _ := r.object["accessToken"].(string)
	if r.object["success"] != true || next == "" {
		t.Fatalf("got %s, want success and an accessToken", r.text)
	}
	p.isVoid()
	went := s.page(next)
	if got := len(went.list().ok().list); got != 1 {
		t.Errorf("after the removal: got %d authenticators, want 1", got)
	}
	for _, claim := range []string{"scope", "exp", "sub"} {
		if got, want := fmt.Sprint(went.claims()[claim]), fmt.Sprint(p.claims()[claim]); got != want {
			t.Errorf("%s of the new token: got %s, want %s", claim, got, want)
		}
	}
	went.remove(user.authenticator).ok()
	user.has()
}

func TestRefusedActionsTakeNoEnrollment(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, state := range []string{"BLOCK", "REVIEW_REQUIRED", "CHALLENGE_FAILED", "REVIEW_FAILED"} {
		newcomer := s.newUser()
		tr := newcomer.track("signIn", with(allScopes))
		pending := tr.begins()
		tr.becomes(state)
		tr.enroll().refused(http.StatusBadRequest, "invalid_request").says(state)
		tr.verify(pending.code()).refused(http.StatusBadRequest, "invalid_request")
		tr.is(state)
		newcomer.has()

		victim := s.enrolledUser()
		tr = victim.track("signIn", with(allScopes)).becomes(state)
		tr.enroll().refused(http.StatusBadRequest, "invalid_request")
		tr.verify(victim.code()).refused(http.StatusBadRequest, "invalid_request")
		tr.is(state)
		victim.has(victim.authenticator)

		// The newcomer enrolls with a new action.
		honest := newcomer.track("enroll", "")
		newcomer.phone = honest.begins()
		honest.verify(newcomer.code()).verified(s)
	}
	// As tracked, without a PATCH.
	s.rules("blocked", "BLOCK").ok()
	s.rules("reviewed", "REVIEW").ok()
	for _, action := range []string{"blocked", "reviewed"} {
		s.newUser().track(action, with(allScopes)).enroll().refused(http.StatusBadRequest, "invalid_request")
	}
}

func TestAReviewedActionTakesEnrollmentsOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	user := s.enrolledUser()
	tr := user.track("signIn", with("add:authenticators")).becomes("REVIEW_SUCCEEDED")
	tr.verify(user.code()).denied()
	tr.is("REVIEW_SUCCEEDED")
	added := tr.begins()
	tr.verify(user.code()).denied()
	tr.verify(added.code()).verified(s)
	tr.is("REVIEW_SUCCEEDED")
	if got := len(user.authenticators()); got != 2 {
		t.Errorf("got %d authenticators, want 2", got)
	}
	// Without the scope the review gives no right to add.
	plain := user.track("signIn", "").becomes("REVIEW_SUCCEEDED")
	plain.enroll().refused(http.StatusForbidden, "unauthorized")
}

func TestUsersOfOtherFactorsNeedTheScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.newUser()
	s.backend("POST", "/users/"+u.id+"/authenticators", `{"verificationMethod":"SMS","phoneNumber":"+15551234567"}`).ok()
	for _, scope := range []string{"", "remove:authenticators", "update:authenticators"} {
		u.track("signIn", with(scope)).enroll().refused(http.StatusForbidden, "unauthorized")
	}
	if got := len(u.authenticators()); got != 1 {
		t.Errorf("got %d authenticators, want 1", got)
	}
	tr := u.track("signIn", with("add:authenticators"))
	u.phone = tr.begins()
	tr.verify(u.code()).verified(s)

	// Now there is a factor that can be challenged, and the scope is no longer
	// enough.
	u.track("signIn", with("add:authenticators")).enroll().refused(http.StatusForbidden, "unauthorized")
	u.signsIn()
}

func TestTrackingAgainResetsNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	again := func(tr tracked, scope string) tracked {
		t.Helper()
		return victim.track(tr.action, marshal(map[string]string{"idempotencyKey": tr.key, "scope": scope}))
	}
	for _, state := range []string{"BLOCK", "CHALLENGE_FAILED", "REVIEW_REQUIRED", "REVIEW_FAILED", "CHALLENGE_REQUIRED"} {
		tr := victim.track("signIn", "").becomes(state)
		next := again(tr, allScopes)
		if next.state != state {
			t.Errorf("tracked again: got %s, want %s", next.state, state)
		}
		next.enroll().denied()
		next.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		next.is(state)
	}
	// A removal by the backend and a new enrollment reset nothing.
	tr := victim.track("signIn", "").becomes("BLOCK")
	s.backend("DELETE", "/users/"+victim.id+"/authenticators/"+victim.authenticator, "").ok()
	next := again(tr, allScopes)
	next.enroll().refused(http.StatusBadRequest, "invalid_request")
	next.is("BLOCK")
	// A success stays a success.
	user := s.enrolledUser()
	done := user.track("signIn", "")
	done.verify(user.code()).verified(s)
	if got := user.track("signIn", marshal(map[string]string{"idempotencyKey": done.key})).state; got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("a success, tracked again: got %s", got)
	}
}

// An action belongs to a user, not to the user's id.
func TestAnActionOfAnEarlierUserNeverValidates(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	tr := u.track("signIn", `{"idempotencyKey":"k"}`)
	full := tr.verify(u.code()).verified(s)
	tr.is("CHALLENGE_SUCCEEDED")
	s.backend("DELETE", "/users/"+u.id, "").ok() // the actions stay

	tr.isVoid()
	full.isVoid()
	// A newcomer with the same id.
	newcomer := u.track("signIn", `{"idempotencyKey":"k"}`)
	if newcomer.state != "ALLOW" {
		t.Errorf("a newcomer, the key of an earlier user: got %s, want ALLOW", newcomer.state)
	}
	newcomer.is("ALLOW")
	// An enrolled one.
	s.backend("DELETE", "/users/"+u.id, "").ok()
	u.phone, u.authenticator = u.imports()
	tr.isVoid()
	full.isVoid()
	newcomer.isVoid()
	again := u.track("signIn", `{"idempotencyKey":"k"}`)
	if again.state != "CHALLENGE_REQUIRED" {
		t.Errorf("an enrolled user, the key of an earlier one: got %s, want CHALLENGE_REQUIRED", again.state)
	}
	again.is("CHALLENGE_REQUIRED")
	again.enroll().refused(http.StatusForbidden, "unauthorized")
	again.verify(u.code()).verified(s)
	again.is("CHALLENGE_SUCCEEDED")
}
