package totp

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
)

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func TestCodeRFC6238AppendixB(t *testing.T) {
	var file struct {
		Seeds   map[Algorithm]string
		Vectors []struct {
			Time      int64
			Algorithm Algorithm
			Code      string
		}
	}
	readJSON(t, "testdata/rfc6238.json", &file)
	if got, want := len(file.Vectors), 18; got != want {
		t.Fatalf("got %d vectors, want %d", got, want)
	}
	for _, v := range file.Vectors {
		p := Parameters{v.Algorithm, 8, 30}
		got, err := Code(file.Seeds[v.Algorithm], p.Step(time.Unix(v.Time, 0)), p)
		if err != nil {
			t.Fatal(err)
		}
		if got != v.Code {
			t.Errorf("%s at %d: got %s, want %s", v.Algorithm, v.Time, got, v.Code)
		}
	}
}

func TestCodeRFC4226AppendixD(t *testing.T) {
	var file struct {
		Secret string
		Codes  []string
	}
	readJSON(t, "testdata/rfc4226.json", &file)
	if got, want := len(file.Codes), 10; got != want {
		t.Fatalf("got %d codes, want %d", got, want)
	}
	for i, want := range file.Codes {
		got, err := Code(file.Secret, int64(i), DefaultParameters)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("counter %d: got %s, want %s", i, got, want)
		}
	}
}

const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// A code must be valid for exactly drift steps in both directions, to the second.
func TestMatchDriftAtStepEdges(t *testing.T) {
	p := DefaultParameters
	start := int64(1_700_000_010) // the first second of a step
	step := start / 30
	if start%30 != 0 {
		t.Fatal("start is not a step's first second")
	}
	code, err := Code(secret, step, p)
	if err != nil {
		t.Fatal(err)
	}
	for drift := 0; drift <= 2; drift++ {
		first := start - int64(drift)*30
		last := start + int64(drift)*30 + 29
		for _, tt := range []struct {
			at   int64
			want Verdict
		}{
			{first - 1, Mismatch}, {first, Matched}, {start, Matched}, {last, Matched}, {last + 1, Mismatch},
		} {
			got, verdict, err := Match(code, secret, p, time.Unix(tt.at, 0), drift, -1)
			if err != nil {
				t.Fatal(err)
			}
			if verdict != tt.want || verdict == Matched && got != step {
				t.Errorf("drift %d, second %+d: got %v of step %d, want %v of step %d", drift, tt.at-start, verdict, got, tt.want, step)
			}
		}
	}
}

func TestMatchEachStepInReach(t *testing.T) {
	p := DefaultParameters
	now := time.Unix(1_700_000_000, 0)
	for offset := int64(-2); offset <= 2; offset++ {
		code, err := Code(secret, p.Step(now)+offset, p)
		if err != nil {
			t.Fatal(err)
		}
		got, verdict, err := Match(code, secret, p, now, 2, -1)
		if err != nil {
			t.Fatal(err)
		}
		if verdict != Matched || got != p.Step(now)+offset {
			t.Errorf("offset %+d: got %v of step %+d", offset, verdict, got-p.Step(now))
		}
	}
}

