package client

import (
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// descriptionTokenNotSet is the official SDK's text, which tests of pages may
// compare.
const descriptionTokenNotSet = "A token has not been set. Call 'setToken' first."

const descriptionToken = "The token holds a character that an HTTP header cannot carry, such as a line break. " +
	"Pass the token of your backend to 'setToken' unchanged."

// error creates an error of the SDK. Its description is a fixed text with the
// remedy. It may contain the origin of the server, never a token, code or secret.
func (c Client) error(code string) *api.Error {
	at := origin(c.BaseURL)
	var description string
	switch code {
	case api.CodeNetworkError:
		description = "The API at " + at + " could not be reached. " +
			"Check the connection, the base URL, and that the API allows this page's origin."
	case api.CodeTimeout:
		description = "The API at " + at + " did not answer in time. Try again, or give the call a longer timeout."
	case api.CodeAborted:
		description = "The call was aborted by its signal."
	case api.CodeTooManyRequests:
		description = "The API at " + at + " takes no more requests for now. Wait a while before trying again."
	case api.CodeInvalidResponse:
		description = "The answer of " + at + " is not one of the Authsignal API. " +
			"Check that the base URL is right and ends in /v1."
	}
	return &api.Error{Code: code, Description: description}
}

// origin returns the scheme, host and port of a base URL, for messages: a path, a
// query and a password are left out.
func origin(baseURL string) string {
	scheme, rest, ok := strings.Cut(baseURL, "://")
	if !ok {
		return "the base URL"
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}
