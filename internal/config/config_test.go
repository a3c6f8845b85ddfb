package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

func env(pairs ...string) *Env {
	var environ []string
	for i := 0; i < len(pairs); i += 2 {
		environ = append(environ, pairs[i]+"="+pairs[i+1])
	}
	return NewEnv(environ)
}

// parse returns what Parse reads, without where it is from.
func parse(args []string, vars *Env) (Config, error) {
	c, err := Parse(args, vars, io.Discard)
	c.Env, c.Settings = nil, nil
	return c, err
}

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	got, err := parse(nil, env())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Addr: "127.0.0.1:4000", DB: "authsignal.db", TokenTTL: 10 * time.Minute, Issuer: "Authsignal", RateLimit: 20,
		Retention: 90 * 24 * time.Hour, WaitDB: time.Minute, Drain: AutoDrain, Portal: PortalAuto}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseFlagsBeatEnvironment(t *testing.T) {
	t.Parallel()
	vars := env(
		"AUTHSIGNAL_ADDR", ":1", "AUTHSIGNAL_DB", "env.db", "AUTHSIGNAL_ORIGINS", "https://env.test",
		"AUTHSIGNAL_PUBLIC_URL", "https://env.test/mfa/", "AUTHSIGNAL_TOKEN_TTL", "1m", "AUTHSIGNAL_ISSUER", "Env",
		"AUTHSIGNAL_RATE_LIMIT", "1.5", "AUTHSIGNAL_METRICS_ADDR", ":9", "AUTHSIGNAL_TRUSTED_PROXIES", "10.1.2.3/8, ::1",
		"AUTHSIGNAL_WEBHOOK_URL", "https://env.test/hook?key=1", "AUTHSIGNAL_PORTAL", "off",
		"AUTHSIGNAL_WAIT_DB", "2s", "AUTHSIGNAL_DRAIN", "3s",
	)
	got, err := parse(nil, vars)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Addr: ":1", DB: "env.db", Origins: []string{"https://env.test"}, PublicURL: "https://env.test/mfa",
		TokenTTL: time.Minute, Issuer: "Env", WebhookURL: "https://env.test/hook?key=1", RateLimit: 1.5, MetricsAddr: ":9",
		Retention:      90 * 24 * time.Hour,
		WaitDB:         2 * time.Second,
		Drain:          3 * time.Second,
		Portal:         PortalOff,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("environment: got %+v, want %+v", got, want)
	}
	got, err = parse(strings.Fields("-addr :2 -db flag.db -origins HTTPS://A.test:443,,http://b.test:8080,capacitor://localhost -public-url http://f -token-ttl 2m -issuer Flag -webhook-url http://10.0.0.1:8080/hook -dev -rate-limit 0 -metrics-addr :8 -trusted-proxies 192.0.2.1 -retention 1000h -portal on -wait-db 0 -drain auto backup x"), vars)
	if err != nil {
		t.Fatal(err)
	}
	want = Config{
		Addr: ":2", DB: "flag.db", Origins: []string{"https://a.test", "http://b.test:8080", "capacitor://localhost"}, PublicURL: "http://f",
		TokenTTL: 2 * time.Minute, Issuer: "Flag", WebhookURL: "http://10.0.0.1:8080/hook", Dev: true, Activate: true, Portal: PortalOn, MetricsAddr: ":8",
		Retention: 1000 * time.Hour, Drain: AutoDrain, Command: []string{"backup", "x"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("flags: got %+v, want %+v", got, want)
	}
}

