package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	got, err := Parse(nil, env(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Addr: "127.0.0.1:4000", DB: "authsignal.db", TokenTTL: 10 * time.Minute, Issuer: "Authsignal"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseFlagsBeatEnvironment(t *testing.T) {
	t.Parallel()
	vars := env(
		"AUTHSIGNAL_ADDR", ":1", "AUTHSIGNAL_DB", "env.db", "AUTHSIGNAL_ORIGINS", "https://env.test",
		"AUTHSIGNAL_PUBLIC_URL", "https://env.test/mfa/", "AUTHSIGNAL_TOKEN_TTL", "1m", "AUTHSIGNAL_ISSUER", "Env",
		"AUTHSIGNAL_WEBHOOK_URL", "https://env.test/hook?key=1",
	)
	got, err := Parse(nil, vars, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Addr: ":1", DB: "env.db", Origins: []string{"https://env.test"}, PublicURL: "https://env.test/mfa",
		TokenTTL: time.Minute, Issuer: "Env", WebhookURL: "https://env.test/hook?key=1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("environment: got %+v, want %+v", got, want)
	}
	got, err = Parse(strings.Fields("-addr :2 -db flag.db -origins HTTPS://A.test:443,,http://b.test:8080 -public-url http://f -token-ttl 2m -issuer Flag -webhook-url http://10.0.0.1:8080/hook -dev"), vars, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want = Config{
		Addr: ":2", DB: "flag.db", Origins: []string{"https://a.test", "http://b.test:8080"}, PublicURL: "http://f",
		TokenTTL: 2 * time.Minute, Issuer: "Flag", Dev: true, WebhookURL: "http://10.0.0.1:8080/hook",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("flags: got %+v, want %+v", got, want)
	}
}

func TestParseErrorsNameTheFlag(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-addr localhost":            "-addr",
		"-origins https://a.test/x":  "-origins",
		"-origins *":                 "-origins",
		"-origins a.test":            "-origins",
		"-origins https://u@a.test":  "-origins",
		"-public-url ftp://x":        "-public-url",
		"-public-url http://x?y":     "-public-url",
		"-public-url /x":             "-public-url",
		"-webhook-url ftp://x":       "-webhook-url",
		"-webhook-url x.test/hook":   "-webhook-url",
		"-token-ttl 10":              "-token-ttl",
		"-token-ttl 0s":              "-token-ttl",
		"-token-ttl 25h":             "-token-ttl",
		"-no-such-flag":              "no-such-flag",
		"serve":                      `"serve"`,
		"-issuer " + longName + "xy": "-issuer",
	} {
		_, err := Parse(strings.Fields(args), env(), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name %s", args, err, want)
		}
	}
}

var longName = strings.Repeat("x", 255)

func TestParseKeyErrorsNameTheVariableAndQuoteNothing(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"AUTHSIGNAL_ENCRYPTION_KEY": base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")),
		"AUTHSIGNAL_API_SECRET_KEY": "hunter2:hunter2",
		"AUTHSIGNAL_TENANT_ID":      "a/b",
	} {
		_, err := Parse(nil, env(name, value), io.Discard)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), value) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	_, err := Parse([]string{"-help"}, env(), &b)
	if !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"-addr", "AUTHSIGNAL_DB", "code SECRET-OR-URI", "AUTHSIGNAL_ENCRYPTION_KEY"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("help does not mention %s", want)
		}
	}
}

func TestAllowOrigin(t *testing.T) {
	t.Parallel()
	exact := Config{Origins: []string{"https://a.test"}}
	dev := Config{Origins: []string{"https://a.test"}, Dev: true}
	for _, tt := range []struct {
		origin      string
		always, dev bool
	}{
		{"https://a.test", true, true},
		{"http://a.test", false, false},
		{"https://a.test.evil", false, false},
		{"http://localhost:5173", false, true},
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
	first, made, err := LoadKeys(Keys{}, db)
	if err != nil || !made {
		t.Fatalf("got %v, %v", made, err)
	}
	if len(first.TenantID) != 36 || len(first.APISecretKey) < 40 || len(first.EncryptionKey) != 32 || len(first.SigningKey) != 32 ||
		bytes.Equal(first.EncryptionKey, first.SigningKey) {
		t.Errorf("got %d %d %d %d", len(first.TenantID), len(first.APISecretKey), len(first.EncryptionKey), len(first.SigningKey))
	}
	again, made, err := LoadKeys(Keys{}, db)
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
	given := Keys{TenantID: "t1", APISecretKey: "given-secret", EncryptionKey: bytes.Repeat([]byte{9}, 32)}
	got, made, err := LoadKeys(given, db)
	if err != nil || !made {
		t.Fatalf("got %v, %v", made, err)
	}
	given.SigningKey = got.SigningKey
	if !reflect.DeepEqual(got, given) {
		t.Errorf("got other keys than were given")
	}
	b, err := os.ReadFile(KeysFile(db))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"given-secret", base64.StdEncoding.EncodeToString(given.EncryptionKey), "t1"} {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("the file holds a key of the environment")
		}
	}
	// Later, without the environment, the rest is made and the signing key stays.
	later, made, err := LoadKeys(Keys{}, db)
	if err != nil || !made || !bytes.Equal(later.SigningKey, got.SigningKey) {
		t.Errorf("got %v, %v", made, err)
	}
}

func TestLoadKeysOfADamagedFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(KeysFile(db), []byte(`{"apiSecretKey":"hunter2`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := LoadKeys(Keys{}, db)
	if err == nil || !strings.Contains(err.Error(), KeysFile(db)) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestKeysPrintWithoutSecrets(t *testing.T) {
	t.Parallel()
	k := Keys{TenantID: "t1", APISecretKey: "hunter2", SigningKey: []byte("hunter2"), EncryptionKey: []byte("hunter2")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, k); strings.Contains(got, "hunter2") || strings.Contains(got, "104 117") {
			t.Errorf("%s: got %s", format, got)
		}
	}
}
