package config

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// keyForm is that of an encryption key in the environment.
var keyForm = fmt.Sprintf("%d bytes in base64", store.KeySize)

// Keys are a server's keys and the id of its tenant. Empty ones are absent.
type Keys struct {
	TenantID     string `json:"tenantId,omitempty"`
	APISecretKey string `json:"apiSecretKey,omitempty"`
	// EncryptionKey seals all secrets in the database: store.KeySize bytes, in
	// base64 in JSON.
	EncryptionKey []byte `json:"encryptionKey,omitempty"`
	// ManagementKey lets operators use the management API; none is generated.
	ManagementKey string `json:"-"`
	// OldEncryptionKeys open what was sealed before a rotation.
	OldEncryptionKeys [][]byte `json:"oldEncryptionKeys,omitempty"`
	// Used reports, in the file beside a database, whether the database was made.
	Used bool `json:"used,omitempty"`
}

// EncryptionKeys returns all encryption keys; the first one seals.
func (k Keys) EncryptionKeys() [][]byte {
	return append([][]byte{k.EncryptionKey}, k.OldEncryptionKeys...)
}

// String keeps the keys out of logs.
func (k Keys) String() string { return "keys of tenant " + k.TenantID }

// GoString keeps the keys out of %#v.
func (k Keys) GoString() string { return k.String() }

func keysFromEnv(env *Env) (k Keys, err error) {
	if k.TenantID, err = env.Get("AUTHSIGNAL_TENANT_ID"); err != nil {
		return Keys{}, err
	}
	if k.TenantID != "" && !api.IsTenantID(k.TenantID) {
		return Keys{}, errors.New("AUTHSIGNAL_TENANT_ID must be " + api.TenantIDForm)
	}
	for name, key := range map[string]*string{"AUTHSIGNAL_API_SECRET_KEY": &k.APISecretKey, "AUTHSIGNAL_MANAGEMENT_KEY": &k.ManagementKey} {
		if *key, err = env.Secret(name); err != nil {
			return Keys{}, err
		}
		if *key == "" {
			continue
		}
		if err := manage.CheckKey(*key); err != nil {
			return Keys{}, fmt.Errorf("%s %w", env.Source(name), err)
		}
	}
	const current, old = "AUTHSIGNAL_ENCRYPTION_KEY", "AUTHSIGNAL_OLD_ENCRYPTION_KEYS"
	s, err := env.Secret(current)
	if err != nil {
		return Keys{}, err
	}
	if s != "" {
		if k.EncryptionKey, err = decodeKey(s); err != nil {
			return Keys{}, fmt.Errorf("%s %w", env.Source(current), err)
		}
	}
	list, err := env.Secret(old)
	if err != nil {
		return Keys{}, err
	}
	for s := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		key, err := decodeKey(s)
		if err != nil {
			return Keys{}, fmt.Errorf("%s, each, %w", env.Source(old), err)
		}
		k.OldEncryptionKeys = append(k.OldEncryptionKeys, key)
	}
	return k, nil
}

func decodeKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || len(key) != store.KeySize {
		return nil, errors.New("must be " + keyForm + "; make one with: openssl rand -base64 32")
	}
	return key, nil
}

// KeysFile is the path of the file with the keys of a SQLite database.
func KeysFile(db string) string { return store.FilePath(db) + ".keys.json" }

// LoadKeys completes the given keys from the file beside the database. If the
// database is fresh, it generates keys that neither has and writes them to the
// file, with mode 0600; made is then true. The caller holds the database's lock.
//
// For a database that is not fresh it generates nothing: a new encryption key would
// open nothing, and a new tenant would have no users, so that all would be let in
// as if no user had enrolled. It fails without an encryption key, and leaves an
// absent tenant and secret empty, for the caller to find in the database.
//
// PostgreSQL has no file beside it, and its replicas must agree: the encryption key
// must be given, and an absent tenant and secret stay empty.
func LoadKeys(given Keys, db string, fresh bool) (k Keys, made bool, err error) {
	if store.IsPostgres(db) {
		if given.EncryptionKey == nil {
			return Keys{}, false, errors.New("on PostgreSQL AUTHSIGNAL_ENCRYPTION_KEY is required: " + keyForm + ", the same for all replicas; make one with: openssl rand -base64 32")
		}
		if (given.TenantID == "") != (given.APISecretKey == "") {
			return Keys{}, false, errors.New("AUTHSIGNAL_TENANT_ID and AUTHSIGNAL_API_SECRET_KEY must be given together")
		}
		return given, false, nil
	}
	path := KeysFile(db)
	stored, err := readKeys(path)
	if err != nil {
		return Keys{}, false, err
	}
	if fresh && stored.Used {
		return Keys{}, false, wasUsed(db)
	}
	k = given
	if fresh {
		if given.TenantID+stored.TenantID == "" {
			stored.TenantID, made = uuid.NewString(), true
		}
		if given.APISecretKey+stored.APISecretKey == "" {
			stored.APISecretKey, made = base64.RawURLEncoding.EncodeToString(newKey()), true
		}
		if given.EncryptionKey == nil && stored.EncryptionKey == nil {
			stored.EncryptionKey, made = newKey(), true
		}
	}
	if k.TenantID == "" {
		k.TenantID = stored.TenantID
	}
	if k.APISecretKey == "" {
		k.APISecretKey = stored.APISecretKey
	}
	if k.EncryptionKey == nil {
		k.EncryptionKey = stored.EncryptionKey
		k.OldEncryptionKeys = append(k.OldEncryptionKeys, stored.OldEncryptionKeys...)
	}
	if k.EncryptionKey == nil {
		return Keys{}, false, fmt.Errorf("the encryption key of this database is not given and not in %s; restore that file from a backup or set AUTHSIGNAL_ENCRYPTION_KEY, the secrets in the database cannot be read without it", path)
	}
	if made {
		if err := writeKeys(path, stored); err != nil {
			return Keys{}, false, fmt.Errorf("write keys: %w", err)
		}
	}
	return k, made, nil
}

