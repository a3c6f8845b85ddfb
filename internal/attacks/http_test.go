package attacks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes over a connection and reads the answer. It waits at most a
// minute.
func (s *service) raw(request string) (response, time.Duration) {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if err := conn.SetDeadline(began.Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	line, _, _ := strings.Cut(request, "\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("%q: no answer: %v", line, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	r := response{t: s.t, what: line, status: res.StatusCode, header: res.Header, text: string(b)}
	_ = json.Unmarshal(b, &r.object) // a body that is not JSON has no keys
	return r, time.Since(began)
}

func TestARawPercentIsAnsweredInJSON(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{
		"/v1/users/50%", "/v1/users/50%/actions/signIn", "/v1/users/%zz", "/v1/users/a%4", "/v1/client/user-authenticators/%", "/%", "/v1/management/tenants/%x",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r, _ := s.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n", method, path, basic(secretKey)))
			r.refused(http.StatusBadRequest, "invalid_request").says("%")
			if got := r.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("%s %s: got Content-Type %q", method, path, got)
			}
		}
	}
	if got := s.backend("GET", "/users/50%25", "").ok().object["userId"]; got != "50%" {
		t.Errorf("an escaped one: got the user %v, want 50%%", got)
	}
	r, _ := s.raw("GET /v1/users/50%25 HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(secretKey) + "\r\n\r\n")
	r.ok()
}

func TestABodyThatNeverEndsIsAnswered(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	tr := u.track("signIn", "")
	for _, path := range []string{"/v1/users/" + u.id + "/actions/signIn", "/v1/validate", "/v1/users/" + u.id, "/v1/users/" + u.id + "/authenticators"} {
		r, took := s.raw(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"email\":\"a\"}", path, basic(secretKey)))
		if took > 12*time.Second {
			t.Errorf("%s: it took %v", path, took)
		}
		if r.status < 400 || r.status >= 500 || r.object["errorCode"] == nil {
			t.Errorf("%s: got %d %s, want a refusal in JSON", path, r.status, r.text)
		}
	}
	r, took := s.raw(fmt.Sprintf("POST /v1/client/verify/totp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 40\r\n\r\n{\"verificationCode\":\"%s\"}", tr.token, u.code()))
	if took > 12*time.Second || r.status < 400 || r.status >= 500 {
		t.Errorf("verify: got %d %s after %v, want a refusal", r.status, r.text, took)
	}
	tr.is("CHALLENGE_REQUIRED")
	// A body in two parts, the second a moment later, is complete.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// When the server asks for the body, it has the first part and waits.
	fmt.Fprintf(conn, "POST /v1/validate HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n", basic(secretKey))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, `{"token":"x"}`)
	res, err := http.ReadResponse(reader, nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("a body that comes late: got %v, %v", res, err)
	}
	res.Body.Close()
	tr.verify(u.code()).verified(s)
}

// Every spelling of a path requires the key of its API: the management API does not
// accept the key of a backend, and neither API accepts a token.
func TestEveryPathAsksForItsOwnKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	tr := u.track("signIn", with(allScopes))
	bearer := "Bearer " + tr.token
	for _, tt := range []struct {
		names map[string]string // the callers that are refused
		paths []string
	}{
		{
			map[string]string{"a backend": basic(secretKey), "a page": bearer, "a caller without a key": "", "a backend, as a token": "Bearer " + secretKey},
			[]string{
				"/v1/management/tenants", "/v1//management/tenants", "//v1/management/tenants", "/v1/management//tenants", "/v1/%6danagement/tenants",
				"/v1/management%2Ftenants", "/v1%2Fmanagement/tenants", "/%76%31/management/tenants", "/v1/client/../management/tenants",
				"/v1/client/%2e%2e/management/tenants", "/v1/users/../management/tenants", "/v1/./management/tenants", "/v1/Management/tenants",
				"/v1/management/tenants/", "/v1/management;/tenants", "/v1/management/tenants?x=/v1/users", "/v1/client/%2F..%2Fmanagement/tenants",
			},
		},
		{
			map[string]string{"a page": bearer, "an operator": basic(managementKey), "a caller without a key": "", "a page, as a key": basic(tr.token)},
			[]string{
				"/v1/users/" + u.id + "/authenticators", "/v1//users/" + u.id + "/authenticators", "//v1/users/" + u.id + "/authenticators",
				"/v1/%75sers/" + u.id + "/authenticators", "/v1/client/../users/" + u.id + "/authenticators", "/v1/client/%2e%2e/users/" + u.id + "/authenticators",
				"/v1/management/../users/" + u.id + "/authenticators", "/v1/users/" + u.id + "/authenticators/", "/v1/users%2F" + u.id + "/authenticators",
			},
		},
		{
			map[string]string{"a backend": basic(secretKey), "an operator": basic(managementKey), "a caller without a key": ""},
			[]string{
				"/v1/client/user-authenticators", "/v1//client/user-authenticators", "/v1/%63lient/user-authenticators", "/v1/client%2Fuser-authenticators",
				"/v1/users/../client/user-authenticators",
			},
		},
	} {
		for name, authorization := range tt.names {
			for _, path := range tt.paths {
				r, _ := s.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + authorization + "\r\n\r\n")
				if r.status < 400 || r.status >= 500 || r.object["errorCode"] == nil {
					t.Errorf("%s: GET %s: got %d %s, want a refusal in JSON", name, path, r.status, r.text)
				}
			}
		}
	}
	s.operator("GET", "/tenants", "").ok()
	s.do("GET", "/v1//management//tenants", basic(managementKey), "").ok()
	s.backend("GET", "/users/"+u.id+"/authenticators", "").ok()
	tr.list().ok()
}

func TestPathsThatAreNotHereAreNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{
		"POST /v1/users/authenticators", "GET /v1/users/u/devices", "DELETE /v1/users/u/devices/d", "POST /v1/challenge", "POST /v1/verify", "POST /v1/claim",
		"GET /v1/challenges", "POST /v1/sessions", "POST /v1/sessions/validate", "POST /v1/sessions/refresh", "POST /v1/sessions/revoke",
		"POST /v1/sessions/user/revoke", "GET /v1/no-such-path",
	} {
		method, path, _ := strings.Cut(path, " ")
		r := s.do(method, path, basic(secretKey), `{"email":"batch@example.com"}`)
		r.refused(http.StatusNotFound, "not_found").says(path)
		if r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got Content-Type %q", r.what, r.header.Get("Content-Type"))
		}
		// Only backends get their names.
		s.do(method, path, "", "").refused(http.StatusUnauthorized, "unauthorized")
	}
	// A base URL that is wrong is no secret: without a key, the answer has the right one.
	for _, path := range []string{"/v1/v1/challenges", "/users/u"} {
		s.do("GET", path, "", "").refused(http.StatusNotFound, "not_found").says("base URL")
	}
	s.backend("POST", "/users/authenticators", `{"username":"batch"}`).refused(http.StatusNotFound, "not_found")
	for _, filter := range []string{"email=batch@example.com", "username=batch"} {
		if got := s.backend("GET", "/users?"+filter, "").ok().object["users"].([]any); len(got) != 0 {
			t.Errorf("%s: got %v, want no user", filter, got)
		}
	}
	// The same call creates a user of any other name.
	s.backend("POST", "/users/jane", `{"email":"batch@example.com"}`).ok()
	if got := s.backend("GET", "/users?email=batch@example.com", "").ok().object["users"].([]any); len(got) != 1 {
		t.Errorf("got %v, want jane", got)
	}
}

func TestUsersCarryTheirID(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	for _, id := range []string{u.id, "unknown"} {
		if got := s.backend("GET", "/users/"+id, "").ok().object["userId"]; got != id {
			t.Errorf("got userId %v, want %s", got, id)
		}
	}
}

// Some requests are answered before they are read to the end.
func TestABodyThatIsNotReadIsAnswered(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := s.enrolledUser()
	tr := u.track("signIn", "")
	for _, request := range []string{
		"POST /v1/validate HTTP/1.1\r\nAuthorization: " + basic("wrong"),
		"POST /v1/client/verify/totp HTTP/1.1\r\nAuthorization: Bearer wrong",
		"POST /v1/client/user-authenticators/totp HTTP/1.1\r\nAuthorization: Bearer " + tr.token,
		"POST /v1/no-such-path HTTP/1.1\r\nAuthorization: " + basic(secretKey),
	} {
		r, took := s.raw(request + "\r\nHost: x\r\nContent-Length: 40\r\n\r\n{")
		if took > 12*time.Second || r.status < 400 || r.status >= 500 {
			t.Errorf("%s: got %d after %v, want a refusal within 5 s", r.what, r.status, took)
		}
	}
}
