package attacks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The part of the model that covers recovery codes, trusted browsers and names.

// modelCodes are recovery codes: whether each was used.
type modelCodes struct {
	used map[string]bool
}

func newModelCodes(r response) (*modelCodes, error) {
	list, _ := r.object["recoveryCodes"].([]any)
	c := &modelCodes{map[string]bool{}}
	for _, code := range list {
		c.used[code.(string)] = false
	}
	if len(c.used) != 10 {
		return nil, disagree(r, "ten different codes")
	}
	return c, nil
}

// left returns the codes that were not used.
func (c *modelCodes) left() (list []string) {
	if c == nil {
		return nil
	}
	for code, used := range c.used {
		if !used {
			list = append(list, code)
		}
	}
	slices.Sort(list)
	return list
}

// A modelBrowser is a browser that a user trusts.
type modelBrowser struct {
	id      string
	epoch   int // of the user's tokens
	trusted time.Time
	current modelDevice
}

// A modelDevice is the token of a browser. The zero value is none.
type modelDevice struct {
	text string
	// browser is nil if the token belongs to no browser that ever was.
	browser *modelBrowser
}

// counts reports whether trust in the browser counts for an action.
func (b *modelBrowser) counts(s modelSettings, now time.Time) bool {
	return now.Sub(b.trusted) < time.Duration(s.trustDays)*24*time.Hour
}

// presents returns the browser of a token that is presented with an action, which is
// trusted. A token that was used before ends the trust, unless the same action was
// tracked with it less than ten minutes ago.
func (u *modelUser) presents(d modelDevice, known *modelAction, now time.Time) (b *modelBrowser, copied bool) {
	if d.browser == nil || !slices.Contains(u.browsers, d.browser) || d.browser.epoch != u.epoch {
		return nil, false
	}
	again := known != nil && u.exists && known.incarnation == u.incarnation && known.browser == d && now.Sub(known.browserUsed()) < 10*time.Minute
	if d != d.browser.current && !again {
		u.forget(d.browser)
		return nil, true
	}
	return d.browser, false
}

func (u *modelUser) forget(b *modelBrowser) {
	u.browsers = slices.DeleteFunc(u.browsers, func(c *modelBrowser) bool { return b == c })
}

// trusts returns the browsers that the user trusts.
func (u *modelUser) trusts(now time.Time) (list []*modelBrowser) {
	for _, b := range u.browsers {
		if b.epoch == u.epoch && now.Sub(b.trusted) < 90*24*time.Hour {
			list = append(list, b)
		}
	}
	return list
}

// stepOfRecovery makes a call for recovery codes, trusted browsers or names.
func (w *world) stepOfRecovery(n int) (string, error) {
	switch {
	case n < 90:
		return w.recover()
	case n < 130:
		return w.makeCodes()
	case n < 170:
		return w.confirmCodes()
	case n < 190:
		return w.issueCodes()
	case n < 200:
		return w.voidCodes()
	case n < 250:
		return w.trust()
	case n < 270:
		return w.revokeBrowser()
	case n < 280:
		return w.listBrowsers()
	case n < 300:
		return w.rename()
	}
	return w.stepOfLinks(n - 300)
}

// anyRecoveryCode returns a code for a token, and describes it.
func (w *world) anyRecoveryCode(k *modelToken) (code, of string) {
	var codes []string
	switch n := w.rng.IntN(20); {
	case n < 9:
		codes, of = k.user.inForce.left(), "a right one"
	case n < 12:
		if k.user.inForce != nil {
			codes, of = slices.Sorted(maps.Keys(k.user.inForce.used)), "one of them"
		}
	case n < 14:
		codes, of = k.user.unconfirmed.left(), "a pending one"
	case n < 15:
		codes, of = w.anyUser(w.anyTenant()).inForce.left(), "another's"
	case n < 17:
		codes, of = w.codes, "void"
	case n < 18:
		return pick(w, []string{"", "2222-2222", "2222-2222-222O", "123456", "2222-2222-2222-2222"}), "no code"
	}
	if len(codes) == 0 {
		return "2345-6789-ABCD", "a guess"
	}
	code = pick(w, codes)
	switch w.rng.IntN(4) {
	case 0:
		code = strings.ToLower(code)
	case 1:
		code = " " + strings.ReplaceAll(code, "-", " ") + " "
	}
	return code, of
}

