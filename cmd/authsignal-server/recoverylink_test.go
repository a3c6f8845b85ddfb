package main

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// Of any number of holders of a recovery link, also on two replicas, one enrolls an app.
func TestTheSameRecoveryLinkTwoHundredTimesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.enrolled("u1")
	link, err := f.next().client.IssueRecoveryLink(t.Context(), authsignal.IssueRecoveryLinkRequest{
		UserID: "u1", Void: []authsignal.RecoveryLinkVoid{authsignal.VoidAuthenticators},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, holder, _ := strings.Cut(link.URL, "?recovery=")
	begun, ok := f.next().try("/recovery/enroll", "", `{"secret":"`+holder+`"}`)
	if !ok {
		t.Fatal("the enrollment did not begin")
	}
	app := begun["secret"].(string)
	var accepted, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			code := codeAt(app, int64(i%2))
			if v, ok := f.next().try("/recovery/verify", "", `{"secret":"`+holder+`","verificationCode":"`+code+`"}`); ok && v["isVerified"] == true {
				accepted.Add(1)
			} else if !ok {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if a, r := accepted.Load(), refused.Load(); a != 1 || r != 199 {
		t.Errorf("accepted %d times, refused %d times", a, r)
	}
	list, err := f.next().client.Authenticators(t.Context(), "u1")
	if err != nil || len(list) != 1 || list[0].UserAuthenticatorID != begun["userAuthenticatorId"] {
		t.Errorf("got %+v, %v", list, err)
	}
	for kind, want := range map[string]int{"recovery_link.used": 1, "authenticator.deleted": 1, "enrollment.completed": 2} {
		var n int
		if err := storetest.Connect(t, f.database).QueryRow(`SELECT COUNT(*) FROM audit WHERE kind = '` + kind + `'`).Scan(&n); err != nil || n != want {
			t.Errorf("%s: got %d lines, %v, want %d", kind, n, err, want)
		}
	}
	checked(t, f.database)
}
