package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// Time-outs of a request, from its start to the end of the answer.
const (
	// DeliverTimeout is that of the events that the outbox keeps.
	DeliverTimeout = 10 * time.Second
	// VerifyTimeout is that of action.verify, for which a user waits (wire
	// contract, section 11).
	VerifyTimeout = 5 * time.Second
)

// maxAnswer is how much of an answer is read, in bytes. The rest is cut off
// with the connection.
const maxAnswer = 64 << 10

// userAgent names this program to receivers.
const userAgent = "authsignal-server"

// A Target is where a tenant's events go.
type Target struct {
	// URL is one that CheckURL accepts; empty means nowhere.
	URL string
	// Secrets are the tenant's active API secret keys.
	Secrets []string
}

// A Sender sends events. Its methods may be called from several goroutines.
type Sender struct {
	client http.Client
}

// NewSender returns a sender whose requests end after a time-out.
func NewSender(timeout time.Duration) *Sender {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxAnswer
	// An answer is thrown away; it need not be unpacked first.
	transport.DisableCompression = true
	transport.MaxIdleConnsPerHost = share
	return &Sender{http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// A StatusError is the HTTP status of a receiver that did not take an event.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

// Send signs a body and posts it to a target. It succeeds if the answer has a
// status of 200 to 299; another one is a StatusError. Errors name at most the address of the receiver, and of
// the answer nothing but its status.
func (s *Sender) Send(ctx context.Context, target Target, body []byte, now time.Time) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader(body))
	if err != nil {
		return CheckURL(target.URL)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set(api.HeaderSignature, Sign(target.Secrets, body, now))
	// Not sent, being empty, but it lets net/http send the request once more
	// when the receiver has just closed the connection that was kept open.
	req.Header["Idempotency-Key"] = []string{}
	res, err := s.client.Do(req)
	if err != nil {
		return unanswered(err)
	}
	defer res.Body.Close()
	// Read to its end, so that the connection can be used again. The status
	// has been given: what goes wrong from here on is not the event's fault.
	io.CopyN(io.Discard, res.Body, maxAnswer)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return StatusError(res.StatusCode)
	}
	return nil
}

// unanswered takes out of an error of net/http what it quotes: the URL, and an
// answer that is not HTTP.
func unanswered(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	var network net.Error
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &network) || errors.As(err, &certificate) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New("the answer is not one of HTTP, or of the other of http and https")
}
