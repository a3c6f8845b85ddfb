package origin

import "testing"

func TestParseWritesAnOriginAsBrowsersDo(t *testing.T) {
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
	} {
		got, err := Parse(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestOfIsEmptyForWhatIsNoPage(t *testing.T) {
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
