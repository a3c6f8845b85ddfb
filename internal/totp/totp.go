// Package totp makes and checks time-based one-time passwords (RFC 6238): new
// secrets, otpauth:// URIs, codes, and the step that a code belongs to. It
// uses github.com/pquerna/otp and adds what that library lacks: the matched
// step, without which a replay cannot be refused, and URIs that percent-encode
// as RFC 3986 says.
//
// It has no clock, no users and no store. The server's rooms call it, and the
// command that prints codes as an authenticator app does.
package totp

import (
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// SecretSize is the length of a new secret in bytes: the 160 bits that RFC
// 4226, section 4, R6 recommends.
const SecretSize = 20

// An Algorithm is the hash function of the HMAC, by its name in an otpauth:// URI.
type Algorithm string

// The algorithms of RFC 6238, section 1.2.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// Parameters are those of the computation of a code from a secret.
type Parameters struct {
	Algorithm Algorithm
	// Digits is the length of a code: 6 to 8.
	Digits int
	// Period is the length of a step in seconds: 1 to 3600.
	Period int
}

// DefaultParameters are those that every authenticator app supports.
var DefaultParameters = Parameters{Algorithm: SHA1, Digits: 6, Period: 30}

// Validate returns an error for the first parameter that is out of range.
func (p Parameters) Validate() error {
	if _, ok := algorithms[p.Algorithm]; !ok {
		return errAlgorithm
	}
	if p.Digits < 6 || p.Digits > 8 {
		return fmt.Errorf("digits must be 6 to 8, not %d", p.Digits)
	}
	if p.Period < 1 || p.Period > 3600 {
		return fmt.Errorf("period must be 1 to 3600 seconds, not %d", p.Period)
	}
	return nil
}

// Step is the number of whole periods from the Unix epoch to t: the T of RFC
// 6238, section 4.2, with T0 = 0.
func (p Parameters) Step(t time.Time) int64 {
	period := int64(p.Period)
	s := t.Unix()
	if s < 0 {
		s -= period - 1 // round towards the past
	}
	return s / period
}

var errAlgorithm = errors.New("algorithm must be SHA1, SHA256 or SHA512")

var algorithms = map[Algorithm]otp.Algorithm{
	SHA1:   otp.AlgorithmSHA1,
	SHA256: otp.AlgorithmSHA256,
	SHA512: otp.AlgorithmSHA512,
}

// base32NoPad is the encoding of secrets: RFC 4648 base32 without padding.
var base32NoPad = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret reads SecretSize bytes from random and returns them in unpadded
// base32.
func NewSecret(random io.Reader) (string, error) {
	b := make([]byte, SecretSize)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("read random secret: %w", err)
	}
	return base32NoPad.EncodeToString(b), nil
}

// Code returns the code of a step. The secret is base32, in either case, padded or
// not; an error never quotes it.
func Code(secret string, step int64, p Parameters) (string, error) {
	if err := p.Validate(); err != nil {
		return "", err
	}
	if step < 0 {
		return "", fmt.Errorf("step must not be negative")
	}
	return hotp.GenerateCodeCustom(strings.TrimRight(secret, "="), uint64(step), hotp.ValidateOpts{
		Digits:    otp.Digits(p.Digits),
		Algorithm: algorithms[p.Algorithm],
	})
}

// A Verdict is the result of Match.
type Verdict int

const (
	// Mismatch: the code belongs to no step in reach.
	Mismatch Verdict = iota
	// Replayed: the code belongs only to steps that are spent.
	Replayed
	// Matched: the code belongs to a step that is not spent.
	Matched
)

// Match looks for code among the steps from now-drift to now+drift, and
// returns the earliest that is later than last, the step accepted before (-1
// for none). It compares with every candidate in constant time, so that timing
// reveals nothing. A spent step never matches again (RFC 6238, section 5.2); as
// last only grows, a clock that is set back fails closed.
//
// The caller must record the step with a write that is guarded against a
// concurrent one.
func Match(code, secret string, p Parameters, now time.Time, drift int, last int64) (int64, Verdict, error) {
	at := p.Step(now)
	step, verdict := int64(-1), Mismatch
	for s := at + int64(drift); s >= at-int64(drift) && s >= 0; s-- {
		want, err := Code(secret, s, p)
		if err != nil {
			return -1, Mismatch, err
		}
		if subtle.ConstantTimeCompare([]byte(code), []byte(want)) != 1 {
			continue
		}
		if s > last {
			step, verdict = s, Matched
		} else if verdict == Mismatch {
			verdict = Replayed
		}
	}
	return step, verdict, nil
}

// Offset returns how many steps a code is from now, negative if it is late, in a
// search of reach steps either way; found is false if it belongs to none of them.
// Of several steps it returns the nearest. It explains a refusal and accepts
// nothing: it knows no spent steps. It does the same work whether and wherever
// the code is found.
func Offset(code, secret string, p Parameters, now time.Time, reach int) (steps int, found bool, err error) {
	at := p.Step(now)
	for n := reach; n >= 0; n-- { // the nearest last
		for _, offset := range []int{n, -n} {
			s := at + int64(offset)
			if s < 0 {
				continue // before 1970
			}
			want, err := Code(secret, s, p)
			if err != nil {
				return 0, false, err
			}
			if subtle.ConstantTimeCompare([]byte(code), []byte(want)) == 1 {
				steps, found = offset, true
			}
		}
	}
	return steps, found, nil
}
