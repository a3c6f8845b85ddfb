package portal

import (
	"net/http"
	"strconv"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

func (p *portal) authenticators(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	return p.show(w, r, http.StatusOK, t, "authenticators", "authenticators", "Authenticators", t.Authenticator)
}

type appView struct {
	Error    string
	Settings api.AuthenticatorSettings
}

func (p *portal) appForm(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	return p.show(w, r, http.StatusOK, t, "app", "authenticators", "Set up the authenticator app", appView{Settings: t.Authenticator})
}

// setApp saves the settings of the authenticator app; the button "activate"
// activates it too.
func (p *portal) setApp(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	body := appView{Settings: t.Authenticator}
	s := &body.Settings
	s.Issuer, s.Algorithm, s.AllowMultiple = r.PostFormValue("issuer"), r.PostFormValue("algorithm"), r.PostFormValue("allowMultiple") == "on"
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
	what := "saved"
	if r.PostFormValue("do") == "activate" {
		s.Active, what = true, "active"
	}
	if wrong == nil {
		wrong = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
			if what == "saved" { // it may have been activated or deactivated meanwhile
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
			return err
		}
		s.Active = t.Authenticator.Active
		return p.show(w, r, http.StatusBadRequest, t, "app", "authenticators", "Set up the authenticator app", body)
	}
	return done(w, r, t, "/authenticators", what)
}

func (p *portal) stopForm(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	return p.show(w, r, http.StatusOK, t, "confirm", "authenticators", "Deactivate the authenticator app?", confirmView{
		Text: "Until it is active again, no user can enroll, and every track by a backend fails with AUTHENTICATOR_NOT_FOUND. " +
			"Users keep what they have enrolled.",
		Button: "Deactivate", Action: "/authenticators/stop", Back: "/authenticators",
	})
}

func (p *portal) stopApp(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
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
		return err
	}
	return done(w, r, t, "/authenticators", "inactive")
}
