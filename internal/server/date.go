package server

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// isoLayouts are those of ISO 8601-1:2019: a calendar date (5.2.2), alone or with a
// time of day (5.3) and its difference from UTC, which is absent, Z, hours, or hours
// and minutes; all in the extended format or all in the basic one. time.Parse takes
// a decimal fraction of a second with any of them.
var isoLayouts = func() (layouts []string) {
	for _, f := range []struct {
		date         string
		times, zones []string
	}{
		{"2006-01-02", []string{"T15", "T15:04", "T15:04:05"}, []string{"", "Z07:00", "Z07"}},
		{"20060102", []string{"T15", "T1504", "T150405"}, []string{"", "Z0700", "Z07"}},
	} {
		layouts = append(layouts, f.date)
		for _, t := range f.times {
			for _, zone := range f.zones {
				layouts = append(layouts, f.date+t+zone)
			}
		}
	}
	return layouts
}()

// unsupported are the other forms that ISO 8601 has, and forms that are taken for
// it, with what is said about them.
var unsupported = []struct {
	form *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`^[0-9-]+T[0-9:.,]+ [0-9:]+$`), "has a space where its offset begins: encode the + in a URL as %2B"},
	{regexp.MustCompile(`^[0-9]{4}-?W[0-9]`), "is a week date"},
	{regexp.MustCompile(`^[0-9]{4}-?[0-9]{3}($|T)`), "is an ordinal date"},
	{regexp.MustCompile(`^[0-9]{4}(-[0-9]{2})?$`), "has no day"},
	{regexp.MustCompile(`^[+-]`), "has a year with a sign"},
	{regexp.MustCompile(`^P|/`), "is a duration or an interval"},
	{regexp.MustCompile(`^[0-9-]+ `), "has a space instead of the T before the time"},
	{regexp.MustCompile(`^[0-9]{10,}$`), "is a number and not a date"},
	{regexp.MustCompile(`T24`), "has the hour 24: write 00 of the next day"},
	{regexp.MustCompile(`T[0-9]{2}:?[0-9]{2}:?60`), "has a leap second"},
	{regexp.MustCompile(`T[0-9]{2}(:?[0-9]{2})?[.,]`), "has a fraction of a minute or an hour"},
	{regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}|^[0-9]{8}T[0-9]{2}:`), "mixes the basic and the extended format"},
}

// isoDate parses a date, or a date and time, in the form of ISO 8601. Without an
// offset it is in UTC. The error continues a sentence that begins with the name of
// the field, and does not quote the text.
func isoDate(s string) (time.Time, error) {
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	const want = "a calendar date of ISO 8601, with or without a time, such as 2024-07-11, 2024-07-11T22:03:39.037Z or 20240711T220339+0200; without an offset it is UTC"
	for _, u := range unsupported {
		if u.form.MatchString(s) {
			reason, remedy, _ := strings.Cut(u.text, ": ")
			if remedy != "" {
				reason += " (" + remedy + ")"
			}
			return time.Time{}, errors.New(reason + "; it must be " + want)
		}
	}
	return time.Time{}, errors.New("must be " + want)
}
