package portal

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/store"
)

type overviewView struct {
	Active   bool
	Keys     int
	Origins  int
	Actions  int
	Chart    chart
	TenantID string
	APIURL   string
}

// overview shows what is set up, what is left to do, and the chart of the last
// day.
func (p *portal) overview(r *http.Request, t store.Tenant) (reply, error) {
	v := overviewView{Active: t.Authenticator.Active, TenantID: t.ID, APIURL: p.PublicURL + "/v1"}
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		keys, err := tx.APISecrets()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.InForce(p.Now()) {
				v.Keys++
			}
		}
		origins, err := tx.Origins()
		if err != nil {
			return err
		}
		v.Origins = len(origins)
		settings, err := tx.AllActionSettings()
		if err != nil {
			return err
		}
		v.Actions = len(settings)
		v.Chart, err = p.outcomes(tx, r.FormValue("range"), "")
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return reply{template: "overview", view: view{Section: "overview", Title: "Overview", Body: v}}, nil
}
