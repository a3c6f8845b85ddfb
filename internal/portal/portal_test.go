package portal

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A fixture is a portal under test with a real store, a tenant and a clock that
// the test advances.
type fixture struct {
	t        testing.TB
	url      string
	database string
	store    *store.Store
	portal   *portal
	handler  http.Handler
	password string
	log      *logtest.Buffer

	mu  sync.Mutex
	now time.Time
}

func (d *fixture) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *fixture) advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func newFixture(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	d := &fixture{t: t, database: storetest.Database(t), log: &logtest.Buffer{}, now: time.Unix(1_700_000_000, 0)}
	st := storetest.Open(t, d.database, store.Open)
	d.store = st
	d.update(func(tx *store.Tx) error {
		_, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme"), d.now)
		return err
	})
	var err error
	if d.password, err = FirstPassword(t.Context(), st, d.now); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Store: st, Log: slog.New(slog.NewJSONHandler(d.log, nil)), Now: d.clock, PublicURL: "http://127.0.0.1:4000",
		// Tests choose the client's address.
		Address: func(r *http.Request) netip.Addr {
			if a, err := netip.ParseAddr(r.Header.Get("Test-Address")); err == nil {
				return a
			}
			return netip.MustParseAddr("192.0.2.1")
		},
	}
	for _, f := range change {
		f(&c)
	}
	if d.portal, err = newPortal(c); err != nil {
		t.Fatal(err)
	}
	pages, files, err := d.portal.pages()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(pages, files)
	mux := http.NewServeMux()
	for pattern, h := range pages {
		mux.Handle(pattern, h)
	}
	d.handler = mux
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

func (d *fixture) update(fn func(*store.Tx) error) {
	d.t.Helper()
	if err := d.store.Update(d.t.Context(), "t1", fn); err != nil {
		d.t.Fatal(err)
	}
}

// A browser keeps cookies and does not follow redirects.
type browser struct {
	*fixture
	client *http.Client
	// header is added to every request.
	header http.Header
}

func (d *fixture) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return &browser{d, &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, http.Header{"Sec-Fetch-Site": {"same-origin"}}}
}

// operator returns a browser that is signed in.
func (d *fixture) operator() *browser {
	d.t.Helper()
	b := d.browser()
	if r := b.post("/sign-in", "password", d.password); r.StatusCode != http.StatusSeeOther {
		d.t.Fatalf("sign-in: got %d", r.StatusCode)
	}
	return b
}

type answer struct {
	*http.Response
	text string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	for name, values := range b.header {
		req.Header[name] = values
	}
	r, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{r, string(text)}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	req, err := http.NewRequest("GET", b.url+Path+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// post sends a form; fields are names and values in turn.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequest("POST", b.url+Path+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b *browser) wants(r answer, status int) answer {
	b.t.Helper()
	if r.StatusCode != status {
		b.t.Errorf("%s %s: got %d, want %d\n%s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.text)
	}
	return r
}

// tenantPages returns the paths of all pages about a tenant, from routes.
func tenantPages() []string {
	p := &portal{}
	var paths []string
	for pattern := range p.routes() {
		path, ok := strings.CutPrefix(pattern, "GET /t/{tenant}")
		if ok {
			paths = append(paths, "/t/t1"+strings.ReplaceAll(path, "{action}", "pay"))
		}
	}
	slices.Sort(paths)
	return paths
}
