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

// A language is a file text/TAG.json, whose name is its BCP 47 tag: a flat
// object of texts. "{name}" in a text is filled in; "dir" is ltr or rtl.
//
//go:embed text/*.json
var textFiles embed.FS

// fallback is the language of whoever reads none of ours.
const fallback = "en"

// A lang is a language with its texts by key.
type lang struct {
	tag   string
	texts filled
}

// langs are all languages, the fallback first; matcher chooses among them.
var langs, matcher = readLangs()

// readLangs panics when an embedded file is broken, as template.Must does; a
// test reads them all.
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

// match chooses a language: that of the user's locale, else the first that
// the browser asks for and that there is.
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

// fill puts values in the place of their names, in all texts.
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

// text gives a text by its key. That there is one for each key of the page and
// its script, a test sees to.
func (f filled) text(key string) string { return f[key] }

// client are the texts that the page's script shows.
func (f filled) client() map[string]string {
	out := maps.Clone(map[string]string(f))
	maps.DeleteFunc(out, func(key, _ string) bool {
		kind, _, _ := strings.Cut(key, ".")
		return kind != "page" && kind != "error" && kind != "failure"
	})
	return out
}
