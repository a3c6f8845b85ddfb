package server

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestUpdateUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	// The seven attributes of the official Node suite. The user is created.
	body := `{"email":"j@e.org","emailVerified":true,"phoneNumber":"1234567890","phoneNumberVerified":true,"username":"jane","displayName":"Jane","custom":{"plan":"pro","Seats":3,"beta":true}}`
	r := p.ok(p.api("PATCH", "/v1/users/u1", body))
	custom := map[string]any{"plan": "pro", "Seats": 3.0, "beta": true}
	full := map[string]any{
		"userId": "u1", "email": "j@e.org", "emailVerified": true, "phoneNumber": "1234567890", "phoneNumberVerified": true,
		"username": "jane", "displayName": "Jane", "custom": custom,
	}
	if !reflect.DeepEqual(r.object, full) {
		t.Errorf("got %s, want %v", r.text, full)
	}
	// Other attributes are kept; a null or an empty text clears one; POST is PATCH.
	for _, step := range []struct{ method, body, key, want string }{
		{"PATCH", ``, "email", "j@e.org"},
		{"PATCH", `{}`, "email", "j@e.org"},
		{"POST", `{"locale":"de","defaultVerificationMethod":"SMS"}`, "locale", "de"},
		{"PATCH", `{"username":null}`, "username", "<nil>"},
		{"PATCH", `{"email":""}`, "email", "<nil>"},
		{"PATCH", `{"emailVerified":null}`, "emailVerified", "false"},
		{"PATCH", `{"custom":{"x":"y"}}`, "custom", "map[x:y]"},
		{"PATCH", `{"displayName":"D"}`, "custom", "map[x:y]"},
		{"PATCH", `{"custom":null,"defaultVerificationMethod":null,"locale":null}`, "custom", "<nil>"},
	} {
		r := p.ok(p.api(step.method, "/v1/users/u1", step.body))
		if got := fmt.Sprint(r.object[step.key]); got != step.want {
			t.Errorf("%s: got %s", step.body, r.text)
		}
	}
	got := p.ok(p.api("GET", "/v1/users/u1", "")).object
	left := map[string]any{
		"userId": "u1", "isEnrolled": false, "emailVerified": false, "phoneNumber": "1234567890", "phoneNumberVerified": true, "displayName": "D",
		"allowedVerificationMethods": []any{"AUTHENTICATOR_APP"}, "enrolledVerificationMethods": []any{},
	}
	if !reflect.DeepEqual(got, left) {
		t.Errorf("got %v, want %v", got, left)
	}
	p.ok(p.api("PATCH", "/v1/users/u1", `{"custom":{"x":1}}`))
	if got := fmt.Sprint(p.ok(p.api("GET", "/v1/users/u1", "")).object["custom"]); got != "map[x:1]" {
		t.Errorf("custom: got %v", got)
	}
}

func TestUpdateUserRefuses(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for body, want := range map[string]string{
		`{"email":737373}`:                                    "email must be a string",
		`{"emailVerified":"737373"}`:                          "emailVerified must be a boolean",
		`{"custom":[737373]}`:                                 "custom must be an object",
		`{"custom":{"a":{"b":737373}}}`:                       `"a"`,
		`{"defaultVerificationMethod":"FAX737373"}`:           "defaultVerificationMethod",
		`{"email":"` + strings.Repeat("e", 257) + `"}`:        "email must have at most 256",
		`{"displayName":"` + strings.Repeat("é", 1025) + `"}`: "displayName must have at most 2048 bytes",
		`[]`: "JSON object",
		`{`:  "not valid JSON",
	} {
		r := p.api("PATCH", "/v1/users/u1", body)
		p.fails(r, 400, "invalid_request")
		if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, want) || strings.Contains(d, "737373") {
			t.Errorf("%.40s: got %q, want it to say %q", body, d, want)
		}
	}
	p.ok(p.api("PATCH", "/v1/users/u1", `{"email":"`+strings.Repeat("🔐", 256)+`","displayName":"`+strings.Repeat("é", 1024)+`"}`))
}

