package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// Listener converts the responses of net/http to malformed requests to JSON.
// net/http writes them itself, without calling a handler, as text that the
// official SDKs cannot parse. A raw % in a path, which some SDKs send in a user
// id (wire contract, section 14), is such a request.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

// A conn is a connection to a client.
type conn struct{ net.Conn }

// errorHeaders follows the status line of such a response. A response of a handler
// never has it, because it has a Date header.
const errorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// Write converts a response of net/http to JSON. net/http writes it in one call.
func (c conn) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		if line, _, own := strings.Cut(string(b[:min(len(b), 512)]), errorHeaders); own {
			if _, err := c.Conn.Write(malformed(line)); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	}
	return c.Conn.Write(b)
}

// malformed returns the JSON response with the status of a status line.
func malformed(line string) []byte {
	status := http.StatusBadRequest
	// If the status line has another form, the status stays 400.
	_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &status)
	e := &api.Error{Status: status, Code: api.CodeInvalidRequest, Description: "The request is not valid HTTP. " +
		"If its path has a %, such as in a user id, send it as %25."}
	if status == http.StatusRequestHeaderFieldsTooLarge {
		e.Description = "The headers of the request are too large."
	}
	body, err := json.Marshal(errorBody(e))
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n%s", status, http.StatusText(status), len(body), body)
}