func TestParseErrorsNameTheFlag(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-addr localhost":             "-addr",
		"-origins https://a.test/x":   "-origins",
		"-origins *":                  "-origins",
		"-origins a.test":             "-origins",
		"-origins null":               "cannot be allowed",
		"-origins capacitor:a":        "capacitor://localhost",
		"-origins https://u@a.test":   "-origins",
		"-public-url ftp://x":         "-public-url",
		"-public-url http://x?y":      "-public-url",
		"-public-url /x":              "-public-url",
		"-public-url http://x/a/../b": "names such as /mfa",
		"-public-url http://x/a%2Fb":  "names such as /mfa",
		"-public-url http://x//a":     "names such as /mfa",
		"-public-url http://x/v1":     "without /v1",
		"-public-url http://x/m/v1/":  "without /v1",
		"-public-url https://u:p@x":   "without user name and password",
		"-webhook-url ftp://x":        "-webhook-url",
		"-webhook-url x.test/hook":    "-webhook-url",
		"-token-ttl 10":               "-token-ttl",
		"-token-ttl 0s":               "-token-ttl",
		"-token-ttl 25h":              "-token-ttl",
		"-rate-limit -1":              "-rate-limit",
		"-rate-limit NaN":             "-rate-limit",
		"-trusted-proxies 10.0.0":     "-trusted-proxies",
		"-metrics-addr 9090":          "-metrics-addr",
		"-no-such-flag":               "no-such-flag",
		"-retention 24h":              "-retention",
		"-wait-db -1s":                "-wait-db",
		"-wait-db 25h":                "-wait-db",
		"-drain -1s":                  "-drain",
		"-drain 11m":                  "-drain",
		"-drain never":                "-drain",
		"-issuer " + longName + "xy":  "-issuer",
		"-issuer Acme:Pay":            "-issuer: issuer must not contain a colon",
	} {
		_, err := Parse(strings.Fields(args), env(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name %s", args, err, want)
		}
	}
}

var longName = strings.Repeat("x", 255)

func TestParseKeyErrorsNameTheVariableWithoutTheKey(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"AUTHSIGNAL_ENCRYPTION_KEY": base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")),
		"AUTHSIGNAL_API_SECRET_KEY": "hunter2:" + longName,
		"AUTHSIGNAL_MANAGEMENT_KEY": longName + ":",
		"AUTHSIGNAL_TENANT_ID":      "a/b",
	} {
		_, err := Parse(nil, env(name, value), io.Discard)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), value) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestParseRefusesShortKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"AUTHSIGNAL_API_SECRET_KEY", "AUTHSIGNAL_MANAGEMENT_KEY"} {
		short := longName[:31]
		_, err := Parse(nil, env(name, short), io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), name+" must have 32 characters or more") || !strings.Contains(err.Error(), "openssl rand") ||
			strings.Contains(err.Error(), short) {
			t.Errorf("%s of 31 characters: got %v", name, err)
		}
		if _, err := Parse(nil, env(name, short+"x"), io.Discard); err != nil {
			t.Errorf("%s of 32 characters: got %v", name, err)
		}
	}
}

