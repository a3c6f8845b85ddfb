package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const secretText = "hunter2-hunter2-hunter2-hunter2-hunter2"

// valueFile returns the path of a new file.
func valueFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsAreReadFromFiles(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("A", 43) + "="
	c, err := Parse(nil, env(
		"AUTHSIGNAL_API_SECRET_KEY_FILE", valueFile(t, secretText+"\n"),
		"AUTHSIGNAL_MANAGEMENT_KEY_FILE", " "+valueFile(t, "\ufeff\t "+secretText+"x\r\n\r\n")+"\n",
		"AUTHSIGNAL_ENCRYPTION_KEY_FILE", valueFile(t, key+"\n"),
		"AUTHSIGNAL_OLD_ENCRYPTION_KEYS_FILE", valueFile(t, key+" , "+key+"\n"),
		"AUTHSIGNAL_DB_FILE", valueFile(t, "postgres://u:hunter2@db.test/x\n"),
		"AUTHSIGNAL_WEBHOOK_URL_FILE", valueFile(t, "https://hooks.test/?key=hunter2\n"),
	), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Given.APISecretKey != secretText || c.Given.ManagementKey != secretText+"x" || len(c.Given.EncryptionKey) != 32 || len(c.Given.OldEncryptionKeys) != 2 ||
		c.DB != "postgres://u:hunter2@db.test/x" || c.WebhookURL != "https://hooks.test/?key=hunter2" {
		t.Errorf("got %q, %q, %d bytes, %d old keys, %q, %q", c.Given.APISecretKey, c.Given.ManagementKey, len(c.Given.EncryptionKey), len(c.Given.OldEncryptionKeys), c.DB, c.WebhookURL)
	}
	if c.Settings["-db"].Source != "AUTHSIGNAL_DB_FILE" || c.Settings["-addr"].Source != "default" ||
		strings.Contains(fmt.Sprint(c.Settings), "hunter2") {
		t.Errorf("got the sources %v", c.Settings)
	}
}

func TestAFileIsReadOnce(t *testing.T) {
	t.Parallel()
	path := valueFile(t, "first")
	e := env("ACME_FILE", path)
	if got, err := e.Secret("ACME"); got != "first" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Secret("ACME"); got != "first" || err != nil {
		t.Errorf("the second time: got %q, %v", got, err)
	}
}

func TestValueErrorsNameTheVariableAndQuoteNothing(t *testing.T) {
	t.Parallel()
	const name = "AUTHSIGNAL_API_SECRET_KEY"
	missing := filepath.Join(t.TempDir(), secretText)
	locked := valueFile(t, secretText)
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		vars []string
		want string
	}{
		{[]string{name, secretText, name + "_FILE", missing}, name + " and " + name + "_FILE are both set"},
		{[]string{name + "_FILE", missing}, name + "_FILE names a file that does not exist"},
		{[]string{name + "_FILE", t.TempDir()}, name + "_FILE names a file that is a folder"},
		{[]string{name + "_FILE", valueFile(t, "")}, name + "_FILE names a file that is empty"},
		{[]string{name + "_FILE", valueFile(t, " \r\n\n")}, name + "_FILE names a file that is empty"},
		{[]string{name + "_FILE", valueFile(t, strings.Repeat(secretText, 2000))}, name + "_FILE names a file that has more than 65536 bytes"},
		{[]string{name + "_FILE", valueFile(t, secretText+"\n"+secretText)}, "the file that " + name + "_FILE names must be one line"},
		{[]string{name + "_FILE", valueFile(t, secretText+"\x00"+secretText)}, "the file that " + name + "_FILE names contains a control character"},
		{[]string{name + "_FILE", valueFile(t, secretText+"\xff")}, "the file that " + name + "_FILE names must be UTF-8"},
		{[]string{name + "_FILE", secretText + "\n" + secretText}, name + "_FILE must be one line"},
		{[]string{name, secretText + "\r\n" + secretText}, name + " must be one line"},
		{[]string{name, secretText + "\x1b" + secretText}, name + " contains a control character"},
		{[]string{"AUTHSIGNAL_TENANT_ID", secretText + "\t1"}, "AUTHSIGNAL_TENANT_ID contains a control character"},
		{[]string{"AUTHSIGNAL_DB", "postgres://u:" + secretText + "\n@h"}, "AUTHSIGNAL_DB must be one line"},
		{[]string{"AUTHSIGNAL_RETENTION", "x"}, "AUTHSIGNAL_RETENTION"},
		{[]string{name + "_FILE", valueFile(t, "hunter2")}, name + "_FILE must have 32 characters"},
	} {
		_, err := Parse(nil, env(tt.vars...), io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %q", tt.vars[0], err, tt.want)
		}
	}
	if os.Geteuid() != 0 { // root may read everything
		if _, err := Parse(nil, env(name+"_FILE", locked), io.Discard); err == nil || !strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("without permission: got %v", err)
		}
	}
	for _, args := range [][]string{{"-db", "postgres://u:hunter2\n@h"}, {"-db=hunter2\x01"}} {
		if _, err := Parse(args, env(), io.Discard); err == nil || !strings.HasPrefix(err.Error(), "-db ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestSpaceAroundValuesDoesNotCount(t *testing.T) {
	t.Parallel()
	c, err := Parse([]string{"-addr", " :1\n", "-retention", " 1000h ", "-dev= true "}, env(
		"AUTHSIGNAL_DB", " a.db\r\n", "AUTHSIGNAL_TENANT_ID", "t1\n", "AUTHSIGNAL_API_SECRET_KEY", "\n"+secretText+" ", "AUTHSIGNAL_PUBLIC_URL", " \n",
	), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != ":1" || c.Retention.Hours() != 1000 || !c.Dev || c.DB != "a.db" || c.Given.TenantID != "t1" || c.Given.APISecretKey != secretText || c.PublicURL != "" {
		t.Errorf("got %+v", c)
	}
	if c.Settings["-addr"].Source != "the flag" || c.Settings["-db"].Source != "AUTHSIGNAL_DB" || c.Settings["-public-url"].Source != "default" {
		t.Errorf("got the sources %v", c.Settings)
	}
}

// Every flag has a variable.
func TestFlagsHaveVariables(t *testing.T) {
	t.Parallel()
	c, err := Parse(nil, env("AUTHSIGNAL_DEV", "true", "AUTHSIGNAL_RETENTION", "1000h"), io.Discard)
	if err != nil || !c.Dev || !c.Activate || c.Retention.Hours() != 1000 {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = Parse([]string{"-dev=false"}, env("AUTHSIGNAL_DEV", "true"), io.Discard)
	if err != nil || c.Dev {
		t.Errorf("with a flag: got %+v, %v", c, err)
	}
}

func TestHelpShowsNoVariablesValue(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	_, err := Parse([]string{"-help"}, env("AUTHSIGNAL_DB", "postgres://u:hunter2@h/x"), &help)
	if !errors.Is(err, flag.ErrHelp) || strings.Contains(help.String(), "hunter2") || !strings.Contains(help.String(), `(default "authsignal.db")`) {
		t.Errorf("got %v, %s", err, &help)
	}
}

func TestUnknownVariablesAreNamedWithTheNearest(t *testing.T) {
	t.Parallel()
	c, err := Parse([]string{"-config", write(t, "tenants: [{tenantId: acme, apiSecretKeyEnv: AUTHSIGNAL_ACME_KEY, webhookSecretEnv: AUTHSIGNAL_ACME_HOOK}]")}, env(
		"AUTHSIGNAL_ORIGIN", "x", "authsignal_db", "y", "AUTHSIGNAL_SECRET_KEY", "z", "AUTHSIGNAL_MANAGMENT_KEY_FILE", "", "AUTHSIGNAL_ADDR_FILE", "a",
		// These are known, or are not the server's.
		"AUTHSIGNAL_ADDR", ":0", "AUTHSIGNAL_API_URL", "u", "AUTHSIGNAL_TEST_X", "1", "OTHER", "o", "AUTHSIGNAL_ACME_KEY_FILE", "f", "AUTHSIGNAL_ACME_HOOK", "h",
		// Kubernetes sets these for a Service of the name authsignal.
		"AUTHSIGNAL_PORT", "tcp://10.0.0.1:4000", "AUTHSIGNAL_SERVICE_HOST", "10.0.0.1", "AUTHSIGNAL_SERVICE_PORT", "4000", "AUTHSIGNAL_SERVICE_PORT_HTTP", "4000",
		"AUTHSIGNAL_PORT_4000_TCP", "tcp://10.0.0.1:4000", "AUTHSIGNAL_PORT_4000_TCP_ADDR", "10.0.0.1",
	), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := []UnknownVariable{
		{"AUTHSIGNAL_ADDR_FILE", "AUTHSIGNAL_ADDR"},
		{"AUTHSIGNAL_MANAGMENT_KEY_FILE", "AUTHSIGNAL_MANAGEMENT_KEY_FILE"},
		{"AUTHSIGNAL_ORIGIN", "AUTHSIGNAL_ORIGINS"},
		{"AUTHSIGNAL_SECRET_KEY", "AUTHSIGNAL_API_SECRET_KEY"},
		{"authsignal_db", "AUTHSIGNAL_DB"},
	}
	if got := c.UnknownVariables(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (Config{}).UnknownVariables(); got != nil {
		t.Errorf("without an environment: got %v", got)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"ab", "ba", 2}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
