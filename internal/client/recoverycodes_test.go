package client

import (
	"reflect"
	"strings"
	"testing"
)

func TestRequestsForRecoveryCodes(t *testing.T) {
	t.Parallel()
	const base = "https://api.example.com/v1/client/"
	for _, tt := range []struct {
		got  func() (*Request, Result)
		want Request
	}{
		{func() (*Request, Result) { return testClient.RecoveryCodes("tok") }, Request{"GET", base + "recovery-codes", "tok", ""}},
		{func() (*Request, Result) { return testClient.MakeRecoveryCodes("tok") }, Request{"POST", base + "recovery-codes", "tok", ""}},
		{
			func() (*Request, Result) { return testClient.ConfirmRecoveryCodes("tok", "", true) },
			Request{"POST", base + "recovery-codes/confirm", "tok", `{"saved":true}`},
		},
		{
			func() (*Request, Result) { return testClient.ConfirmRecoveryCodes("tok", "7kqf 2MXR\u20139tba", false) },
			Request{"POST", base + "recovery-codes/confirm", "tok", `{"recoveryCode":"7kqf2MXR9tba"}`},
		},
		{
			func() (*Request, Result) { return testClient.VerifyRecoveryCode("tok", "\"\\é7KQF-2MXR") },
			Request{"POST", base + "verify/recovery-code", "tok", `{"recoveryCode":"???7KQF2MXR"}`},
		},
		{
			func() (*Request, Result) { return testClient.VerifyRecoveryCode("tok", strings.Repeat("x", 1000)) },
			Request{"POST", base + "verify/recovery-code", "tok", `{"recoveryCode":"` + strings.Repeat("x", 64) + `"}`},
		},
	} {
		if got, _ := tt.got(); !reflect.DeepEqual(got, &tt.want) {
			t.Errorf("got %v, want %v", got, tt.want)
		}
	}
	_, result := testClient.RecoveryCodes("")
	if got := code(t, result); got != "token_not_set" {
		t.Errorf("without a token: got %s", got)
	}
}
