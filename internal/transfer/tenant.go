package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// An export is an age file (age-encryption.org/v1) with a recipient of scrypt, the
// passphrase. Inside are lines of JSON: a header, a line a row, and the end with
// the number of rows, without which the export is not complete.

// format and version are those of the header.
const (
	format  = "authsignal-tenant"
	version = 1
)

type header struct {
	Format     string    `json:"format"`
	Version    int       `json:"version"`
	TenantID   string    `json:"tenantId"`
	ExportedAt time.Time `json:"exportedAt"`
}

// A line is a row, or the end.
type line struct {
	Table string           `json:"table,omitempty"`
	Row   map[string]any   `json:"row,omitempty"`
	End   map[string]int64 `json:"end,omitempty"`
}

// MinPassphrase is the minimum length of a passphrase in characters. What it seals
// can be attacked without the server.
const MinPassphrase = 16

// CheckPassphrase returns an error for a passphrase that is too short.
func CheckPassphrase(passphrase string) error {
	if utf8.RuneCountInString(passphrase) < MinPassphrase {
		return fmt.Errorf("the passphrase must have %d characters or more; make one with: openssl rand -base64 24", MinPassphrase)
	}
	return nil
}

// Seal returns a writer whose content is sealed with a passphrase. Closing it
// completes the file, and does not close w.
func Seal(w io.Writer, passphrase string) (io.WriteCloser, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	return age.Encrypt(w, r)
}

// Open returns the content of what Seal has sealed.
func Open(r io.Reader, passphrase string) (io.Reader, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	content, err := age.Decrypt(r, id)
	var mismatch *age.NoIdentityMatchError
	if errors.As(err, &mismatch) {
		return nil, errors.New("the passphrase is wrong, or the file is not sealed with a passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("the file is not an export: %w", err)
	}
	return content, nil
}

// ExportTenant writes a tenant, with its secrets in plain text: w must be sealed. It
// returns the number of rows by table.
func ExportTenant(ctx context.Context, st *store.Store, tenantID string, w io.Writer, now time.Time) (rows map[string]int64, err error) {
	b := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	rows = map[string]int64{}
	found, err := st.ExportTenant(ctx, tenantID, func(table string, row store.Row) error {
		if len(rows) == 0 {
			if err := e.Encode(header{format, version, tenantID, now.UTC()}); err != nil {
				return err
			}
		}
		rows[table]++
		out := map[string]any{}
		for column, value := range row {
			if b, ok := value.([]byte); ok {
				value = map[string]string{"base64": base64.StdEncoding.EncodeToString(b)}
			}
			out[column] = value
		}
		return e.Encode(line{Table: table, Row: out})
	})
	if err == nil && !found {
		err = fmt.Errorf("there is no tenant %s", tenantID)
	}
	if err == nil {
		err = e.Encode(line{End: rows})
	}
	if err == nil {
		err = b.Flush()
	}
	return rows, err
}

// errDamaged is the error of an export that cannot be read to its end.
var errDamaged = errors.New("the export is damaged or not complete")

// ImportTenant creates the tenant of an export, all of it or nothing. It returns
// its id and the number of rows by table.
func ImportTenant(ctx context.Context, st *store.Store, r io.Reader, now time.Time) (tenantID string, rows map[string]int64, err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	var h header
	text, err := b.ReadBytes('\n')
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err := json.Unmarshal(text, &h); err != nil || h.Format != format {
		return "", nil, errors.New("the file is not an export of a tenant")
	}
	if h.Version > version {
		return "", nil, fmt.Errorf("%w: its format is %d, this program knows %d", store.ErrNewerExport, h.Version, version)
	}
	if !api.IsTenantID(h.TenantID) {
		return "", nil, errors.New("the file is not an export of a tenant: its tenant has no valid id")
	}
	counted := map[string]int64{}
	rows, err = st.ImportTenant(ctx, h.TenantID, func() (string, store.Row, error) {
		l, err := readLine(b)
		if err != nil {
			return "", nil, err
		}
		if l.Table != "" {
			counted[l.Table]++
			return l.Table, store.Row(l.Row), nil
		}
		for table, n := range l.End {
			if counted[table] != n {
				return "", nil, fmt.Errorf("%w: it has %d rows of %s, and its end says %d", errDamaged, counted[table], table, n)
			}
		}
		if _, err := b.Peek(1); len(l.End) != len(counted) || !errors.Is(err, io.EOF) {
			return "", nil, errDamaged
		}
		return "", nil, nil
	}, now)
	if errors.Is(err, store.ErrTenantExists) {
		err = fmt.Errorf("the tenant %s exists here; nothing was changed. Delete it first, or import into another server", h.TenantID)
	}
	return h.TenantID, rows, err
}

// readLine reads a line of an export.
func readLine(b *bufio.Reader) (l line, err error) {
	text, err := b.ReadBytes('\n')
	if err != nil {
		return line{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if d.Decode(&l) != nil || (l.Table == "") == (l.End == nil) { // the decoder's error may quote a secret
		return line{}, errDamaged
	}
	for column, value := range l.Row {
		if l.Row[column], err = decoded(value); err != nil {
			return line{}, err
		}
	}
	return l, nil
}

// decoded returns a value of a row.
func decoded(value any) (any, error) {
	switch v := value.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return nil, errDamaged
		}
		return n, nil
	case map[string]any:
		if text, ok := v["base64"].(string); ok && len(v) == 1 {
			if b, err := base64.StdEncoding.DecodeString(text); err == nil {
				return b, nil
			}
		}
	}
	return nil, errDamaged
}
