package portal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// Parameters of Argon2id (RFC 9106): the first recommendation of OWASP's Password
// Storage Cheat Sheet. Each hash records its own.
const (
	memory = 19 << 10 // KiB
	passes = 2
	lanes  = 1
)

// A password that an operator chooses has minPassword to maxPassword characters.
// NIST SP 800-63B, section 5.1.1.2, requires 8 at least.
const (
	minPassword = 12
	maxPassword = 256
)

// hash hashes a password with a new salt, in the usual text form.
func hash(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(password), salt, passes, memory, lanes, 32)
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, e.EncodeToString(salt), e.EncodeToString(key))
}

// matches reports whether a hash is that of a password, in constant time.
func matches(password, hash string) bool {
	var version, m, t, p uint32
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	if n, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &m, &t, &p); n != 4 || err != nil ||
		version != argon2.Version || t < 1 || p < 1 || p > 255 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) == 0 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, t, m, uint8(p), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// newPassword returns a password with 100 random bits that is easy to type.
func newPassword() string {
	text := strings.ToLower(rand.Text()) // base32, 26 characters
	return strings.Join([]string{text[:5], text[5:10], text[10:15], text[15:20]}, "-")
}

// cleanPassword removes the white space that copying may add.
func cleanPassword(s string) string { return strings.TrimSpace(s) }

func checkPassword(s string) error {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return badInput("The password is not valid UTF-8.")
	case n < minPassword || n > maxPassword:
		return badInput(fmt.Sprintf("A password must have %d to %d characters.", minPassword, maxPassword))
	}
	return nil
}

// FirstPassword creates the operator's password if there is none yet, and
// returns it. Otherwise it returns "".
func FirstPassword(ctx context.Context, st *store.Store, now time.Time) (string, error) {
	var found bool
	err := st.Update(ctx, "", func(tx *store.Tx) (err error) {
		_, found, err = tx.PortalPassword()
		return err
	})
	if err != nil || found {
		return "", err
	}
	// A hash takes longer than the rest of a start.
	var created bool
	password := newPassword()
	p := store.PortalPassword{Hash: hash(password)}
	err = st.Update(ctx, "", func(tx *store.Tx) (err error) {
		created, err = tx.MakePortalPassword(p, now)
		return err
	})
	if err != nil || !created {
		return "", err
	}
	return password, nil
}

// NewPassword replaces the operator's password, and returns the new one. It ends
// all sessions and clears all attempts.
func NewPassword(ctx context.Context, st *store.Store, now time.Time) (string, error) {
	password := newPassword()
	p := store.PortalPassword{Hash: hash(password)}
	err := st.Update(ctx, "", func(tx *store.Tx) error { return tx.SetPortalPassword(p, now) })
	if err != nil {
		return "", err
	}
	return password, nil
}
