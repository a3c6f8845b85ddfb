package attacks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/cookie"
)

// The part of the model that covers the cookie of a remembered browser, recovery links,
// the reset of a user, and enrollment policies.

// browserUsed returns when a token of a browser was used for the action.
func (a *modelAction) browserUsed() time.Time {
	if a.trusted {
		return a.updated
	}
	return a.created
}

// shown returns the state of an action for a token. What a trusted browser has completed
// is completed for its own token alone.
func (a *modelAction) shown(ofBrowser bool) string {
	if a.state == challengeSucceeded && a.trusted && !ofBrowser {
		return challengeRequired
	}
	return a.state
}

// valid reports whether validate is valid for a token.
func (k *modelToken) valid() bool { return k.subject().shown(k.browser) == challengeSucceeded }

// mayTrust reports whether a browser may be trusted after the action of a token.
func (k *modelToken) mayTrust() bool {
	a := k.subject()
	return a.state == challengeSucceeded && !a.trusted && a.method != "RECOVERY_CODE" && k.tenant.settings[k.action.code].trustDays > 0
}

// stepOfLinks makes a call of the page of a remembered browser, or for a recovery link.
func (w *world) stepOfLinks(n int) (string, error) {
	switch {
	case n < 30:
		return w.remember()
	case n < 80:
		return w.useCookie()
	case n < 110:
		return w.issueLink()
	case n < 115:
		return w.revokeLink()
	case n < 150:
		return w.enrollByLink()
	case n < 190:
		return w.verifyByLink()
	case n < 195:
		return w.reset()
	}
	return w.verify()
}

// inPage makes a call of the page of the server, with the cookie of a browser.
func (w *world) inPage(k *modelToken, path string, d modelDevice) response {
	header := []string{"Sec-Fetch-Site", "same-origin"}
	if d.text != "" {
		header = append(header, "Cookie", "__Host-"+cookie.BrowserName(k.tenant.id, k.user.id)+"="+d.text)
	}
	return w.call("POST", "/v1/client/"+path, "Bearer "+k.text, "", header...)
}

// cookieOf returns the token in the cookie that an answer sets, and whether it sets one.
func cookieOf(r response) (text string, set bool) {
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		return c.Value, true
	}
	return "", false
}

// remember trusts a browser by its cookie, as the page does after a code.
func (w *world) remember() (string, error) {
	k := w.anyToken()
	for range 5 {
		if a := k.subject(); a == nil || a.state != challengeSucceeded {
			k = w.anyToken()
		}
	}
	d := w.anyDevice(k.user)
	w.note("remember a browser with %s", k)
	if k.bearer(w.clock()) == "" && len(k.user.browsers) > 12 {
		return "remember: enough", nil // the maximum is not in the model
	}
	r := w.inPage(k, "trusted-browsers", d)
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("remember", r, []string{refusal})
	}
	var refusals []string
	if !k.has(scopeUpdate) || !k.mayTrust() {
		refusals = []string{forbidden}
	}
	what, err := outcome("remember", r, refusals)
	text, set := cookieOf(r)
	if err != nil || r.status != 200 {
		if set {
			return "", disagree(r, "no cookie")
		}
		return what, err
	}
	if !k.subject().proved {
		return "", fmt.Errorf("a browser is remembered without a code and without the backend's word: %s", k)
	}
	if d.browser != nil { // the new trust takes the place of the one before
		k.user.forget(d.browser)
	}
	if !strings.HasPrefix(text, "tb1_") {
		return "", disagree(r, "a cookie")
	}
	return what, w.trusted(k, text)
}

// anyTokenForCookie returns a token for which a cookie may count: of a new action of a
// user who trusts a browser, or of one that a browser has completed. Otherwise it is any.
func (w *world) anyTokenForCookie() (*modelToken, error) {
	if w.rng.IntN(3) == 0 {
		for _, k := range w.tokens {
			if a := k.subject(); a != nil && a.trusted && a.state == challengeSucceeded && w.rng.IntN(2) == 0 {
				return k, nil
			}
		}
	}
	for _, t := range w.tenants {
		for _, id := range sorted(t.users) {
			u := t.users[id]
			if len(u.trusts(w.clock())) == 0 || !t.active || w.rng.IntN(3) == 0 {
				continue
			}
			name := actionName{pick(w, sorted(actionCodes)), fmt.Sprint("key-", w.rng.IntN(1000))}
			if _, err := w.trackOf(t, u, name, scopeRead|w.anyScopes(), modelTrack{x: 1}); err != nil {
				return nil, err
			}
			return w.tokens[len(w.tokens)-1], nil
		}
	}
	return w.anyToken(), nil
}

