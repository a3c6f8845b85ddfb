package portal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"html/template"
	"io"
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

type settingsView struct {
	WebhookURL, WebhookError string
	Secrets                  []webhookSecretView
	// NewSecret is the secret of webhooks that was created by this request. It is
	// shown only once.
	NewSecret     string
	Branding      api.Branding
	BrandingError string
	RecoveryLinks api.RecoveryLinkSettings
	// Logo is the logo of the branding, after it was checked.
	Logo template.URL
	// Policy is the form of the enrollment policy; nil for that of the tenant.
	Policy *policyForm
}

type webhookSecretView struct {
	store.WebhookSecret
	Expired bool
}

func (p *portal) settingsForm(r *http.Request, t store.Tenant) (reply, error) {
	return p.settingsPage(r, http.StatusOK, t, settingsView{WebhookURL: t.WebhookURL, Branding: t.Branding})
}

func (p *portal) settingsPage(r *http.Request, status int, t store.Tenant, v settingsView) (reply, error) {
	// A data: URL of an image cannot run scripts in an img element.
	if manage.CheckBranding(t.Branding) == nil {
		v.Logo = template.URL(t.Branding.Logo)
	}
	v.RecoveryLinks = t.RecoveryLinks
	if v.Policy == nil {
		f := formOf(t.Enrollment)
		v.Policy = &f
	}
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		list, err := tx.WebhookSecrets()
		for _, s := range list {
			v.Secrets = append(v.Secrets, webhookSecretView{s, !s.InForce(p.Now())})
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return reply{status: status, template: "settings", view: view{Section: "settings", Title: "Settings", Body: v}}, nil
}

// newWebhookSecret creates a secret that signs webhooks. The response shows it.
func (p *portal) newWebhookSecret(r *http.Request, t store.Tenant) (reply, error) {
	overlap, ok := overlaps[r.PostFormValue("overlap")]
	if !ok {
		return reply{}, badInput("Choose for how long present secrets and keys also sign.")
	}
	v := settingsView{WebhookURL: t.WebhookURL, Branding: t.Branding}
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		_, v.NewSecret, err = manage.NewWebhookSecret(tx, overlap, p.Now())
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return p.settingsPage(r, http.StatusOK, t, v)
}

func (p *portal) revokeWebhookForm(r *http.Request, t store.Tenant) (reply, error) {
	id := r.FormValue("id")
	inForce := map[string]bool{}
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		list, err := tx.WebhookSecrets()
		for _, s := range list {
			if s.InForce(p.Now()) {
				inForce[s.ID] = true
			}
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if !inForce[id] {
		return reply{}, errNoPage
	}
	text := "Receivers that verify by this secret refuse webhooks from now on."
	if len(inForce) == 1 {
		text += " It is the last one: the API secret keys sign again."
	}
	return reply{template: "confirm", view: view{Section: "settings", Title: "Revoke the webhook secret?", Body: confirmView{
		Text: text, Button: "Revoke", Action: "/settings/revoke", Back: "/settings", Hidden: [][2]string{{"id", id}},
	}}}, nil
}

func (p *portal) revokeWebhookSecret(r *http.Request, t store.Tenant) (reply, error) {
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		return manage.RevokeWebhookSecret(tx, r.PostFormValue("id"), p.Now())
	})
	if err != nil {
		return reply{}, err
	}
	return done(t, "/settings", noticeWebhookSecretRevoked)
}

func (p *portal) setWebhook(r *http.Request, t store.Tenant) (reply, error) {
	url := r.PostFormValue("webhookUrl")
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		_, err := manage.Tenant(tx, manage.TenantChange{WebhookURL: &url}, p.Now())
		return err
	})
	if err != nil {
		v := settingsView{WebhookURL: url, Branding: t.Branding}
		if v.WebhookError, err = refusal(err); err != nil {
			return reply{}, err
		}
		return p.settingsPage(r, http.StatusBadRequest, t, v)
	}
	return done(t, "/settings", noticeSaved)
}

func (p *portal) setBranding(r *http.Request, t store.Tenant) (reply, error) {
	b := api.Branding{Name: r.PostFormValue("name"), Color: r.PostFormValue("color")}
	var err error
	if b.Logo, err = uploadedLogo(r); err == nil {
		keep := b.Logo == "" && r.PostFormValue("removeLogo") != "on"
		err = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
			if keep {
				current, _, err := tx.Tenant()
				if err != nil {
					return err
				}
				b.Logo = current.Branding.Logo
			}
			_, err := manage.Tenant(tx, manage.TenantChange{Branding: &b}, p.Now())
			return err
		})
	}
	if err != nil {
		v := settingsView{WebhookURL: t.WebhookURL, Branding: b}
		if v.BrandingError, err = refusal(err); err != nil {
			return reply{}, err
		}
		return p.settingsPage(r, http.StatusBadRequest, t, v)
	}
	return done(t, "/settings", noticeSaved)
}

func (p *portal) setRecoveryLinks(r *http.Request, t store.Tenant) (reply, error) {
	links := api.RecoveryLinkSettings{Approval: r.PostFormValue("approval") == "on"}
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		_, err := manage.Tenant(tx, manage.TenantChange{RecoveryLinks: &links}, p.Now())
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return done(t, "/settings", noticeSaved)
}

// uploadedLogo returns the file of the form as a data: URL, or "" if none was
// chosen. Its type is read from its first bytes: its name and declared type come
// from the browser.
func uploadedLogo(r *http.Request) (string, error) {
	f, _, err := r.FormFile("logo")
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return "", nil
	}
	if err != nil {
		return "", badInput("The logo cannot be read.")
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return "", badInput("The logo cannot be read.")
	}
	if len(b) == 0 {
		return "", nil
	}
	kind := http.DetectContentType(b)
	if start := b[:min(len(b), 1024)]; bytes.Contains(start, []byte("<svg")) {
		kind = "image/svg+xml"
	}
	switch kind {
	case "image/png", "image/jpeg", "image/webp", "image/svg+xml":
	default:
		return "", badInput("The logo must be a PNG, JPEG, WebP or SVG image.")
	}
	logo := "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)
	if len(logo) > api.MaxLogo {
		return "", badInput("The logo must be at most 48 KB.")
	}
	return logo, nil
}

// deleteTenantForm asks to type the id of the tenant.
func (p *portal) deleteTenantForm(_ *http.Request, t store.Tenant) (reply, error) {
	return deleteTenantPage(http.StatusOK, t, "")
}

func deleteTenantPage(status int, t store.Tenant, refused string) (reply, error) {
	return reply{status: status, template: "confirm", view: view{Section: "settings", Title: "Delete the tenant " + t.ID + "?", Body: confirmView{
		Text: "All users, authenticators, actions, rules, API keys and the activity are deleted, and the keys and tokens are refused at once. " +
			"Sign-ins of your app that need a code fail from then on. This cannot be undone, and the id is not used again.",
		Button: "Delete the tenant", Action: "/settings/delete", Back: "/settings", Type: t.ID, Error: refused,
	}}}, nil
}

func (p *portal) deleteTenant(r *http.Request, t store.Tenant) (reply, error) {
	if r.PostFormValue("typed") != t.ID {
		return deleteTenantPage(http.StatusBadRequest, t, "The text is not the id of the tenant. Nothing was deleted.")
	}
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error { return manage.DeleteTenant(tx, mfa.ByOperator, p.Now()) })
	if err != nil {
		return reply{}, err
	}
	return reply{redirect: Path}, nil
}
