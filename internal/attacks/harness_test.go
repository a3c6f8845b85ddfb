package attacks

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	// The packages of the program, so that the Go command does not use a cached
	// result of these tests after a change of them.
	_ "github.com/authsignal-wasm/sdk/internal/daemon"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

const (
	secretKey     = "test-secret-key-of-32-characters-1"
	managementKey = "test-management-key-of-32-chars-1"
	encryptionKey = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

	allScopes = "read:authenticators add:authenticators update:authenticators remove:authenticators"
)

// programs is the folder of the built server.
var programs string

// TestMain creates a folder for the server. The first test that starts a server
// builds it, with the flags in AUTHSIGNAL_TEST_GOFLAGS, so that it is built from the
// sources of the tests.
func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "authsignal-attacks-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(programs)
	os.Exit(code)
}

var program = sync.OnceValues(func() (string, error) { return build(programs) })

func build(dir string) (string, error) {
	const source = "../../cmd/authsignal-server"
	// The cache of the Go command depends on the files that a test reads.
	files, err := filepath.Glob(source + "/*.go")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if _, err := os.ReadFile(file); err != nil {
			return "", err
		}
	}
	out := filepath.Join(dir, "authsignal-server")
	cmd := exec.Command("go", "build", "-o", out, source)
	if flags := os.Getenv("AUTHSIGNAL_TEST_GOFLAGS"); flags != "" {
		cmd.Env = append(os.Environ(), "GOFLAGS="+flags)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, text)
	}
	return out, nil
}

// A service is a running server.
type service struct {
	t        *testing.T
	cmd      *exec.Cmd
	log      *logtest.Buffer
	database string
	// url is the server's address, without /v1.
	url string
	// portal is the portal's first password, if one was made.
	portal string
	users  int
}

// command returns the program with the environment of a server. variables override
// it.
func command(t *testing.T, args []string, variables ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir,
		"AUTHSIGNAL_TENANT_ID=t1", "AUTHSIGNAL_API_SECRET_KEY=" + secretKey,
		"AUTHSIGNAL_MANAGEMENT_KEY=" + managementKey, "AUTHSIGNAL_ENCRYPTION_KEY=" + encryptionKey,
	}, variables...)
	return cmd
}

// start starts a server on a new database, without a rate limit unless the
// flags set one.
func start(t *testing.T, flags ...string) *service {
	t.Helper()
	return startOn(t, storetest.Database(t), flags)
}

func startOn(t *testing.T, database string, flags []string, variables ...string) *service {
	t.Helper()
	flags = append([]string{"-addr", "127.0.0.1:0", "-dev", "-rate-limit", "0", "-db", database}, flags...)
	s := run(t, command(t, flags, variables...))
	s.database = database
	// A drift that is enough for tests with several codes of one authenticator.
	s.settings(`{"drift":2}`)
	return s
}

// run starts a command and waits for its ready line.
func run(t *testing.T, cmd *exec.Cmd) *service {
	t.Helper()
	s := &service{t: t, cmd: cmd, log: &logtest.Buffer{}}
	cmd.Stderr = s.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	output := bufio.NewReader(stdout)
	line := func() string {
		text, err := output.ReadString('\n')
		if err != nil {
			cmd.Wait()
			t.Fatalf("the server ended: %v\n%s", err, s.log)
		}
		return strings.TrimSuffix(text, "\n")
	}
	s.url = strings.TrimSuffix(line(), "/v1")
	// On SQLite and on a new PostgreSQL database the portal of a loopback
	// address is on, and its password is printed once.
	if portalIsOn(cmd) {
		line()
		s.portal = strings.TrimPrefix(line(), "portal password, shown this once: ")
	}
	return s
}

// portalIsOn reports whether the flags of a command turn on the portal of a new
// database.
func portalIsOn(cmd *exec.Cmd) bool {
	i := slices.Index(cmd.Args, "-portal")
	return i > 0 && cmd.Args[i+1] == "on"
}

// stop ends the server gracefully.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("stop: %v\n%s", err, s.log)
	}
}

// fails runs a command that must end with an error and returns its output.
func fails(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	switch {
	case !late.Stop():
		t.Errorf("%v: the server started, want an error", cmd.Args[1:])
	case err == nil:
		t.Errorf("%v: the program ended without an error", cmd.Args[1:])
	}
	return output.String()
}

// A response is an answer, its body decoded if it is a JSON object or list.
type response struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	text   string
	object map[string]any
	list   []any
}