// useCookie tries the cookie of a browser, as the page at a url does.
func (w *world) useCookie() (string, error) {
	k, err := w.anyTokenForCookie()
	if err != nil {
		return "", err
	}
	d, now := w.anyDevice(k.user), w.clock()
	w.note("use the cookie of a browser with %s", k)
	if refusal := k.bearer(now); refusal != "" {
		return outcome("browser", w.inPage(k, "verify/trusted-browser", d), []string{refusal})
	}
	u, a, settings := k.user, k.subject(), k.tenant.settings[k.action.code]
	b, copied := u.presents(d, a, now)
	repeats := b != nil && a.state == challengeSucceeded && a.trusted && a.browser == d
	vouched := b != nil && a.state == challengeSucceeded && a.trusted && (repeats || b.counts(settings, now))
	waived := b != nil && len(u.verified()) > 0 && a.state == challengeRequired && a.updated.Equal(a.created) && !a.byRule && b.counts(settings, now)
	used := !k.valid() && (vouched || waived)
	issued := *k
	issued.browser, issued.signer = true, w.signer()
	var v modelVerdict
	unknown := modelDevice{"", b} // the next token, until the answer
	if used {
		a.browser, b.current = d, unknown
	}
	if used && !vouched {
		if k.tenant.webhook {
			v.consent = &modelConsent{token: k, action: a, state: a.state, changes: a.changes, method: "TRUSTED_BROWSER", browser: b, device: unknown}
		} else {
			a.succeed(u, "TRUSTED_BROWSER", now)
		}
	}
	var r response
	var consent string
	var refusals []string
	if v.consent != nil {
		if r, consent, refusals, err = w.verifyWithWebhook(k, func() response { return w.inPage(k, "verify/trusted-browser", d) }, v); err != nil {
			return "", err
		}
	} else {
		r = w.inPage(k, "verify/trusted-browser", d)
	}
	text, set := cookieOf(r)
	if used {
		if !set || !strings.HasPrefix(text, "tb1_") {
			return "", disagree(r, "the next token in a cookie")
		}
		next := modelDevice{text, b}
		w.devices = append(w.devices, next)
		b.current = next
	} else if set && text != "" {
		return "", disagree(r, "no next token")
	}
	if refusals != nil && r.status != 200 {
		what, err := outcome("browser", r, refusals)
		if err == nil {
			what = "browser: " + consent
		}
		return what, err
	}
	verified := used || k.valid() && !copied && b != nil
	if r.status != 200 || r.object["isVerified"] != verified {
		return "", disagree(r, fmt.Sprint("verified: ", verified))
	}
	token, has := r.object["accessToken"].(string)
	if has != (used && verified) {
		return "", disagree(r, fmt.Sprint("a token: ", used))
	}
	if has {
		issued.text = token
		if err := issued.check(); err != nil {
			return "", err
		}
		w.keep(&issued)
	}
	switch {
	case copied:
		return "browser: a copy", nil
	case consent != "":
		return "browser: " + consent, nil
	case vouched && used:
		return "browser: a token of what was completed", nil
	case used:
		return "browser: accepted", nil
	case b == nil:
		return "browser: not trusted", nil
	}
	return "browser: not used", nil
}

// A modelLink is a recovery link.
type modelLink struct {
	id, secret  string
	tenant      *modelTenant
	user        *modelUser
	incarnation int
	expires     time.Time
	used        bool
	apps, codes bool // that it voids
}

// refusal returns the refusal of the holder of a link, or "" if it is accepted.
func (l *modelLink) refusal(now time.Time) string {
	switch {
	case l.user == nil || l.user.link != l || !l.user.exists || l.user.incarnation != l.incarnation:
		return notFound
	case l.used || !now.Before(l.expires):
		return "410 invalid_request"
	}
	return ""
}

