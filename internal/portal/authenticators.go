package portal

import (
	"net/http"
	"strconv"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

func (p *portal) authenticators(r *http.Request, t store.Tenant) (reply, error) {
	return reply{template: "authenticators", view: view{Section: "authenticators", Title: "Authenticators", Body: t.Authenticator}}, nil
}

type appView struct {
	Error    string
	Settings api.AuthenticatorSettings
}

func (p *portal) appForm(r *http.Request, t store.Tenant) (reply, error) {
	return reply{template: "app", view: view{Section: "authenticators", Title: "Set up the authenticator app", Body: appView{Settings: t.Authenticator}}}, nil
}

// setApp saves the settings of the authenticator app. The button "activate" also
// activates it.
func (p *portal) setApp(r *http.Request, t store.Tenant) (reply, error) {
	body := appView{Settings: t.Authenticator}
	s := &body.Settings
	s.Issuer, s.Algorithm = r.PostFormValue("issuer"), r.PostFormValue("algorithm")
	s.AllowMultiple, s.RecoveryCodes = r.PostFormValue("allowMultiple") == "on", r.PostFormValue("recoveryCodes") == "on"
	var wrong error
	for _, n := range []struct {
		to   *int
		name string
	}{
		{&s.Digits, "digits"}, {&s.Period, "period"}, {&s.Drift, "drift"},
		{&s.MaxAuthenticators, "maxAuthenticators"}, {&s.MaxFailures, "maxFailures"}, {&s.WindowSeconds, "windowSeconds"}, {&s.MaxFailuresInARow, "maxFailuresInARow"},
	} {
		v, err := strconv.Atoi(r.PostFormValue(n.name))
		if err != nil && wrong == nil {
			wrong = badInput(n.name + " must be a number.")
		}
		*n.to = v
	}
	did := noticeSaved
	if r.PostFormValue("do") == "activate" {
		s.Active, did = true, noticeActivated
	}
	if wrong == nil {
		wrong = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
			if did == noticeSaved { // it may have been activated or deactivated in the meantime
				current, _, err := tx.Tenant()
				if err != nil {
					return err
				}
				s.Active = current.Authenticator.Active
			}
			_, err := manage.Tenant(tx, manage.TenantChange{Authenticator: s}, p.Now())
			return err
		})
	}
	if wrong != nil {
		var err error
		if body.Error, err = refusal(wrong); err != nil {
			return reply{}, err
		}
		s.Active = t.Authenticator.Active
		return reply{status: http.StatusBadRequest, template: "app", view: view{Section: "authenticators", Title: "Set up the authenticator app", Body: body}}, nil
	}
	return done(t, "/authenticators", did)
}

func (p *portal) stopForm(r *http.Request, t store.Tenant) (reply, error) {
	return reply{template: "confirm", view: view{Section: "authenticators", Title: "Deactivate the authenticator app?", Body: confirmView{
		Text: "Until it is active again, no user can enroll, and tracking an action fails with AUTHENTICATOR_NOT_FOUND. " +
			"Existing enrollments are kept.",
		Button: "Deactivate", Action: "/authenticators/stop", Back: "/authenticators",
	}}}, nil
}

func (p *portal) stopApp(r *http.Request, t store.Tenant) (reply, error) {
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		current, _, err := tx.Tenant()
		if err != nil {
			return err
		}
		s := current.Authenticator
		s.Active = false
		_, err = manage.Tenant(tx, manage.TenantChange{Authenticator: &s}, p.Now())
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return done(t, "/authenticators", noticeDeactivated)
}
