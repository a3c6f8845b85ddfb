package authsignal

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A User is what Client.User returns.
type User struct {
	UserID                      string               `json:"userId"`
	IsEnrolled                  bool                 `json:"isEnrolled"`
	Email                       string               `json:"email,omitempty"`
	EmailVerified               bool                 `json:"emailVerified"`
	PhoneNumber                 string               `json:"phoneNumber,omitempty"`
	PhoneNumberVerified         bool                 `json:"phoneNumberVerified"`
	Username                    string               `json:"username,omitempty"`
	DisplayName                 string               `json:"displayName,omitempty"`
	Locale                      string               `json:"locale,omitempty"`
	AllowedVerificationMethods  []VerificationMethod `json:"allowedVerificationMethods"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	DefaultVerificationMethod   VerificationMethod   `json:"defaultVerificationMethod,omitempty"`
	Custom                      map[string]any       `json:"custom,omitempty"`
}

// UserAttributes is what UpdateUser takes. What is nil stays as it is; an empty
// text clears. Custom replaces the whole object; an empty one clears it.
type UserAttributes struct {
	// Email, PhoneNumber and Username have at most 256 characters, DisplayName
	// 2,048 bytes, Locale 256 bytes.
	Email               *string
	EmailVerified       *bool
	PhoneNumber         *string
	PhoneNumberVerified *bool
	Username            *string
	DisplayName         *string
	Locale              *string
	// DefaultVerificationMethod is the one that the user prefers. It counts
	// as long as the user is enrolled with it.
	DefaultVerificationMethod *VerificationMethod
	// Custom holds the same as that of Attributes.
	Custom map[string]any
}

// An UpdatedUser is what UpdateUser returns: all attributes as they are now.
type UpdatedUser struct {
	UserID                    string             `json:"userId"`
	Email                     string             `json:"email,omitempty"`
	EmailVerified             bool               `json:"emailVerified"`
	PhoneNumber               string             `json:"phoneNumber,omitempty"`
	PhoneNumberVerified       bool               `json:"phoneNumberVerified"`
	Username                  string             `json:"username,omitempty"`
	DisplayName               string             `json:"displayName,omitempty"`
	Locale                    string             `json:"locale,omitempty"`
	DefaultVerificationMethod VerificationMethod `json:"defaultVerificationMethod,omitempty"`
	Custom                    map[string]any     `json:"custom,omitempty"`
}

// EnrollVerifiedRequest is what EnrollVerifiedAuthenticator takes.
type EnrollVerifiedRequest struct {
	VerificationMethod VerificationMethod
	// OTPURI is the otpauth:// URI of an AuthenticatorApp.
	OTPURI string
	// PhoneNumber is that of SMS and WhatsApp, Email that of EmailOTP and
	// EmailMagicLink.
	PhoneNumber string
	Email       string
	// IsDefault makes it the user's default.
	IsDefault bool
	// Name is what the user calls it, of at most 64 characters.
	Name string
}

// A UserAuthenticator is a verified authenticator of a user.
type UserAuthenticator struct {
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	UserID              string             `json:"userId,omitempty"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           time.Time          `json:"createdAt"`
	VerifiedAt          *time.Time         `json:"verifiedAt,omitempty"`
	LastVerifiedAt      *time.Time         `json:"lastVerifiedAt,omitempty"`
	IsDefault           bool               `json:"isDefault"`
	Email               string             `json:"email,omitempty"`
	PhoneNumber         string             `json:"phoneNumber,omitempty"`
	// Name is what the user calls it.
	Name string `json:"name,omitempty"`
	// LastUsedIPAddress and LastUsedUserAgent are those of the newest action that it
	// completed; only in lists.
	LastUsedIPAddress string `json:"lastUsedIpAddress,omitempty"`
	LastUsedUserAgent string `json:"lastUsedUserAgent,omitempty"`
}