func TestLoadKeysRefusesAShortKeyInTheFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(KeysFile(db), []byte(`{"apiSecretKey":"hunter2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := LoadKeys(Keys{}, db, true)
	if err == nil || !strings.Contains(err.Error(), "apiSecretKey in "+KeysFile(db)+" must have 32 characters") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	_, err := Parse([]string{"-help"}, env(), &b)
	if !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"-addr", "AUTHSIGNAL_DB", "code SECRET-OR-URI", "authsignal-server version", "AUTHSIGNAL_ENCRYPTION_KEY"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("help does not mention %s", want)
		}
	}
}

func TestAllowOrigin(t *testing.T) {
	t.Parallel()
	exact := Config{Origins: []string{"https://a.test", "capacitor://localhost"}}
	dev := Config{Origins: exact.Origins, Dev: true}
	for _, tt := range []struct {
		origin      string
		always, dev bool
	}{
		{"https://a.test", true, true},
		{"http://a.test", false, false},
		{"https://a.test.evil", false, false},
		{"http://localhost:5173", false, true},
		{"capacitor://localhost", true, true},
		{"ionic://localhost", false, false},
		{"capacitor://localhost:80", false, false},
		{"https://localhost", false, true},
		{"http://app.localhost:3000", false, true},
		{"http://127.0.0.1:1234", false, true},
		{"http://127.9.9.9", false, true},
		{"http://[::1]:3000", false, true},
		{"http://localhost.evil", false, false},
		{"http://127.0.0.1.evil", false, false},
		{"http://192.168.0.1", false, false},
		{"null", false, false},
		{"", false, false},
		{"file://localhost", false, false},
	} {
		if got := exact.AllowOrigin(tt.origin); got != tt.always {
			t.Errorf("%q: got %v, want %v", tt.origin, got, tt.always)
		}
		if got := dev.AllowOrigin(tt.origin); got != tt.dev {
			t.Errorf("%q with -dev: got %v, want %v", tt.origin, got, tt.dev)
		}
	}
}

func TestLoadKeysMakesThemOnce(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	first, made, err := LoadKeys(Keys{}, db, true)
	if err != nil || !made {
		t.Fatalf("got %v, %v", made, err)
	}
	if len(first.TenantID) != 36 || len(first.APISecretKey) < 40 || len(first.EncryptionKey) != 32 {
		t.Errorf("got %d %d %d", len(first.TenantID), len(first.APISecretKey), len(first.EncryptionKey))
	}
	again, made, err := LoadKeys(Keys{}, db, false)
	if err != nil || made || !reflect.DeepEqual(first, again) {
		t.Errorf("again: made %v, %v", made, err)
	}
	info, err := os.Stat(KeysFile(db))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(filepath.Dir(db)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestLoadKeysPrefersTheEnvironmentAndKeepsItOutOfTheFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	given := Keys{APISecretKey: "given-secret", EncryptionKey: bytes.Repeat([]byte{9}, 32)}
	got, made, err := LoadKeys(given, db, true)
	if err != nil || !made {
		t.Fatalf("got %v, %v", made, err)
	}
	given.TenantID = got.TenantID
	if !reflect.DeepEqual(got, given) {
		t.Errorf("got other keys than were given")
	}
	b, err := os.ReadFile(KeysFile(db))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"given-secret", base64.StdEncoding.EncodeToString(given.EncryptionKey)} {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("the file holds a key of the environment")
		}
	}
	// Later, without the environment, no key is generated: it would open nothing.
	_, made, err = LoadKeys(Keys{}, db, false)
	if err == nil || made || !strings.Contains(err.Error(), KeysFile(db)) || !strings.Contains(err.Error(), "AUTHSIGNAL_ENCRYPTION_KEY") {
		t.Errorf("got made %v, %v", made, err)
	}
}

func TestLoadKeysWithoutTheFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	if _, made, err := LoadKeys(Keys{}, db, false); err == nil || made {
		t.Errorf("got made %v, %v", made, err)
	}
	if files, err := os.ReadDir(filepath.Dir(db)); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	// With the encryption key the file is not needed.
	given := Keys{EncryptionKey: bytes.Repeat([]byte{9}, 32)}
	if got, made, err := LoadKeys(given, db, false); err != nil || made || !reflect.DeepEqual(got, given) {
		t.Errorf("got made %v, %v", made, err)
	}
}

func TestLoadKeysOnPostgresMakesNothing(t *testing.T) {
	t.Parallel()
	const db = "postgres://u:p@host/name"
	key := bytes.Repeat([]byte{9}, 32)
	if _, _, err := LoadKeys(Keys{TenantID: "t", APISecretKey: "s"}, db, true); err == nil || !strings.Contains(err.Error(), "AUTHSIGNAL_ENCRYPTION_KEY") {
		t.Errorf("no encryption key: got %v", err)
	}
	if _, _, err := LoadKeys(Keys{TenantID: "t", EncryptionKey: key}, db, true); err == nil || !strings.Contains(err.Error(), "AUTHSIGNAL_API_SECRET_KEY") {
		t.Errorf("a tenant without a secret: got %v", err)
	}
	given := Keys{EncryptionKey: key}
	if got, made, err := LoadKeys(given, db, true); err != nil || made || !reflect.DeepEqual(got, given) {
		t.Errorf("got made %v, %v", made, err)
	}
}

func TestLoadKeysFromADamagedFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(KeysFile(db), []byte(`{"apiSecretKey":"hunter2`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := LoadKeys(Keys{}, db, true)
	if err == nil || !strings.Contains(err.Error(), KeysFile(db)) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestKeysPrintWithoutSecrets(t *testing.T) {
	t.Parallel()
	k := Keys{TenantID: "t1", APISecretKey: "hunter2", EncryptionKey: []byte("hunter2")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, k); strings.Contains(got, "hunter2") || strings.Contains(got, "104 117") {
			t.Errorf("%s: got %s", format, got)
		}
	}
}

func TestRotateKeysOfTheFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	before, _, err := LoadKeys(Keys{}, db, true)
	if err != nil {
		t.Fatal(err)
	}
	during, err := RotateKeys(Keys{}, db)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(during.EncryptionKey, before.EncryptionKey) || len(during.OldEncryptionKeys) != 1 || !bytes.Equal(during.OldEncryptionKeys[0], before.EncryptionKey) {
		t.Error("the new key does not stand before the old one")
	}
	// A rotation that did not end continues with the same keys.
	if again, err := RotateKeys(Keys{}, db); err != nil || !reflect.DeepEqual(again, during) {
		t.Errorf("again: other keys, %v", err)
	}
	if err := ForgetOldKeys(db); err != nil {
		t.Fatal(err)
	}
	after, made, err := LoadKeys(Keys{}, db, true)
	if err != nil || made || len(after.OldEncryptionKeys) != 0 || !bytes.Equal(after.EncryptionKey, during.EncryptionKey) ||
		after.TenantID != before.TenantID || after.APISecretKey != before.APISecretKey {
		t.Errorf("after: made %v, %v", made, err)
	}
	if _, err := RotateKeys(Keys{EncryptionKey: before.EncryptionKey}, db); err == nil || !strings.Contains(err.Error(), "AUTHSIGNAL_OLD_ENCRYPTION_KEYS") {
		t.Errorf("by environment without the old key: got %v", err)
	}
}

func TestCheckExposure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		portal        PortalMode
		publicURL, at string
		dev           bool
		want          string // the beginning of the error; empty for none
	}{
		{PortalOn, "", "127.0.0.1", false, ""},
		{PortalOn, "", "::1", false, ""},
		{PortalOn, "http://localhost:4000", "127.0.0.1", false, ""},
		{PortalOn, "https://mfa.example.com", "0.0.0.0", false, ""},
		{PortalOn, "https://mfa.example.com", "127.0.0.1", false, ""},
		{PortalOn, "", "0.0.0.0", false, "-portal on"},
		{PortalOn, "", "", false, "-portal on"}, // every address
		{PortalOn, "", "192.0.2.1", false, "-portal on"},
		{PortalOn, "http://localhost:4000", "0.0.0.0", false, "-portal on"},
		{PortalOn, "http://mfa.example.com", "127.0.0.1", false, "-portal on"},
		{PortalOn, "http://mfa.example.com", "192.0.2.1", false, "-portal on"},
		{PortalAuto, "http://mfa.example.com", "0.0.0.0", false, ""},
		{PortalOff, "http://mfa.example.com", "0.0.0.0", false, ""},

		{PortalAuto, "", "127.0.0.1", true, ""},
		{PortalAuto, "", "0.0.0.0", true, ""},
		{PortalAuto, "http://127.0.0.1:4000", "127.0.0.1", true, ""},
		{PortalAuto, "http://mfa.localhost", "127.0.0.1", true, ""},
		{PortalAuto, "http://mfa.example.com", "127.0.0.1", true, "-dev"},
		{PortalAuto, "https://mfa.example.com", "127.0.0.1", true, "-dev"},
		{PortalAuto, "https://localhost", "127.0.0.1", true, "-dev"},
	} {
		err := Config{Portal: tt.portal, PublicURL: tt.publicURL, Dev: tt.dev}.CheckExposure(net.ParseIP(tt.at))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(err.Error(), "-public-url")) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

