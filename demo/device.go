package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

const (
	// trustDays is for how many days a browser that the user trusts needs no code to
	// sign in: the trustBrowserDays of signIn in the API server inside.
	trustDays = 30
	// deviceLife is the life of a cookie with the token of a trusted browser, whose
	// end is known only to the API: the maximum there.
	deviceLife = 90 * 24 * time.Hour
)

// deviceCookie returns the name of the cookie with the token of a trusted browser.
// It is one for each user, because a token is void after any use: those who share a
// browser would otherwise end each other's trust.
func deviceCookie(username string) string {
	sum := sha256.Sum256([]byte(username))
	return cookieName + "_device_" + hex.EncodeToString(sum[:8])
}

// deviceToken returns the token with which the user's browser is trusted, or "".
func deviceToken(r *http.Request, username string) string {
	c, err := r.Cookie(deviceCookie(username))
	if err != nil {
		return ""
	}
	return c.Value
}

// setDeviceToken keeps the token of a trusted browser where no script of the page can
// read it. An empty token deletes the one before.
func setDeviceToken(w http.ResponseWriter, r *http.Request, username, token string, life time.Duration) {
	c := &http.Cookie{
		Name: deviceCookie(username), Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: secure(r), MaxAge: int(life.Seconds()),
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// A named is the name of those whose user agent contains a part.
type named struct{ part, name string }

// The names of browsers and systems, for lists. Most user agents name other browsers
// too, which therefore come later.
var (
	browserNames = []named{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systemNames = []named{
		{"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"Mac OS X", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// device describes a browser by its user agent and its address, either of which may
// be empty. Both come from requests: they are a hint for the user and no proof.
func device(userAgent, ip string) string {
	find := func(names []named) string {
		for _, n := range names {
			if strings.Contains(userAgent, n.part) {
				return n.name
			}
		}
		return ""
	}
	text := or(find(browserNames), "an unknown browser")
	if system := find(systemNames); system != "" {
		text += " on " + system
	}
	if ip != "" {
		text += " at " + ip
	}
	return text
}