func (s *service) do(method, path, authorization, body string, header ...string) response {
	s.t.Helper()
	r, err := s.send(method, path, authorization, body, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// send is do for goroutines other than that of the test.
func (s *service) send(method, path, authorization, body string, header ...string) (response, error) {
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return response{}, err
	}
	r := response{t: s.t, what: method + " " + path, status: res.StatusCode, header: res.Header, text: string(b)}
	var v any
	if json.Unmarshal(b, &v) == nil {
		r.object, _ = v.(map[string]any)
		r.list, _ = v.([]any)
	}
	return r, nil
}

// ok ends the test unless the answer is a success.
func (r response) ok() response {
	r.t.Helper()
	if r.status != http.StatusOK {
		r.t.Fatalf("%s: got %d %s, want 200", r.what, r.status, r.text)
	}
	return r
}

// refused checks an error answer.
func (r response) refused(status int, code string) response {
	r.t.Helper()
	if r.status != status || r.object["errorCode"] != code {
		r.t.Errorf("%s: got %d %s, want %d %s", r.what, r.status, r.text, status, code)
	}
	return r
}

// says checks that the description of an error contains words.
func (r response) says(words ...string) response {
	r.t.Helper()
	description, _ := r.object["errorDescription"].(string)
	for _, word := range words {
		if !strings.Contains(description, word) {
			r.t.Errorf("%s: got %d %q, want it to name %q", r.what, r.status, description, word)
		}
	}
	return r
}

// verified checks that a code was accepted and returns the new token's page.
func (r response) verified(s *service) page {
	r.t.Helper()
	if r.ok().object["isVerified"] != true {
		r.t.Fatalf("%s: got %s, want it to be verified", r.what, r.text)
	}
	return s.page(r.object["accessToken"].(string))
}

// denied checks that the answer contains no accepted code, no token and no secret.
func (r response) denied() response {
	r.t.Helper()
	if r.status >= 500 || r.object["isVerified"] == true || r.object["accessToken"] != nil || r.object["secret"] != nil {
		r.t.Errorf("%s: got %d %s, want it to be refused", r.what, r.status, r.text)
	}
	return r
}

func basic(key string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":")) }

// backend calls the Server API of the tenant t1.
func (s *service) backend(method, path, body string) response {
	s.t.Helper()
	return s.do(method, "/v1"+path, basic(secretKey), body)
}

// operator calls the management API.
func (s *service) operator(method, path, body string) response {
	s.t.Helper()
	return s.do(method, "/v1/management"+path, basic(managementKey), body)
}

// settings changes settings of the tenant's authenticator app.
func (s *service) settings(authenticator string) {
	s.t.Helper()
	s.operator("PUT", "/tenants/t1", `{"authenticator":`+authenticator+`}`).ok()
}

// rules sets the outcome and the rules of an action: alternating conditions and
// outcomes.
func (s *service) rules(action, outcome string, rules ...string) response {
	s.t.Helper()
	type rule struct {
		Name      string `json:"name"`
		Condition string `json:"condition"`
		Outcome   string `json:"outcome"`
	}
	settings := struct {
		DefaultOutcome string `json:"defaultOutcome"`
		Rules          []rule `json:"rules"`
	}{outcome, []rule{}}
	for i := 0; i < len(rules); i += 2 {
		settings.Rules = append(settings.Rules, rule{fmt.Sprint("rule ", i/2+1), rules[i], rules[i+1]})
	}
	return s.operator("PUT", "/tenants/t1/actions/"+action, marshal(settings))
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values are constants of the tests
	}
	return string(b)
}

// A page is a page with a client token, the user's or an attacker's.
type page struct {
	s     *service
	token string
}

func (s *service) page(token string) page { return page{s, token} }

func (p page) call(method, path, body string) response {
	p.s.t.Helper()
	return p.s.do(method, "/v1/client/"+path, "Bearer "+p.token, body)
}

func (p page) enroll() response {
	p.s.t.Helper()
	return p.call("POST", "user-authenticators/totp", "")
}

func (p page) verify(code string) response {
	p.s.t.Helper()
	return p.call("POST", "verify/totp", `{"verificationCode":"`+code+`"}`)
}

func (p page) list() response { p.s.t.Helper(); return p.call("GET", "user-authenticators", "") }

func (p page) remove(id string) response {
	p.s.t.Helper()
	return p.call("DELETE", "user-authenticators/"+id, "")
}

