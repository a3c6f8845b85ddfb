// Package webhook reports events to a tenant's backend: it encodes, signs and sends
// them. Its source is the public Authsignal API (wire contract, section 8).
//
// A Sender makes single requests, such as the synchronous action.verify of
// internal/server. A Deliverer sends the other events from a durable outbox in the
// store; internal/daemon runs it.
//
// Events are sent at least once. If a receiver's response is lost, it gets the event
// again, with the same id. Events may arrive out of order; their times have the
// order.
//
// The operator chooses the URL, which may have a private address, as receivers of
// self-hosted servers usually do. So only the operator may choose it: no request of a user
// or a backend changes it, redirects are not followed (the receiver would choose),
// and only the status of a response is used, so that a wrong URL reveals nothing.
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

// Sign returns the value of api.HeaderSignature for a body sent at t: a signature
// with each secret, so that the receiver needs only one of them.
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

// NewEvent returns an event of a type of the API, with the data of that type.
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

// URLChanged is the audit line of a new URL of a tenant, or of none. It has the
// receiver's host; the path and the query may hold a secret.
func URLChanged(to string, now time.Time) store.AuditEvent {
	host := ""
	if u, err := url.Parse(to); err == nil {
		host = u.Host
	}
	return store.Configured(store.ChangeWebhook, map[string]any{"host": host}, now)
}

// CheckURL returns an error if the URL of a receiver is wrong. The error does not
// quote it: its path or query may hold a secret.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the webhook URL must be an http or https URL without user name, password and fragment")
	}
	return nil
}