// wasUsed is the error of a database that is missing or empty although its keys say
// that there was one.
func wasUsed(db string) error {
	return fmt.Errorf("%w: %s, according to its keys; restore it with authsignal-server restore FILE. If a new database is wanted, in which no user is enrolled, remove %s",
		store.ErrMissing, store.FilePath(db), KeysFile(db))
}

// CheckFile returns an error if a SQLite file does not exist, and must not be made:
// because of DBMustExist, or because its keys have been made, which happens after the
// file is. An empty file may be that of a first start that was interrupted.
func CheckFile(c Config) error {
	if store.IsPostgres(c.DB) {
		return nil
	}
	// The keys come first: a process that starts now makes the file before them.
	stored, err := readKeys(KeysFile(c.DB))
	if err != nil {
		return err
	}
	switch _, err := os.Stat(store.FilePath(c.DB)); {
	case !errors.Is(err, fs.ErrNotExist):
		return nil
	case stored.EncryptionKey != nil:
		return wasUsed(c.DB)
	case c.DBMustExist:
		return fmt.Errorf("open database: %w; -db or AUTHSIGNAL_DB names another one", err)
	}
	return nil
}

// MarkUsed records in the file of keys, if there is one, that the database was made.
func MarkUsed(db string) error {
	if store.IsPostgres(db) {
		return nil
	}
	stored, err := readKeys(KeysFile(db))
	if err != nil || stored.Used || stored.EncryptionKey == nil {
		return err
	}
	stored.Used = true
	if err := writeKeys(KeysFile(db), stored); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// RotateKeys is LoadKeys for a rotation of the encryption key. If the key is in the
// file beside the database, it writes a new one beside the old one, unless an
// earlier rotation that did not end has done so. If the key is in the environment,
// the old one must be there too.
func RotateKeys(given Keys, db string) (Keys, error) {
	const fresh = false // there is something to rotate
	k, _, err := LoadKeys(given, db, fresh)
	if err != nil || len(k.OldEncryptionKeys) > 0 {
		return k, err
	}
	if given.EncryptionKey != nil {
		return Keys{}, errors.New("give the new key as AUTHSIGNAL_ENCRYPTION_KEY and the one before it as AUTHSIGNAL_OLD_ENCRYPTION_KEYS")
	}
	stored, err := readKeys(KeysFile(db))
	if err != nil {
		return Keys{}, err
	}
	stored.OldEncryptionKeys = [][]byte{stored.EncryptionKey}
	stored.EncryptionKey = newKey()
	if err := writeKeys(KeysFile(db), stored); err != nil {
		return Keys{}, fmt.Errorf("write keys: %w", err)
	}
	k.EncryptionKey, k.OldEncryptionKeys = stored.EncryptionKey, stored.OldEncryptionKeys
	return k, nil
}

// ForgetOldKeys deletes the old encryption keys from the file beside the database,
// after a rotation.
func ForgetOldKeys(db string) error {
	if store.IsPostgres(db) {
		return nil
	}
	stored, err := readKeys(KeysFile(db))
	if err != nil || stored.OldEncryptionKeys == nil {
		return err
	}
	stored.OldEncryptionKeys = nil
	if err := writeKeys(KeysFile(db), stored); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// readKeys reads the file of keys; one that does not exist has none.
func readKeys(path string) (stored Keys, err error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Keys{}, nil
	case err != nil:
		return Keys{}, fmt.Errorf("read keys: %w", err)
	}
	// The decoder's error may quote a key.
	if json.Unmarshal(b, &stored) != nil {
		return Keys{}, fmt.Errorf("read keys: %s is damaged; restore it from a backup, the secrets in the database cannot be read without it", path)
	}
	if stored.APISecretKey != "" {
		if err := manage.CheckKey(stored.APISecretKey); err != nil {
			return Keys{}, fmt.Errorf("read keys: apiSecretKey in %s %w", path, err)
		}
	}
	return stored, nil
}

func newKey() []byte {
	k := make([]byte, store.KeySize)
	rand.Read(k) // never fails
	return k
}

// writeKeys replaces the file in one step: without the keys no secret in the
// database can be read.
func writeKeys(path string, k Keys) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return store.ReplaceFile(path, append(b, '\n'))
}
