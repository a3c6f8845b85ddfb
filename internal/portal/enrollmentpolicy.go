package portal

import (
	"net/http"
	"strconv"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A policyForm is the form of an enrollment policy: the tenant's, or that of an action.
type policyForm struct {
	// From is the value of an input of type datetime-local, in UTC; empty for none.
	From, Days string
	// Seconds reports whether From has seconds.
	Seconds bool
	// Choice says which policy counts for an action.
	Choice policyChoice
	// Tenants is when the tenant's policy begins to count; zero if it has none.
	Tenants time.Time
	Max     int
	Error   string
	// Tried is the result of a dry run of the policy that was entered.
	Tried *manage.DryRun
}

// A policyChoice says which policy counts for an action.
type policyChoice string

const (
	policyOfTenant policyChoice = "tenant"
	policyOwn      policyChoice = "own"
	policyNone     policyChoice = "none"
)

// formOf returns the form with a policy, which may be nil.
func formOf(p *api.EnrollmentPolicy) policyForm {
	f := policyForm{Choice: policyOfTenant, Days: "0", Max: api.MaxGraceDays}
	if p == nil {
		return f
	}
	f.Choice = policyNone
	if at, never := p.From(); !never {
		layout := "2006-01-02T15:04"
		if f.Seconds = at.Second() != 0; f.Seconds {
			layout += ":05"
		}
		f.From, f.Days, f.Choice = at.Format(layout), strconv.Itoa(p.GraceDays), policyOwn
	}
	return f
}

// actionForm is formOf for an action of a tenant.
func actionForm(t store.Tenant, own *api.EnrollmentPolicy) policyForm {
	f := formOf(own)
	if tenants := manage.EffectivePolicy(t, nil); tenants.RequiredFrom != api.Never {
		f.Tenants, _ = tenants.From()
	}
	return f
}

// read reads the fields of a request into the form, and returns their policy.
func (f *policyForm) read(r *http.Request) (p api.EnrollmentPolicy, err error) {
	f.From, f.Days, f.Choice = r.PostFormValue("requiredFrom"), r.PostFormValue("graceDays"), policyChoice(r.PostFormValue("policy"))
	if f.Days != "" {
		if p.GraceDays, err = strconv.Atoi(f.Days); err != nil {
			return p, badInput("The days of grace must be a number.")
		}
	}
	var from time.Time
	switch {
	case !parseTime(f.From, &from):
		return p, badInput("A time must be like 2027-01-31T13:45, in UTC.")
	case f.From == "" && p.GraceDays != 0:
		return p, badInput("Enter from when on an authenticator is required. Without a time there is no policy, and no grace.")
	case f.From == "":
		p.RequiredFrom = api.Never
	default:
		p.RequiredFrom, f.Seconds = from.Format(time.RFC3339), from.Second() != 0
	}
	return p.Normal()
}

// setEnrollmentPolicy saves the tenant's policy or, if that button was pressed, counts
// the users that it would stop.
func (p *portal) setEnrollmentPolicy(r *http.Request, t store.Tenant) (reply, error) {
	f := formOf(nil)
	policy, err := f.read(r)
	if err == nil && r.PostFormValue("do") == "try" {
		tried, err := manage.EnrollmentDryRun(r.Context(), p.Store, t.ID, "", policy, p.Now())
		if err != nil {
			return reply{}, err
		}
		f.Tried = &tried
		return p.settingsPage(r, http.StatusOK, t, settingsView{WebhookURL: t.WebhookURL, Branding: t.Branding, Policy: &f})
	}
	if err == nil {
		err = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
			_, err := manage.Tenant(tx, manage.TenantChange{Enrollment: &policy}, p.Now())
			return err
		})
	}
	if err != nil {
		if f.Error, err = refusal(err); err != nil {
			return reply{}, err
		}
		return p.settingsPage(r, http.StatusBadRequest, t, settingsView{WebhookURL: t.WebhookURL, Branding: t.Branding, Policy: &f})
	}
	return done(t, "/settings", noticeSaved)
}

// setActionPolicy is setEnrollmentPolicy for the path's action.
func (p *portal) setActionPolicy(r *http.Request, t store.Tenant) (reply, error) {
	f := actionForm(t, nil)
	own, err := f.readOwn(r)
	if err == nil && r.PostFormValue("do") == "try" {
		code, err := actionCode(r)
		if err != nil {
			return reply{}, err
		}
		tried, err := manage.EnrollmentDryRun(r.Context(), p.Store, t.ID, code, manage.EffectivePolicy(t, own), p.Now())
		if err != nil {
			return reply{}, err
		}
		f.Tried = &tried
		return p.actionPage(r, http.StatusOK, t, &f)
	}
	code := ""
	if err == nil {
		code, err = p.changeAction(r, t, func(s *api.ActionSettings) error {
			s.EnrollmentPolicy = own
			return nil
		})
	}
	if err != nil {
		if f.Error, err = refusal(err); err != nil {
			return reply{}, err
		}
		return p.actionPage(r, http.StatusBadRequest, t, &f)
	}
	return done(t, "/actions/"+code, noticeSaved)
}

// readOwn is read for an action; the policy is nil if that of the tenant counts.
func (f *policyForm) readOwn(r *http.Request) (*api.EnrollmentPolicy, error) {
	p, err := f.read(r)
	switch f.Choice {
	case policyOfTenant:
		return nil, nil
	case policyNone:
		return &api.EnrollmentPolicy{RequiredFrom: api.Never}, nil
	case policyOwn:
		if err == nil && p.RequiredFrom == api.Never {
			err = badInput("Enter from when on an authenticator is required for this action.")
		}
		return &p, err
	}
	return nil, badInput("Choose which enrollment policy counts for the action.")
}

// count writes a number with commas between thousands.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
