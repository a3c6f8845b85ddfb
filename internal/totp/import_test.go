package totp

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// A foreign is a URI as another system writes it, and its meaning.
type foreign struct {
	Name, URI       string
	Issuer, Account string
	Secret          string
	Algorithm       Algorithm
	Digits, Period  int
	// Judges are the other implementations that read the URI in the same way.
	Judges []string
	// Error is a part of the error, if the URI is refused.
	Error string
}

func foreignURIs(t testing.TB) (accepted, refused []foreign) {
	var file struct{ Accepted, Refused []foreign }
	readJSON(t, "testdata/import.json", &file)
	if len(file.Accepted) < 50 || len(file.Refused) < 40 {
		t.Fatalf("got %d and %d vectors", len(file.Accepted), len(file.Refused))
	}
	return file.Accepted, file.Refused
}

func TestParseURIAcceptsThoseOfOtherSystems(t *testing.T) {
	accepted, _ := foreignURIs(t)
	for _, v := range accepted {
		got, err := ParseURI(v.URI)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		want := Key{v.Issuer, v.Account, v.Secret, Parameters{v.Algorithm, v.Digits, v.Period}}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", v.Name, got, want)
		}
	}
}

func TestParseURIRefusesByName(t *testing.T) {
	_, refused := foreignURIs(t)
	for _, v := range refused {
		_, err := ParseURI(v.URI)
		if err == nil || !strings.Contains(err.Error(), v.Error) {
			t.Errorf("%s: got %v, want it to say %q", v.Name, err, v.Error)
			continue
		}
		if strings.Contains(strings.ToUpper(err.Error()), "GEZD") {
			t.Errorf("%s: the error quotes the secret: %v", v.Name, err)
		}
	}
}

var judged = time.Unix(1_700_000_000, 0)

// Where pquerna/otp reads a URI in the same way, its codes are the same.
func TestCodesOfImportedURIsByAnotherLibrary(t *testing.T) {
	accepted, _ := foreignURIs(t)
	n := 0
	for _, v := range accepted {
		if !slices.Contains(v.Judges, "pquerna") {
			continue
		}
		n++
		k, err := otp.NewKeyFromURL(v.URI)
		if err != nil {
			t.Errorf("%s: pquerna/otp: %v", v.Name, err)
			continue
		}
		want, err := totp.GenerateCodeCustom(k.Secret(), judged, totp.ValidateOpts{Period: uint(k.Period()), Digits: k.Digits(), Algorithm: k.Algorithm()})
		if err != nil {
			t.Errorf("%s: pquerna/otp: %v", v.Name, err)
			continue
		}
		if got := codeAt(t, v.URI); got != want {
			t.Errorf("%s: got %s, pquerna/otp computes %s", v.Name, got, want)
		}
	}
	if n < 15 {
		t.Errorf("only %d vectors were compared", n)
	}
}

// What a URI was found to say gives oathtool's codes.
func TestCodesOfImportedURIsByOathtool(t *testing.T) {
	accepted, _ := foreignURIs(t)
	for _, v := range accepted {
		cmd := exec.CommandContext(t.Context(), "oathtool", "--base32", "--totp="+string(v.Algorithm),
			"--digits="+strconv.Itoa(v.Digits), "--time-step-size="+strconv.Itoa(v.Period), "--now", judged.UTC().Format("2006-01-02 15:04:05 UTC"), "-")
		cmd.Stdin = strings.NewReader(v.Secret)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: oathtool (Debian package oathtool) failed: %v", v.Name, err)
		}
		if got, want := codeAt(t, v.URI), strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s: got %s, oathtool computes %s", v.Name, got, want)
		}
	}
}

func codeAt(t *testing.T, uri string) string {
	t.Helper()
	k, err := ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	code, err := Code(k.Secret, k.Step(judged), k.Parameters)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Texts of the same key are one secret, so that it is not imported twice.
func TestNormalizeSecretIsCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"mfrgg": "MFRGG", "MFRGG===": "MFRGG", "MF RG-G": "MFRGG", "MFRGH": "MFRGG", "MFRGGZ": "MFRGG", " mfrgg\t\r\n": "MFRGG",
	} {
		if got, err := NormalizeSecret(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "=", "M", "M1", "MFRGG0", "MFRG=G", "ſſſſſſſſ"} {
		if got, err := NormalizeSecret(text); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
	for secret, want := range map[string]int{"MFRGG": 24, "GEZDGNBVGY3TQOJQ": 80, "GEZDGNBVGY3TQOJQGEZDGNBVGY": 128} {
		if got := SecretBits(secret); got != want {
			t.Errorf("%s: got %d bits, want %d", secret, got, want)
		}
	}
}