// recovers returns the result of a recovery code, and applies its effects.
func (k *modelToken) recovers(text string, now time.Time) (v modelVerdict, accepted bool, violation string) {
	u, action := k.user, k.subject()
	switch action.state {
	case allow, challengeRequired, challengeSucceeded:
	default:
		return modelVerdict{refusals: []string{invalidRequest}}, false, ""
	}
	if len(u.apps()) == 0 || u.inForce == nil {
		return modelVerdict{refusals: []string{invalidRequest}}, false, ""
	}
	v.reason = "CODE_INVALID_OR_EXPIRED"
	letters := strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(text))
	if len(letters) != 12 || strings.ContainsAny(letters, "01ILOU") {
		return v, false, ""
	}
	code := letters[:4] + "-" + letters[4:8] + "-" + letters[8:]
	switch used, has := u.inForce.used[code]; {
	case has && used:
		return v, false, ""
	case has:
		u.inForce.used[code], u.browsers = true, nil
		v.consent, violation = k.completed("RECOVERY_CODE", now)
		return v, true, violation
	}
	blocked := true
	for _, a := range u.apps() {
		if !a.blocked(now) {
			blocked = false
			a.inARow++
			a.failures = append(a.failures, now)
		}
	}
	if blocked {
		v.reason = "MAX_ATTEMPTS_EXCEEDED"
	}
	return v, false, ""
}

// recover answers a challenge with a recovery code.
func (w *world) recover() (string, error) {
	k := w.anyToken()
	code, of := w.anyRecoveryCode(k)
	w.note("recover %s with %s", k, of)
	body, now := marshal(map[string]string{"recoveryCode": code}), w.clock()
	if refusal := k.bearer(now); refusal != "" {
		return outcome("recover", w.page(k, "POST", "verify/recovery-code", body), []string{refusal})
	}
	earned := *k
	earned.scopes, earned.expires, earned.signer, earned.browser = everyScope, now.Add(tokenLife), w.signer(), false
	v, accepted, violation := k.recovers(code, now)
	if violation != "" {
		return "", fmt.Errorf("%s: %s", violation, k)
	}
	left := len(k.user.inForce.left())
	var r response
	consent, refusals := "", v.refusals
	if k.tenant.webhook {
		var err error
		if r, consent, refusals, err = w.verifyWithWebhook(k, func() response { return w.page(k, "POST", "verify/recovery-code", body) }, v); err != nil {
			return "", err
		}
	} else {
		r = w.page(k, "POST", "verify/recovery-code", body)
	}
	switch {
	case refusals != nil && r.status != 200:
		what, err := outcome("recover", r, refusals)
		if consent != "" && err == nil {
			what = "recover: " + consent
		}
		return what, err
	case !accepted:
		if r.status != 200 || v.reason == "" || r.object["isVerified"] != false || r.object["failureReason"] != v.reason || r.object["accessToken"] != nil {
			return "", disagree(r, v.reason)
		}
		if of == "void" || of == "another's" {
			return "recover: " + of, nil
		}
		if of == "one of them" {
			return "recover: used", nil
		}
		return "recover: " + v.reason, nil
	case refusals != nil && !slices.Contains(refusals, "200"), r.status != 200, r.object["isVerified"] != true, r.object["recoveryCodesLeft"] != float64(left):
		return "", disagree(r, fmt.Sprint("a right code, ", left, " left, ", refusals))
	}
	earned.text, _ = r.object["accessToken"].(string)
	if err := earned.check(); err != nil {
		return "", err
	}
	w.keep(&earned)
	if consent != "" {
		return "recover: " + consent, nil
	}
	return "recover: accepted", nil
}

// mayNotMakeCodes returns all refusals to make or confirm recovery codes.
func (k *modelToken) mayNotMakeCodes() (refusals []string) {
	if len(k.user.apps()) == 0 {
		refusals = append(refusals, invalidRequest)
	}
	if !k.has(scopeUpdate) || k.subject().state != challengeSucceeded || k.subject().trusted {
		refusals = append(refusals, forbidden)
	}
	return refusals
}

// void drops recovery codes.
func (w *world) void(codes **modelCodes) {
	if *codes != nil {
		w.codes = append(w.codes, slices.Sorted(maps.Keys((*codes).used))...)
	}
	*codes = nil
}