func TestParseWritesTheSchemeOfThePublicURLInLowerCase(t *testing.T) {
	t.Parallel()
	c, err := Parse([]string{"-public-url", "HTTPS://mfa.example.com/mfa/"}, env(), io.Discard)
	if err != nil || c.PublicURL != "https://mfa.example.com/mfa" || !c.HTTPS() {
		t.Errorf("got %q, %v", c.PublicURL, err)
	}
}

// With auto the portal is on only if no other machine can reach it.
func TestServesPortal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		portal        PortalMode
		publicURL, at string
		want          bool
	}{
		{PortalAuto, "", "127.0.0.1", true},
		{PortalAuto, "", "::1", true},
		{PortalAuto, "http://localhost:4000", "127.0.0.1", true},
		{PortalAuto, "", "0.0.0.0", false},
		{PortalAuto, "", "::", false},
		{PortalAuto, "", "192.0.2.1", false},
		{PortalAuto, "https://mfa.example.com", "127.0.0.1", false}, // behind a proxy
		{PortalOn, "https://mfa.example.com", "0.0.0.0", true},
		{PortalOff, "", "127.0.0.1", false},
		{"", "", "127.0.0.1", false},
	} {
		c := Config{Portal: tt.portal, PublicURL: tt.publicURL}
		if got := c.ServesPortal(net.ParseIP(tt.at)); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
	if _, err := Parse([]string{"-portal", "maybe"}, env(), io.Discard); err == nil || !strings.Contains(err.Error(), "-portal") {
		t.Errorf("got %v", err)
	}
}

