package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A File is a declarative configuration, in YAML:
//
//	tenants:
//	  - tenantId: acme
//	    apiSecretKeyEnv: ACME_API_SECRET_KEY
//	    authenticator: {active: true, issuer: Acme, digits: 6}
//	    actions:
//	      createPayment:
//	        defaultOutcome: ALLOW
//	        rules:
//	          - name: large amounts
//	            condition: has(custom.amount) && custom.amount > 1000.0
//	            outcome: CHALLENGE
//
// It changes nothing that it does not name; the settings of an action are replaced
// as a whole. A file with several documents means the tenants of all of them.
type File struct {
	Tenants []FileTenant `json:"tenants"`
}

// A FileTenant is what a file sets for a tenant, which is created if it does not
// exist.
type FileTenant struct {
	TenantID string `json:"tenantId"`
	// APISecretKeyEnv names the variable that holds an API secret key; a key must
	// not be in the file.
	APISecretKeyEnv string `json:"apiSecretKeyEnv"`
	// WebhookURL receives the tenant's events; empty for none.
	WebhookURL *string `json:"webhookUrl"`
	// WebhookSecretEnv names the variable that holds a secret that signs the events.
	WebhookSecretEnv string `json:"webhookSecretEnv"`
	// Authenticator holds some of api.AuthenticatorSettings.
	Authenticator subtree `json:"authenticator"`
	// Branding is the look of the pre-built UI; Origins are those of the tenant's
	// own pages. Both are replaced as a whole.
	Branding *api.Branding `json:"branding"`
	Origins  *[]string     `json:"origins"`
	// UserIDs says what is done about user ids that look alike.
	UserIDs *api.UserIDs `json:"userIds"`
	// EnrollmentPolicy is replaced as a whole; api.Never removes it.
	EnrollmentPolicy *api.EnrollmentPolicy `json:"enrollmentPolicy"`
	// RecoveryLinks are the settings for recovery links.
	RecoveryLinks *api.RecoveryLinkSettings `json:"recoveryLinks"`
	// Actions are settings by action code.
	Actions map[string]api.ActionSettings `json:"actions"`

	decoder *decoder
	// path is that of the tenant in its document.
	path string
	// apiSecretKey and webhookSecret are the values of the variables, once resolve
	// has read them.
	apiSecretKey, webhookSecret string
}

// maxFile is the maximum size of a declarative configuration, in bytes.
const maxFile = 4 << 20

// ReadFile reads and checks a declarative configuration. An error names the place
// in the file: the line and the column, both from 1.
func ReadFile(path string) (File, error) {
	_, file, err := LoadFile(path)
	return file, err
}

// LoadFile is ReadFile, and returns the text of the file too.
func LoadFile(path string) (text []byte, file File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, File{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	if text, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, File{}, fmt.Errorf("configuration: %w", err)
	}
	file, err = ParseFile(path, text)
	return text, file, err
}

// ParseFile is ReadFile for a text; errors begin with the file's name.
func ParseFile(name string, text []byte) (File, error) {
	if len(text) > maxFile {
		return File{}, fmt.Errorf("%s: the file has more than %d bytes", name, maxFile)
	}
	roots, err := documents(name, text)
	if err != nil {
		return File{}, err
	}
	var all File
	seen := map[string]*yaml.Node{}
	for _, root := range roots {
		var f File
		d := &decoder{file: name, places: map[string]*yaml.Node{}, within: map[*yaml.Node]bool{}}
		if err := d.value(root, reflect.ValueOf(&f).Elem(), ""); err != nil {
			return File{}, err
		}
		if d.places["tenants"] == nil {
			return File{}, d.at(root, "", "the document has no tenants")
		}
		for i, t := range f.Tenants {
			t.decoder, t.path = d, fmt.Sprintf("tenants[%d]", i)
			if err := t.check(); err != nil {
				return File{}, err
			}
			id := d.places[t.path+".tenantId"]
			if first := seen[t.TenantID]; first != nil {
				return File{}, d.at(id, t.path+".tenantId", "%s occurs twice; the first one is in line %d", t.TenantID, first.Line)
			}
			seen[t.TenantID] = id
			all.Tenants = append(all.Tenants, t)
		}
	}
	return all, nil
}

// variableName matches the names of variables that a file may name (POSIX
// .1-2024, section 3.216, with small letters).
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (t FileTenant) check() error {
	invalid := func(path, text string) error { return t.decoder.invalid(t.path+path, text) }
	if !api.IsTenantID(t.TenantID) {
		return invalid("", "tenantId must be "+api.TenantIDForm)
	}
	for _, v := range t.variables() {
		if t.decoder.places[t.path+"."+v.key] != nil && !variableName.MatchString(v.name) {
			// It may be a key itself, and is not quoted.
			return invalid("", v.key+" must be the name of a variable, of letters, digits and underscores")
		}
	}
	if _, err := t.over(api.DefaultAuthenticatorSettings(t.TenantID)); err != nil {
		return err
	}
	change := manage.TenantChange{WebhookURL: t.WebhookURL, Branding: t.Branding, Origins: t.Origins, UserIDs: t.UserIDs, Enrollment: t.EnrollmentPolicy}
	if err := change.Check(); err != nil {
		return invalid("", manage.Text(err))
	}
	for _, action := range slices.Sorted(maps.Keys(t.Actions)) {
		if !api.IsActionCode(action) {
			return invalid(".actions."+action, "the action must be "+api.ActionCodeForm)
		}
		checked, err := manage.CheckAction(action, t.Actions[action])
		if err != nil {
			return invalid(".actions."+action, manage.Text(err))
		}
		t.Actions[action] = checked.Settings()
	}
	return nil
}

