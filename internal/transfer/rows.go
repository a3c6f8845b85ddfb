package transfer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// columns are the columns of CSV and the keys of JSON lines, by their names in
// lower case without spaces, dashes and underscores.
var columns = map[string]string{
	"userid": "userId", "user": "userId",
	"secret": "secret",
	"uri":    "uri", "otpuri": "uri", "otpauth": "uri", "otpauthuri": "uri",
	"algorithm": "algorithm", "digits": "digits", "period": "period",
	"lastusedat": "lastUsedAt", "lastused": "lastUsedAt", "lastuse": "lastUsedAt",
	"laststep":  "lastStep",
	"createdat": "createdAt", "created": "createdAt",
	"email": "email", "phonenumber": "phoneNumber", "phone": "phoneNumber", "username": "username",
	"displayname": "displayName", "name": "displayName",
}

const columnNames = "userId, secret or uri, algorithm, digits, period, lastUsedAt, lastStep, createdAt, email, phoneNumber, username and displayName"

// column returns the column of a name.
func column(name string) (string, error) {
	key := strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(name))
	if c, ok := columns[key]; ok {
		return c, nil
	}
	// A file without a header may have a secret here.
	shown := "a name that is not shown"
	if len(name) <= 15 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz") == "" {
		shown = strconv.Quote(name)
	}
	return "", fmt.Errorf("%s is not a column; the columns are %s", shown, columnNames)
}

// A record is a line of a file: its number, and its values by column or what is
// wrong with it. Values are without surrounding spaces; empty ones are absent.
type record struct {
	line   int
	values map[string]string
	err    error
}

// records reads a file of CSV, with a header, or of JSON objects, one a line. An
// error in a record is in the record; the error of yield, or that of the file, is
// returned.
func records(r io.Reader, yield func(record) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	if bom, _ := b.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		b.Discard(3)
	}
	first, err := b.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty")
	case err != nil:
		return err
	case first[0] == '{':
		return jsonRecords(b, yield)
	}
	return csvRecords(b, yield)
}

// maxLine is the maximum length of a line of JSON in bytes.
const maxLine = 1 << 20

func jsonRecords(r io.Reader, yield func(record) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		values, err := jsonValues(text)
		if err := yield(record{n, values, err}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// jsonValues reads a JSON object of texts, numbers and nulls. A key that is there
// twice is an error: decoders would disagree about its value.
func jsonValues(text []byte) (map[string]string, error) {
	malformed := errors.New("it is not a JSON object of texts and numbers")
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed
	}
	values := map[string]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		c, err := column(name.(string))
		if err != nil {
			return nil, err
		}
		value, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		if _, twice := values[c]; twice {
			return nil, fmt.Errorf("%s is given twice", c)
		}
		switch v := value.(type) {
		case nil:
			values[c] = ""
		case string:
			values[c] = strings.TrimSpace(v)
		case json.Number:
			values[c] = v.String()
		default:
			return nil, fmt.Errorf("%s must be a text or a number", c)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, malformed
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one JSON value in it")
	}
	return values, nil
}

func csvRecords(b *bufio.Reader, yield func(record) error) error {
	r := csv.NewReader(b)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	// Spreadsheets write semicolons and tabs too.
	head, _ := b.Peek(4096)
	if line, _, _ := bytes.Cut(head, []byte("\n")); !bytes.ContainsRune(line, ',') {
		for _, comma := range []rune{';', '\t'} {
			if bytes.ContainsRune(line, comma) {
				r.Comma = comma
			}
		}
	}
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("line 1: %w", csvError(err))
	}
	names := make([]string, len(header))
	for i, name := range header {
		if names[i], err = column(strings.TrimSpace(name)); err != nil {
			return fmt.Errorf("line 1: %w", err)
		}
		if slices.Contains(names[:i], names[i]) {
			return fmt.Errorf("line 1: %s is there twice", names[i])
		}
	}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		rec := record{values: map[string]string{}}
		var malformed *csv.ParseError
		switch {
		case errors.As(err, &malformed):
			rec.line, rec.err = malformed.StartLine, csvError(err)
		case err != nil:
			return err
		default:
			rec.line, _ = r.FieldPos(0)
			if len(fields) != len(names) {
				rec.err = fmt.Errorf("it has %d fields, and the header %d", len(fields), len(names))
				break
			}
			for i, f := range fields {
				if !utf8.ValidString(f) {
					rec.err = errors.New("it is not UTF-8")
				}
				rec.values[names[i]] = strings.TrimSpace(f)
			}
		}
		if err := yield(rec); err != nil {
			return err
		}
	}
}

