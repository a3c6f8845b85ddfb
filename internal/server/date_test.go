package server

import (
	"strings"
	"testing"
	"time"
)

func TestISODate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2024-07-11": "2024-07-11T00:00:00Z", "20240711": "2024-07-11T00:00:00Z",
		"2024-07-11T22": "2024-07-11T22:00:00Z", "20240711T22": "2024-07-11T22:00:00Z",
		"2024-07-11T22:03": "2024-07-11T22:03:00Z", "20240711T2203": "2024-07-11T22:03:00Z",
		"2024-07-11T22:03:39": "2024-07-11T22:03:39Z", "20240711T220339": "2024-07-11T22:03:39Z",
		"2024-07-11T22:03:39.037": "2024-07-11T22:03:39.037Z", "2024-07-11T22:03:39,5Z": "2024-07-11T22:03:39.5Z",
		"20240711T220339.123456789Z": "2024-07-11T22:03:39.123456789Z",
		"2024-07-11T22Z":             "2024-07-11T22:00:00Z", "2024-07-11T22:03+02:00": "2024-07-11T20:03:00Z",
		"2024-07-11T22:03:39-0530": "", "20240711T220339-0530": "2024-07-12T03:33:39Z", "2024-07-11T22:03:39.5+01": "2024-07-11T21:03:39.5Z",
		"20240711T2203+01": "2024-07-11T21:03:00Z", "2024-02-29": "2024-02-29T00:00:00Z",
	} {
		got, err := isoDate(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s: got %v", text, got)
			}
			continue
		}
		if err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "must be", "yesterday": "must be", "2023-02-29": "must be", "2024-13-01": "must be", "2024-07-11T25:00": "must be", "2024-07-11T22:03:39Zjunk": "must be",
		"2024-07-11T22:03:39 02:00": "%2B", "2024-W28-4": "week date", "2024W284": "week date", "2024-193": "ordinal date", "2024193T10": "ordinal date",
		"2024-07": "no day", "2024": "no day", "+2024-07-11": "sign", "-0001-01-01": "sign", "P1D": "interval", "2024-07-11/2024-07-12": "interval",
		"2024-07-11 22:03:39": "space instead of the T", "1720735419": "a number", "1720735419000": "a number", "2024-07-11T24:00": "hour 24", "2016-12-31T23:59:60Z": "leap second",
		"2024-07-11T22.5": "fraction", "2024-07-11T22:03,5": "fraction", "2024-07-11T220339": "mixes", "20240711T22:03": "mixes",
	} {
		got, err := isoDate(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "without an offset it is UTC") {
			t.Errorf("%q: got %v, %v, want %q", text, got, err, want)
		}
	}
}
