package portal

import (
	"regexp"
	"strings"
	"testing"
)

func TestPasswordHash(t *testing.T) {
	t.Parallel()
	h := hash("a password")
	if !matches("a password", h) || matches("a passwore", h) || matches("", h) || hash("a password") == h {
		t.Errorf("got %s", h)
	}
	for _, broken := range []string{"", "$argon2id$v=19$m=19456,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$", "$bcrypt$", strings.Replace(h, "v=19", "v=16", 1)} {
		if matches("a password", broken) {
			t.Errorf("%q matches", broken)
		}
	}
	if p := newPassword(); !regexp.MustCompile(`^([a-z2-7]{5}-){3}[a-z2-7]{5}$`).MatchString(p) || p == newPassword() {
		t.Errorf("got %q", p)
	}
}
