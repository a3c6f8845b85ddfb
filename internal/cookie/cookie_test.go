package cookie

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func at(t *testing.T, publicURL string) Home {
	t.Helper()
	h, err := At(publicURL)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNew(t *testing.T) {
	t.Parallel()
	for publicURL, want := range map[string]struct {
		name, path string
		secure     bool
		kept       bool
	}{
		"https://mfa.example.com":     {"__Host-a", "/", true, true},
		"https://mfa.example.com/":    {"__Host-a", "/", true, true},
		"https://www.example.com/mfa": {"__Secure-a", "/mfa/p", true, true},
		"http://mfa.example.com":      {"__Host-a", "/", true, false},
		"http://localhost:4000":       {"a", "/p", false, true},
		"http://127.0.0.1:4000/x/mfa": {"a", "/x/mfa/p", false, true},
	} {
		h := at(t, publicURL)
		c := h.New("a", "v", "/p", time.Hour)
		if h.Kept() != want.kept {
			t.Errorf("%s: kept %v", publicURL, h.Kept())
		}
		if c.Name != want.name || c.Path != want.path || c.Secure != want.secure || c.Domain != "" ||
			!c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 3600 || c.Value != "v" {
			t.Errorf("%s: got %v", publicURL, c)
		}
	}
	if c := at(t, "https://mfa.example.com").New("a", "", "/", 0); c.MaxAge != -1 {
		t.Errorf("deleted: got %v", c)
	}
	if _, err := At("https://mfa.example.com/%zz"); err == nil {
		t.Error("a URL that is none is accepted")
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	r, _ := http.NewRequest("GET", "https://mfa.example.com/", nil)
	r.Header.Set("Cookie", "a-1=plain; __Host-a-1=one; __Secure-a-1=below; __Host-a-2=two; __Host-b=three")
	h := at(t, "https://mfa.example.com")
	if got := h.Value(r, "a-1"); got != "one" {
		t.Errorf("got %q", got)
	}
	if got := h.Value(r, "a-3"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := h.Names(r, "a-"); !slices.Equal(got, []string{"a-1", "a-2"}) {
		t.Errorf("got %q", got)
	}
}

func TestBrowserNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range [][2]string{{"t1", "u1"}, {"t1", "u2"}, {"t2", "u1"}, {"t1 u1", ""}, {"t", "1 u1"}} {
		name := BrowserName(id[0], id[1])
		if seen[name] != "" || (&http.Cookie{Name: name, Value: "v"}).Valid() != nil {
			t.Errorf("%v: got %q, as %s", id, name, seen[name])
		}
		seen[name] = id[0] + "/" + id[1]
	}
}
