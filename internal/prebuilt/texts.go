package prebuilt

import (
	"embed"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// textFiles has a file text/TAG.json for each language, where TAG is its BCP 47
// tag: a flat object of texts. "{name}" in a text is replaced with a value; the
// key "dir" is ltr or rtl.
//
//go:embed text/*.json
var textFiles embed.FS

// fallback is the language for users who prefer none of the others.
const fallback = "en"

// A lang is a language and its texts by key.
type lang struct {
	tag   string
	texts filled
}

// langs are all languages, the fallback first; matcher chooses among them.
var langs, matcher = readLangs()

// readLangs panics if an embedded file is not valid, as template.Must does.
func readLangs() ([]lang, language.Matcher) {
	entries, err := textFiles.ReadDir("text")
	if err != nil {
		panic(err)
	}
	var list []lang
	for _, e := range entries {
		b, err := textFiles.ReadFile("text/" + e.Name())
		if err != nil {
			panic(err)
		}
		l := lang{tag: strings.TrimSuffix(path.Base(e.Name()), ".json")}
		if err := json.Unmarshal(b, &l.texts); err != nil {
			panic("text/" + e.Name() + ": " + err.Error())
		}
		list = append(list, l)
	}
	slices.SortStableFunc(list, func(a, b lang) int {
		if (a.tag == fallback) == (b.tag == fallback) {
			return 0
		}
		if a.tag == fallback {
			return -1
		}
		return 1
	})
	tags := make([]language.Tag, len(list))
	for i, l := range list {
		tags[i] = language.MustParse(l.tag)
	}
	return list, language.NewMatcher(tags)
}

// match returns the language of the user's locale, or else the best match for the
// browser's languages.
func match(locale, acceptLanguage string) lang {
	if tag, err := language.Parse(locale); locale != "" && err == nil {
		if _, i, c := matcher.Match(tag); c > language.No {
			return langs[i]
		}
	}
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil || len(tags) == 0 {
		return langs[0]
	}
	_, i, _ := matcher.Match(tags...)
	return langs[i]
}

// filled are texts by key.
type filled map[string]string

// fill returns all texts with "{name}" replaced by the value of name.
func (l lang) fill(values map[string]string) filled {
	pairs := make([]string, 0, 2*len(values))
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	r := strings.NewReplacer(pairs...)
	out := make(filled, len(l.texts))
	for key, text := range l.texts {
		out[key] = r.Replace(text)
	}
	return out
}

// text returns the text of a key. A test checks that all keys of the page and its
// script exist.
func (f filled) text(key string) string { return f[key] }

// client returns the texts that the page's script shows.
func (f filled) client() map[string]string {
	out := maps.Clone(map[string]string(f))
	maps.DeleteFunc(out, func(key, _ string) bool {
		kind, _, _ := strings.Cut(key, ".")
		return kind != "page" && kind != "error" && kind != "failure"
	})
	return out
}
