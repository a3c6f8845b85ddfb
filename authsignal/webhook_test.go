package authsignal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	webhookSecret = "test-secret-key-123"
	webhookTime   = 1740016316
)

var webhookNow = time.Unix(webhookTime, 0)

// signWebhook signs by the wire contract, with other code than the package.
func signWebhook(secret string, at int64, payload string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at, payload)
	return strings.TrimRight(base64.StdEncoding.EncodeToString(mac.Sum(nil)), "=")
}

func signed(payload string) string {
	return fmt.Sprintf("t=%d,v2=%s", webhookTime, signWebhook(webhookSecret, webhookTime, payload))
}

func envelope(eventType, data string) string {
	return `{"version":1,"id":"e1","source":"https://authsignal.com","time":"2025-01-01T00:00:00.000Z","tenantId":"t","type":"` +
		eventType + `","data":` + data + `}`
}

func TestVerifyWebhookVector(t *testing.T) {
	t.Parallel()
	var v struct {
		Secret, Header, Body string
		T                    int64
	}
	b, err := os.ReadFile("../internal/webhook/testdata/webhook.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	got, err := New(v.Secret, "").VerifyWebhook([]byte(v.Body), v.Header, -1)
	if err != nil {
		t.Fatal(err)
	}
	want := Event{
		Type: "authenticator.created", ID: "1", Source: "https://authsignal.com",
		Time: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), TenantID: "t",
		Data: AuthenticatorCreated{UserID: "u", VerificationMethod: AuthenticatorApp},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = New(v.Secret, "").VerifyWebhook([]byte(v.Body), v.Header, DefaultWebhookTolerance)
	if !errors.Is(err, ErrWebhookTooOld) || !strings.HasPrefix(err.Error(), "authsignal: verify webhook: ") {
		t.Errorf("with a tolerance: got %v", err)
	}
}

func TestVerifyWebhookDataIsTyped(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 13, 4, 59, 2, 640e6, time.UTC)
	for _, tt := range []struct {
		eventType, data string
		want            any
	}{
		{
			EventAuthenticatorCreated,
			`{"userId":"u","userAuthenticatorId":"a","verificationMethod":"AUTHENTICATOR_APP","createdAt":"2024-05-13T04:59:02.640Z"}`,
			AuthenticatorCreated{UserID: "u", UserAuthenticatorID: "a", VerificationMethod: AuthenticatorApp, CreatedAt: at},
		},
		{
			EventAuthenticatorDeleted,
			`{"userId":"u","userAuthenticatorId":"a","verificationMethod":"SMS","createdAt":"2024-05-13T04:59:02.640Z","deletedAt":"2024-05-13T04:59:02.640Z","new":1}`,
			AuthenticatorDeleted{UserID: "u", UserAuthenticatorID: "a", VerificationMethod: "SMS", CreatedAt: at, DeletedAt: at},
		},
		{
			EventAuthenticatorLocked,
			`{"userId":"u","userAuthenticatorId":"a","lockedAt":"2024-05-13T04:59:02.640Z","failuresInARow":100,"needsUnlock":true}`,
			AuthenticatorLocked{UserID: "u", UserAuthenticatorID: "a", LockedAt: at, FailuresInARow: 100, NeedsUnlock: true},
		},
		{
			EventAuthenticatorUnlocked,
			`{"userId":"u","userAuthenticatorId":"a","unlockedAt":"2024-05-13T04:59:02.640Z"}`,
			AuthenticatorUnlocked{UserID: "u", UserAuthenticatorID: "a", UnlockedAt: at},
		},
		{
			EventAuthenticatorRenamed,
			`{"userId":"u","userAuthenticatorId":"a","name":"Work phone","renamedAt":"2024-05-13T04:59:02.640Z"}`,
			AuthenticatorRenamed{UserID: "u", UserAuthenticatorID: "a", Name: "Work phone", RenamedAt: at},
		},
		{EventRecoveryCodesCreated, `{"userId":"u","createdAt":"2024-05-13T04:59:02.640Z"}`, RecoveryCodesCreated{UserID: "u", CreatedAt: at}},
		{
			EventRecoveryCodeUsed,
			`{"userId":"u","action":"pay","idempotencyKey":"k","usedAt":"2024-05-13T04:59:02.640Z","recoveryCodesLeft":2}`,
			RecoveryCodeUsed{UserID: "u", Action: "pay", IdempotencyKey: "k", UsedAt: at, RecoveryCodesLeft: 2},
		},
		{
			EventRecoveryCodesRunningOut,
			`{"userId":"u","recoveryCodesLeft":2,"noticedAt":"2024-05-13T04:59:02.640Z"}`,
			RecoveryCodesRunningOut{UserID: "u", RecoveryCodesLeft: 2, NoticedAt: at},
		},
		{EventRecoveryCodesVoided, `{"userId":"u","voidedAt":"2024-05-13T04:59:02.640Z"}`, RecoveryCodesVoided{UserID: "u", VoidedAt: at}},
		{
			EventTrustedBrowserCreated,
			`{"userId":"u","browserId":"b","trustedAt":"2024-05-13T04:59:02.640Z","ipAddress":"192.0.2.1"}`,
			TrustedBrowserCreated{UserID: "u", BrowserID: "b", TrustedAt: at, IPAddress: "192.0.2.1"},
		},
		{
			EventTrustedBrowserCopied,
			`{"userId":"u","browserId":"b","noticedAt":"2024-05-13T04:59:02.640Z","lastUsedAt":"2024-05-13T04:59:02.640Z","lastUserAgent":"x"}`,
			TrustedBrowserCopied{UserID: "u", BrowserID: "b", NoticedAt: at, LastUsedAt: at, LastUserAgent: "x"},
		},
		{
			EventCodesGuessed,
			`{"userId":"u","wrongCodes":100,"since":"2024-05-13T04:59:02.640Z","noticedAt":"2024-05-13T04:59:02.640Z"}`,
			CodesGuessed{UserID: "u", WrongCodes: 100, Since: at, NoticedAt: at},
		},
		{
			EventRecoveryLinkIssued,
			`{"userId":"u","recoveryLinkId":"l","issuedAt":"2024-05-13T04:59:02.640Z","expiresAt":"2024-05-13T04:59:02.640Z","issuedBy":"Jo","void":["authenticators"],"needsApproval":true}`,
			RecoveryLinkIssued{UserID: "u", RecoveryLinkID: "l", IssuedAt: at, ExpiresAt: at, IssuedBy: "Jo", Void: []RecoveryLinkVoid{VoidAuthenticators}, NeedsApproval: true},
		},
		{
			EventRecoveryLinkApproved,
			`{"userId":"u","recoveryLinkId":"l","approvedAt":"2024-05-13T04:59:02.640Z","approvedBy":"Al"}`,
			RecoveryLinkApproved{UserID: "u", RecoveryLinkID: "l", ApprovedAt: at, ApprovedBy: "Al"},
		},
		{
			EventRecoveryLinkUsed,
			`{"userId":"u","recoveryLinkId":"l","usedAt":"2024-05-13T04:59:02.640Z","userAuthenticatorId":"a","void":[]}`,
			RecoveryLinkUsed{UserID: "u", RecoveryLinkID: "l", UsedAt: at, UserAuthenticatorID: "a", Void: []RecoveryLinkVoid{}},
		},
		{
			EventActionVerify,
			`{"userId":"u","action":"pay","idempotencyKey":"k","verifiedAt":"2024-05-13T04:59:02.640Z","state":"CHALLENGE_SUCCEEDED","verificationMethod":"AUTHENTICATOR_APP","userAuthenticatorId":"a"}`,
			ActionVerify{
				UserID: "u", Action: "pay", IdempotencyKey: "k", VerifiedAt: at,
				State: StateChallengeSucceeded, VerificationMethod: AuthenticatorApp, UserAuthenticatorID: "a",
			},
		},
		{"action.log_created", `{"records":[]}`, json.RawMessage(`{"records":[]}`)},
	} {
		p := envelope(tt.eventType, tt.data)
		got, err := verifyWebhook(webhookSecret, []byte(p), signed(p), 0, webhookNow)
		if err != nil || got.Type != tt.eventType || !reflect.DeepEqual(got.Data, tt.want) {
			t.Errorf("%s: got %+v, %v", tt.eventType, got, err)
		}
	}
}