// PostgreSQL cannot store a NUL.
func TestNULIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const track, user, factors = "/v1/users/u1/actions/signIn", "/v1/users/u1", "/v1/users/u1/authenticators"
	for _, tt := range []struct{ path, field, body string }{
		{track, "email", `{"email":"a\u0000"}`}, {track, "phoneNumber", `{"phoneNumber":"\u0000"}`},
		{track, "username", `{"username":"\u0000"}`}, {track, "locale", `{"locale":"\u0000"}`},
		{track, "ipAddress", `{"ipAddress":"\u0000"}`}, {track, "userAgent", `{"userAgent":"\u0000"}`},
		{track, "deviceId", `{"deviceId":"\u0000"}`}, {track, "redirectUrl", `{"redirectUrl":"\u0000"}`},
		{track, "scope", `{"scope":"\u0000"}`}, {track, "idempotencyKey", `{"idempotencyKey":"\u0000"}`},
		{track, "custom", `{"custom":{"a":"\u0000"}}`}, {track, "custom", `{"custom":{"\u0000":1}}`},
		{user, "email", `{"email":"a\u0000"}`}, {user, "phoneNumber", `{"phoneNumber":"\u0000"}`},
		{user, "username", `{"username":"\u0000"}`}, {user, "displayName", `{"displayName":"\u0000"}`},
		{user, "locale", `{"locale":"\u0000"}`}, {user, "custom", `{"custom":{"a":"b\u0000"}}`}, {user, "custom", `{"custom":{"\u0000":1}}`},
		{user, "defaultVerificationMethod", `{"defaultVerificationMethod":"SMS\u0000"}`},
		{factors, "email", `{"verificationMethod":"EMAIL_OTP","email":"\u0000"}`},
		{factors, "phoneNumber", `{"verificationMethod":"SMS","phoneNumber":"\u0000"}`},
		{factors, "otpUri", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/a\u0000?secret=GEZDGNBVGY3TQOJQ"}`},
	} {
		r := p.api("POST", tt.path, tt.body)
		p.fails(r, 400, "invalid_request")
		if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, tt.field) {
			t.Errorf("%s: got %q", tt.body, d)
		}
	}
	// A row of an index must fit a page of the database.
	long := strings.Repeat("\U0010FFFF", 257)
	p.fails(p.api("POST", track, `{"email":"`+long+`"}`), 400, "invalid_request")
	p.ok(p.api("POST", track, `{"email":"`+long[:4*256]+`","deviceId":"`+long+`"}`))
	// The six characters \u0000 are not a NUL, and unknown fields may have one.
	p.ok(p.api("POST", track, `{"email":"\\u0000","unknown":"\u0000"}`))
	for _, path := range []string{
		"/v1/users/%00", "/v1/users/u1/authenticators/%00", "/v1/users?email=%00", "/v1/users?username=a%00", "/v1/users?phoneNumber=%00",
		"/v1/users?email=a&lastEvaluatedUserId=%00", "/v1/users?email=%FF",
	} {
		method := "GET"
		if strings.Contains(path, "authenticators/") {
			method = "DELETE"
		}
		p.fails(p.api(method, path, ""), 400, "invalid_request")
	}
}

func TestDeleteUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	p.enrolled("u2")
	p.track("u1", "signIn", `{"idempotencyKey":"k","email":"j@e.org"}`)
	for range 2 { // deleting an unknown user succeeds too
		if got := p.ok(p.api("DELETE", "/v1/users/u1", "")).text; got != `{"success":true}`+"\n" {
			t.Errorf("got %s", got)
		}
	}
	got := p.ok(p.api("GET", "/v1/users/u1", "")).object
	if _, there := got["email"]; there || got["isEnrolled"] != false {
		t.Errorf("got %v", got)
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).text; got != "[]\n" {
		t.Errorf("authenticators: got %s", got)
	}
	// Actions are kept, unless the request deletes them too.
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("got %s", got)
	}
	p.put("u1", "signIn", "k", "BLOCK")
	p.ok(p.api("DELETE", "/v1/users/u1?actions=true", ""))
	p.fails(p.api("GET", "/v1/users/u1/actions/signIn/k", ""), 404, "not_found")
	if got := p.ok(p.api("GET", "/v1/users/u1/actions", "")).text; got != "[]\n" {
		t.Errorf("actions: got %s", got)
	}
	// Another user is still there.
	if got := p.track("u2", "signIn", "")["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("another user: got %v", got)
	}
}

