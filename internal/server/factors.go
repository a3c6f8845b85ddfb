package server

import (
	"slices"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// methods are the verification methods that a challenge may ask for.
var methods = []api.VerificationMethod{api.AuthenticatorApp}

// factors are the verified authenticators of a user, the oldest first. Whoever
// has one is enrolled.
type factors []store.Authenticator

// readFactors reads the factors of a user.
func readFactors(tx *store.Tx, userID string) (factors, error) {
	list, err := tx.Authenticators(userID)
	return verifiedOf(list), err
}

// verifiedOf leaves out pending authenticators.
func verifiedOf(list []store.Authenticator) factors {
	var f factors
	for _, a := range list {
		if a.Verified() {
			f = append(f, a)
		}
	}
	return f
}

func (f factors) enrolled() bool { return len(f) > 0 }

// methods are those of the factors, each once.
func (f factors) methods() []api.VerificationMethod {
	out := []api.VerificationMethod{}
	for _, a := range f {
		if !slices.Contains(out, a.Method) {
			out = append(out, a.Method)
		}
	}
	return out
}

// preferred is the default factor: of the method that the user prefers, else
// one that is challenged here, else any; among several the one that a backend
// made the default, else the oldest. It is empty when there is none.
func (f factors) preferred(method api.VerificationMethod) store.Authenticator {
	for _, m := range []api.VerificationMethod{method, api.AuthenticatorApp} {
		var of factors
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
