package mfa

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// An Importer imports authenticator apps of many users, as Import does for one,
// and knows when their codes were used last. Unlike Import it sends no webhook
// events: the operator knows the users that the file names. It is for one goroutine.
type Importer struct {
	Tenant store.Tenant
	Now    func() time.Time

	// planned are the authenticators that Plan has found to be new, and plannedOf
	// their numbers by user. They are hashes: a file may have millions.
	planned   map[[16]byte]bool
	plannedOf map[[16]byte]int
}

// An ImportRow is an authenticator app of a user.
type ImportRow struct {
	// User has the attributes of a user who does not exist yet; those of others
	// are kept.
	User      store.User
	Key       totp.Key
	CreatedAt time.Time
	// LastUsedAt is zero if it is not known, and LastStep -1: steps up to
	// LastStep, and those in which a code of LastUsedAt may be, are spent.
	LastUsedAt time.Time
	LastStep   int64
}

// An ImportOutcome is what became of a row.
type ImportOutcome struct {
	// Refused is not nil if the row cannot be imported.
	Refused error
	// Known reports whether the user had the authenticator; Spent whether the
	// row knows of a later use.
	Known, Spent bool
	// NewUser reports whether the user is created.
	NewUser bool
}

// Plan returns the outcomes of rows without writing anything, as if the rows of
// earlier calls had been imported. A call has store.ImportBatch rows at most.
func (i *Importer) Plan(tx *store.Tx, rows []ImportRow) ([]ImportOutcome, error) {
	if i.planned == nil {
		i.planned, i.plannedOf = map[[16]byte]bool{}, map[[16]byte]int{}
	}
	return i.batch(tx, rows, true)
}

// Import imports rows in a transaction. If a row is refused, the transaction must
// be rolled back, or the row left out. A row that was imported before is known.
func (i *Importer) Import(tx *store.Tx, rows []ImportRow) ([]ImportOutcome, error) {
	// The tenant may be deleted meanwhile: nothing would erase rows that are
	// stored later. Its row is locked until the commit.
	t, found, err := tx.Tenant()
	if err == nil && !found {
		err = errors.New("the tenant was deleted")
	}
	if err != nil {
		return nil, err
	}
	i.Tenant = t
	return i.batch(tx, rows, false)
}

func (i *Importer) batch(tx *store.Tx, rows []ImportRow, plan bool) ([]ImportOutcome, error) {
	rows = slices.Clone(rows)
	for n := range rows {
		rows[n].User.ID = i.Tenant.UserID(rows[n].User.ID)
	}
	ids := make([]string, len(rows))
	for n, row := range rows {
		ids[n] = row.User.ID
	}
	users, err := tx.UsersForImport(ids, !plan)
	if err != nil {
		return nil, err
	}
	isNew, alike := map[string]bool{}, map[string]bool{}
	if !plan {
		if isNew, alike, err = i.createUsers(tx, rows, users); err != nil {
			return nil, err
		}
	}
	out := make([]ImportOutcome, len(rows))
	for n, row := range rows {
		u := users[row.User.ID]
		if plan && !u.Found && i.Tenant.UserIDs == api.UserIDsRefuse {
			if err := tx.CheckLookAlike(row.User.ID); errors.Is(err, store.ErrLookAlike) {
				alike[row.User.ID] = true
			} else if err != nil {
				return nil, err
			}
		}
		if alike[row.User.ID] {
			out[n].Refused = store.ErrLookAlike
			continue
		}
		if plan {
			out[n], err = i.planRow(tx, u, row)
		} else {
			out[n], err = i.importRow(tx, u, row)
		}
		if err != nil {
			return nil, err
		}
		if isNew[row.User.ID] {
			out[n].NewUser = true
			delete(isNew, row.User.ID)
		}
	}
	return out, nil
}

// createUsers creates the users who do not exist, and reads those again that others
// have created meanwhile. alike are the ids that the tenant does not accept.
func (i *Importer) createUsers(tx *store.Tx, rows []ImportRow, users map[string]*store.ImportedUser) (made, alike map[string]bool, err error) {
	missing := map[string]store.User{}
	for _, row := range rows {
		if _, twice := missing[row.User.ID]; !twice && !users[row.User.ID].Found {
			missing[row.User.ID] = row.User
		}
	}
	var list []store.User
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		list = append(list, missing[id])
	}
	if made, err = tx.InsertImportedUsers(i.Tenant.UserIDs, list); err != nil {
		return nil, nil, err
	}
	var others []string
	for _, u := range list {
		if !made[u.ID] {
			others = append(others, u.ID)
		}
	}
	again, err := tx.UsersForImport(others, true)
	if err != nil {
		return nil, nil, err
	}
	alike = map[string]bool{}
	for id, u := range again {
		users[id] = u
		if u.Found {
			continue
		}
		err := tx.CheckLookAlike(id)
		if err == nil {
			err = errors.New("a user was created and deleted by others while it was imported; run the import again")
		}
		if !errors.Is(err, store.ErrLookAlike) {
			return nil, nil, err
		}
		alike[id] = true
	}
	return made, alike, nil
}