// Section 11, row 21: even if the user is tracked again within the same second,
// which the times in a token cannot distinguish.
func TestTokensOfADeletedUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	track := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	access := p.accepted(p.verify(track, p.code(secret, 1))).object["accessToken"].(string)
	refused := func() {
		t.Helper()
		for _, tok := range []string{track, access} {
			p.fails(p.enroll(tok), 401, "unauthorized")
			p.fails(p.verify(tok, "123456"), 401, "unauthorized")
			p.fails(p.do("GET", "/v1/client/user-authenticators", "Bearer "+tok, ""), 401, "unauthorized")
			p.fails(p.do("POST", "/v1/client/init", "Bearer "+tok, "{}"), 401, "unauthorized")
			if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).text; got != `{"isValid":false,"error":"Token is invalid."}`+"\n" {
				t.Errorf("validate: got %s", got)
			}
			if got := p.ok(p.api("GET", "/v1/users?token="+tok, "")).text; got != `{"users":[]}`+"\n" {
				t.Errorf("query: got %s", got)
			}
		}
	}
	p.ok(p.api("DELETE", "/v1/users/u1", ""))
	refused()
	again := p.token("u1", "signIn", `{"idempotencyKey":"k2"}`)
	refused()
	p.ok(p.enroll(again))
}

func TestDeletingAUserWhileOthersTrackIt(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range 10 {
				if i == 0 {
					p.ok(p.api("DELETE", "/v1/users/u1", ""))
				} else if r := p.enroll(p.token("u1", "signIn", `{"email":"e"}`)); r.status != 401 {
					p.ok(r)
				}
			}
		})
	}
	wg.Wait()
}

// queriedPeer returns a server with 25 users of one e-mail address, and jane with two
// authenticators.
func queriedPeer(t *testing.T) *peer {
	t.Helper()
	p := newPeer(t)
	for i := range 25 {
		p.ok(p.api("PATCH", fmt.Sprintf("/v1/users/user-%02d", i), `{"email":"all@e.org","displayName":"D"}`))
	}
	p.ok(p.api("PATCH", "/v1/users/jane", `{"email":"j+x@e.org","phoneNumber":"+1234","username":"jane doe","emailVerified":true}`))
	p.enrolled("jane")
	p.ok(p.api("POST", "/v1/users/jane/authenticators", `{"verificationMethod":"SMS","phoneNumber":"+1234"}`))
	return p
}

// page returns the ids of a page of users, and that of its end.
func (p *peer) page(query string) (ids []string, after string) {
	p.t.Helper()
	got := p.ok(p.api("GET", "/v1/users?"+query, "")).object
	for _, u := range got["users"].([]any) {
		ids = append(ids, u.(map[string]any)["userId"].(string))
	}
	after, _ = got["lastEvaluatedUserId"].(string)
	return ids, after
}

