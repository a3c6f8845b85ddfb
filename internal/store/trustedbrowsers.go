package store

import (
	"fmt"
	"time"
)

// A TrustedBrowser is a browser that a user trusts. Of its token, only hashes are
// stored.
type TrustedBrowser struct {
	ID, UserID string
	// Epoch is that of the user's tokens when the browser was trusted.
	Epoch int64
	// IPAddress and UserAgent are those of its last use.
	IPAddress, UserAgent  string
	TrustedAt, LastUsedAt time.Time
	// FixedHash is the hash of the part of the token that stays, TurnHash of the part
	// that changes at each use.
	FixedHash, TurnHash []byte
}

const browserColumns = `browser_id, user_id, fixed_hash, turn_hash, epoch, ip_address, user_agent, trusted_at, last_used_at`

func scanBrowser(row row) (b TrustedBrowser, err error) {
	var trusted, used int64
	err = row.Scan(&b.ID, &b.UserID, &b.FixedHash, &b.TurnHash, &b.Epoch, &b.IPAddress, &b.UserAgent, &trusted, &used)
	b.TrustedAt, b.LastUsedAt = moment(trusted), moment(used)
	return b, err
}

// TrustedBrowsers returns the browsers that a user trusts, the newest first. Those of
// an earlier epoch of the user's tokens are among them.
func (t *Tx) TrustedBrowsers(userID string) ([]TrustedBrowser, error) {
	list, err := collect(t, scanBrowser, `
		SELECT `+browserColumns+` FROM trusted_browsers
		WHERE tenant_id = ? AND user_id = ? ORDER BY trusted_at DESC, browser_id`, t.tenant, userID)
	if err != nil {
		return nil, fmt.Errorf("read trusted browsers: %w", err)
	}
	return list, nil
}

// TrustedBrowser returns a browser that a user trusts, or nil.
func (t *Tx) TrustedBrowser(userID, id string) (*TrustedBrowser, error) {
	list, err := collect(t, scanBrowser, `
		SELECT `+browserColumns+` FROM trusted_browsers
		WHERE tenant_id = ? AND browser_id = ? AND user_id = ?`, t.tenant, id, userID)
	if err != nil {
		return nil, fmt.Errorf("read trusted browser: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return &list[0], nil
}

// InsertTrustedBrowser stores a browser.
func (t *Tx) InsertTrustedBrowser(b TrustedBrowser) error {
	_, err := t.exec(`
		INSERT INTO trusted_browsers (tenant_id, `+browserColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.tenant, b.ID, b.UserID, b.FixedHash, b.TurnHash, b.Epoch, b.IPAddress, b.UserAgent, millis(b.TrustedAt), millis(b.LastUsedAt))
	if err != nil {
		return fmt.Errorf("store trusted browser: %w", err)
	}
	return nil
}

// TurnTrustedBrowser replaces the hash of the changing part of a browser's token and
// stores its use: one write, guarded so that of any number of concurrent ones only
// the first succeeds. used is what the browser is afterwards.
func (t *Tx) TurnTrustedBrowser(before, used TrustedBrowser) (turned bool, err error) {
	n, err := t.exec(`
		UPDATE trusted_browsers SET turn_hash = ?, ip_address = ?, user_agent = ?, last_used_at = ?
		WHERE tenant_id = ? AND browser_id = ? AND turn_hash = ?`,
		used.TurnHash, used.IPAddress, used.UserAgent, millis(used.LastUsedAt), t.tenant, before.ID, before.TurnHash)
	if err != nil {
		return false, fmt.Errorf("use trusted browser: %w", err)
	}
	return n == 1, nil
}

// DeleteTrustedBrowser deletes a browser; deleted is false if the user trusts none of
// that id.
func (t *Tx) DeleteTrustedBrowser(userID, id string) (deleted bool, err error) {
	n, err := t.exec(`DELETE FROM trusted_browsers WHERE tenant_id = ? AND browser_id = ? AND user_id = ?`, t.tenant, id, userID)
	if err != nil {
		return false, fmt.Errorf("delete trusted browser: %w", err)
	}
	return n == 1, nil
}

// DeleteTrustedBrowsers deletes all browsers of a user, and returns their number.
func (t *Tx) DeleteTrustedBrowsers(userID string) (int64, error) {
	n, err := t.exec(`DELETE FROM trusted_browsers WHERE tenant_id = ? AND user_id = ?`, t.tenant, userID)
	if err != nil {
		return 0, fmt.Errorf("delete trusted browsers: %w", err)
	}
	return n, nil
}