// User returns a user. For a user who does not exist it returns one who is not
// enrolled and has no attributes, and no error.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	var out User
	if err := need("user", "userID", userID); err != nil {
		return out, err
	}
	err := c.do(ctx, call{name: "user", method: http.MethodGet, path: path("users", userID), repeatable: true}, &out)
	return out, err
}

// UpdateUser changes the attributes that are not nil, and creates the user if
// there is none. An empty string clears an attribute:
//
//	client.UpdateUser(ctx, "u1", authsignal.UserAttributes{Email: new("jane@example.com"), Username: new("")})
//
// It is not retried: a retry would undo changes in the meantime.
func (c *Client) UpdateUser(ctx context.Context, userID string, attributes UserAttributes) (UpdatedUser, error) {
	var out UpdatedUser
	if err := need("update user", "userID", userID); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "update user", method: http.MethodPatch, path: path("users", userID), body: api.UserAttributes(attributes),
	}, &out)
	return out, err
}

// DeleteUser removes a user with all authenticators, and voids all tokens of
// the user. The history of actions stays; DeleteUserAndActions removes that
// too. It is not retried: a user that is created in the meantime with the
// same id would be deleted as well.
func (c *Client) DeleteUser(ctx context.Context, userID string) error {
	return c.deleteUser(ctx, "delete user", userID, "")
}

// DeleteUserAndActions is like DeleteUser but also removes the history of actions.
func (c *Client) DeleteUserAndActions(ctx context.Context, userID string) error {
	return c.deleteUser(ctx, "delete user and actions", userID, "?actions=true")
}

func (c *Client) deleteUser(ctx context.Context, name, userID, query string) error {
	if err := need(name, "userID", userID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{name: name, method: http.MethodDelete, path: path("users", userID) + query}, &out)
}

// EndTokens voids all client tokens of a user, including those of completed
// challenges. Authenticators stay. Call it when you end the user's sessions, such
// as after a change of the password. A user who does not exist is an *Error
// with Code "not_found".
//
// It is retried, so a token that is issued between two tries is voided as well.
func (c *Client) EndTokens(ctx context.Context, userID string) error {
	if err := need("end tokens", "userID", userID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{name: "end tokens", method: http.MethodDelete, path: path("users", userID, "tokens"), repeatable: true}, &out)
}

// A UserFilter selects the users that QueryUsers lists: those who match all fields
// that are not empty exactly. One of the first four fields is required.
type UserFilter struct {
	Email, PhoneNumber, Username string
	// Token selects the user of a client token.
	Token string
	// Limit is the maximum number of users, 1 to 100. 0 means 20.
	Limit int
	// After is the LastEvaluatedUserID of the previous page.
	After string
}

// QueryUsersResponse is what QueryUsers returns.
type QueryUsersResponse struct {
	// Users are sorted by their ids.
	Users []ListedUser `json:"users"`
	// LastEvaluatedUserID is set if there are more users; a query with it returns
	// those after it.
	LastEvaluatedUserID string `json:"lastEvaluatedUserId,omitempty"`
}

