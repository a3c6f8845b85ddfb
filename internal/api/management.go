package api

// AuthenticatorSettings are what an operator sets for the authenticator app of
// a tenant. Those of the code itself hold for new authenticators; one that is
// enrolled keeps its own.
type AuthenticatorSettings struct {
	// Active lets actions be tracked and users enroll.
	Active bool `json:"active"`
	// Issuer is the name that authenticator apps show: 1 to 256 bytes.
	Issuer string `json:"issuer"`
	// Algorithm is SHA1, SHA256 or SHA512. Some apps ignore all but SHA1.
	Algorithm string `json:"algorithm"`
	// Digits is 6 or 8, Period 30 or 60 seconds.
	Digits int `json:"digits"`
	Period int `json:"period"`
	// Drift is how many steps a code may be early or late: 0 to 2.
	Drift int `json:"drift"`
	// AllowMultiple lets a user have more than one.
	AllowMultiple bool `json:"allowMultiple"`
	// MaxFailures wrong codes within WindowSeconds block an authenticator
	// until the window has moved on: 1 to 100, and 1 to 86400 seconds.
	MaxFailures   int `json:"maxFailures"`
	WindowSeconds int `json:"windowSeconds"`
	// MaxFailuresInARow without a success block it until an operator unlocks
	// it: 1 to 100 (NIST SP 800-63B, section 5.2.2).
	MaxFailuresInARow int `json:"maxFailuresInARow"`
}

// DefaultAuthenticatorSettings are those of a new tenant (wire contract,
// section 11, rows 7, 9 and 15).
func DefaultAuthenticatorSettings(issuer string) AuthenticatorSettings {
	return AuthenticatorSettings{
		Active: true, Issuer: issuer,
		Algorithm: "SHA1", Digits: 6, Period: 30, Drift: 1, AllowMultiple: true,
		MaxFailures: 10, WindowSeconds: 300, MaxFailuresInARow: 100,
	}
}

// Validate names the first setting that is out of range.
func (s AuthenticatorSettings) Validate() error {
	bad := func(setting string) error {
		return &Error{Status: 400, Code: CodeInvalidRequest, Description: setting}
	}
	switch {
	case len(s.Issuer) < 1 || len(s.Issuer) > 256:
		return bad("issuer must be 1 to 256 bytes.")
	case s.Algorithm != "SHA1" && s.Algorithm != "SHA256" && s.Algorithm != "SHA512":
		return bad("algorithm must be SHA1, SHA256 or SHA512.")
	case s.Digits != 6 && s.Digits != 8:
		return bad("digits must be 6 or 8.")
	case s.Period != 30 && s.Period != 60:
		return bad("period must be 30 or 60 seconds.")
	case s.Drift < 0 || s.Drift > 2:
		return bad("drift must be 0 to 2 steps.")
	case s.MaxFailures < 1 || s.MaxFailures > 100:
		return bad("maxFailures must be 1 to 100.")
	case s.WindowSeconds < 1 || s.WindowSeconds > 86400:
		return bad("windowSeconds must be 1 to 86400.")
	case s.MaxFailuresInARow < 1 || s.MaxFailuresInARow > 100:
		return bad("maxFailuresInARow must be 1 to 100.")
	}
	return nil
}
