package prebuilt

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestLanguagesAreComplete(t *testing.T) {
	if len(langs) < 2 || langs[0].tag != "en" {
		t.Fatalf("got %d languages, the first %s", len(langs), langs[0].tag)
	}
	want := langs[0].texts
	for _, l := range langs {
		if d := l.texts["dir"]; d != "ltr" && d != "rtl" {
			t.Errorf("%s: dir is %q", l.tag, d)
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if strings.TrimSpace(l.texts[key]) == "" {
				t.Errorf("%s lacks %s", l.tag, key)
			}
			got, want := placeholder.FindAllString(l.texts[key], -1), placeholder.FindAllString(want[key], -1)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Errorf("%s, %s: placeholders %v, want %v", l.tag, key, got, want)
			}
		}
		for key := range l.texts {
			if _, ok := want[key]; !ok {
				t.Errorf("%s: %s is not used", l.tag, key)
			}
		}
	}
}

// Each key that the page or its script uses must exist, and each key that exists
// must be used.
func TestEveryTextIsUsed(t *testing.T) {
	used := map[string]bool{"dir": true}
	patterns := map[string]string{"page/index.html": `call \.T "([\w.]+)"`}
	for _, name := range scripts {
		patterns["page/"+name] = `"((?:page|error|failure)\.[\w.]+)"`
	}
	for name, pattern := range patterns {
		b, err := fs.ReadFile(pageFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
			if langs[0].texts[m[1]] == "" && m[1] != "page.method." {
				t.Errorf("%s uses %s, which does not exist", name, m[1])
			}
		}
	}
	// Those of the server, and those that only the script shows.
	for _, f := range append([]failure{"attempts", "codes", "network", "module", "limit", "linkEnded", "linkFull"}, failures...) {
		used["failure."+string(f)+".title"], used["failure."+string(f)+".text"] = true, true
	}
	for key := range langs[0].texts {
		if !used[key] && !strings.HasPrefix(key, "page.method.") {
			t.Errorf("%s is not used", key)
		}
	}
	for key := range used {
		if langs[0].texts[key] == "" && key != "page.method." {
			t.Errorf("%s does not exist", key)
		}
	}
}

func TestLanguageOfThePage(t *testing.T) {
	for _, tt := range []struct{ locale, accept, want string }{
		{"", "", "en"},
		{"de", "en", "de"},
		{"de_AT", "en", "de"},
		{"de-CH", "", "de"},
		{"DE", "", "de"},
		{"en-NZ", "de", "en"},
		{"xx", "de", "de"},
		{"fr", "de", "de"}, // a locale that we have no texts for
		{"not a locale", "de", "de"},
		{"", "de-DE,de;q=0.9,en;q=0.8", "de"},
		{"", "fr, de;q=0.5", "de"},
		{"", "fr", "en"},
		{"", "*", "en"},
		{"", "\x00;;q=", "en"},
		{"", strings.Repeat("a-", 2000), "en"},
	} {
		if got := match(tt.locale, tt.accept).tag; got != tt.want {
			t.Errorf("locale %q, Accept-Language %.40q: got %s, want %s", tt.locale, tt.accept, got, tt.want)
		}
	}
}

func TestPageIsInTheUsersLanguage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.get("", "Accept-Language", "de")
	for _, want := range []string{`<html lang="de" dir="ltr"`, "Bitte beginnen Sie von vorn", `"failure.expired.title":"Das hat zu lange gedauert"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