func TestParseOptionsOfPostgres(t *testing.T) {
	t.Parallel()
	const db = "postgres://u:hunter2@h/n"
	for args, want := range map[string]store.Options{
		"": {Wait: 10 * time.Second, Schema: "authsignal"}, // the rest may be in the URL
		"-db-connections 3 -db-connection-life 1m -db-wait 2s -db-schema mfa_1 -migrate-db host=h": {
			Connections: 3, ConnectionLife: time.Minute, Wait: 2 * time.Second, Schema: "mfa_1", MigrateDB: "host=h"},
	} {
		c, err := Parse(append([]string{"-db", db}, strings.Fields(args)...), NewEnv(nil), io.Discard)
		if err != nil || c.Store != want {
			t.Errorf("%s: got %+v, %v, want %+v", args, c.Store, err, want)
		}
	}
	c, err := Parse(nil, NewEnv([]string{"AUTHSIGNAL_DB=" + db, "AUTHSIGNAL_DB_CONNECTIONS=16", "AUTHSIGNAL_MIGRATE_DB=" + db}), io.Discard)
	if want := (store.Options{Connections: 16, Wait: 10 * time.Second, Schema: "authsignal", MigrateDB: db}); err != nil || c.Store != want {
		t.Errorf("environment: got %+v, %v, want %+v", c.Store, err, want)
	}
	for args, want := range map[string]string{
		"-db-connections 0":                          "from 1 to 1000",
		"-db-connections 1001":                       "from 1 to 1000",
		"-db-connection-life 0s":                     "1s or more",
		"-db-wait 0s":                                "from 100ms to 5m",
		"-db-schema pg_catalog":                      "-db-schema",
		"-db-schema Mfa":                             "-db-schema",
		"-migrate-db a.db":                           "-migrate-db",
		"-migrate-db postgre://u:hunter2@h/n":        "-migrate-db",
		"-db a.db -db-schema x":                      "-db-schema is for PostgreSQL",
		"-db a.db -db-connections 16":                "-db-connections is for PostgreSQL",
		"-db postgre://u:hunter2@h/n":                "-db: ",
		"-db jdbc:postgresql://h/n?password=hunter2": "jdbc:",
	} {
		_, err := Parse(append([]string{"-db", db}, strings.Fields(args)...), NewEnv(nil), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want it to say %q", args, err, want)
		}
	}
}
