package portal

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A reply is the result of a handler: a page, or a redirect to one.
type reply struct {
	// redirect is the path of the redirect below that of the server; if empty, the
	// page is rendered.
	redirect string
	// template is the name of the page, and view its data.
	template string
	view     view
	// status is the HTTP status of the page; 0 is 200.
	status int
	// retryAfter, if positive, is when the browser may try again.
	retryAfter time.Duration
	cookies    []*http.Cookie
}

// write writes a reply. A page that cannot be rendered is not written in part.
func (p *portal) write(w http.ResponseWriter, r *http.Request, a reply) {
	for _, c := range a.cookies {
		http.SetCookie(w, c)
	}
	if a.redirect != "" {
		http.Redirect(w, r, p.root+a.redirect, http.StatusSeeOther)
		return
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status == http.StatusOK {
		a.view.Done = noticeTexts[notice(r.URL.Query().Get("done"))]
	}
	a.view.Root = p.root
	var b bytes.Buffer
	if err := p.views[a.template].Execute(&b, a.view); err != nil {
		p.Log.ErrorContext(r.Context(), "portal: page", "page", a.template, "error", err)
		http.Error(w, "The server could not complete the request. Its log has the cause.", http.StatusInternalServerError)
		return
	}
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.retryAfter/time.Second)))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(a.status)
	// An error here is one of the connection, so it cannot be reported to the client.
	_, _ = b.WriteTo(w)
}

// fail writes the page of an error.
func (p *portal) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refused *api.Error
	if !errors.As(err, &refused) {
		if r.Context().Err() == nil {
			p.Log.ErrorContext(r.Context(), "portal", "error", err)
		}
		refused = &api.Error{Status: http.StatusInternalServerError, Description: "The server could not complete the request. Its log has the cause."}
	}
	v := view{Title: http.StatusText(refused.Status), Body: refused.Description}
	if v.SignedIn, err = p.hasSession(r); err == nil && v.SignedIn {
		v.Tenants, err = p.tenantNames(r.Context())
	}
	if err != nil { // show the page without the menu
		v.SignedIn = false
	}
	p.write(w, r, reply{status: refused.Status, template: "error", view: v})
}

// A notice says what a form did. It is a parameter of the URL of the next page.
type notice string

const (
	noticeActivated            notice = "active"
	noticeDeactivated          notice = "inactive"
	noticeSaved                notice = "saved"
	noticeRevoked              notice = "revoked"
	noticeWebhookSecretRevoked notice = "unsigned"
	noticeMoved                notice = "moved"
	noticeDeleted              notice = "deleted"
	noticeReset                notice = "forgot"
	noticeRemoved              notice = "removed"
	noticeUnlocked             notice = "unlocked"
	noticeCodesVoided          notice = "void"
	noticeBrowserRemoved       notice = "distrusted"
	noticeLinkApproved         notice = "approved"
	noticeLinkRevoked          notice = "withdrawn"
	noticeUserReset            notice = "reset"
	noticeTokensEnded          notice = "ended"
	noticeUserDeleted          notice = "gone"
	noticePassword             notice = "password"
)

var noticeTexts = map[notice]string{
	noticeActivated:            "The authenticator app is active.",
	noticeDeactivated:          "The authenticator app is inactive. Nothing can be tracked until it is active again.",
	noticeSaved:                "Saved.",
	noticeRevoked:              "The key is revoked.",
	noticeWebhookSecretRevoked: "The webhook secret is revoked.",
	noticeMoved:                "The order of the rules has changed.",
	noticeDeleted:              "The rule is deleted.",
	noticeReset:                "The settings of the action are deleted.",
	noticeRemoved:              "The authenticator is removed.",
	noticeUnlocked:             "The authenticator is unlocked.",
	noticeCodesVoided:          "The recovery codes are void.",
	noticeBrowserRemoved:       "The browser is no longer trusted.",
	noticeLinkApproved:         "The recovery link is approved and works.",
	noticeLinkRevoked:          "The recovery link is revoked.",
	noticeUserReset:            "All factors of the user are removed, and all tokens have ended.",
	noticeTokensEnded:          "All tokens of the user have ended.",
	noticeUserDeleted:          "The user is deleted.",
	noticePassword:             "The password is changed. All other sessions have ended.",
}

// done returns a redirect to a page of the tenant that shows a notice, so that
// a reload does not repeat the change.
func done(t store.Tenant, path string, n notice) (reply, error) {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return reply{redirect: tenantPath(t.ID) + path + separator + "done=" + string(n)}, nil
}

var errNoPage = &api.Error{Status: http.StatusNotFound, Description: "The page does not exist."}

var errNoTenant = &api.Error{Status: http.StatusNotFound, Description: "The tenant does not exist."}

func tooLong(err error) error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return &api.Error{Status: http.StatusRequestEntityTooLarge, Description: "The form is larger than 256 KiB."}
	}
	return badInput("The form cannot be read.")
}

func badInput(description string) error {
	return &api.Error{Status: http.StatusBadRequest, Code: api.CodeInvalidRequest, Description: description}
}

// refusal returns the description of an error that concerns the input, for the
// page with the form. Any other error is returned.
func refusal(err error) (string, error) {
	var refused *api.Error
	if errors.As(err, &refused) && refused.Status < 500 {
		return refused.Description, nil
	}
	return "", err
}