func TestMatchRefusesSpentSteps(t *testing.T) {
	p := DefaultParameters
	now := time.Unix(1_700_000_000, 0)
	code, err := Code(secret, p.Step(now), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		last int64
		want Verdict
	}{
		{"never used", -1, Matched},
		{"an earlier step used", p.Step(now) - 1, Matched},
		{"this step used", p.Step(now), Replayed},
		{"clock set back", p.Step(now) + 1000, Replayed},
	} {
		_, got, err := Match(code, secret, p, now, 1, tt.last)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOffsetNamesTheNearestStep(t *testing.T) {
	p := DefaultParameters
	now := time.Unix(1_700_000_000, 0)
	for offset := -12; offset <= 12; offset++ {
		code, err := Code(secret, p.Step(now)+int64(offset), p)
		if err != nil {
			t.Fatal(err)
		}
		got, found, err := Offset(code, secret, p, now, 10)
		if err != nil {
			t.Fatal(err)
		}
		if want := offset >= -10 && offset <= 10; found != want || found && got != offset {
			t.Errorf("offset %+d: got %+d, %v", offset, got, found)
		}
	}
	if got, found, err := Offset("755224", secret, p, time.Unix(0, 0), 10); err != nil || !found || got != 0 {
		t.Errorf("at the epoch: got %+d, %v, %v", got, found, err)
	}
}

func TestMatchNearTheEpoch(t *testing.T) {
	code, err := Code(secret, 0, DefaultParameters)
	if err != nil {
		t.Fatal(err)
	}
	if step, verdict, err := Match(code, secret, DefaultParameters, time.Unix(0, 0), 2, -1); err != nil || verdict != Matched || step != 0 {
		t.Errorf("got step %d, %v, %v", step, verdict, err)
	}
	if _, verdict, err := Match(code, secret, DefaultParameters, time.Unix(-600, 0), 2, -1); err != nil || verdict != Mismatch {
		t.Errorf("before 1970: got %v, %v", verdict, err)
	}
}

func TestNewSecret(t *testing.T) {
	s, err := NewSecret(strings.NewReader("12345678901234567890"))
	if err != nil {
		t.Fatal(err)
	}
	if s != secret {
		t.Errorf("got %s, want %s", s, secret)
	}
	if _, err := NewSecret(strings.NewReader("short")); err == nil {
		t.Error("a short read gave a secret")
	}
}

func TestURIEncodesAsRFC3986(t *testing.T) {
	got := URI("Acme & Co: #1", "jane+x@example.com/ä 100%", secret, DefaultParameters)
	want := "otpauth://totp/Acme%20%26%20Co%3A%20%231:jane%2Bx%40example.com%2F%C3%A4%20100%25?secret=" + secret +
		"&issuer=Acme%20%26%20Co%3A%20%231&algorithm=SHA1&digits=6&period=30"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Another parser of otpauth URIs must return the same values.
func TestURIReadByAnotherParser(t *testing.T) {
	p := Parameters{SHA256, 8, 60}
	for _, issuer := range []string{"Acme", "A & B", "50% off", "x+y", "日本語", "🔐 Vault", strings.Repeat("é", 64)} {
		uri := URI(issuer, "u?#/", secret, p)
		k, err := otp.NewKeyFromURL(uri)
		if err != nil {
			t.Fatalf("%q: %v", issuer, err)
		}
		if k.Issuer() != issuer || k.AccountName() != "u?#/" || k.Secret() != secret || k.Digits() != 8 || k.Period() != 60 || k.Algorithm() != otp.AlgorithmSHA256 {
			t.Errorf("%q: pquerna/otp reads %q %q %d %d %v", issuer, k.Issuer(), k.AccountName(), k.Digits(), k.Period(), k.Algorithm())
		}
	}
}

// The browser module uses the same vectors.
func TestIssuerAndAccountByVectors(t *testing.T) {
	var vectors []struct{ Name, URI, Issuer, Account string }
	readJSON(t, "testdata/uri.json", &vectors)
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		for how, uri := range map[string]string{"as it is": v.URI, "made by URI": URI(v.Issuer, v.Account, secret, DefaultParameters)} {
			k, err := ParseURI(uri)
			if err != nil {
				t.Errorf("%s, %s: %v", v.Name, how, err)
			} else if k.Issuer != v.Issuer || k.Account != v.Account {
				t.Errorf("%s, %s: got %q, %q, want %q, %q", v.Name, how, k.Issuer, k.Account, v.Issuer, v.Account)
			}
		}
	}
}

func TestParseURIDefaults(t *testing.T) {
	k, err := ParseURI("otpauth://totp/jane?secret=gezd%20gnbv-gy3tqojq====")
	if err != nil {
		t.Fatal(err)
	}
	want := Key{Account: "jane", Secret: "GEZDGNBVGY3TQOJQ", Parameters: DefaultParameters}
	if k != want {
		t.Errorf("got %+v, want %+v", k, want)
	}
}

func TestParseURIErrorsNameTheFaultAndKeepTheSecret(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                  "otpauth://",
		"https://totp/x?secret=" + secret:   "otpauth://",
		"otpauth://hotp/x?secret=" + secret: "totp",
		"otpauth://totp/x":                  "secret is missing",
		"otpauth://totp/x?secret=1!GEZD":    "base32",
		"otpauth://totp/x?secret=" + secret + "&digits=5":        "digits",
		"otpauth://totp/x?secret=" + secret + "&digits=six":      "digits",
		"otpauth://totp/x?secret=" + secret + "&period=0":        "period",
		"otpauth://totp/x?secret=" + secret + "&period=1e9":      "period",
		"otpauth://totp/x?secret=" + secret + "&algorithm=MD5":   "algorithm",
		"otpauth://totp/\x7f?secret=" + secret:                   "not a valid URI",
		"otpauth://totp/x?secret=" + secret + "&digits=99999999": "digits",
	} {
		_, err := ParseURI(uri)
		if err == nil {
			t.Errorf("%q: no error", uri)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %q does not say %q", uri, err, want)
		}
		if strings.Contains(err.Error(), "GEZD") {
			t.Errorf("error quotes the secret: %q", err)
		}
	}
}

func TestCodeRejectsBadInput(t *testing.T) {
	if _, err := Code("not base32!", 1, DefaultParameters); !errors.Is(err, otp.ErrValidateSecretInvalidBase32) {
		t.Errorf("bad secret: got %v", err)
	}
	if _, err := Code(secret, -1, DefaultParameters); err == nil {
		t.Error("negative step: no error")
	}
	if _, err := Code(secret, 1, Parameters{SHA1, 9, 30}); err == nil {
		t.Error("9 digits: no error")
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add(URI("Acme", "jane@example.com", secret, DefaultParameters))
	f.Add("otpauth://totp/a:b?secret=MFRGG&issuer=%F0%9F%94%90&digits=8&period=60&algorithm=sha512")
	f.Add("otpauth://totp/?secret=====")
	accepted, refused := foreignURIs(f)
	for _, v := range append(accepted, refused...) {
		f.Add(v.URI)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		k, err := ParseURI(uri)
		if err != nil {
			return
		}
		if _, err := Code(k.Secret, 1, k.Parameters); err != nil {
			t.Fatalf("a parsed key gives no code: %v", err)
		}
		again, err := ParseURI(URI(k.Issuer, k.Account, k.Secret, k.Parameters))
		if err != nil {
			t.Fatalf("what was parsed does not parse again: %v", err)
		}
		if again != k {
			t.Fatalf("got %+v, want %+v", again, k)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("123456", int64(1_700_000_000), 1, int64(-1))
	f.Add("", int64(0), 0, int64(0))
	f.Add("٣٤٥٦٧٨", int64(59), 2, int64(1))
	f.Fuzz(func(t *testing.T, code string, at int64, drift int, last int64) {
		if drift < 0 || drift > 2 || at < 0 || at > 1<<40 {
			return
		}
		step, verdict, err := Match(code, secret, DefaultParameters, time.Unix(at, 0), drift, last)
		if err != nil {
			t.Fatal(err)
		}
		if verdict == Matched {
			if want, _ := Code(secret, step, DefaultParameters); want != code || step <= last {
				t.Fatalf("accepted %q for step %d after %d", code, step, last)
			}
		}
	})
}

func TestEscapeRoundTrips(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	got, err := url.PathUnescape(escape(string(all)))
	if err != nil || got != string(all) {
		t.Errorf("got %q, %v", got, err)
	}
}
