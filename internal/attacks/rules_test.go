package attacks

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// attributes are those of an end user's device, as a backend passes them on.
type attributes map[string]any

func (u *user) tracks(action string, a attributes) tracked {
	u.s.t.Helper()
	return u.track(action, marshal(a))
}

const (
	// badNetwork contains badAddress, but not goodAddress.
	badNetwork  = `cidr("198.51.100.0/24").containsIP(ip)`
	badAddress  = "198.51.100.9"
	goodAddress = "203.0.113.7"
)

// long returns a text of n two-byte characters.
func long(n int) string { return strings.Repeat("é", n) }

func TestAFailingRuleHidesNoStricterOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	weak := map[string]struct {
		condition string
		attack    attributes
	}{
		"a user agent of 1,112 two-byte characters": {`userAgent.contains("Headless")`, attributes{"userAgent": long(1_112)}},
		"a user agent of 2,048 two-byte characters": {`userAgent.contains("Headless")`, attributes{"userAgent": long(2_048)}},
		"a user agent of 100,000 bytes":             {`userAgent.contains("Headless")`, attributes{"userAgent": strings.Repeat("a", 100_000)}},
		"a long locale":                             {`user.locale.startsWith("xx")`, attributes{"locale": long(2_000)}},
		"a long device id":                          {`device.id == "x"`, attributes{"deviceId": long(2_000)}},
		"a missing custom key":                      {`custom.tier == "basic"`, attributes{}},
		"a custom key of another kind":              {`custom.tier.startsWith("basic")`, attributes{"custom": attributes{"tier": 7}}},
		"a text that is no number":                  {`int(custom.n) > 0`, attributes{"custom": attributes{"n": ""}}},
	}
	i := 0
	for name, tt := range weak {
		i++
		action := fmt.Sprint("action-", i)
		s.rules(action, "ALLOW", tt.condition, "CHALLENGE", badNetwork, "BLOCK").ok()
		reversed := action + "-reversed"
		s.rules(reversed, "ALLOW", badNetwork, "BLOCK", tt.condition, "CHALLENGE").ok()
		review := action + "-review"
		s.rules(review, "ALLOW", tt.condition, "CHALLENGE", badNetwork, "REVIEW").ok()
		for action, want := range map[string]string{action: "BLOCK", reversed: "BLOCK", review: "REVIEW_REQUIRED"} {
			victim := s.newUser()
			tt.attack["ipAddress"] = badAddress
			if got := victim.tracks(action, tt.attack).state; got != want {
				t.Errorf("%s, from the bad network: got %s, want %s", name, got, want)
			}
		}
	}

	// Without the attack the rules work.
	s.rules("signIn", "ALLOW", `userAgent.contains("Headless")`, "CHALLENGE", badNetwork, "BLOCK").ok()
	for _, tt := range []struct {
		agent, address, want string
	}{
		{"Mozilla", goodAddress, "ALLOW"},
		{"Headless", goodAddress, "CHALLENGE_REQUIRED"},
		{"Mozilla", badAddress, "BLOCK"},
		{"Headless", badAddress, "CHALLENGE_REQUIRED"}, // the first that matches decides
	} {
		if got := s.enrolledUser().tracks("signIn", attributes{"userAgent": tt.agent, "ipAddress": tt.address}).state; got != tt.want {
			t.Errorf("%s from %s: got %s, want %s", tt.agent, tt.address, got, tt.want)
		}
	}
}

func TestAFailingRuleNeverAllows(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.rules("signIn", "CHALLENGE", `custom.trusted == true`, "ALLOW").ok()
	for name, a := range map[string]attributes{
		"no custom data":        {},
		"an empty object":       {"custom": attributes{}},
		"null":                  {"custom": attributes{"trusted": nil}},
		"another kind":          {"custom": attributes{"trusted": "true"}},
		"another key":           {"custom": attributes{"Trusted": true}},
		"a list with the value": {"custom": attributes{"trusted": []any{true}}},
	} {
		if got := s.enrolledUser().tracks("signIn", a).state; got != "CHALLENGE_REQUIRED" {
			t.Errorf("%s: got %s, want CHALLENGE_REQUIRED", name, got)
		}
	}
	if got := s.enrolledUser().tracks("signIn", attributes{"custom": attributes{"trusted": true}}).state; got != "ALLOW" {
		t.Errorf("a trusted one: got %s, want ALLOW", got)
	}
}

