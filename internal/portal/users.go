package portal

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// pageSize is the number of rows of a list.
const pageSize = 50

type usersView struct {
	Query string
	Users []store.FoundUser
	// Next is the id after which the next page begins; empty on the last page.
	Next string
	// More reports whether more users match than are shown.
	More  bool
	After string
}

func (p *portal) users(r *http.Request, t store.Tenant) (reply, error) {
	v := usersView{Query: r.FormValue("q"), After: r.FormValue("after")}
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		if v.Query != "" {
			v.Users, err = tx.SearchUsers(v.Query, pageSize+1)
		} else {
			v.Users, err = tx.BrowseUsers(v.After, pageSize+1)
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if len(v.Users) > pageSize {
		v.Users = v.Users[:pageSize]
		if v.More = v.Query != ""; !v.More {
			v.Next = v.Users[pageSize-1].ID
		}
	}
	return reply{template: "users", view: view{Section: "users", Title: "Users", Body: v}}, nil
}

type userView struct {
	User           store.User
	Custom         string
	Authenticators []authenticatorView
	RecoveryCodes  api.RecoveryCodesStatus
	Browsers       []api.TrustedBrowser
	RecoveryLinks  []api.RecoveryLink
	// Few is the number of codes left at which a user should make new ones.
	Few     int
	Actions []store.Action
}

type authenticatorView struct {
	store.Authenticator
	// Stopped reports whether there were too many wrong codes in a row: an
	// operator must unlock the authenticator. Waiting reports whether there were
	// too many within the window, which moves on. Ahead reports whether right codes
	// are refused because a server's clock was ahead.
	Stopped, Waiting, Ahead bool
	// Use says where it was last used.
	Use store.Use
}

func (p *portal) user(r *http.Request, t store.Tenant) (reply, error) {
	v := userView{Few: api.FewRecoveryCodes}
	id := t.UserID(r.FormValue("id"))
	found := false
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		if v.User, found, err = tx.User(id); err != nil || !found {
			return err
		}
		list, err := tx.Authenticators(id)
		if err != nil {
			return err
		}
		uses, err := tx.LastUses(id)
		if err != nil {
			return err
		}
		for _, a := range list {
			block, err := mfa.BlockOf(tx, a, p.Now(), t.Authenticator)
			if err != nil {
				return err
			}
			v.Authenticators = append(v.Authenticators, authenticatorView{a, block == mfa.Stopped, block == mfa.BlockedForNow, mfa.Ahead(a, p.Now()) > 0, uses[a.ID]})
		}
		if v.RecoveryCodes, err = mfa.RecoveryCodesOf(tx, t, id); err != nil {
			return err
		}
		if v.Browsers, err = mfa.TrustedBrowsers(tx, v.User, p.Now()); err != nil {
			return err
		}
		if v.RecoveryLinks, err = mfa.RecoveryLinks(tx, id, p.Now()); err != nil {
			return err
		}
		v.Actions, err = tx.BrowseActions(store.BrowseFilter{UserID: id, Limit: 20})
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if !found {
		return reply{}, &api.Error{Status: http.StatusNotFound, Description: "The user does not exist."}
	}
	if len(v.User.Custom) > 0 {
		b, err := json.MarshalIndent(v.User.Custom, "", "  ")
		if err != nil {
			return reply{}, err
		}
		v.Custom = string(b)
	}
	return reply{template: "user", view: view{Section: "users", Title: "User " + id, Body: v}}, nil
}

func userPath(id string) string { return "/users/user?id=" + url.QueryEscape(id) }

// A userChange is a change of a user that must be confirmed.
type userChange string

const (
	removeAuthenticator userChange = "remove"
	unlockAuthenticator userChange = "unlock"
	renameAuthenticator userChange = "rename"
	voidRecoveryCodes   userChange = "void"
	removeBrowser       userChange = "distrust"
	approveLink         userChange = "approve"
	revokeLink          userChange = "withdraw"
	resetUser           userChange = "reset"
	endTokens           userChange = "end"
	deleteUser          userChange = "delete"
)

// changeForm asks to confirm a change of a user.
func (p *portal) changeForm(r *http.Request, t store.Tenant) (reply, error) {
	return p.changePage(r, http.StatusOK, t, "")
}

// changePage is changeForm. refused says what was wrong with the form before.
func (p *portal) changePage(r *http.Request, status int, t store.Tenant, refused string) (reply, error) {
	id, authenticator, change := r.FormValue("id"), r.FormValue("authenticator"), userChange(r.FormValue("do"))
	var list []store.Authenticator
	found := false
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		if _, found, err = tx.User(id); err != nil {
			return err
		}
		list, err = tx.Authenticators(id)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	var a store.Authenticator
	if change == removeAuthenticator || change == unlockAuthenticator || change == renameAuthenticator {
		i := slices.IndexFunc(list, func(a store.Authenticator) bool { return a.ID == authenticator && a.Verified() })
		if found = found && i >= 0; found {
			a = list[i]
		}
	}
	if !found {
		return reply{}, errNoPage
	}
	v := confirmView{
		User: id, Action: "/users/change", Back: userPath(id),
		Hidden: [][2]string{{"id", id}, {"do", string(change)}, {"authenticator", authenticator}, {"browser", r.FormValue("browser")}, {"link", r.FormValue("link")}},
		Error:  refused,
	}
	var title string
	switch change {
	case removeAuthenticator:
		title, v.Button = "Remove the authenticator?", "Remove"
		v.Text = "Its codes are refused from now on, and all tokens of the user are ended. If it is the user's last authenticator, sign-ins require no code until a new one is enrolled."
	case renameAuthenticator:
		title, v.Button, v.Harmless = "Rename the authenticator", "Rename", true
		v.Text = "The user sees this name too. It is best chosen by the user, who knows which phone it is."
		v.Field, v.FieldLabel, v.FieldValue = "name", "Name", a.Name
	case voidRecoveryCodes:
		title, v.Button = "Void the recovery codes?", "Void"
		v.Text = "None of the user's recovery codes is accepted any more. The user can make new ones after a challenge."
	case removeBrowser:
		title, v.Button = "Remove the trusted browser?", "Remove"
		v.Text = "The next sign-in with it requires a code."
	case unlockAuthenticator:
		title, v.Button, v.Harmless = "Unlock the authenticator?", "Unlock", true
		v.Text = "The count of wrong codes is reset, and all tokens of the user are ended. Make sure that it was the user who entered the codes."
		if mfa.Ahead(a, p.Now()) > 0 {
			v.Text += " A code was accepted while the clock of a server was ahead, so that right codes are refused until that time. They are accepted again at once; a code that was accepted then can be used once more."
		}
	case approveLink:
		title, v.Button, v.Harmless = "Approve the recovery link?", "Approve", true
		v.Text = "The link works from now on: its holder can enroll a new authenticator app for the user. Make sure that the user has asked for it, in another way than the operator who issued it did."
		v.Field, v.FieldLabel = "name", nameLabel
	case revokeLink:
		title, v.Button = "Revoke the recovery link?", "Revoke"
		v.Text = "The link does not work any more. A new one can be issued."
		v.Field, v.FieldLabel = "name", nameLabel
	case resetUser:
		title, v.Button, v.Type = "Remove all factors of the user?", "Remove all factors", id
		v.Text = "All authenticators are removed, the recovery codes, trusted browsers and the recovery link are void, and all tokens are ended. " +
			"From then on the first factor alone is enough to enroll a new authenticator. A recovery link is safer. The user and the actions are kept."
	case endTokens:
		title, v.Button = "End all tokens?", "End all tokens"
		v.Text = "The user's tokens become invalid, including those of completed challenges. Sign-ins in progress must start again, and a recovery link ends. Authenticators are kept, and sessions of your app are not ended."
	case deleteUser:
		title, v.Button = "Delete the user?", "Delete"
		v.Text = "The user and all authenticators are deleted, and the user's tokens become invalid. This cannot be undone."
		v.Check, v.CheckLabel = "actions", "Also delete the user's actions"
	default:
		return reply{}, errNoPage
	}
	return reply{status: status, template: "confirm", view: view{Section: "users", Title: title, Body: v}}, nil
}

// nameLabel is the label of the field for the operator's name, which the audit log
// shows. The portal has one password and no accounts.
const nameLabel = "Your name, for the activity"

// changeUser makes a change that was confirmed.
func (p *portal) changeUser(r *http.Request, t store.Tenant) (reply, error) {
	id, authenticator := r.PostFormValue("id"), r.PostFormValue("authenticator")
	back := userPath(id)
	agent := mfa.Agent{By: mfa.ByOperator, Name: r.PostFormValue("name"), Session: p.sessionName(r)}
	var did notice
	if userChange(r.PostFormValue("do")) == resetUser && r.PostFormValue("typed") != id {
		return p.changePage(r, http.StatusBadRequest, t, "The text is not the id of the user. Nothing was changed.")
	}
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		switch userChange(r.PostFormValue("do")) {
		case removeAuthenticator:
			did = noticeRemoved
			_, err := mfa.Remove(tx, t, id, authenticator, mfa.ByOperator, p.Now())
			return err
		case unlockAuthenticator:
			did = noticeUnlocked
			return manage.Unlock(tx, t, id, authenticator, p.Now())
		case renameAuthenticator:
			did = noticeSaved
			name, err := mfa.CheckName(r.PostFormValue("name"))
			if err != nil {
				return err
			}
			_, err = mfa.Rename(tx, t, id, authenticator, name, mfa.ByOperator, p.Now())
			return err
		case voidRecoveryCodes:
			did = noticeCodesVoided
			return mfa.VoidRecoveryCodes(tx, t, id, mfa.ByOperator, p.Now())
		case removeBrowser:
			did = noticeBrowserRemoved
			browser := r.PostFormValue("browser")
			if browser == "" {
				return errNoPage
			}
			return mfa.RevokeBrowser(tx, id, browser, mfa.ByOperator, p.Now())
		case approveLink:
			did = noticeLinkApproved
			_, err := mfa.ApproveRecoveryLink(tx, t, id, r.PostFormValue("link"), agent, p.Now())
			return err
		case revokeLink:
			did = noticeLinkRevoked
			return mfa.RevokeRecoveryLink(tx, id, r.PostFormValue("link"), agent, p.Now())
		case resetUser:
			did = noticeUserReset
			return mfa.Reset(tx, t, id, mfa.ByOperator, p.Now())
		case endTokens:
			did = noticeTokensEnded
			return manage.EndTokens(tx, id, mfa.ByOperator, p.Now())
		case deleteUser:
			back, did = "/users", noticeUserDeleted
			return manage.DeleteUser(tx, t, id, r.PostFormValue("actions") == "on", mfa.ByOperator, p.Now())
		}
		return errNoPage
	})
	if err != nil && (userChange(r.PostFormValue("do")) == approveLink || userChange(r.PostFormValue("do")) == revokeLink) {
		text, err := refusal(err)
		if err != nil {
			return reply{}, err
		}
		return p.changePage(r, http.StatusBadRequest, t, text)
	}
	if err != nil {
		return reply{}, err
	}
	return done(t, back, did)
}
