package server

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// enrollable are the methods of which a backend may enroll a verified
// authenticator.
var enrollable = []api.VerificationMethod{api.AuthenticatorApp, api.SMS, api.WhatsApp, api.EmailOTP, api.EmailMagicLink}

const enrollableNames = "AUTHENTICATOR_APP, SMS, WHATSAPP, EMAIL_OTP or EMAIL_MAGIC_LINK"

// listAuthenticators answers GET /v1/users/{userId}/authenticators (wire contract,
// 6.7): the verified authenticators.
func (s *server) listAuthenticators(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var out []api.UserAuthenticator
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		u, _, err := tx.User(userID)
		if err != nil {
			return err
		}
		f, err := mfa.ReadFactors(tx, userID)
		if err != nil {
			return err
		}
		out, err = mfa.ShownFactors(tx, u, f)
		return err
	})
	for i := range out {
		out[i].UserID = userID
	}
	return out, err
}

// renameAuthenticator answers PATCH
// /v1/users/{userId}/authenticators/{userAuthenticatorId}, which is not in the public
// API.
func (s *server) renameAuthenticator(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	id, name, err := readRename(r)
	if err != nil {
		return nil, err
	}
	var out api.UserAuthenticator
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		out, err = mfa.Rename(tx, tenant(r), userID, id, name, mfa.ByBackend, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	out.UserID = userID
	return out, nil
}

// importAuthenticator answers POST /v1/users/{userId}/authenticators (wire
// contract, 6.7).
func (s *server) importAuthenticator(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var in api.EnrollVerifiedRequest
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	a, secret, err := verifiedAuthenticator(in)
	if err != nil {
		return nil, err
	}
	a.UserID = userID
	var out api.EnrollVerifiedResponse
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		out.Authenticator, err = mfa.Import(tx, tenant(r), mfa.Imported{Authenticator: a, Secret: secret, Default: in.IsDefault}, s.Now())
		if err != nil || !in.RecoveryCodes {
			return err
		}
		codes, err := mfa.IssueRecoveryCodes(tx, tenant(r), userID, s.Random, s.Now())
		out.RecoveryCodes = codes.RecoveryCodes
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// verifiedAuthenticator returns the authenticator that a backend enrolls, and its
// secret if it is an authenticator app.
func verifiedAuthenticator(in api.EnrollVerifiedRequest) (a store.Authenticator, secret string, err error) {
	a.Method = in.VerificationMethod
	if a.Name, err = mfa.CheckName(in.Name); err != nil {
		return a, "", err
	}
	switch in.VerificationMethod {
	case api.AuthenticatorApp:
		if in.OTPURI == "" {
			return a, "", api.InvalidRequest("otpUri is required for AUTHENTICATOR_APP.")
		}
		if err := checkTexts("otpUri", in.OTPURI); err != nil {
			return a, "", err
		}
		k, err := totp.ParseURI(in.OTPURI)
		if err != nil {
			return a, "", api.InvalidRequest("otpUri: " + err.Error() + ".")
		}
		if err := mfa.CheckImported(k); err != nil {
			return a, "", api.InvalidRequest("otpUri: " + err.Error() + ".")
		}
		a.Parameters = k.Parameters
		return a, k.Secret, nil
	case api.SMS, api.WhatsApp:
		if in.PhoneNumber == "" {
			return a, "", api.InvalidRequest("phoneNumber is required for " + string(in.VerificationMethod) + ".")
		}
		a.PhoneNumber = in.PhoneNumber
	case api.EmailOTP, api.EmailMagicLink:
		if in.Email == "" {
			return a, "", api.InvalidRequest("email is required for " + string(in.VerificationMethod) + ".")
		}
		a.Email = in.Email
	default:
		return a, "", api.InvalidRequest("verificationMethod must be " + enrollableNames + ".")
	}
	return a, "", checkSearched("email", a.Email, "phoneNumber", a.PhoneNumber)
}

// deleteAuthenticator answers DELETE
// /v1/users/{userId}/authenticators/{userAuthenticatorId} (wire contract, 6.7).
func (s *server) deleteAuthenticator(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	id, err := identifier("userAuthenticatorId", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		_, err := mfa.Remove(tx, tenant(r), userID, id, mfa.ByBackend, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}