func (w *world) makeCodes() (string, error) {
	k := w.anyToken()
	w.note("make recovery codes with %s", k)
	r := w.page(k, "POST", "recovery-codes", "")
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("codes made", r, []string{refusal})
	}
	what, err := outcome("codes made", r, k.mayNotMakeCodes())
	if err != nil || r.status != 200 {
		return what, err
	}
	if !k.subject().proved {
		return "", fmt.Errorf("recovery codes were made without a code and without the backend's word: %s", k)
	}
	w.void(&k.user.unconfirmed)
	k.user.unconfirmed, err = newModelCodes(r)
	return what, err
}

func (w *world) confirmCodes() (string, error) {
	k := w.anyToken()
	code := ""
	if pending := k.user.unconfirmed.left(); len(pending) > 0 && w.rng.IntN(3) > 0 {
		code = pick(w, pending)
	} else if w.rng.IntN(2) == 0 {
		code, _ = w.anyRecoveryCode(k)
	}
	body := map[string]any{"saved": true}
	if code != "" {
		body = map[string]any{"recoveryCode": code}
	}
	w.note("confirm %v with %s", body, k)
	r := w.page(k, "POST", "recovery-codes/confirm", marshal(body))
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("codes confirmed", r, []string{refusal})
	}
	refusals := k.mayNotMakeCodes()
	if k.user.unconfirmed == nil {
		refusals = append(refusals, invalidRequest)
	}
	what, err := outcome("codes confirmed", r, refusals)
	if err != nil || r.status != 200 {
		return what, err
	}
	confirmed := code == ""
	for pending := range k.user.unconfirmed.used {
		if strings.ReplaceAll(pending, "-", "") == strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code)) {
			confirmed = true
		}
	}
	if r.object["isConfirmed"] != confirmed {
		return "", disagree(r, confirmed)
	}
	if confirmed {
		w.void(&k.user.inForce)
		k.user.inForce, k.user.unconfirmed = k.user.unconfirmed, nil
	}
	return fmt.Sprint("codes confirmed: ", confirmed), nil
}

// issueCodes makes codes by the backend.
func (w *world) issueCodes() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	w.note("issue recovery codes of %s %s", t.id, u.id)
	r := w.backend(t, "POST", "/users/"+u.id+"/recovery-codes", "")
	var refusals []string
	if len(u.apps()) == 0 {
		refusals = []string{invalidRequest}
	}
	what, err := outcome("codes issued", r, refusals)
	if err == nil && r.status == 200 {
		w.void(&u.unconfirmed)
		w.void(&u.inForce)
		u.inForce, err = newModelCodes(r)
	}
	return what, err
}

func (w *world) voidCodes() (string, error) {
	t := w.anyTenant()
	u := w.anyUser(t)
	w.note("void recovery codes of %s %s", t.id, u.id)
	w.void(&u.unconfirmed)
	w.void(&u.inForce)
	return outcome("codes voided", w.backend(t, "DELETE", "/users/"+u.id+"/recovery-codes", ""), nil)
}

// compareCodes compares the status of a user's recovery codes.
func (w *world) compareCodes(r response, u *modelUser) error {
	total := 0
	if u.inForce != nil {
		total = len(u.inForce.used)
	}
	left, pending := len(u.inForce.left()), u.unconfirmed != nil
	if r.status != 200 || r.object["total"] != float64(total) || r.object["left"] != float64(left) || r.object["isPending"] != pending {
		return disagree(r, fmt.Sprintf("%d recovery codes, %d left, pending: %v", total, left, pending))
	}
	return nil
}

// anyDevice returns the token of a browser: the current one of a browser of the user,
// an earlier one of it, any that ever was, or a forged one.
func (w *world) anyDevice(u *modelUser) modelDevice {
	if n := len(u.browsers); n > 0 && w.rng.IntN(3) > 0 {
		b := u.browsers[n-1]
		if b.current.text == "" { // the answer with it is under way
			return modelDevice{}
		}
		i := slices.IndexFunc(w.devices, func(d modelDevice) bool { return d.browser == b })
		if i >= 0 && w.rng.IntN(4) == 0 {
			return w.devices[i]
		}
		return b.current
	}
	if len(w.devices) == 0 || w.rng.IntN(8) == 0 {
		return modelDevice{text: pick(w, []string{"tb1_", "tb1_AAAA", "x", strings.Repeat("A", 111)})}
	}
	d := pick(w, w.devices[max(0, len(w.devices)-8):])
	if w.rng.IntN(6) == 0 { // without the part that stays
		const at = len("tb1_") + 40
		other := "A"
		if d.text[at:at+1] == other {
			other = "B"
		}
		return modelDevice{text: d.text[:at] + other + d.text[at+1:]}
	}
	return d
}

