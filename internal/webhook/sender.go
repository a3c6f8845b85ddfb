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

// Time-outs of a request, from its start to the end of the response.
const (
	// DeliverTimeout is that of the events that the outbox keeps.
	DeliverTimeout = 10 * time.Second
	// VerifyTimeout is that of action.verify, during which a user waits (wire
	// contract, section 11).
	VerifyTimeout = 5 * time.Second
)

// maxResponse is how much of a response is read, in bytes. After that the
// connection is closed.
const maxResponse = 64 << 10

// userAgent is the User-Agent of the requests.
const userAgent = "authsignal-server"

// A Target is the receiver of a tenant's events.
type Target struct {
	// URL is one that CheckURL accepts; if empty, there is no receiver.
	URL string
	// Secrets are those that sign; see store.SigningSecrets.
	Secrets []string
}

// A Sender sends events. Its methods may be called from several goroutines.
type Sender struct {
	client http.Client
}

// NewSender returns a sender whose requests have a time-out.
func NewSender(timeout time.Duration) *Sender {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxResponse
	// The body of a response is not used, so it need not be decompressed.
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

// Send signs a body and posts it to a target. It succeeds if the response has a
// status of 200 to 299; any other is a StatusError. Errors have at most the address
// of the receiver and the status of the response.
func (s *Sender) Send(ctx context.Context, target Target, body []byte, now time.Time) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader(body))
	if err != nil {
		return CheckURL(target.URL)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set(api.HeaderSignature, Sign(target.Secrets, body, now))
	// An empty one is not sent, but makes net/http repeat the request if the
	// receiver has just closed the idle connection.
	req.Header["Idempotency-Key"] = []string{}
	res, err := s.client.Do(req)
	if err != nil {
		return withoutQuotes(err)
	}
	defer res.Body.Close()
	// Read to the end, so that the connection can be used again. The status
	// decides: an error from here on is not one of the event.
	io.CopyN(io.Discard, res.Body, maxResponse)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return StatusError(res.StatusCode)
	}
	return nil
}

// withoutQuotes returns an error of net/http without what it quotes: the URL, or a
// response that is not HTTP.
func withoutQuotes(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	var network net.Error
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &network) || errors.As(err, &certificate) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New("the response is not HTTP; check whether the receiver speaks http or https")
}