func (r ImportRow) authenticator(now time.Time) store.Authenticator {
	a := store.Authenticator{
		ID: uuid.NewString(), UserID: r.User.ID, Method: api.AuthenticatorApp, Parameters: r.Key.Parameters,
		CreatedAt: r.CreatedAt, VerifiedAt: r.CreatedAt, LastVerifiedAt: r.LastUsedAt, LastStep: r.LastStep,
	}
	if r.CreatedAt.IsZero() {
		a.CreatedAt, a.VerifiedAt = now, now
	}
	if !r.LastUsedAt.IsZero() {
		// The clock of the app may have been a step ahead.
		a.LastStep = max(a.LastStep, a.Step(r.LastUsedAt)+1)
	}
	return a
}

// hashes identify the user and the authenticator of a row.
func (r ImportRow) hashes() (user, authenticator [16]byte) {
	u := sha256.Sum256([]byte(r.User.ID))
	a := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s %s %d %d", r.User.ID, r.Key.Secret, r.Key.Algorithm, r.Key.Digits, r.Key.Period))
	return [16]byte(u[:16]), [16]byte(a[:16])
}

func (i *Importer) planRow(tx *store.Tx, u *store.ImportedUser, row ImportRow) (out ImportOutcome, err error) {
	now := i.Now()
	a := row.authenticator(now)
	if out.Refused = checkNotAhead(a, now); out.Refused != nil {
		return out, nil
	}
	user, authenticator := row.hashes()
	if i.planned[authenticator] {
		return ImportOutcome{Known: true}, nil
	}
	known, _, err := findKnown(tx, u.Authenticators, a, row.Key.Secret)
	if err != nil {
		return out, err
	}
	if known != nil {
		return ImportOutcome{Known: true, Spent: known.LastStep < a.LastStep}, nil
	}
	if len(FactorsOf(u.Authenticators))+i.plannedOf[user] >= i.Tenant.Authenticator.MaxAuthenticators {
		return ImportOutcome{Refused: tooMany(i.Tenant.Authenticator)}, nil
	}
	out.NewUser = !u.Found && i.plannedOf[user] == 0
	i.planned[authenticator] = true
	i.plannedOf[user]++
	return out, nil
}

func (i *Importer) importRow(tx *store.Tx, u *store.ImportedUser, row ImportRow) (out ImportOutcome, err error) {
	now := i.Now()
	a := row.authenticator(now)
	if out.Refused = checkNotAhead(a, now); out.Refused != nil {
		return out, nil
	}
	known, pending, err := findKnown(tx, u.Authenticators, a, row.Key.Secret)
	if err != nil {
		return out, err
	}
	if known != nil {
		if err := resetKnown(tx, i.Tenant, *known, now); err != nil {
			return out, err
		}
		out = ImportOutcome{Known: true, Spent: known.LastStep < a.LastStep}
		if out.Spent {
			known.LastStep = a.LastStep
			err = tx.SpendSteps(*known, a.LastStep)
		}
		return out, err
	}
	if full(i.Tenant.Authenticator, FactorsOf(u.Authenticators)) {
		return ImportOutcome{Refused: tooMany(i.Tenant.Authenticator)}, nil
	}
	for _, p := range pending {
		if err := tx.DeletePending(p); err != nil {
			return out, err
		}
	}
	if a, err = tx.InsertImported(a, row.Key.Secret); err != nil {
		return out, err
	}
	u.Authenticators = append(u.Authenticators, a)
	return out, tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditEnrollmentCompleted, ActionID: store.ActionID{UserID: a.UserID},
		Detail: map[string]any{"userAuthenticatorId": a.ID, "verificationMethod": a.Method, "by": ByOperator, "imported": true},
	})
}

// checkNotAhead returns an error for a last use that would lock the user out.
func checkNotAhead(a store.Authenticator, now time.Time) error {
	if Ahead(a, now) > 0 {
		return errors.New("the last use is in the future: codes would be refused until then")
	}
	return nil
}
