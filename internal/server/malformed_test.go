package server

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// exchange sends bytes to a server and reads one response.
func exchange(t *testing.T, s *httptest.Server, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestMalformedRequestsAreAnsweredInJSON(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "a handler's own text", http.StatusBadRequest)
	}))
	s.Config.MaxHeaderBytes = 1 << 10
	s.Listener = Listener(s.Listener)
	s.Start()
	defer s.Close()
	for _, tt := range []struct {
		request, says string
		status        int
	}{
		{"GET /v1/users/50%/actions HTTP/1.1\r\nHost: x\r\n\r\n", "%25", 400},
		{"GET /v1/users/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "%25", 400},
		{"nonsense\r\n\r\n", "not valid HTTP", 400},
		{"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: hunter2\r\n\r\n", "not valid HTTP", 501},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n", "headers", 431},
	} {
		res, text := exchange(t, s, tt.request)
		var body api.ErrorBody
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Errorf("%.40q: got %s, %v", tt.request, text, err)
		}
		if res.StatusCode != tt.status || res.Header.Get("Content-Type") != "application/json" ||
			body.Error != "invalid_request" || body.ErrorCode != body.Error || !strings.Contains(body.ErrorDescription, tt.says) {
			t.Errorf("%.40q: got %d %s", tt.request, res.StatusCode, text)
		}
		if strings.Contains(text, "hunter2") {
			t.Errorf("the answer quotes the request: %s", text)
		}
	}
	if res, text := exchange(t, s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); res.StatusCode != 400 || text != "a handler's own text\n" {
		t.Errorf("a handler's answer became %d %q", res.StatusCode, text)
	}
}

// An official SDK declares a length, but sends no body.
func TestAnIncompleteBodyIsAnswered(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, "POST /v1/users/u1/actions/signIn HTTP/1.1\r\nHost: x\r\nAuthorization: "+basic(testSecret)+
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"email\":")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 400 || !strings.Contains(string(b), "Content-Length") {
		t.Errorf("got %d %s, %v", res.StatusCode, b, err)
	}
}

func TestABodyInPartsIsRead(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	r, w := io.Pipe()
	go func() {
		for _, part := range []string{`{"email":`, `"a@b.org`, `"}`} {
			io.WriteString(w, part)
		}
		w.Close()
	}()
	req, err := http.NewRequest("POST", p.url+"/v1/users/u1/actions/signIn", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", basic(testSecret))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := p.ok(p.api("GET", "/v1/users/u1", "")).object["email"]; res.StatusCode != 200 || got != "a@b.org" {
		t.Errorf("got %d, email %v", res.StatusCode, got)
	}
}