// exchange exchanges the token for one with the given scopes.
func (p page) exchange(scope string) response {
	p.s.t.Helper()
	return p.call("POST", "token", marshal(map[string]string{"scope": scope}))
}

// begins starts an enrollment and returns the authenticator app that scanned the
// answer.
func (p page) begins() *phone {
	p.s.t.Helper()
	return newPhone(p.s.t, p.enroll().ok().object["secret"].(string))
}

// claims returns the decoded payload of the token.
func (p page) claims() map[string]any {
	p.s.t.Helper()
	return decode(p.s.t, strings.Split(p.token, ".")[1])
}

func decode(t *testing.T, part string) (v map[string]any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("not a part of a token: %v", err)
	}
	return v
}

// scope returns the scope of the token.
func (p page) scope() string { p.s.t.Helper(); return fmt.Sprint(p.claims()["scope"]) }

// validate validates the token as the backend does.
func (p page) validate() response {
	p.s.t.Helper()
	return p.s.backend("POST", "/validate", marshal(map[string]string{"token": p.token})).ok()
}

// isVoid checks that no call accepts the token.
func (p page) isVoid() {
	p.s.t.Helper()
	p.list().refused(http.StatusUnauthorized, "unauthorized")
	p.enroll().refused(http.StatusUnauthorized, "unauthorized")
	p.verify("000000").refused(http.StatusUnauthorized, "unauthorized")
	p.remove("any").refused(http.StatusUnauthorized, "unauthorized")
	p.exchange("read:authenticators").refused(http.StatusUnauthorized, "unauthorized")
	p.recovers("2222-2222-2222").refused(http.StatusUnauthorized, "unauthorized")
	p.call("GET", "recovery-codes", "").refused(http.StatusUnauthorized, "unauthorized")
	p.call("POST", "recovery-codes", "").refused(http.StatusUnauthorized, "unauthorized")
	p.call("POST", "recovery-codes/confirm", `{"saved":true}`).refused(http.StatusUnauthorized, "unauthorized")
	p.call("GET", "authenticators", "").refused(http.StatusUnauthorized, "unauthorized")
	p.call("POST", "init", "{}").refused(http.StatusUnauthorized, "unauthorized")
	if got, want := strings.TrimSpace(p.validate().text), `{"isValid":false,"error":"Token is invalid."}`; got != want {
		p.s.t.Errorf("validate of a void token: got %s, want %s", got, want)
	}
}

// A phone is an authenticator app. It returns each code once: after that of a step
// comes that of the next, which is within the tenant's drift of two steps.
type phone struct {
	t      *testing.T
	secret string
	// last is the step of the newest code.
	last int64
}

func newPhone(t *testing.T, secret string) *phone { return &phone{t: t, secret: secret} }

// code returns a code that is accepted: the earliest that was not returned yet, from
// the step before the current one.
func (p *phone) code() string {
	p.t.Helper()
	now := totp.DefaultParameters.Step(time.Now())
	p.last = max(p.last+1, now-1)
	if p.last > now+2 {
		p.t.Fatal("the test takes more codes of one authenticator than the drift admits")
	}
	return p.at(p.last)
}

// again returns the last code again.
func (p *phone) again() string { p.t.Helper(); return p.at(p.last) }

