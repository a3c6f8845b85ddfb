package mfa

import (
	"slices"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Methods are the verification methods of challenges.
var Methods = []api.VerificationMethod{api.AuthenticatorApp}

// Factors are the verified authenticators of a user, the oldest first. A user with
// at least one is enrolled.
type Factors []store.Authenticator

// FactorsOf returns the verified authenticators of a list.
func FactorsOf(list []store.Authenticator) Factors {
	var f Factors
	for _, a := range list {
		if a.Verified() {
			f = append(f, a)
		}
	}
	return f
}

// ReadFactors reads the factors of a user.
func ReadFactors(tx *store.Tx, userID string) (Factors, error) {
	list, err := tx.Authenticators(userID)
	return FactorsOf(list), err
}

// Enrolled reports whether there is any factor.
func (f Factors) Enrolled() bool { return len(f) > 0 }

// Challengeable reports whether there is a factor of one of Methods.
func (f Factors) Challengeable() bool {
	return slices.ContainsFunc(f, func(a store.Authenticator) bool { return slices.Contains(Methods, a.Method) })
}

// Methods returns the methods of the factors without duplicates, never nil.
func (f Factors) Methods() []api.VerificationMethod {
	out := []api.VerificationMethod{}
	for _, a := range f {
		if !slices.Contains(out, a.Method) {
			out = append(out, a.Method)
		}
	}
	return out
}

// Preferred returns the default factor: one of the user's preferred method, or
// else of Methods, or else any. Of several, it is the one that a backend made the
// default, or else the oldest. If there are no factors, it is the zero value.
func (f Factors) Preferred(method api.VerificationMethod) store.Authenticator {
	for _, m := range append([]api.VerificationMethod{method}, Methods...) {
		var of Factors
		for _, a := range f {
			if a.Method == m {
				of = append(of, a)
			}
		}
		if len(of) > 0 {
			f = of
			break
		}
	}
	if i := slices.IndexFunc(f, func(a store.Authenticator) bool { return a.IsDefault }); i >= 0 {
		return f[i]
	}
	if len(f) == 0 {
		return store.Authenticator{}
	}
	return f[0]
}

// find returns the factor with an id, or nil.
func (f Factors) find(id string) *store.Authenticator {
	i := slices.IndexFunc(f, func(a store.Authenticator) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return &f[i]
}

// ShownFactors returns the subject's factors in their form in the API. If the action
// still requires a code, names and uses are left out: they are of no use for a
// challenge, and would help an attacker with the first factor.
func (s Subject) ShownFactors(tx *store.Tx) ([]api.UserAuthenticator, error) {
	f := s.Factors()
	if settled(s.Action, f) {
		return ShownFactors(tx, s.User, f)
	}
	preferred := f.Preferred(s.User.DefaultMethod)
	out := []api.UserAuthenticator{}
	for _, a := range f {
		a.Name = ""
		out = append(out, Shown(a, preferred))
	}
	return out, nil
}

// ShownFactors returns the factors in their form in the API, with where each was last
// used.
func ShownFactors(tx *store.Tx, u store.User, f Factors) ([]api.UserAuthenticator, error) {
	out := []api.UserAuthenticator{}
	if len(f) == 0 {
		return out, nil
	}
	uses, err := tx.LastUses(u.ID)
	if err != nil {
		return nil, err
	}
	preferred := f.Preferred(u.DefaultMethod)
	for _, a := range f {
		shown := Shown(a, preferred)
		shown.LastUsedIPAddress, shown.LastUsedUserAgent = uses[a.ID].IPAddress, uses[a.ID].UserAgent
		out = append(out, shown)
	}
	return out, nil
}
