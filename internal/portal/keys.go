package portal

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

type keysView struct {
	TenantID, APIURL string
	Keys             []keyView
	// NewKey is the key that was created by this request. It is shown only
	// once.
	NewKey string
	// Origins has one origin per line.
	Origins, Error string
}

type keyView struct {
	store.APISecret
	Expired bool
}

func (p *portal) keys(r *http.Request, t store.Tenant) (reply, error) {
	return p.keysPage(r, http.StatusOK, t, keysView{})
}

func (p *portal) keysPage(r *http.Request, status int, t store.Tenant, v keysView) (reply, error) {
	v.TenantID, v.APIURL = t.ID, p.PublicURL+"/v1"
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		list, err := tx.APISecrets()
		if err != nil {
			return err
		}
		for _, s := range list {
			v.Keys = append(v.Keys, keyView{s, !s.InForce(p.Now())})
		}
		if v.Error == "" {
			origins, err := tx.Origins()
			v.Origins = strings.Join(origins, "\n")
			return err
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return reply{status: status, template: "keys", view: view{Section: "keys", Title: "API keys", Body: v}}, nil
}

// overlaps are the choices of how long existing keys stay valid beside a new one,
// in seconds.
var overlaps = map[string]int64{
	"none": 0, "hour": manage.DefaultOverlap, "day": int64(24 * time.Hour / time.Second), "week": int64(7 * 24 * time.Hour / time.Second),
}

// newKey creates a key. The response shows it: a redirect would put it into a
// URL.
func (p *portal) newKey(r *http.Request, t store.Tenant) (reply, error) {
	overlap, ok := overlaps[r.PostFormValue("overlap")]
	if !ok {
		return reply{}, badInput("Choose how long existing keys stay valid.")
	}
	var v keysView
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		_, v.NewKey, err = manage.NewSecret(tx, overlap, p.Now())
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return p.keysPage(r, http.StatusOK, t, v)
}

func (p *portal) revokeForm(r *http.Request, t store.Tenant) (reply, error) {
	id := r.FormValue("id")
	valid := 0
	found := false
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		list, err := tx.APISecrets()
		for _, s := range list {
			switch {
			case !s.InForce(p.Now()):
			case s.ID == id:
				found = true
			default:
				valid++
			}
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if !found {
		return reply{}, errNoPage
	}
	text := "Backends that use this key are refused from now on. Other keys that stay valid: " + strconv.Itoa(valid) + "."
	if valid == 0 {
		text = "This is the last valid key: no backend of the tenant can use the API until there is a new one."
	}
	return reply{template: "confirm", view: view{Section: "keys", Title: "Revoke the key?", Body: confirmView{
		Text: text, Button: "Revoke", Action: "/keys/revoke", Back: "/keys", Hidden: [][2]string{{"id", id}},
	}}}, nil
}

func (p *portal) revokeKey(r *http.Request, t store.Tenant) (reply, error) {
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error { return manage.RevokeSecret(tx, r.PostFormValue("id"), p.Now()) })
	if err != nil {
		return reply{}, err
	}
	return done(t, "/keys", noticeRevoked)
}

func (p *portal) setOrigins(r *http.Request, t store.Tenant) (reply, error) {
	text := r.PostFormValue("origins")
	origins := strings.Fields(text)
	err := p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error {
		_, err := manage.Tenant(tx, manage.TenantChange{Origins: &origins}, p.Now())
		return err
	})
	if err != nil {
		refused, err := refusal(err)
		if err != nil {
			return reply{}, err
		}
		return p.keysPage(r, http.StatusBadRequest, t, keysView{Origins: text, Error: refused})
	}
	return done(t, "/keys", noticeSaved)
}