func TestVerifyWebhookErrors(t *testing.T) {
	t.Parallel()
	p := envelope("x", "{}")
	good := signWebhook(webhookSecret, webhookTime, p)
	for name, tt := range map[string]struct {
		payload, header string
		want            error
	}{
		"no header":               {p, "", ErrWebhookSignatureFormat},
		"no time":                 {p, "v2=" + good, ErrWebhookSignatureFormat},
		"no signature":            {p, "t=1740016316", ErrWebhookSignatureFormat},
		"another version":         {p, "t=1740016316,v1=" + good, ErrWebhookSignatureFormat},
		"time in words":           {p, "t=now,v2=" + good, ErrWebhookSignatureFormat},
		"time below zero":         {p, "t=-1,v2=" + good, ErrWebhookSignatureFormat},
		"time of 30 digits":       {p, "t=" + strings.Repeat("1", 30) + ",v2=" + good, ErrWebhookSignatureFormat},
		"two times":               {p, "t=1740016316,t=1740016316,v2=" + good, ErrWebhookSignatureFormat},
		"another time":            {p, "t=1740016317,v2=" + good, ErrWebhookSignatureMismatch},
		"an empty signature":      {p, "t=1740016316,v2=", ErrWebhookSignatureMismatch},
		"a part of it":            {p, "t=1740016316,v2=" + good[:42], ErrWebhookSignatureMismatch},
		"padded":                  {p, "t=1740016316,v2=" + good + "=", ErrWebhookSignatureMismatch},
		"another secret":          {p, "t=1740016316,v2=" + signWebhook("other", webhookTime, p), ErrWebhookSignatureMismatch},
		"a changed payload":       {p + " ", "t=1740016316,v2=" + good, ErrWebhookSignatureMismatch},
		"not JSON":                {"{", signed("{"), ErrWebhookPayload},
		"an empty payload":        {"", signed(""), ErrWebhookPayload},
		"no event":                {"{}", signed("{}"), ErrWebhookPayload},
		"version 2":               {strings.Replace(p, ":1", ":2", 1), signed(strings.Replace(p, ":1", ":2", 1)), ErrWebhookPayload},
		"data of another type":    {envelope(EventActionVerify, "[]"), signed(envelope(EventActionVerify, "[]")), ErrWebhookPayload},
		"data is null":            {envelope("x", "null"), signed(envelope("x", "null")), ErrWebhookPayload},
		"a time that is none":     {strings.Replace(p, "2025", "soon", 1), signed(strings.Replace(p, "2025", "soon", 1)), ErrWebhookPayload},
		"an id that is a number":  {strings.Replace(p, `"e1"`, "1", 1), signed(strings.Replace(p, `"e1"`, "1", 1)), ErrWebhookPayload},
		"a tenant that is absent": {strings.Replace(p, `"tenantId":"t",`, "", 1), signed(strings.Replace(p, `"tenantId":"t",`, "", 1)), ErrWebhookPayload},
	} {
		_, err := verifyWebhook(webhookSecret, []byte(tt.payload), tt.header, 0, webhookNow)
		if !errors.Is(err, tt.want) || strings.Contains(err.Error(), webhookSecret) || strings.Contains(err.Error(), good) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// During a rotation of the key there is a signature by each.
func TestVerifyWebhookTakesAnyOfTheSignatures(t *testing.T) {
	t.Parallel()
	p := envelope("x", "{}")
	other, good := signWebhook("other", webhookTime, p), signWebhook(webhookSecret, webhookTime, p)
	for _, header := range []string{
		"t=1740016316,v2=" + other + ",v2=" + good,
		"t=1740016316,v2=" + good + ",v2=" + other,
		"v2=" + good + ", v3=later, t=1740016316",
	} {
		if _, err := verifyWebhook(webhookSecret, []byte(p), header, 0, webhookNow); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestVerifyWebhookTolerance(t *testing.T) {
	t.Parallel()
	p := envelope("x", "{}")
	for _, tt := range []struct {
		tolerance, age time.Duration
		want           error
	}{
		{DefaultWebhookTolerance, 5 * time.Minute, nil},
		{DefaultWebhookTolerance, 5*time.Minute + time.Second, ErrWebhookTooOld},
		{time.Second, time.Second + 1, ErrWebhookTooOld},
		{DefaultWebhookTolerance, -time.Hour, nil}, // the receiver's clock is slow
		{0, 10 * 365 * 24 * time.Hour, nil},
		{-1, 10 * 365 * 24 * time.Hour, nil},
	} {
		_, err := verifyWebhook(webhookSecret, []byte(p), signed(p), tt.tolerance, webhookNow.Add(tt.age))
		if err != tt.want {
			t.Errorf("tolerance %v, age %v: got %v, want %v", tt.tolerance, tt.age, err, tt.want)
		}
	}
	// The error for an unsigned webhook does not report whether it is old.
	if _, err := verifyWebhook(webhookSecret, []byte(p), "t=1,v2=x", time.Second, webhookNow); err != ErrWebhookSignatureMismatch {
		t.Errorf("got %v", err)
	}
}

func TestVerifyWebhookWithoutASecret(t *testing.T) {
	t.Parallel()
	p := envelope("x", "{}")
	header := "t=1740016316,v2=" + signWebhook("", webhookTime, p)
	if _, err := verifyWebhook("", []byte(p), header, 0, webhookNow); err == nil {
		t.Error("what anyone can sign was accepted")
	}
}

func FuzzVerifyWebhook(f *testing.F) {
	p := envelope(EventActionVerify, `{"userId":"u"}`)
	f.Add([]byte(p), signed(p))
	f.Add([]byte(`{"version":1,"data":null}`), "t=,v2=")
	f.Fuzz(func(t *testing.T, payload []byte, header string) {
		kept := bytes.Clone(payload)
		e, err := verifyWebhook(webhookSecret, payload, header, 0, webhookNow)
		if !bytes.Equal(payload, kept) {
			t.Fatal("the payload was changed")
		}
		if err == nil && !strings.Contains(header, "v2=") {
			t.Fatal("accepted without a signature")
		}
		if err != nil && !reflect.DeepEqual(e, Event{}) {
			t.Fatal("an error comes with an event")
		}
		// With the right signature, only the payload can be invalid, and an
		// accepted event is complete.
		e, err = verifyWebhook(webhookSecret, payload, signed(string(payload)), 0, webhookNow)
		switch {
		case err == nil:
			if e.ID == "" || e.Type == "" || e.TenantID == "" || e.Time.IsZero() || e.Data == nil {
				t.Fatalf("got %+v", e)
			}
		case !errors.Is(err, ErrWebhookPayload):
			t.Fatalf("got %v", err)
		}
		// With one bit changed, it is refused.
		changed := append(kept, 0)
		if _, err := verifyWebhook(webhookSecret, changed, signed(string(payload)), 0, webhookNow); err != ErrWebhookSignatureMismatch {
			t.Fatalf("changed: got %v", err)
		}
	})
}