func TestQueryUsers(t *testing.T) {
	t.Parallel()
	p := queriedPeer(t)
	tok := p.token("jane", "signIn", "")
	for query, want := range map[string]string{
		"email=j%2Bx@e.org": "jane", "phoneNumber=%2B1234": "jane", "username=jane%20doe": "jane", "username=jane+doe": "jane",
		"email=j%2Bx@e.org&phoneNumber=%2B1234": "jane", "email=j%2Bx@e.org&username=x": "", "email=J%2Bx@e.org": "", "email=e.org": "",
		"token=" + tok: "jane", "token=" + tok + "x": "", "token=x": "", "token=" + tok + "&email=all@e.org": "",
		"email=all@e.org&lastEvaluatedUserId=user-23": "user-24", "email=all@e.org&lastEvaluatedUserId=zzz": "",
	} {
		ids, after := p.page(query)
		if got := strings.Join(ids, " "); got != want || after != "" {
			t.Errorf("%s: got %q and %q, want %q", query, got, after, want)
		}
	}
	want := map[string]any{
		"userId": "jane", "email": "j+x@e.org", "emailVerified": true, "phoneNumber": "+1234", "phoneNumberVerified": false,
		"username": "jane doe", "isEnrolled": true, "createdAt": "2023-11-14T22:13:20.000Z",
	}
	jane := p.ok(p.api("GET", "/v1/users?username=jane+doe", "")).object["users"].([]any)[0].(map[string]any)
	if got := len(jane["enrolledVerificationMethods"].([]any)); got != 2 {
		t.Errorf("got %v", jane)
	}
	delete(jane, "enrolledVerificationMethods")
	if !reflect.DeepEqual(jane, want) {
		t.Errorf("got %v, want %v", jane, want)
	}
	for _, query := range []string{"", "email=", "limit=5", "lastEvaluatedUserId=a", "email=a&limit=0", "email=a&limit=x", "email=a&limit=-1", "all=", "all=false", "all=1", "all=true&email=", "all=true&username=a", "all=true&token=", "all=true&limit=0", "email=%zz", "email=" + strings.Repeat("a", 257)} {
		p.fails(p.api("GET", "/v1/users?"+query, ""), 400, "invalid_request")
	}
}

func TestQueryUsersByPage(t *testing.T) {
	t.Parallel()
	p := queriedPeer(t)
	// All pages, without a gap. The limit counts users, not authenticators.
	for _, limit := range []int{1, 7, 24, 25} {
		var all []string
		for after, pages := "", 0; ; pages++ {
			ids, next := p.page(fmt.Sprintf("email=all@e.org&limit=%d&lastEvaluatedUserId=%s", limit, after))
			if all = append(all, ids...); next == "" {
				break
			}
			if len(ids) != limit || pages > 25 {
				t.Fatalf("limit %d: a page of %d", limit, len(ids))
			}
			after = next
		}
		if len(all) != 25 || all[0] != "user-00" || all[24] != "user-24" {
			t.Errorf("limit %d: got %v", limit, all)
		}
	}
	for _, limit := range []int{1, 7, 26} {
		var all []string
		for after := ""; ; {
			ids, next := p.page(fmt.Sprintf("all=true&limit=%d&lastEvaluatedUserId=%s", limit, after))
			if all = append(all, ids...); next == "" {
				break
			}
			after = next
		}
		if len(all) != 26 || !slices.IsSorted(all) || all[0] != "jane" {
			t.Errorf("all users, limit %d: got %v", limit, all)
		}
	}
	if ids, after := p.page("email=all@e.org"); len(ids) != 20 || after != "user-19" {
		t.Errorf("without a limit: got %d users and %q", len(ids), after)
	}
	if ids, _ := p.page("email=all@e.org&limit=1000"); len(ids) != 25 {
		t.Errorf("a limit that is too high: got %d users", len(ids))
	}
}

// A user who is in the list before and after is in it once, whatever happens to
// other users meanwhile.
func TestAllUsersWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for i := range 10 {
		p.ok(p.api("PATCH", fmt.Sprintf("/v1/users/stays-%d", i), `{}`))
		p.ok(p.api("PATCH", fmt.Sprintf("/v1/users/goes-%d", i), `{}`))
	}
	var got []string
	for after, i := "", 0; ; i++ {
		page := p.ok(p.api("GET", "/v1/users?all=true&limit=3&lastEvaluatedUserId="+after, "")).object
		for _, u := range page["users"].([]any) {
			if id := u.(map[string]any)["userId"].(string); strings.HasPrefix(id, "stays") {
				got = append(got, id)
			}
		}
		if after, _ = page["lastEvaluatedUserId"].(string); after == "" {
			break
		}
		// Also the user after whom the next page begins.
		p.ok(p.api("DELETE", "/v1/users/"+after, ""))
		p.ok(p.api("PATCH", fmt.Sprintf("/v1/users/a-new-%d", i), `{}`))
		if i < 3 {
			p.ok(p.api("PATCH", fmt.Sprintf("/v1/users/z-new-%d", i), `{}`))
		}
		if i > 50 {
			t.Fatal("the list does not end")
		}
	}
	if len(got) != 10 || !slices.IsSorted(got) {
		t.Errorf("got %v", got)
	}
}