// over returns the stored settings s with those of the file.
func (t FileTenant) over(s api.AuthenticatorSettings) (api.AuthenticatorSettings, error) {
	stored := s.Issuer
	if err := t.Authenticator.over(&s); err != nil {
		return s, err
	}
	if err := s.Validate(stored); err != nil {
		if t.Authenticator.node == nil { // the tenant's own id cannot be its issuer
			return s, errors.New(manage.Text(err))
		}
		return s, t.decoder.invalid(t.path+".authenticator", manage.Text(err))
	}
	return s, nil
}

// A variable is one that a file names by a key, and where its value is kept.
type variable struct {
	key, name string
	value     *string
}

// variables returns the variables of the tenant; the name of one that the file does
// not name is empty.
func (t *FileTenant) variables() []variable {
	return []variable{
		{"apiSecretKeyEnv", t.APISecretKeyEnv, &t.apiSecretKey},
		{"webhookSecretEnv", t.WebhookSecretEnv, &t.webhookSecret},
	}
}

// resolve reads the variables that the file names.
func (f File) resolve(env *Env) error {
	for i := range f.Tenants {
		t := &f.Tenants[i]
		for _, v := range t.variables() {
			if v.name == "" {
				continue
			}
			key, err := env.Secret(v.name)
			if err == nil && key == "" {
				err = fmt.Errorf("the variable %s, which %s names, is empty", v.name, v.key)
			}
			if err == nil {
				if wrong := manage.CheckKey(key); wrong != nil {
					err = fmt.Errorf("the variable %s, which %s names, %w", v.name, v.key, wrong)
				}
			}
			if err != nil {
				return t.decoder.at(t.decoder.places[t.path+"."+v.key], "", "tenant %s: %s", t.TenantID, err)
			}
			*v.value = key
		}
	}
	return nil
}

// Variables returns the values of the variables that the file names, for another
// process to apply it with.
func (f File) Variables(env *Env) (map[string]string, error) {
	if err := f.resolve(env); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, t := range f.Tenants {
		for _, v := range t.variables() {
			if v.name != "" {
				values[v.name] = *v.value
			}
		}
	}
	return values, nil
}

// Apply stores the settings of the file in a database, a tenant at a time, and
// reports each change. If all is the same as before it changes nothing. It reads
// all variables first: one that is absent changes nothing either.
func (f File) Apply(ctx context.Context, st *store.Store, env *Env, now time.Time, report func(change string)) error {
	if err := f.resolve(env); err != nil {
		return err
	}
	for _, t := range f.Tenants {
		checked := map[string]manage.CheckedAction{}
		for action, settings := range t.Actions {
			var err error
			if checked[action], err = manage.CheckAction(action, settings); err != nil {
				return fmt.Errorf("configuration: tenant %s: action %s: %w", t.TenantID, action, err)
			}
		}
		var changes []string
		err := st.Update(ctx, t.TenantID, func(tx *store.Tx) (err error) {
			changes, err = t.apply(tx, checked, now)
			return err
		})
		if err != nil {
			return fmt.Errorf("configuration: tenant %s: %w", t.TenantID, err)
		}
		for _, c := range changes {
			report("tenant " + t.TenantID + ": " + c)
		}
	}
	return nil
}

func (t FileTenant) apply(tx *store.Tx, checked map[string]manage.CheckedAction, now time.Time) (changes []string, err error) {
	current, found, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	if !found {
		current.Authenticator = api.DefaultAuthenticatorSettings(t.TenantID)
	}
	settings, err := t.over(current.Authenticator)
	if err != nil {
		return nil, err
	}
	changes, err = manage.Tenant(tx, manage.TenantChange{
		Authenticator: &settings, WebhookURL: t.WebhookURL, Branding: t.Branding, Origins: t.Origins, UserIDs: t.UserIDs, Enrollment: t.EnrollmentPolicy,
		RecoveryLinks: t.RecoveryLinks,
	}, now)
	if err != nil {
		return nil, err
	}
	if t.apiSecretKey != "" {
		made, err := manage.EnsureSecret(tx, t.apiSecretKey, now)
		if err != nil {
			return nil, fmt.Errorf("the variable %s, which apiSecretKeyEnv names: %w", t.APISecretKeyEnv, err)
		}
		if made {
			changes = append(changes, "API secret key added")
		}
	}
	if t.webhookSecret != "" {
		made, err := manage.EnsureWebhookSecret(tx, t.webhookSecret, now)
		if err != nil {
			return nil, fmt.Errorf("the variable %s, which webhookSecretEnv names: %w", t.WebhookSecretEnv, err)
		}
		if made {
			changes = append(changes, "webhook secret added")
		}
	}
	for _, action := range slices.Sorted(maps.Keys(t.Actions)) {
		changed, err := manage.SetAction(tx, checked[action], now)
		if err != nil {
			return nil, err
		}
		if changed {
			changes = append(changes, "action "+action+" set")
		}
	}
	return changes, nil
}