// csvError is the error of malformed CSV without its position, which the caller
// gives.
func csvError(err error) error {
	var malformed *csv.ParseError
	if errors.As(err, &malformed) {
		return fmt.Errorf("it is not CSV: %w", malformed.Err)
	}
	return err
}

// Limits of texts, as in the Server API.
const (
	maxSearched    = 256  // characters
	maxDisplayName = 2048 // bytes
)

// row returns the meaning of a record. Its errors name the column and never quote
// a value.
func row(values map[string]string, now time.Time) (r mfa.ImportRow, err error) {
	r.User.ID, r.LastStep = values["userId"], -1
	if !manage.IsIdentifier(r.User.ID) {
		return r, errors.New("userId must be " + manage.IdentifierForm)
	}
	if r.Key, err = key(values); err != nil {
		return r, err
	}
	if err := mfa.CheckImported(r.Key); err != nil {
		return r, err
	}
	if text := values["lastStep"]; text != "" {
		if r.LastStep, err = strconv.ParseInt(text, 10, 64); err != nil || r.LastStep < -1 {
			return r, errors.New("lastStep must be a whole number: Unix time in seconds, divided by the period")
		}
	}
	for _, c := range []struct {
		name string
		to   *time.Time
	}{{"lastUsedAt", &r.LastUsedAt}, {"createdAt", &r.CreatedAt}} {
		if *c.to, err = moment(values[c.name], now); err != nil {
			return r, fmt.Errorf("%s %w", c.name, err)
		}
	}
	r.User.CreatedAt = r.CreatedAt
	if r.CreatedAt.IsZero() {
		r.User.CreatedAt = now
	}
	r.User.Email, r.User.PhoneNumber, r.User.Username, r.User.DisplayName = values["email"], values["phoneNumber"], values["username"], values["displayName"]
	for _, name := range []string{"email", "phoneNumber", "username"} {
		if utf8.RuneCountInString(values[name]) > maxSearched {
			return r, fmt.Errorf("%s must have at most %d characters", name, maxSearched)
		}
	}
	if len(r.User.DisplayName) > maxDisplayName {
		return r, fmt.Errorf("displayName must have at most %d bytes", maxDisplayName)
	}
	for name, value := range values {
		if strings.ContainsRune(value, 0) {
			return r, fmt.Errorf("%s must not contain a NUL character", name)
		}
	}
	return r, nil
}

// key returns the key of a record: that of the URI, or the secret with the
// parameters beside it.
func key(values map[string]string) (k totp.Key, err error) {
	secret, uri := values["secret"], values["uri"]
	if strings.Contains(secret, "://") && uri == "" {
		secret, uri = "", secret
	}
	switch {
	case secret != "" && uri != "":
		return k, errors.New("it has both a secret and a uri")
	case secret == "" && uri == "":
		return k, errors.New("it has neither a secret nor a uri")
	case uri != "":
		if values["algorithm"]+values["digits"]+values["period"] != "" {
			return k, errors.New("algorithm, digits and period must be in the uri, not beside it")
		}
		return totp.ParseURI(uri)
	}
	k.Parameters = totp.DefaultParameters
	if k.Secret, err = totp.NormalizeSecret(secret); err != nil {
		return k, err
	}
	if text := values["algorithm"]; text != "" {
		if k.Algorithm, err = totp.ParseAlgorithm(text); err != nil {
			return k, err
		}
	}
	for _, c := range []struct {
		name string
		to   *int
	}{{"digits", &k.Digits}, {"period", &k.Period}} {
		if text := values[c.name]; text != "" {
			if *c.to, err = totp.ParseWhole(text); err != nil {
				return k, fmt.Errorf("%s %w", c.name, err)
			}
		}
	}
	return k, nil
}

// layouts are those of times as databases write them. Without a zone a time is in
// UTC.
var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05-07", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly,
}

// ahead is by how much the clock of another system may be ahead.
const ahead = 2 * time.Minute

// moment returns a time: ISO 8601, or Unix time in seconds or milliseconds. An
// empty text is the zero time.
func moment(text string, now time.Time) (t time.Time, err error) {
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && n > 0 && n < 1e11:
		t = time.Unix(n, 0)
	case err == nil && n >= 1e11 && n < 1e14:
		t = time.UnixMilli(n)
	default:
		for _, layout := range layouts {
			if t, err = time.Parse(layout, text); err == nil {
				break
			}
		}
		if err != nil || t.Unix() <= 0 {
			return time.Time{}, errors.New("must be a time such as 2026-01-31T13:45:00Z, or Unix time in seconds or milliseconds")
		}
	}
	if t.After(now.Add(ahead)) {
		return time.Time{}, errors.New("is in the future")
	}
	return t.UTC(), nil
}