func (p *phone) at(step int64) string {
	p.t.Helper()
	code, err := totp.Code(p.secret, step, totp.DefaultParameters)
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// wrong returns a code of no near step.
func (p *phone) wrong() string {
	p.t.Helper()
	near := map[string]bool{}
	now := totp.DefaultParameters.Step(time.Now())
	for step := now - 4; step <= now+4; step++ {
		near[p.at(step)] = true
	}
	for n := 0; ; n++ {
		if code := fmt.Sprintf("%06d", n); !near[code] {
			return code
		}
	}
}

// A user is a user of the tenant t1. An enrolled one has a phone.
type user struct {
	s  *service
	id string
	*phone
	// authenticator is the id of the phone's authenticator.
	authenticator string
}

func (s *service) newUser() *user {
	s.users++
	return &user{s: s, id: fmt.Sprint("user-", s.users)}
}

// enrolledUser creates a user with an authenticator app, of which no code is spent.
func (s *service) enrolledUser() *user {
	s.t.Helper()
	u := s.newUser()
	u.phone, u.authenticator = u.imports()
	return u
}

// imports adds a verified authenticator app by the backend.
func (u *user) imports() (*phone, string) {
	u.s.t.Helper()
	p := newPhone(u.s.t, newSecret())
	r := u.s.backend("POST", "/users/"+u.id+"/authenticators", marshal(map[string]string{
		"verificationMethod": "AUTHENTICATOR_APP", "otpUri": "otpauth://totp/Acme:u?secret=" + p.secret,
	})).ok()
	return p, r.object["authenticator"].(map[string]any)["userAuthenticatorId"].(string)
}

func newSecret() string {
	secret, err := totp.NewSecret(rand.Reader)
	if err != nil {
		panic(err) // the reader does not fail
	}
	return secret
}

// A tracked is a tracked action.
type tracked struct {
	page
	u           *user
	action, key string
	state       string
	url         string
}

// track tracks an action. attributes is a JSON object or empty.
func (u *user) track(action, attributes string) tracked {
	u.s.t.Helper()
	r := u.s.backend("POST", "/users/"+u.id+"/actions/"+action, attributes).ok().object
	return tracked{
		page: u.s.page(r["token"].(string)), u: u, action: action,
		key: r["idempotencyKey"].(string), state: r["state"].(string), url: r["url"].(string),
	}
}

// with returns attributes with a scope.
func with(scope string) string { return marshal(map[string]string{"scope": scope}) }

// becomes updates the state of the action by the backend.
func (t tracked) becomes(state string) tracked {
	t.s.t.Helper()
	t.s.backend("PATCH", "/users/"+t.u.id+"/actions/"+t.action+"/"+t.key, marshal(map[string]string{"state": state})).ok()
	t.state = state
	return t
}

// is checks the state of the action, and that validate returns it for the token.
func (t tracked) is(state string) {
	t.s.t.Helper()
	got := t.s.backend("GET", "/users/"+t.u.id+"/actions/"+t.action+"/"+t.key, "").ok().object["state"]
	if got != state {
		t.s.t.Errorf("the action of %s: got %v, want %s", t.u.id, got, state)
	}
	v := t.validate()
	if got, want := v.object["isValid"], state == "CHALLENGE_SUCCEEDED"; got != want || v.object["state"] != state {
		t.s.t.Errorf("validate: got %s, want isValid %v and %s", v.text, want, state)
	}
}

// authenticators returns the ids of the user's verified authenticators, by the
// Server API.
func (u *user) authenticators() (ids []string) {
	u.s.t.Helper()
	for _, a := range u.s.backend("GET", "/users/"+u.id+"/authenticators", "").ok().list {
		ids = append(ids, a.(map[string]any)["userAuthenticatorId"].(string))
	}
	return ids
}

// has checks the user's verified authenticators.
func (u *user) has(ids ...string) {
	u.s.t.Helper()
	got := u.authenticators()
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		u.s.t.Errorf("the authenticators of %s: got %v, want %v", u.id, got, ids)
	}
}

// signsIn is the flow without an attack: an action that requires a code, the right
// code, and validate. It returns the page with all rights.
func (u *user) signsIn() page {
	u.s.t.Helper()
	tr := u.track("honest", "")
	if tr.state != "CHALLENGE_REQUIRED" {
		u.s.t.Fatalf("an enrolled user signs in: got %s, want CHALLENGE_REQUIRED", tr.state)
	}
	p := tr.verify(u.code()).verified(u.s)
	tr.is("CHALLENGE_SUCCEEDED")
	if p.validate().object["isValid"] != true {
		u.s.t.Error("the new token does not validate")
	}
	return p
}

// atOnce runs functions at the same time and returns when all have ended.
func atOnce(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

// eventually polls until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", what)
		}
		time.Sleep(20 * time.Millisecond) // between polls
	}
}

// A desk is a browser with a session of the portal.
type desk struct {
	s      *service
	client *http.Client
}

// signIn signs in to the portal with its first password.
func (s *service) signIn() *desk {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	d := &desk{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	d.post("/sign-in", "password", s.portal).is(http.StatusSeeOther)
	return d
}

// post sends a form of alternating names and values.
func (d *desk) post(path string, fields ...string) response {
	d.s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	req, err := http.NewRequest("POST", d.s.url+"/portal"+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := d.client.Do(req)
	if err != nil {
		d.s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		d.s.t.Fatal(err)
	}
	return response{t: d.s.t, what: "POST /portal" + path, status: res.StatusCode, header: res.Header, text: string(b)}
}

// is checks the status.
func (r response) is(status int) response {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: got %d %s, want %d", r.what, r.status, r.text, status)
	}
	return r
}