// A ListedUser is an item of QueryUsersResponse.
type ListedUser struct {
	UserID                      string               `json:"userId"`
	Email                       string               `json:"email,omitempty"`
	EmailVerified               bool                 `json:"emailVerified"`
	PhoneNumber                 string               `json:"phoneNumber,omitempty"`
	PhoneNumberVerified         bool                 `json:"phoneNumberVerified"`
	Username                    string               `json:"username,omitempty"`
	DisplayName                 string               `json:"displayName,omitempty"`
	IsEnrolled                  bool                 `json:"isEnrolled"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	CreatedAt                   time.Time            `json:"createdAt"`
}

// QueryUsers lists users page by page, sorted by their ids.
func (c *Client) QueryUsers(ctx context.Context, f UserFilter) (QueryUsersResponse, error) {
	return c.queryUsers(ctx, "query users", url.Values{}, f)
}

// ListUsers lists all users page by page, sorted by their ids: those after a
// LastEvaluatedUserID, or the first ones if after is empty. Limit is 1 to 100, or 0
// for 20. Users who are created or deleted meanwhile may be in the list or not;
// all others are in it once. It is an addition of this server: the hosted service
// refuses it.
func (c *Client) ListUsers(ctx context.Context, after string, limit int) (QueryUsersResponse, error) {
	return c.queryUsers(ctx, "list users", url.Values{"all": {"true"}}, UserFilter{After: after, Limit: limit})
}

func (c *Client) queryUsers(ctx context.Context, name string, q url.Values, f UserFilter) (QueryUsersResponse, error) {
	for key, value := range map[string]string{
		"email": f.Email, "phoneNumber": f.PhoneNumber, "username": f.Username, "token": f.Token, "lastEvaluatedUserId": f.After,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var out QueryUsersResponse
	err := c.do(ctx, call{name: name, method: http.MethodGet, path: path("users") + query(q), repeatable: true}, &out)
	return out, err
}

// EnrollVerifiedAuthenticator adds an authenticator that the backend has verified
// to a user, which it creates if it does not exist: an authenticator app by its
// otpauth:// URI, or a phone number or e-mail address, which counts as enrolled
// and which only the backend can challenge.
//
// It is not retried: the authenticator may have been deleted in the meantime. It is
// safe to call again: an authenticator that is enrolled already is returned, and
// not added a second time. MakeRecoveryCodes makes recovery codes for the user.
func (c *Client) EnrollVerifiedAuthenticator(ctx context.Context, userID string, r EnrollVerifiedRequest) (UserAuthenticator, error) {
	var out struct {
		Authenticator UserAuthenticator `json:"authenticator"`
	}
	if err := need("enroll verified authenticator", "userID", userID, "VerificationMethod", string(r.VerificationMethod)); err != nil {
		return out.Authenticator, err
	}
	err := c.do(ctx, call{
		name: "enroll verified authenticator", method: http.MethodPost, path: path("users", userID, "authenticators"),
		body: api.EnrollVerifiedRequest{
			VerificationMethod: r.VerificationMethod, OTPURI: r.OTPURI, PhoneNumber: r.PhoneNumber, Email: r.Email, IsDefault: r.IsDefault, Name: r.Name,
		},
	}, &out)
	return out.Authenticator, err
}

// Authenticators lists the verified authenticators of a user, oldest first.
func (c *Client) Authenticators(ctx context.Context, userID string) ([]UserAuthenticator, error) {
	var out []UserAuthenticator
	if err := need("authenticators", "userID", userID); err != nil {
		return nil, err
	}
	err := c.do(ctx, call{
		name: "authenticators", method: http.MethodGet, path: path("users", userID, "authenticators"), repeatable: true,
	}, &out)
	return out, err
}

// DeleteAuthenticator removes an authenticator of a user and voids all client
// tokens of the user, as EndTokens does. It is not retried: after a
// deletion whose answer was lost, a retry would return not_found.
func (c *Client) DeleteAuthenticator(ctx context.Context, userID, authenticatorID string) error {
	if err := need("delete authenticator", "userID", userID, "authenticatorID", authenticatorID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{
		name: "delete authenticator", method: http.MethodDelete,
		path: path("users", userID, "authenticators", authenticatorID),
	}, &out)
}

// RenameAuthenticator sets what a user calls an authenticator: at most 64
// characters; an empty name removes it.
func (c *Client) RenameAuthenticator(ctx context.Context, userID, authenticatorID, name string) (UserAuthenticator, error) {
	var out UserAuthenticator
	if err := need("rename authenticator", "userID", userID, "authenticatorID", authenticatorID); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "rename authenticator", method: http.MethodPatch,
		path: path("users", userID, "authenticators", authenticatorID), body: api.RenameRequest{Name: &name}, repeatable: true,
	}, &out)
	return out, err
}
