package authsignal

import (
	"reflect"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// The types of results have the fields of the API's, which are written out so that
// go doc shows them; times are those of the standard library.
func TestResultsHaveTheFieldsOfTheAPI(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want any }{
		{TrackResponse{}, api.TrackResponse{}},
		{ValidateResponse{}, api.ValidateResponse{}},
		{Action{}, api.Action{}},
		{ListedAction{}, api.ListedAction{}},
		{User{}, api.User{}},
		{UpdatedUser{}, api.UpdatedUser{}},
		{QueryUsersResponse{}, api.QueryUsersResponse{}},
		{UserAuthenticator{}, api.UserAuthenticator{}},
		{AuthenticatorCreated{}, api.AuthenticatorCreated{}},
		{AuthenticatorDeleted{}, api.AuthenticatorDeleted{}},
		{AuthenticatorLocked{}, api.AuthenticatorLocked{}},
		{AuthenticatorUnlocked{}, api.AuthenticatorUnlocked{}},
		{AuthenticatorRenamed{}, api.AuthenticatorRenamed{}},
		{RecoveryCodesStatus{}, api.RecoveryCodesStatus{}},
		{RecoveryCodesCreated{}, api.RecoveryCodesCreated{}},
		{RecoveryCodeUsed{}, api.RecoveryCodeUsed{}},
		{RecoveryCodesRunningOut{}, api.RecoveryCodesRunningOut{}},
		{RecoveryCodesVoided{}, api.RecoveryCodesVoided{}},
		{CodesGuessed{}, api.CodesGuessed{}},
		{TrustedBrowser{}, api.TrustedBrowser{}},
		{TrustedBrowserCreated{}, api.TrustedBrowserCreated{}},
		{TrustedBrowserCopied{}, api.TrustedBrowserCopied{}},
		{RecoveryLink{}, api.RecoveryLink{}},
		{RecoveryLinkIssued{}, api.RecoveryLinkIssued{}},
		{RecoveryLinkApproved{}, api.RecoveryLinkApproved{}},
		{RecoveryLinkUsed{}, api.RecoveryLinkUsed{}},
		{ActionVerify{}, api.ActionVerify{}},
	} {
		sameFields(t, reflect.TypeOf(tt.got), reflect.TypeOf(tt.want))
	}
}

func sameFields(t *testing.T, got, want reflect.Type) {
	t.Helper()
	switch {
	case got == want, got == reflect.TypeFor[time.Time]() && want == reflect.TypeFor[api.Time]():
	case got.Kind() != want.Kind():
		t.Errorf("got %v, want %v", got, want)
	case got.Kind() == reflect.Pointer, got.Kind() == reflect.Slice:
		sameFields(t, got.Elem(), want.Elem())
	case got.Kind() != reflect.Struct || got.NumField() != want.NumField():
		t.Errorf("got %v, want %v", got, want)
	default:
		for i := range got.NumField() {
			g, w := got.Field(i), want.Field(i)
			if g.Name != w.Name || g.Tag != w.Tag {
				t.Errorf("%v: got the field %s %s, want %s %s", got, g.Name, g.Tag, w.Name, w.Tag)
			}
			sameFields(t, g.Type, w.Type)
		}
	}
}