// anyTrackInBrowser returns a track with the token of a trusted browser, if a user has
// one, and otherwise the given track: of a new action, or of one that was tracked with
// the token before.
func (w *world) anyTrackInBrowser(t *modelTenant, u *modelUser, name actionName, in modelTrack) (*modelTenant, *modelUser, actionName, modelTrack) {
	for _, tenant := range w.tenants {
		for _, id := range sorted(tenant.users) {
			if v := tenant.users[id]; len(v.trusts(w.clock())) > 0 && w.rng.IntN(3) > 0 {
				t, u = tenant, v
			}
		}
	}
	if len(u.browsers) == 0 {
		return t, u, name, in
	}
	name.key = fmt.Sprint("key-", w.rng.IntN(1000))
	in = w.anyTrack(u)
	in.browser = w.anyDevice(u)
	if w.rng.IntN(3) == 0 {
		var before []actionName
		for name, a := range u.actions {
			if a.browser.browser != nil && slices.Contains(u.browsers, a.browser.browser) {
				before = append(before, name)
			}
		}
		if len(before) > 0 {
			slices.SortFunc(before, func(a, b actionName) int { return strings.Compare(a.code+a.key, b.code+b.key) })
			name = pick(w, before)
			in.browser = u.actions[name].browser
		}
	}
	return t, u, name, in
}

// turn compares the answer to a track with what became of the presented token.
func (w *world) turn(r response, t *modelTenant, u *modelUser, b *modelBrowser, copied bool, a *modelAction) (what string, err error) {
	next, has := r.object["deviceToken"].(string)
	if has != (b != nil) || (r.object["isTrusted"] == true) != (a.trusted && a.state == allow) {
		return "", disagree(r, fmt.Sprintf("the next token of a browser: %v, trusted: %v", b != nil, a.trusted))
	}
	switch {
	case copied:
		return "track: with a copy", nil
	case b == nil:
		return "", nil
	}
	again := b.current.text != a.browser.text && a.browser.browser == b
	b.current = modelDevice{next, b}
	w.devices = append(w.devices, b.current)
	switch {
	case again:
		return "track: again with a token", nil
	case a.trusted && a.state == allow:
		return "track: in a trusted browser", nil
	}
	return "track: with trust that does not count", nil
}

// trust validates a token and asks for trust in the browser.
func (w *world) trust() (string, error) {
	k := w.anyToken()
	for range 5 {
		if a := k.subject(); a == nil || a.state != challengeSucceeded {
			k = w.anyToken()
		}
	}
	w.note("trust %s", k)
	void := k.bearer(w.clock()) != ""
	if !void && len(k.user.browsers) > 12 {
		return "trust: enough", nil // the maximum is not in the model
	}
	r := w.backend(k.tenant, "POST", "/validate", marshal(map[string]any{"token": k.text, "trustBrowser": true}))
	text, _ := r.object["deviceToken"].(string)
	if void {
		if text != "" || r.object["isValid"] != false {
			return "", disagree(r, "Token is invalid.")
		}
		return "trust: void", nil
	}
	a := k.subject()
	may := k.mayTrust()
	if r.status != 200 || (text != "") != may || r.object["state"] != a.shown(k.browser) {
		return "", disagree(r, fmt.Sprint("trust: ", may))
	}
	if !may {
		return "trust: none", nil
	}
	if !a.proved {
		return "", fmt.Errorf("a browser is trusted without a code and without the backend's word: %s", k)
	}
	return "trust: a browser", w.trusted(k, text)
}