// Attributes of the end user's device are cut or ignored. They neither cause a
// refusal of the track nor bypass a rule.
func TestDeviceTextsAreNeverRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.rules("signIn", "ALLOW", badNetwork, "BLOCK").ok()
	for _, address := range []string{
		badAddress, badAddress + ":52344", badAddress + ", 10.0.0.1", badAddress + ",10.0.0.1,10.0.0.2", " " + badAddress + " ",
		"::ffff:" + badAddress, "[::ffff:" + badAddress + "]:443", "::ffff:c633:6409",
	} {
		if got := s.newUser().tracks("signIn", attributes{"ipAddress": address}).state; got != "BLOCK" {
			t.Errorf("address %q: got %s, want BLOCK", address, got)
		}
	}
	for _, address := range []string{goodAddress, goodAddress + ", " + badAddress, "[2001:db8::1]:443", "2001:db8::1", "fe80::1%eth0"} {
		if got := s.newUser().tracks("signIn", attributes{"ipAddress": address}).state; got != "ALLOW" {
			t.Errorf("address %q: got %s, want ALLOW", address, got)
		}
	}
	// A text that is not an address makes the rule about networks fail, so that it
	// counts as matched.
	for _, address := range []string{"", "unknown", "198.51.100", "0xC6336409", long(5_000)} {
		if got := s.newUser().tracks("signIn", attributes{"ipAddress": address}).state; got != "BLOCK" {
			t.Errorf("address %.20q: got %s, want BLOCK", address, got)
		}
	}
	// They are cut between characters before they are stored.
	u := s.newUser()
	u.tracks("plain", attributes{
		"userAgent": "a" + long(5_000), "deviceId": long(5_000), "locale": "d" + long(5_000), "ipAddress": badAddress + ":1",
	})
	r := s.backend("GET", "/users/"+u.id+"/actions", "").ok().list[0].(map[string]any)
	if got := r["userAgent"].(string); len(got) != 2047 || got != "a"+long(1_023) {
		t.Errorf("the user agent: got %d bytes, want 2047 of the same text", len(got))
	}
	if got := r["ipAddress"]; got != badAddress {
		t.Errorf("the address: got %v, want %s", got, badAddress)
	}
	locale, _ := s.backend("GET", "/users/"+u.id, "").ok().object["locale"].(string)
	if locale != "d"+long(127) {
		t.Errorf("the locale: got %d bytes, want 255 of the same text", len(locale))
	}
}

// memory returns the resident memory of the server, and its maximum so far, in MiB.
func (s *service) memory() (now, highest int) {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	read := func(name string) int {
		_, rest, _ := strings.Cut(string(b), name+":")
		kB, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			s.t.Fatal(err)
		}
		return kB >> 10
	}
	return read("VmRSS"), read("VmHWM")
}

// bombs returns conditions whose results grow with each step.
func bombs() map[string]string {
	doubled := strings.Repeat(".map(a, a + a)", 5)
	return map[string]string{
		"doubling, then replace":   `[userAgent]` + doubled + `.exists(a, a.replace("", a).size() > 1)`,
		"doubling twelve times":    `[userAgent]` + strings.Repeat(".map(a, a + a)", 12) + `.exists(a, a.size() > 1)`,
		"split and join":           `[userAgent]` + doubled + `.exists(a, a.split("").join(a).size() > 1)`,
		"join of itself":           `[userAgent].exists(a, a.split("").join(a).split("").join(a).size() > 1)`,
		"replace in replace":       `userAgent.replace("a", userAgent).replace("a", userAgent).size() > 1`,
		"lists that double":        `[[userAgent]]` + strings.Repeat(".map(a, a + a)", 20) + `.exists(a, a.size() > 1)`,
		"macros in macros":         `[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, [1,2,3,4,5,6,7,8].all(c, [1,2,3,4,5,6,7,8].all(d, [1,2,3,4,5,6,7,8].all(e, [1,2,3,4,5,6,7,8].all(f, [1,2,3,4,5,6,7,8].all(g, userAgent.contains("b") == false)))))))`,
		"characters against texts": `userAgent.split("").all(a, userAgent.split("").all(b, userAgent.contains(a + b + a + b)))`,
		"a pattern that repeats":   `userAgent.matches("(a+)+(a+)+(a+)+(a+)+b")`,
		"a pattern of counts":      `userAgent.matches("((((a{1,30}){1,30}){1,2}){1,2})b")`,
		"format of itself":         `"%s%s%s%s%s%s%s%s".format([userAgent, userAgent, userAgent, userAgent, userAgent, userAgent, userAgent, userAgent]).replace("", userAgent).size() > 1`,
	}
}

func TestRuleBombsAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.operator("PUT", "/tenants/t2", `{"authenticator":{"active":true}}`).ok()
	other := s.operator("POST", "/tenants/t2/secrets", "").ok().object["apiSecretKey"].(string)
	agent := strings.Repeat("a", 2_048)
	before, _ := s.memory()
	n := 0
	for name, condition := range bombs() {
		// Fifty of them, the maximum for an action.
		n++
		action := fmt.Sprint("action-", n)
		var rules []string
		for range 50 {
			rules = append(rules, condition, "BLOCK")
		}
		r := s.rules(action, "ALLOW", rules...)
		if r.status == http.StatusBadRequest {
			continue // refused when saved
		}
		r.ok()
		u := s.newUser()
		began := time.Now()
		done := make(chan response, 1)
		go func() {
			r, err := s.send("POST", "/v1/users/"+u.id+"/actions/"+action, basic(secretKey), marshal(attributes{"userAgent": agent}))
			if err != nil {
				r.text = err.Error()
			}
			done <- r
		}()
		// Another tenant gets answers in the meantime.
		for i := range 5 {
			s.do("POST", fmt.Sprintf("/v1/users/u%d/actions/signIn", i), basic(other), "").ok()
		}
		got := <-done
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		if got.status != http.StatusOK || got.object["state"] != "BLOCK" && got.object["state"] != "ALLOW" {
			t.Errorf("%s: got %d %s", name, got.status, got.text)
		}
		// A rule that was too costly to evaluate counts as matched.
		if strings.Contains(s.log.String(), `"action":"`+action+`"`) && got.object["state"] != "BLOCK" {
			t.Errorf("%s: a rule that failed let the action through: %s", name, got.text)
		}
	}
	// The race detector takes several times the memory.
	if _, highest := s.memory(); highest-before > 512 {
		t.Errorf("the memory grew by %d MiB", highest-before)
	}
	s.enrolledUser().signsIn()
}

func TestThePortalsTryIsBounded(t *testing.T) {
	t.Parallel()
	s := start(t, "-portal", "on")
	d := s.signIn()
	before, _ := s.memory()
	sample := marshal(map[string]string{"userAgent": strings.Repeat("a", 2_048)})
	for name, condition := range bombs() {
		began := time.Now()
		r := d.post("/t/t1/actions/signIn/rule", "do", "try", "name", "x", "outcome", "BLOCK", "condition", condition, "sample", sample)
		if took := time.Since(began); took > 5*time.Second || r.status >= 500 {
			t.Errorf("%s: got %d after %v", name, r.status, took)
		}
	}
	if _, highest := s.memory(); highest-before > 512 {
		t.Errorf("the memory grew by %d MiB", highest-before)
	}
	r := d.post("/t/t1/actions/signIn/rule", "do", "try", "name", "x", "outcome", "BLOCK", "condition", `userAgent.contains("aaa")`, "sample", sample)
	if !strings.Contains(r.text, "It matches the sample.") {
		t.Error("a condition that matches: the page does not say so")
	}
	s.enrolledUser().signsIn()
}

