package portal

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// linkLives are the lives of recovery links that an operator may choose, in seconds.
var linkLives = map[string]int64{"quarter": 15 * 60, "hour": api.DefaultRecoveryLinkLife, "shift": 8 * 3600, "day": api.MaxRecoveryLinkLife}

// A recoverView is the form that issues a recovery link, or the link that it has
// issued.
type recoverView struct {
	UserID, NameLabel string
	// Approval reports whether another operator must approve the link.
	Approval bool
	// Name, Life, Authenticators and Codes are what was entered.
	Name, Life            string
	Authenticators, Codes bool
	Error                 string
	// URL is the link, which only the response that issues it shows.
	URL  string
	Link api.RecoveryLink
}

// recoverForm asks for what a recovery link of a user is to be.
func (p *portal) recoverForm(r *http.Request, t store.Tenant) (reply, error) {
	return p.recoverPage(r, http.StatusOK, t, recoverView{UserID: r.FormValue("id"), Life: "hour"})
}

func (p *portal) recoverPage(r *http.Request, status int, t store.Tenant, v recoverView) (reply, error) {
	v.NameLabel, v.Approval = nameLabel, t.RecoveryLinks.Approval
	found := false
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		_, found, err = tx.User(v.UserID)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if !found {
		return reply{}, errNoPage
	}
	title := "Issue a recovery link?"
	if v.URL != "" {
		title = "The recovery link"
	}
	return reply{status: status, template: "recover", view: view{Section: "users", Title: title, Body: v}}, nil
}

// recover issues a recovery link. Only the response shows it.
func (p *portal) recover(r *http.Request, t store.Tenant) (reply, error) {
	v := recoverView{
		UserID: r.PostFormValue("id"), Name: r.PostFormValue("name"), Life: r.PostFormValue("life"),
		Authenticators: r.PostFormValue("authenticators") == "on", Codes: r.PostFormValue("codes") == "on",
	}
	in := mfa.LinkRequest{Seconds: linkLives[v.Life]}
	if in.Seconds == 0 {
		return reply{}, badInput("Choose for how long the link works.")
	}
	if v.Authenticators {
		in.Void = append(in.Void, api.VoidAuthenticators)
	}
	if v.Codes {
		in.Void = append(in.Void, api.VoidRecoveryCodes)
	}
	agent := mfa.Agent{By: mfa.ByOperator, Name: v.Name, Session: p.sessionName(r)}
	var secret string
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		v.Link, secret, err = mfa.IssueRecoveryLink(tx, v.UserID, in, agent, p.Now())
		return err
	})
	if err != nil {
		if v.Error, err = refusal(err); err != nil {
			return reply{}, err
		}
		return p.recoverPage(r, http.StatusBadRequest, t, v)
	}
	v.URL = mfa.RecoveryURL(p.PublicURL, secret)
	return p.recoverPage(r, http.StatusOK, t, v)
}
