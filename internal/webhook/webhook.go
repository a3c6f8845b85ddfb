// Package webhook tells a tenant's backend what happened: it makes events,
// signs them and sends them. Its source is the public Authsignal API; the wire
// contract has it in section 8.
//
// A Sender makes one request, which is all that the server needs for the
// synchronous action.verify. A Deliverer sends the others from a durable
// outbox, which the store keeps; internal/daemon runs it.
//
// What is sent is sent at least once. A receiver that was cut off after its
// work, or whose answer was lost, gets the event again, with the same id; the
// order of events is that of their time, not of their arrival.
//
// The operator chooses the URL, and private addresses are fine: the receiver
// of a self-hosted server is usually on one. So nobody else may choose it: no
// request of a user or a backend changes it, a redirect is not followed (it
// would let the receiver choose), and of an answer only the status is used, so
// that a URL that points to the wrong place reads nothing from there.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Sign returns the value of api.HeaderSignature for a body sent at t: a
// signature with each secret, so that the receiver may know any one of them.
func Sign(secrets []string, body []byte, t time.Time) string {
	at := strconv.FormatInt(t.Unix(), 10)
	var header strings.Builder
	header.WriteString("t=" + at)
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		header.WriteString(",v2=" + base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return header.String()
}

// NewEvent makes an event of a type of the API, with the data that belongs to
// the type.
func NewEvent(tenantID, eventType string, data any, at time.Time) (store.Event, error) {
	e := store.Event{TenantID: tenantID, ID: uuid.NewString(), Type: eventType, CreatedAt: at}
	var err error
	e.Body, err = json.Marshal(api.Event{
		Version: api.EventVersion, ID: e.ID, Source: api.EventSource,
		Time: api.Time{Time: at}, TenantID: tenantID, Type: eventType, Data: data,
	})
	if err != nil {
		return store.Event{}, fmt.Errorf("encode %s event: %w", eventType, err)
	}
	return e, nil
}

// URLChanged is the audit line of a new URL, or of none, of a tenant. It names
// the receiver's host; the path and the query may hold a secret.
func URLChanged(to string, now time.Time) store.AuditEvent {
	host := ""
	if u, err := url.Parse(to); err == nil {
		host = u.Host
	}
	return store.Configured(store.ChangeWebhook, map[string]any{"host": host}, now)
}

// CheckURL reports what is wrong with the URL of a receiver. The error does
// not quote it: its path or query may hold a secret.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the webhook URL must be an http or https URL without user name, password and fragment")
	}
	return nil
}