// mayNotAdd returns all refusals of an enrollment by a link.
func (l *modelLink) mayNotAdd() (refusals []string) {
	n := len(l.user.verified())
	if l.apps {
		n = 0
	}
	if !l.tenant.active {
		refusals = append(refusals, invalidConfiguration)
	}
	if n > 0 && !l.tenant.allowMultiple || n >= l.tenant.max {
		refusals = append(refusals, invalidRequest)
	}
	return refusals
}

func (l *modelLink) began() actionName { return actionName{"", l.id} }

func (w *world) issueLink() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	seconds := pick(w, []int{60, 3600, 86400})
	l := &modelLink{tenant: t, user: u, incarnation: u.incarnation, apps: w.rng.IntN(3) == 0, codes: w.rng.IntN(4) == 0}
	void := []string{}
	if l.apps {
		void = append(void, "authenticators")
	}
	if l.codes {
		void = append(void, "recoveryCodes")
	}
	w.note("issue a recovery link of %s %s for %d s, void %q", t.id, u.id, seconds, void)
	r := w.backend(t, "POST", "/users/"+u.id+"/recovery-links", marshal(map[string]any{"expiresInSeconds": seconds, "void": void}))
	refusals := l.mayNotAdd()
	if !u.exists {
		refusals = append(refusals, notFound)
	}
	what, err := outcome("link issued", r, refusals)
	if err != nil || r.status != 200 {
		return what, err
	}
	url, _ := r.object["url"].(string)
	_, l.secret, _ = strings.Cut(url, "recovery=")
	l.id, _ = r.object["recoveryLinkId"].(string)
	if !strings.HasPrefix(l.secret, "rl1_") || l.id == "" {
		return "", disagree(r, "a link")
	}
	l.expires = w.clock().Add(time.Duration(seconds) * time.Second)
	u.link = l
	if w.links = append(w.links, l); len(w.links) > 30 {
		w.links = w.links[1:]
	}
	return what, nil
}

func (w *world) revokeLink() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	id := "unknown"
	if u.link != nil && w.rng.IntN(4) > 0 {
		id = u.link.id
	}
	w.note("revoke the recovery link %s of %s %s", id, t.id, u.id)
	r := w.backend(t, "DELETE", "/users/"+u.id+"/recovery-links/"+id, "")
	if u.link == nil || u.link.id != id {
		return outcome("link revoked", r, []string{notFound})
	}
	u.link = nil
	return outcome("link revoked", r, nil)
}

// anyLink returns a link, more often one that is accepted, or one that never was.
func (w *world) anyLink() *modelLink {
	if len(w.links) == 0 || w.rng.IntN(20) == 0 {
		return &modelLink{secret: pick(w, []string{"", "rl1_", "rl1_" + strings.Repeat("A", 43), "x"})}
	}
	l := pick(w, w.links)
	for range 5 {
		if l.refusal(w.clock()) != "" {
			l = pick(w, w.links)
		}
	}
	return l
}

func (w *world) enrollByLink() (string, error) {
	l, name := w.anyLink(), w.anyName()
	w.note("enroll by the recovery link %s", l.id)
	r := w.call("POST", "/v1/recovery/enroll", "", marshal(map[string]string{"secret": l.secret, "name": name}))
	if refusal := l.refusal(w.clock()); refusal != "" {
		return outcome("link, enroll", r, []string{refusal})
	}
	what, err := outcome("link, enroll", r, l.mayNotAdd())
	if err == nil && r.status == 200 {
		before := l.user.pending(l.began())
		if before != nil {
			w.secrets = append(w.secrets, before.secret)
		}
		began := &modelToken{user: l.user, action: l.began()}
		began.begin(r.object["userAuthenticatorId"].(string), r.object["secret"].(string), name, w.clock())
	}
	return what, err
}