func TestRulesThatCannotWorkAreNotSaved(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, condition := range map[string]string{
		"a misspelt zone":       `action.createdAt.getHours("Europe/Berlim") < 6`,
		"no zone":               `action.createdAt.getHours("") < 6 || action.createdAt.getHours("nowhere") < 6`,
		"no address":            `ip(ip) == ip("300.1.1.1")`,
		"no network":            `cidr("198.51.100.0/33").containsIP(ip)`,
		"an unknown variable":   `usr.isEnrolled`,
		"a text, not a boolean": `userAgent`,
		"a text that is no CEL": `userAgent.contains(`,
		"a broken pattern":      `userAgent.matches("(")`,
		"nothing":               ``,
	} {
		r := s.rules("signIn", "ALLOW", condition, "BLOCK")
		if r.status != http.StatusBadRequest || r.object["errorCode"] != "invalid_request" {
			t.Errorf("%s: got %d %s, want 400", name, r.status, r.text)
		}
	}
	// The error names the position.
	s.rules("signIn", "ALLOW", `action.createdAt.getHours("Europe/Berlim") < 6`, "BLOCK").says("line 1")
	// None of them was saved.
	if got := s.newUser().track("signIn", "").state; got != "ALLOW" {
		t.Errorf("an action without rules: got %s", got)
	}

	// Time zones do not depend on the host's files.
	s.rules("night", "ALLOW", `action.createdAt.getHours("Europe/Berlin") >= 0 && action.createdAt.getHours("Asia/Kolkata") >= 0`, "REVIEW").ok()
	r := s.backend("POST", "/users/"+s.newUser().id+"/actions/night", "").ok()
	if r.object["state"] != "REVIEW_REQUIRED" || strings.Contains(s.log.String(), "could not be evaluated") {
		t.Errorf("zones: got %s", r.text)
	}
}

// Each condition is either saved and works, or is refused with the remedy.
func TestNumbersOfRulesAreDoubles(t *testing.T) {
	t.Parallel()
	s := start(t)
	n := 0
	for condition, want := range map[string]string{
		`custom.amount > 1000`:       "BLOCK",
		`custom.amount + 1 > 1001`:   "BLOCK",
		`custom.amount - 1 > 1001`:   "ALLOW",
		`custom.amount * 100 > 1e5`:  "BLOCK",
		`custom.amount / 2 > 500`:    "BLOCK",
		`custom.amount % 2 == 1`:     "BLOCK",
		`custom.amount == 1001`:      "BLOCK",
		`custom.amount + 1.0 > 1001`: "BLOCK",
		`2 * custom.amount > 2001`:   "BLOCK",
	} {
		n++
		action := fmt.Sprint("action-", n)
		r := s.rules(action, "ALLOW", condition, "BLOCK")
		if r.status == http.StatusBadRequest {
			if r.object["errorCode"] != "invalid_request" || !strings.Contains(r.text, "double") && !strings.Contains(r.text, ".0") {
				t.Errorf("%s: refused without the remedy: %s", condition, r.text)
			}
			continue
		}
		r.ok()
		if got := s.newUser().tracks(action, attributes{"custom": attributes{"amount": 1001}}).state; got != want {
			t.Errorf("%s: got %s, want %s", condition, got, want)
		}
	}
	if strings.Contains(s.log.String(), "could not be evaluated") {
		t.Errorf("a rule that was saved fails:\n%s", s.log)
	}
}

