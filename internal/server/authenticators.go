package server

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// enrollable are the methods of which a backend may enroll a verified
// authenticator.
var enrollable = []api.VerificationMethod{api.AuthenticatorApp, api.SMS, api.WhatsApp, api.EmailOTP, api.EmailMagicLink}

const enrollableNames = "AUTHENTICATOR_APP, SMS, WHATSAPP, EMAIL_OTP or EMAIL_MAGIC_LINK"

// minImported and maxImported bound the base32 characters of a secret that a
// backend brings. Others than ours made it: many apps still have 80 bits.
const (
	minImported = 16
	maxImported = 256
)

// authenticators answers GET /v1/users/{userId}/authenticators (wire contract,
// 6.7): those that are verified.
func (s *server) authenticators(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	out := []api.UserAuthenticator{}
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		u, _, err := tx.User(userID)
		if err != nil {
			return err
		}
		f, err := readFactors(tx, userID)
		preferred := f.preferred(u.DefaultMethod)
		for _, a := range f {
			item := userAuthenticator(a, a.ID == preferred.ID)
			item.UserID = userID
			out = append(out, item)
		}
		return err
	})
	return out, err
}

// userAuthenticator is how the API shows a verified authenticator.
func userAuthenticator(a store.Authenticator, isDefault bool) api.UserAuthenticator {
	out := api.UserAuthenticator{
		UserAuthenticatorID: a.ID,
		VerificationMethod:  a.Method,
		CreatedAt:           api.Time{Time: a.CreatedAt},
		VerifiedAt:          &api.Time{Time: a.VerifiedAt},
		IsDefault:           isDefault,
		Email:               a.Email,
		PhoneNumber:         a.PhoneNumber,
	}
	if !a.LastVerifiedAt.IsZero() {
		out.LastVerifiedAt = &api.Time{Time: a.LastVerifiedAt}
	}
	return out
}

// enrollVerified answers POST /v1/users/{userId}/authenticators (wire contract,
// 6.7). It makes the user if there is none. What is enrolled already is
// answered again and not doubled: official SDKs send a request again when its
// answer is lost, and of two authenticators with one secret each would accept
// the same code.
func (s *server) enrollVerified(r *http.Request) (any, error) {
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
	var out api.EnrollVerifiedResponse
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		now := s.Now()
		user, err := tx.EnsureUser(userID, now)
		if err != nil {
			return err
		}
		a.ID, a.UserID, a.CreatedAt, a.VerifiedAt = uuid.NewString(), userID, now, now
		known, err := enrolledAlready(tx, a, secret)
		if err != nil {
			return err
		}
		if known != nil {
			a = *known
		} else if err := tx.InsertVerified(a, secret); err != nil {
			return err
		} else if err := tx.Audit(store.AuditEvent{
			At: now, Kind: store.AuditEnrollmentCompleted, ActionID: store.ActionID{UserID: userID},
			Detail: map[string]any{"userAuthenticatorId": a.ID, "verificationMethod": a.Method, "by": "backend"},
		}); err != nil {
			return err
		} else if err := s.authenticatorCreated(tx, tenant(r), a, now); err != nil {
			return err
		}
		if in.IsDefault {
			if err := tx.SetDefault(a); err != nil {
				return err
			}
			user.DefaultMethod = a.Method
			if err := tx.PutUser(user); err != nil {
				return err
			}
		}
		f, err := readFactors(tx, userID)
		if err != nil {
			return err
		}
		out.Authenticator = userAuthenticator(a, f.preferred(user.DefaultMethod).ID == a.ID)
		out.Authenticator.UserID = userID
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// verifiedAuthenticator reads what a backend enrolls, and its secret if it is
// an authenticator app.
func verifiedAuthenticator(in api.EnrollVerifiedRequest) (a store.Authenticator, secret string, err error) {
	a.Method = in.VerificationMethod
	switch in.VerificationMethod {
	case api.AuthenticatorApp:
		if in.OTPURI == "" {
			return a, "", invalidRequest("otpUri is required for AUTHENTICATOR_APP.")
		}
		if err := checkTexts(maxText, "otpUri", in.OTPURI); err != nil {
			return a, "", err
		}
		k, err := totp.ParseURI(in.OTPURI)
		if err != nil {
			return a, "", invalidRequest("otpUri: " + err.Error() + ".")
		}
		if len(k.Secret) < minImported || len(k.Secret) > maxImported {
			return a, "", invalidRequest("otpUri: the secret must have 80 to 1280 bits.")
		}
		a.Parameters = k.Parameters
		return a, k.Secret, nil
	case api.SMS, api.WhatsApp:
		if in.PhoneNumber == "" {
			return a, "", invalidRequest("phoneNumber is required for " + string(in.VerificationMethod) + ".")
		}
		a.PhoneNumber = in.PhoneNumber
	case api.EmailOTP, api.EmailMagicLink:
		if in.Email == "" {
			return a, "", invalidRequest("email is required for " + string(in.VerificationMethod) + ".")
		}
		a.Email = in.Email
	default:
		return a, "", invalidRequest("verificationMethod must be " + enrollableNames + ".")
	}
	return a, "", checkTexts(maxSearched, "email", a.Email, "phoneNumber", a.PhoneNumber)
}

// enrolledAlready finds a factor of the user that is the same as a. A pending
// enrollment of the same secret is given up.
func enrolledAlready(tx *store.Tx, a store.Authenticator, secret string) (*store.Authenticator, error) {
	list, err := tx.Authenticators(a.UserID)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		if b.Method != a.Method || b.Parameters != a.Parameters || b.Email != a.Email || b.PhoneNumber != a.PhoneNumber {
			continue
		}
		if secret != "" {
			known, err := tx.Secret(b)
			if err != nil {
				return nil, err
			}
			if strings.TrimRight(known, "=") != secret {
				continue
			}
		}
		if b.Verified() {
			return &b, nil
		}
		if err := tx.DeletePending(b); err != nil {
			return nil, err
		}
	}
	return nil, nil
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
		return manage.DeleteAuthenticator(tx, tenant(r), userID, id, manage.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}
