package prebuilt

import (
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store"
)

func TestFrameAncestors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := "token=" + s.track(store.Action{})
	dev := newSite(t, func(c *Config) { c.Loopback, c.Origins = true, nil })
	none := newSite(t, func(c *Config) { c.Origins = nil })
	none.update(func(tx *store.Tx) error { _, err := tx.SetOrigins(nil); return err })
	const loopback = " http://localhost:* http://*.localhost:* http://127.0.0.1:* https://localhost:* https://*.localhost:* https://127.0.0.1:*"
	for name, tt := range map[string]struct{ got, want string }{
		"alone":             {s.get(tok).directive("frame-ancestors"), "'none'"},
		"popup":             {s.get(tok + "&mode=popup").directive("frame-ancestors"), "https://app.test https://other.test:8443 https://server.test"},
		"another mode":      {s.get(tok + "&mode=window").directive("frame-ancestors"), "'none'"},
		"no token":          {s.get("mode=popup").directive("frame-ancestors"), "'none'"},
		"-dev":              {dev.get("mode=popup&token=" + dev.track(store.Action{})).directive("frame-ancestors"), "https://app.test https://other.test:8443" + loopback},
		"no origins at all": {none.get("mode=popup&token=" + none.track(store.Action{})).directive("frame-ancestors"), "'none'"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", name, tt.got, tt.want)
		}
	}
	if got, want := s.get(tok+"&mode=popup").data("origins"), "https://app.test https://other.test:8443 https://server.test"; got != want {
		t.Errorf("receivers of messages: got %s, want %s", got, want)
	}
}

// Origins of native shells may only call the client API: on another device, any
// program can use such an origin.
func TestNativeShellsMayNotFrameOrBeReturnedTo(t *testing.T) {
	t.Parallel()
	shells := []string{"capacitor://localhost", "tauri://localhost", "http://tauri.localhost", "app://bundle", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"}
	s := newSite(t, func(c *Config) { c.Origins = append(c.Origins, shells...) })
	s.update(func(tx *store.Tx) error {
		_, err := tx.SetOrigins(append([]string{"https://app.test"}, shells...))
		return err
	})
	a := s.get("mode=popup&token=" + s.track(store.Action{}))
	if got, want := a.directive("frame-ancestors"), "https://app.test https://server.test"; got != want {
		t.Errorf("frame-ancestors: got %s, want %s", got, want)
	}
	if got, want := a.data("origins"), "https://app.test https://server.test"; got != want {
		t.Errorf("receivers of messages: got %s, want %s", got, want)
	}
	for _, o := range shells {
		a := s.get("token=" + s.track(store.Action{RedirectURL: o + "/back"}))
		if a.data("return") != "" || a.data("reason") != "return" || a.status != 400 {
			t.Errorf("%s: return %q, reason %s", o, a.data("return"), a.data("reason"))
		}
	}
	alone := newSite(t, func(c *Config) { c.Origins = shells })
	alone.update(func(tx *store.Tx) error { _, err := tx.SetOrigins(shells); return err })
	if got := alone.get("mode=popup&token=" + alone.track(store.Action{})).directive("frame-ancestors"); got != "'none'" {
		t.Errorf("frame-ancestors of shells alone: got %s", got)
	}
}

func TestReturnsToAllowedOriginsOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dev := newSite(t, func(c *Config) { c.Loopback = true })
	for _, u := range []string{
		"https://app.test/back?x=1#y", "https://app.test", "HTTPS://APP.test:443/Back", "https://other.test:8443/a b", "https://server.test/",
		"https://app.test/?to=https://evil.test/", "https://app.test//evil.test", `https://app.test/\evil.test`,
	} {
		if a := s.get("token=" + s.track(store.Action{RedirectURL: u})); a.data("return") != u || a.data("start") != "enroll" {
			t.Errorf("%s: return %q, start %s", u, a.data("return"), a.data("start"))
		}
	}
	for _, u := range []string{
		"https://evil.test/", "http://app.test/", "https://app.test:8443/", "https://app.test.evil.test/", "https://xapp.test/",
		"https://app.test@evil.test/", "https://app.test:x@evil.test/", "https://evil.test\\@app.test/", `https://evil.test\.app.test/`, `https:\\evil.test/`,
		"//app.test/", "//evil.test/", "/back", "back", "https:app.test", "https:///app.test/", "https://", " https://app.test/", "https://app.test\t/", "https://app%2etest/",
		"javascript:alert(1)", "JaVaScRiPt:alert(1)//https://app.test/", "data:text/html,<script>alert(1)</script>", "vbscript:x", "blob:https://app.test/x", "file:///etc/passwd",
		"https://user@app.test/", "https://app.test%00.evil.test/", "https://аpp.test/", "http://localhost:3000/", "http://127.0.0.1/",
	} {
		tok := "token=" + s.track(store.Action{RedirectURL: u})
		a := s.get(tok)
		if a.data("return") != "" || a.data("reason") != "return" || a.status != 400 {
			t.Errorf("%s: return %q, reason %s", u, a.data("return"), a.data("reason"))
		}
		// In a frame or a window the page does not redirect.
		if a := s.get(tok + "&mode=popup"); a.data("return") != "" || a.data("start") != "enroll" {
			t.Errorf("%s in a popup: return %q, start %s", u, a.data("return"), a.data("start"))
		}
	}
	if !strings.Contains(s.log.String(), `"origin":"https://evil.test"`) || strings.Contains(s.log.String(), "alert") {
		t.Errorf("the log must name the origin and nothing else: %s", s.log.String())
	}
	for u, want := range map[string]bool{
		"http://localhost:3000/x": true, "http://127.0.0.1:9/": true, "http://[::1]:80/": true, "http://a.localhost/": true,
		"http://localhost.evil.test/": false, "http://127.0.0.1.evil.test/": false, "http://192.168.0.1/": false,
	} {
		if a := dev.get("token=" + dev.track(store.Action{RedirectURL: u})); (a.data("return") == u) != want {
			t.Errorf("-dev, %s: return %q", u, a.data("return"))
		}
	}
	if a := s.get("token=" + s.track(store.Action{})); a.data("return") != "" || a.data("start") != "enroll" {
		t.Errorf("none: return %q, start %s", a.data("return"), a.data("start"))
	}
}