func TestCustomLists(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.rules("signIn", "ALLOW", `"admin" in custom.roles`, "REVIEW").ok()
	s.rules("ofUser", "ALLOW", `"admin" in user.custom.roles`, "REVIEW").ok()
	for _, tt := range []struct {
		roles any
		want  string
	}{
		{[]any{"user", "admin"}, "REVIEW_REQUIRED"},
		{[]any{"user"}, "ALLOW"},
		{[]any{}, "ALLOW"},
		{[]any{1, 2.5, true, "admin"}, "REVIEW_REQUIRED"},
		{"admin", "REVIEW_REQUIRED"}, // not a list: the rule fails, and so counts as matched
	} {
		u := s.newUser()
		if got := u.tracks("signIn", attributes{"custom": attributes{"roles": tt.roles}}).state; got != tt.want {
			t.Errorf("roles %v: got %s, want %s", tt.roles, got, tt.want)
		}
		s.backend("PATCH", "/users/"+u.id, marshal(attributes{"custom": attributes{"roles": tt.roles}})).ok()
		if got := u.track("ofUser", "").state; got != tt.want {
			t.Errorf("roles %v of the user: got %s, want %s", tt.roles, got, tt.want)
		}
	}
	// As the official Keycloak provider sends them. They are returned unchanged.
	u := s.newUser()
	tr := u.track("keycloak", `{"custom":{"groups":["/staff","/ops"],"roles":["admin"],"levels":[1,2.5],"flags":[true,false]}}`)
	got := s.backend("GET", "/users/"+u.id+"/actions/keycloak/"+tr.key, "").ok().object["output"].(map[string]any)["custom"]
	if want := `{"flags":[true,false],"groups":["/staff","/ops"],"levels":[1,2.5],"roles":["admin"]}`; marshal(got) != want {
		t.Errorf("custom: got %s, want %s", marshal(got), want)
	}
}

// onBoth sends custom data with a track and with an update of a user.
func (s *service) onBoth(custom string) []response {
	s.t.Helper()
	u := s.newUser()
	body := `{"custom":` + custom + `}`
	return []response{
		s.backend("POST", "/users/"+u.id+"/actions/signIn", body),
		s.backend("PATCH", "/users/"+u.id, body),
	}
}

func TestCustomDataIsBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	keys := func(n int) string {
		custom := attributes{}
		for i := range n {
			custom[fmt.Sprint("key-", i)] = i
		}
		return marshal(custom)
	}
	for name, custom := range map[string]string{
		"257 keys":            keys(257),
		"more than 64 KiB":    marshal(attributes{"a": strings.Repeat("a", 64<<10)}),
		"a list of 64 KiB":    marshal(attributes{"a": strings.Split(strings.Repeat("aaaaaaa,", 8<<10), ",")}),
		"a null in a list":    `{"a":["b",null]}`,
		"a list in a list":    `{"a":[["b"]]}`,
		"an object":           `{"a":{"b":1}}`,
		"an object in a list": `{"a":[{"b":1}]}`,
		"a list itself":       `["a"]`,
		"a text itself":       `"a"`,
	} {
		for _, r := range s.onBoth(custom) {
			if r.status != http.StatusBadRequest || r.object["errorCode"] != "invalid_request" || !strings.Contains(r.text, "custom") {
				t.Errorf("%s: %s: got %d %.200s, want 400 that names custom", name, r.what, r.status, r.text)
			}
		}
	}
	for name, custom := range map[string]string{
		"256 keys":    keys(256),
		"just 60 KiB": marshal(attributes{"a": strings.Repeat("a", 60<<10)}),
		"nulls":       `{"a":null,"b":1}`,
		"empty":       `{}`,
		"null":        `null`,
	} {
		for _, r := range s.onBoth(custom) {
			if r.status != http.StatusOK {
				t.Errorf("%s: %s: got %d %.200s, want 200", name, r.what, r.status, r.text)
			}
		}
	}
}

func TestLargeNumbersAreNotChanged(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, number := range []string{"9007199254740993", "-9007199254740993", "18446744073709551616", "1234567890123456789", "1e400",
		"9007199254740993.0", "9007199254740993e0", "900719925474099.3e1"} {
		for _, custom := range []string{`{"id":` + number + `}`, `{"ids":[1,` + number + `]}`} {
			for _, r := range s.onBoth(custom) {
				r.refused(http.StatusBadRequest, "invalid_request").says("custom")
				if strings.Contains(r.text, number) {
					t.Errorf("%s: the answer quotes the value: %s", r.what, r.text)
				}
			}
		}
	}
	for _, number := range []string{"9007199254740991", "-9007199254740991", "0.5", "1e3"} {
		for _, r := range s.onBoth(`{"id":` + number + `}`) {
			r.ok()
		}
	}
	u := s.newUser()
	got := s.backend("PATCH", "/users/"+u.id, `{"custom":{"id":9007199254740991}}`).ok().text
	if !strings.Contains(got, "9007199254740991") {
		t.Errorf("got %s, want the same number", got)
	}
}
