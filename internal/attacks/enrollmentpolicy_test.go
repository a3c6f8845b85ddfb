package attacks

import (
	"net/http"
	"testing"
	"time"
)

// enrollment sets the tenant's enrollment policy.
func (s *service) enrollment(from time.Time, graceDays int) {
	s.t.Helper()
	s.operator("PUT", "/tenants/t1", marshal(map[string]any{
		"enrollmentPolicy": map[string]any{"requiredFrom": from.UTC().Format(time.RFC3339), "graceDays": graceDays},
	})).ok()
}

// After the deadline of an enrollment policy, nothing but an enrollment completes the
// action of a user without an authenticator.
func TestOnlyAnEnrollmentCompletesAfterTheDeadline(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	other := s.enrolledUser()
	device := other.trusts()
	user := s.newUser()
	before := user.track("signIn", "")
	if before.state != "ALLOW" {
		t.Fatalf("without a policy: got %s, want ALLOW", before.state)
	}
	now := time.Now()
	s.enrollment(now.Add(time.Hour), 0)
	if got := user.track("signIn", marshal(map[string]string{"idempotencyKey": before.key})).state; got != "ALLOW" {
		t.Errorf("before the deadline, tracked again: got %s, want ALLOW", got)
	}
	s.enrollment(now.Add(-time.Hour), 0)

	// What was let in before is not a completed challenge, and is not let in again.
	before.is("ALLOW")
	if got := user.track("signIn", marshal(map[string]string{"idempotencyKey": before.key})).state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("after the deadline, tracked again: got %s, want CHALLENGE_REQUIRED", got)
	}
	evil := user.track("signIn", with(allScopes))
	evil.is("CHALLENGE_REQUIRED")
	evil.verify(other.phone.again()).refused(http.StatusBadRequest, "invalid_request")
	if got := evil.recovers("2222-2222-2222"); got.object["isVerified"] == true {
		t.Errorf("a recovery code of a user who has none: got %s", got.text)
	}
	evil.call("POST", "recovery-codes", "").refused(http.StatusBadRequest, "invalid_request")
	if evil.trust() != "" {
		t.Error("the browser of a user who has not enrolled is trusted")
	}
	if got := user.track("signIn", from(device)).state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("with the browser of another user: got %s, want CHALLENGE_REQUIRED", got)
	}
	phone := evil.begins()
	evil.verify(phone.wrong()).denied()
	evil.is("CHALLENGE_REQUIRED")

	// A policy that is changed or removed lets in what is tracked from then on.
	s.enrollment(now.Add(1000*time.Hour), 0)
	evil.is("CHALLENGE_REQUIRED")
	s.operator("PUT", "/tenants/t1", `{"enrollmentPolicy":{"requiredFrom":"never"}}`).ok()
	evil.is("CHALLENGE_REQUIRED")
	again := user.track("signIn", marshal(map[string]string{"idempotencyKey": evil.key}))
	if got := again.validate(); again.state != "CHALLENGE_REQUIRED" || got.object["isValid"] != false {
		t.Errorf("tracked again without a policy: got %s, %s", again.state, got.text)
	}
	s.enrollment(now.Add(-time.Hour), 0)

	// The enrollment.
	evil.verify(phone.code()).verified(s)
	evil.is("CHALLENGE_SUCCEEDED")
	before.is("CHALLENGE_REQUIRED")

	// A user whose last authenticator is removed must enroll again.
	for _, id := range user.authenticators() {
		s.backend("DELETE", "/users/"+user.id+"/authenticators/"+id, "").ok()
	}
	if got := user.track("signIn", "").state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("after the last authenticator was removed: got %s, want CHALLENGE_REQUIRED", got)
	}
}
