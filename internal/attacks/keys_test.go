package attacks

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestShortKeysDoNotStart(t *testing.T) {
	t.Parallel()
	const short = "guessable-key-of-31-characters-" // 31
	for _, variable := range []string{"AUTHSIGNAL_API_SECRET_KEY", "AUTHSIGNAL_MANAGEMENT_KEY"} {
		for _, value := range []string{"k7", short} {
			got := fails(t, command(t, []string{"-addr", "127.0.0.1:0", "-db", storetest.Empty(t)}, variable+"="+value))
			if !strings.Contains(got, variable) || !strings.Contains(got, "32") || strings.Contains(got, value) {
				t.Errorf("%s: got %s, want it to name the variable and 32 characters, without the value", variable, got)
			}
		}
	}
	// By a declarative configuration.
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "tenants:\n  - tenantId: acme\n    apiSecretKeyEnv: ACME_KEY\n    authenticator: {active: true}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := func() []string {
		return []string{"-addr", "127.0.0.1:0", "-db", storetest.Empty(t), "-config", file}
	}
	got := fails(t, command(t, flags(), "ACME_KEY="+short))
	if !strings.Contains(got, "ACME_KEY") || strings.Contains(got, short) {
		t.Errorf("a short key of the configuration: got %s", got)
	}
	const long = "a-secret-key-of-the-tenant-acme-of-45-letters"
	s := run(t, command(t, flags(), "ACME_KEY="+long))
	s.do("POST", "/v1/users/u/actions/signIn", basic(long), "").ok()

	if !storetest.Postgres() { // by the file of keys beside the database
		db := filepath.Join(t.TempDir(), "a.db")
		if err := os.WriteFile(config.KeysFile(db), []byte(`{"tenantId":"t1","apiSecretKey":"`+short+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		got := fails(t, command(t, []string{"-addr", "127.0.0.1:0", "-db", db}, "AUTHSIGNAL_API_SECRET_KEY=", "AUTHSIGNAL_TENANT_ID="))
		if !strings.Contains(got, config.KeysFile(db)) || strings.Contains(got, short) {
			t.Errorf("a short key in the file of keys: got %s", got)
		}
	}
	// 32 characters are enough, and keys that the server creates have at least as
	// many.
	exact := "0123456789abcdef0123456789abcdef"
	s = run(t, command(t, []string{"-addr", "127.0.0.1:0", "-dev", "-db", storetest.Empty(t)}, "AUTHSIGNAL_API_SECRET_KEY="+exact, "AUTHSIGNAL_MANAGEMENT_KEY="+exact))
	s.do("POST", "/v1/users/u/actions/signIn", basic(exact), "").ok()
	made := s.do("POST", "/v1/management/tenants/t1/secrets", basic(exact), "").ok().object["apiSecretKey"].(string)
	if len(made) < 32 {
		t.Errorf("a key that is made has %d characters", len(made))
	}
	s.do("GET", "/v1/users/u", basic(made), "").ok()
}

// free returns an address of this machine at which no program listens. Until the end
// of the test it is bound, so that it is given to no other program that asks for a free
// one; a program that asks for this one may listen at it, with SO_REUSEADDR.
func free(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", bound.(*syscall.SockaddrInet4).Port)
}

func TestGuessingKeysIsLimited(t *testing.T) {
	t.Parallel()
	metrics := free(t)
	s := run(t, command(t, []string{
		"-addr", "127.0.0.1:0", "-dev", "-db", storetest.Database(t), "-rate-limit", "0.3", "-trusted-proxies", "127.0.0.1", "-metrics-addr", metrics,
	}))
	from := func(address, path, key string) response {
		t.Helper()
		return s.do("GET", path, basic(key), "", "X-Forwarded-For", address)
	}
	refused := map[string]int{}
	for i, tt := range []struct{ realm, path, key string }{
		{"server", "/v1/users/u", secretKey},
		{"management", "/v1/management/tenants", managementKey},
	} {
		attacker, backend := fmt.Sprint("203.0.113.", 10+i), fmt.Sprint("203.0.113.", 20+i)
		for range 50 {
			guess := "guess-" + newSecret()
			r := from(attacker, tt.path, guess)
			if r.status == http.StatusTooManyRequests {
				break
			}
			r.refused(http.StatusUnauthorized, "unauthorized")
			if strings.Contains(r.text+s.log.String(), guess) {
				t.Errorf("%s: the answer or the log quotes a guess", tt.realm)
			}
			refused[tt.realm]++
		}
		if n := refused[tt.realm]; n < 1 || n > 20 {
			t.Fatalf("%s: %d guesses were answered before the limit", tt.realm, n)
		}
		// Over the limit no key is compared: the right key is refused too. An attempt
		// may have become free in the meantime; another guess takes it.
		r := from(attacker, tt.path, tt.key)
		for n := 0; n < 3 && r.status != http.StatusTooManyRequests; n++ {
			from(attacker, tt.path, "wrong-key-of-more-than-32-characters")
			r = from(attacker, tt.path, tt.key)
		}
		r.refused(http.StatusTooManyRequests, "too_many_requests")
		// A backend at another address is not limited.
		for range 50 {
			from(backend, tt.path, tt.key).ok()
		}
	}

	res, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for realm, n := range refused {
		m := regexp.MustCompile(`(?m)^authsignal_keys_refused_total\{realm="` + realm + `"\} (\d+)$`).FindSubmatch(page)
		if m == nil {
			t.Errorf("the metrics do not count the wrong keys of the realm %s", realm)
			continue
		}
		if got, err := strconv.Atoi(string(m[1])); err != nil || got < n {
			t.Errorf("%s: the metrics count %s wrong keys, want %d or more", realm, m[1], n)
		}
	}
	// Audited, together.
	lines := 0
	for _, e := range from("203.0.113.30", "/v1/management/audit", managementKey).ok().list {
		if e := e.(map[string]any); e["kind"] == "keys.refused" {
			lines++
			if text := marshal(e); strings.Contains(text, "guess-") || !strings.Contains(text, "203.0.113.1") {
				t.Errorf("the audit line: got %s, want the address and no guess", text)
			}
		}
	}
	if lines < 1 || lines >= refused["server"]+refused["management"] {
		t.Errorf("got %d audit lines of %d wrong keys, want at least one, and fewer", lines, refused["server"]+refused["management"])
	}
}

func TestCrossSiteCallsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "-origins", "https://app.test")
	u := s.enrolledUser()
	secrets := func() int { return len(s.operator("GET", "/tenants/t1/secrets", "").ok().list) }
	before := secrets()
	foreign := [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"},
		{"Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"},
		{"Sec-Fetch-Site", "cross-site", "Content-Type", "", "Origin", "null"},
		{"Origin", "https://evil.test"},
		{"Origin", "https://evil.test", "Content-Type", "text/plain"},
		{"Origin", "null", "Content-Type", "text/plain"},
		// A page of an allowed origin may call the client API only.
		{"Origin", "https://app.test", "Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://app.test", "Content-Type", "text/plain"},
	}
	calls := []struct{ method, path, key, body string }{
		{"POST", "/v1/management/tenants/t1/secrets", managementKey, ""},
		{"POST", "/v1/management/signing-keys", managementKey, ""},
		{"PUT", "/v1/management/tenants/t1", managementKey, `{"origins":["https://evil.test"]}`},
		{"PUT", "/v1/management/tenants/t1/actions/signIn", managementKey, `{"defaultOutcome":"ALLOW","rules":[]}`},
		{"DELETE", "/v1/management/tenants/t1/users/" + u.id + "/tokens", managementKey, ""},
		{"POST", "/v1/users/" + u.id + "/actions/signIn", secretKey, `{"idempotencyKey":"planted"}`},
		{"POST", "/v1/users/" + u.id, secretKey, `{"email":"evil@evil.test"}`},
		{"DELETE", "/v1/users/" + u.id, secretKey, ""},
		{"DELETE", "/v1/users/" + u.id + "/authenticators/" + u.authenticator, secretKey, ""},
	}
	for _, c := range calls {
		for _, header := range foreign {
			r := s.do(c.method, c.path, basic(c.key), c.body, header...)
			if r.status < 400 || r.status >= 500 || r.object["errorCode"] == nil || r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s with %q: got %d %s, want a refusal in JSON", c.method, c.path, header, r.status, r.text)
			}
		}
	}
	if got := secrets(); got != before {
		t.Errorf("got %d API secret keys, want %d", got, before)
	}
	u.has(u.authenticator)
	s.backend("GET", "/users/"+u.id+"/actions/signIn/planted", "").refused(http.StatusNotFound, "not_found")
	if got := s.backend("GET", "/users/"+u.id, "").ok().object["email"]; got != nil {
		t.Errorf("the user's e-mail: got %v", got)
	}
	// Backends send none of these headers, or the value of a request without a page.
	for _, header := range [][]string{{}, {"Sec-Fetch-Site", "none"}, {"Content-Type", "application/json; charset=utf-8"}} {
		s.do("POST", "/v1/users/"+u.id+"/actions/signIn", basic(secretKey), "{}", header...).ok()
	}
	// A page of an allowed origin uses the client API from another site.
	tr := u.track("signIn", "")
	r := s.do("POST", "/v1/client/verify/totp", "Bearer "+tr.token, `{"verificationCode":"`+u.code()+`"}`,
		"Origin", "https://app.test", "Sec-Fetch-Site", "cross-site").ok()
	if got := r.header.Get("Access-Control-Allow-Origin"); got != "https://app.test" {
		t.Errorf("an allowed page: got Access-Control-Allow-Origin %q", got)
	}
}

// Requests that are refused before a key is compared count too. Otherwise they
// would fill the log.
func TestCrossSiteFloodsAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t, "-rate-limit", "1")
	limited := false
	for range 30 {
		limited = limited || s.do("GET", "/v1/users/u", "", "", "Sec-Fetch-Site", "cross-site").status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("30 requests from pages of other sites at a limit of 10 at once: got no 429")
	}
	if got := strings.Count(s.log.String(), `"status":403`); got > 15 {
		t.Errorf("got %d lines in the log, want at most those within the limit", got)
	}
}

// The files of pages are not limited, since a browser requests many at once, so
// they must not write a line of the log each.
func TestFloodsOfFilesDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	s := start(t, "-rate-limit", "1")
	for i := range 100 {
		s.do("GET", fmt.Sprint("/assets/no-such-file-", i), "", "").is(http.StatusNotFound)
	}
	if got := strings.Count(s.log.String(), "/assets/"); got > 50 {
		t.Errorf("100 requests for files at a limit of 10 at once: got %d lines in the log", got)
	}
}