// verifyByLink completes the enrollment of a link with a code, which may be another's.
func (w *world) verifyByLink() (string, error) {
	l, now := w.anyLink(), w.clock()
	code := fmt.Sprintf("%06d", w.rng.IntN(1_000_000))
	if l.user != nil {
		of := l.user.authenticators
		if p := l.user.pending(l.began()); p != nil && w.rng.IntN(3) > 0 {
			of = []*modelAuthenticator{p}
		}
		if of = slices.DeleteFunc(slices.Clone(of), func(a *modelAuthenticator) bool { return a.secret == "" }); len(of) > 0 {
			code = codeOf(pick(w, of).secret, now.Unix()/30+int64(w.rng.IntN(3))-1)
		}
	}
	w.note("verify a code by the recovery link %s", l.id)
	r := w.call("POST", "/v1/recovery/verify", "", marshal(map[string]string{"secret": l.secret, "verificationCode": code}))
	if refusal := l.refusal(now); refusal != "" {
		return outcome("link, verify", r, []string{refusal})
	}
	u, refusals := l.user, l.mayNotAdd()
	a := u.pending(l.began())
	if a == nil {
		refusals = append(refusals, invalidRequest)
	}
	if len(refusals) > 0 {
		return outcome("link, verify", r, refusals)
	}
	reason := ""
	step := a.match(code, now)
	switch {
	case a.blocked(now):
		reason = "MAX_ATTEMPTS_EXCEEDED"
	case step <= a.lastStep:
		reason = "CODE_INVALID_OR_EXPIRED"
		if step < 0 {
			a.inARow++
			a.failures = append(a.failures, now)
		}
	}
	if r.status != 200 || r.object["isVerified"] != (reason == "") || r.object["accessToken"] != nil || reason != "" && r.object["failureReason"] != reason {
		return "", disagree(r, "verified, or "+reason)
	}
	if reason != "" {
		return "link, verify: " + reason, nil
	}
	a.lastStep, a.inARow, a.failures, a.verified = step, 0, nil, true
	l.used, u.browsers = true, nil
	if l.apps {
		for _, other := range u.verified() {
			if other != a {
				if other.secret != "" {
					w.secrets = append(w.secrets, other.secret)
				}
				u.drop(other)
			}
		}
		u.epoch++
	}
	if l.codes {
		w.void(&u.inForce)
		w.void(&u.unconfirmed)
	}
	return "link, verify: accepted", w.compareUser(l.tenant, u)
}

// reset removes all factors of a user.
func (w *world) reset() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	w.note("reset %s %s", t.id, u.id)
	r := w.backend(t, "POST", "/users/"+u.id+"/reset", "")
	if !u.exists {
		return outcome("reset", r, []string{notFound})
	}
	for _, a := range u.authenticators {
		if a.secret != "" {
			w.secrets = append(w.secrets, a.secret)
		}
	}
	u.authenticators, u.browsers, u.link = nil, nil, nil
	w.void(&u.inForce)
	w.void(&u.unconfirmed)
	u.epoch++
	return outcome("reset", r, nil)
}

// A modelPolicy is an enrollment policy.
type modelPolicy struct {
	from  time.Time
	grace time.Duration
}

// What a policy asks of a user.
const (
	noDuty     = "nothing"
	mayWait    = "to enroll later"
	mustEnroll = "to enroll now"
)

func (t *modelTenant) duty(u *modelUser, now time.Time) string {
	switch {
	case t.policy == nil || len(u.verified()) > 0:
		return noDuty
	case now.Before(t.deadline(u)):
		return mayWait
	}
	return mustEnroll
}

func (t *modelTenant) deadline(u *modelUser) time.Time {
	if end := u.first.Add(t.policy.grace); end.After(t.policy.from) {
		return end
	}
	return t.policy.from
}

// compareDuty compares what the answer to a track says of an enrollment.
func (t *modelTenant) compareDuty(r response, u *modelUser, now time.Time) error {
	want := [2]any{}
	if d := t.duty(u, now); d != noDuty {
		want = [2]any{d == mustEnroll, t.deadline(u).UTC().Format("2006-01-02T15:04:05.000Z")}
	}
	if got := [2]any{r.object["enrollmentRequired"], r.object["enrollmentDeadline"]}; got != want {
		return disagree(r, want)
	}
	return nil
}

// changePolicy changes the policy of a tenant, and returns the request for that.
func (t *modelTenant) changePolicy(w *world) string {
	if t.policy != nil && w.rng.IntN(2) == 0 {
		t.policy = nil
		return `{"enrollmentPolicy":{"requiredFrom":"never"}}`
	}
	days := pick(w, []int{0, 1, 2})
	t.policy = &modelPolicy{w.clock().Add(time.Duration(pick(w, []int{-3600, 0, 300, 90_000})) * time.Second), time.Duration(days) * 24 * time.Hour}
	return fmt.Sprintf(`{"enrollmentPolicy":{"requiredFrom":%q,"graceDays":%d}}`, t.policy.from.UTC().Format(time.RFC3339), days)
}
