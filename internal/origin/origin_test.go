package origin

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.example.com":      "https://app.example.com",
		"HTTPS://App.Example.com:443":  "https://app.example.com",
		"http://localhost:80":          "http://localhost",
		"http://localhost:443":         "http://localhost:443",
		"http://[::1]:3000":            "http://[::1]:3000",
		"https://app.example.com/":     "",
		"https://app.example.com?":     "",
		"https://app.example.com#":     "",
		"https://u@app.example.com":    "",
		"https://":                     "",
		"https://:3000":                "",
		"ftp://app.example.com":        "",
		"app.example.com":              "",
		"null":                         "",
		"*":                            "",
		"https://*.example.com":        "",
		"https://a.example b.example":  "",
		"https://a.example;script-src": "",
		"":                             "",

		"capacitor://localhost":    "capacitor://localhost",
		"Capacitor://localhost":    "capacitor://localhost",
		"ionic://localhost":        "ionic://localhost",
		"tauri://localhost":        "tauri://localhost",
		"http://tauri.localhost":   "http://tauri.localhost",
		"app://obsidian.md":        "app://obsidian.md",
		"app://Bundle":             "app://Bundle", // not a host of the internet: browsers keep its case
		"app://.":                  "app://.",
		"app://bundle:8080":        "app://bundle:8080",
		"chrome-extension://" + id: "chrome-extension://" + id,
		"moz-extension://4ed7f644-c3b5-4bf1-983f-2c8718f52222":        "moz-extension://4ed7f644-c3b5-4bf1-983f-2c8718f52222",
		"safari-web-extension://4ED7F644-C3B5-4BF1-983F-2C8718F52222": "safari-web-extension://4ED7F644-C3B5-4BF1-983F-2C8718F52222",
		"file://":                         "",
		"javascript://localhost":          "",
		"htps://app.example.com":          "",
		"capacitor:":                      "",
		"capacitor://":                    "",
		"capacitor://:80":                 "",
		"capacitor://localhost:":          "",
		"capacitor://localhost/":          "",
		"capacitor://localhost?":          "",
		"capacitor://localhost#":          "",
		"capacitor:localhost":             "",
		"capacitor://u@localhost":         "",
		"capacitor://*":                   "",
		"app://a;b":                       "",
		"app://a b":                       "",
		"tauri://a'b":                     "",
		"chrome-extension://":             "",
		"chrome-extension://*":            "",
		"chrome-extension://" + id + "a":  "",
		"chrome-extension://" + id + ":1": "",
		"moz-extension://" + id:           "",
		"safari-web-extension://x":        "",
	} {
		got, err := Parse(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// id is the id of an extension for Chromium.
const id = "abcdefghijklmnopabcdefghijklmnop"

func TestParseErrorsNameTheRemedy(t *testing.T) {
	for in, want := range map[string]string{
		"null":                             `pages of files, data: URLs and sandboxed frames all send the origin "null"`,
		"file://":                          "serve the page over https, or under the webview's own scheme",
		"*":                                "name each origin by itself",
		"https://*.example.com":            "name each origin by itself",
		"chrome-extension://*":             "name each origin by itself",
		"":                                 "write the scheme",
		"app.example.com":                  "write the scheme",
		"localhost:3000":                   "write the scheme",
		"capacitor:localhost":              "such as https://app.example.com or capacitor://localhost",
		id:                                 "write the scheme",
		"htps://app.example.com":           "the scheme must be http, https, capacitor,",
		"ms-appx-web://localhost":          "the scheme must be http, https, capacitor,",
		"https://app.example.com/":         "leave out the slash",
		"capacitor://localhost/index.html": "leave out the slash",
		"tauri://localhost#":               "leave out the slash",
		"https://аpp.example.com":          "xn-- form",
		"chrome-extension://abc":           "32 letters from a to p",
		"moz-extension://a@example.com":    "no user name",
		"moz-extension://abc":              "is a UUID",
		"https://jane:hunter2@example.com": "scheme, host and port alone",
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Parse(%q): got %v, want it to say %q", in, err, want)
		}
	}
}

func TestIsWeb(t *testing.T) {
	for in, want := range map[string]bool{
		"https://app.example.com": true, "http://localhost": true, "http://localhost:3000": true, "https://nottauri.localhost": true,
		"http://tauri.localhost": false, "https://tauri.localhost": false, "https://Tauri.localhost:8080": false, "tauri://localhost": false,
		"capacitor://localhost": false, "ionic://localhost": false, "app://bundle": false, "chrome-extension://" + id: false, "null": false, "*": false, "": false,
	} {
		if got := IsWeb(in); got != want {
			t.Errorf("IsWeb(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestOf(t *testing.T) {
	for in, want := range map[string]string{
		"https://App.example.com/back?x=1#y":   "https://app.example.com",
		"http://localhost:3000/":               "http://localhost:3000",
		"//evil.example/":                      "",
		"/back":                                "",
		"javascript:alert(1)":                  "",
		"data:text/html,x":                     "",
		"https://app.example.com@evil.example": "",
		"https://evil.example\\@app.example":   "",
		"https:///evil.example":                "",
		"":                                     "",
	} {
		if got := Of(in); got != want {
			t.Errorf("Of(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for in, want := range map[string]bool{
		"http://localhost:3000": true, "https://a.localhost": true, "http://127.0.0.1": true, "http://127.1.2.3:80": true, "http://[::1]:1": true,
		"http://localhost.example.com": false, "http://10.0.0.1": false, "null": false, "file://": false,
	} {
		if got := IsLoopback(in); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", in, got, want)
		}
	}
}