// trusted adds a browser that the user of a token trusts now.
func (w *world) trusted(k *modelToken, text string) error {
	u := k.user
	u.browsers = slices.DeleteFunc(u.browsers, func(b *modelBrowser) bool { return b.epoch != u.epoch })
	b := &modelBrowser{epoch: u.epoch, trusted: w.clock()}
	b.current = modelDevice{text, b}
	w.devices = append(w.devices, b.current)
	// Its id is in the list.
	list := w.backend(k.tenant, "GET", "/users/"+u.id+"/trusted-browsers", "")
	for _, item := range list.list {
		id := item.(map[string]any)["browserId"].(string)
		if !slices.ContainsFunc(u.browsers, func(b *modelBrowser) bool { return b.id == id }) {
			b.id = id
		}
	}
	u.browsers = append(u.browsers, b)
	return w.compareBrowsers(list, u)
}

func (w *world) compareBrowsers(r response, u *modelUser) error {
	var got, want []string
	for _, item := range r.list {
		got = append(got, item.(map[string]any)["browserId"].(string))
	}
	for _, b := range u.trusts(w.clock()) {
		want = append(want, b.id)
	}
	slices.Sort(got)
	slices.Sort(want)
	if r.status != 200 || r.list == nil || !slices.Equal(got, want) {
		return disagree(r, want)
	}
	return nil
}

// listBrowsers lists the trusted browsers with a token.
func (w *world) listBrowsers() (string, error) {
	k := w.anyToken()
	w.note("list the trusted browsers with %s", k)
	r := w.page(k, "GET", "trusted-browsers", "")
	if refusal := k.bearer(w.clock()); refusal != "" {
		return outcome("browsers", r, []string{refusal})
	}
	if !k.subject().isPassed(k.user) {
		return outcome("browsers", r, []string{forbidden})
	}
	return "browsers: 200", w.compareBrowsers(r, k.user)
}

// revokeBrowser ends the trust in one browser or in all, by the backend or with a
// token.
func (w *world) revokeBrowser() (string, error) {
	k := w.anyToken()
	u, path := k.user, "trusted-browsers"
	var browser *modelBrowser
	all := w.rng.IntN(4) == 0
	switch {
	case all:
	case len(u.browsers) > 0 && w.rng.IntN(4) > 0:
		browser = pick(w, u.browsers)
		path += "/" + browser.id
	default:
		path += "/unknown"
	}
	var r response
	var refusals []string
	if w.rng.IntN(3) == 0 {
		w.note("revoke %s of %s %s", path, k.tenant.id, u.id)
		r = w.backend(k.tenant, "DELETE", "/users/"+u.id+"/"+path, "")
	} else {
		w.note("revoke %s with %s", path, k)
		r = w.page(k, "DELETE", path, "")
		if refusal := k.bearer(w.clock()); refusal != "" {
			return outcome("browser revoked", r, []string{refusal})
		}
		if !k.subject().isPassed(u) {
			refusals = append(refusals, forbidden)
		}
	}
	if !all && browser == nil {
		refusals = append(refusals, notFound)
	}
	what, err := outcome("browser revoked", r, refusals)
	if err == nil && r.status == 200 {
		if all {
			u.browsers = nil
		} else {
			u.forget(browser)
		}
	}
	return what, err
}

func (w *world) anyName() string { return pick(w, []string{"", "the phone", "the tablet at home"}) }

// rename renames an authenticator, by the backend or with a token.
func (w *world) rename() (string, error) {
	k := w.anyToken()
	u, id, name := k.user, w.anyID(k.user), w.anyName()
	body := marshal(map[string]string{"name": name})
	var r response
	var refusals []string
	if w.rng.IntN(3) == 0 {
		w.note("rename %s of %s %s", id, k.tenant.id, u.id)
		r = w.backend(k.tenant, "PATCH", "/users/"+u.id+"/authenticators/"+id, body)
	} else {
		w.note("rename %s with %s", id, k)
		r = w.page(k, "PATCH", "user-authenticators/"+id, body)
		if refusal := k.bearer(w.clock()); refusal != "" {
			return outcome("rename", r, []string{refusal})
		}
		if !k.has(scopeUpdate) || !k.subject().isPassed(u) {
			refusals = append(refusals, forbidden)
		}
	}
	a := u.find(id)
	if a == nil || !a.verified {
		refusals = append(refusals, notFound)
	}
	what, err := outcome("rename", r, refusals)
	if err == nil && r.status == 200 {
		a.name = name
	}
	return what, err
}
